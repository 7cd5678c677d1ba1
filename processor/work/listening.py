"""Step zero of the loop: take in what the supervisor tells, and judge what has ended."""

import time
from dataclasses import replace

from processor.errors import Refused
from processor.happenings import JobStarted, MachineRefused, SupervisorLost, SupervisorNotice, TypeHeld
from processor.outcome import Kind, Outcome
from processor.queue.enqueue import NewJob
from processor.queue.events import Event
from processor.work.ledger import Run
from processor.work.messages import Message
from processor.work.state import State

MOST_ENQUEUED = 10_000
"""Jobs that one attempt may enqueue; they are inserted in the transaction that completes it."""


class Listening:
    def __init__(self, state: State) -> None:
        self._state = state

    def step(self) -> None:
        self.take_in()
        if self._state.life.crew.lost:
            self._state.happenings.emit(SupervisorLost(len(self._state.ledger.runs)))
            self.give_up("The supervisor of this processor ended while the job ran.")
            self._state.life.replace_crew()

    def take_in(self) -> None:
        crew = self._state.life.crew
        for message in crew.receive():
            self._hear(message)
        if crew.lost:  # what it said last may still lie in the socket: jobs that ended well are not lost
            for message in crew.last_words():
                self._hear(message)

    def give_up(self, why: str) -> None:
        """Judge as lost what no supervisor will tell us about any more."""
        for run in list(self._state.ledger.runs.values()):
            outcome = Outcome(Kind.LOST, error_type="Lost", error_message=why, started=run.started)
            self._state.ledger.close(run, outcome)

    def _make_room(self, run: Run) -> None:
        """Let the next claim be made at once where the last one was cut short for want of a process."""
        if run.runnable.process and self._state.short_of_processes:
            self._state.short_of_processes, self._state.more_is_due = False, True

    def _hear(self, message: Message) -> None:
        tell = message["tell"]
        run = self._state.ledger.runs.get(message.get("run", 0))
        if tell == "notice":
            self._state.happenings.emit(SupervisorNotice(message["text"]))
        elif run is None:
            return  # what an earlier supervisor ran, or `ready`
        elif tell == "started":
            run.started = True
            self._state.machine_works()
            self._state.happenings.emit(JobStarted(run.job.id, run.job.type, run.job.attempt, run.job.wait_seconds))
        elif tell == "event":
            run.tell(Event(message["kind"], message.get("level"), message.get("percent"), message.get("text")))
        elif tell == "hold":
            self._state.hold(run.job.type, message["seconds"])
            self._state.happenings.emit(TypeHeld(run.job.id, run.job.type, message["seconds"]))
        elif tell == "ended":
            outcome = _outcome(_traced(message, run.trace_parent))
            self._note_the_machine(outcome)
            self._state.ledger.close(run, outcome)
            self._make_room(run)

    def _note_the_machine(self, outcome: Outcome) -> None:
        """Where this machine cannot start anything, claiming more would only churn the queue."""
        state = self._state
        if outcome.kind is not Kind.NOT_STARTED:
            return
        if time.monotonic() >= state.claim_after:  # once for all that were claimed together
            state.machine_refused()
            state.happenings.emit(MachineRefused(outcome.error_message or "", state.refusal_pause))


def _traced(message: Message, trace_parent: str | None) -> Message:
    """Let the jobs that an attempt enqueues belong to its trace, unless they name another."""
    if trace_parent is None or not message.get("enqueue"):
        return message
    return {**message, "enqueue": [{"trace_parent": trace_parent, **wish} for wish in message["enqueue"]]}


def _outcome(message: Message) -> Outcome:
    """Read an outcome; one that asks to enqueue what cannot be a job is a failure of the handler."""
    outcome = Outcome.from_message(message)
    if not outcome.enqueue:
        return outcome
    try:
        if len(outcome.enqueue) > MOST_ENQUEUED:
            raise Refused(f"{len(outcome.enqueue):,} jobs were enqueued; at most {MOST_ENQUEUED:,} are possible.")
        for wish in outcome.enqueue:
            NewJob.from_message(wish)
    except Refused as error:
        return replace(
            outcome,
            kind=Kind.PROTOCOL,
            result=None,
            enqueue=(),
            error_type="EnqueueRefused",
            error_message=str(error),
        )
    return outcome
