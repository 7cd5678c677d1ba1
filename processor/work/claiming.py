"""Step three of the loop: claim as much as there is room for, and hand it to the supervisor.

The claim's number is chosen before it is sent. When the answer is lost the claim may have happened: its number goes on
the abandoned list, and the next heartbeat gives those rows back; nothing of them was started.
"""

import math
import time

from processor.errors import DatabaseError, ValuesRefused
from processor.happenings import ClaimFinished, JobReused, RowRefused, RuleUnusable, SlotsUsed, TraceParentIgnored
from processor.judge import Policy
from processor.outcome import Kind, Outcome
from processor.queue.claim import ClaimedJob, Slots, Taken, claim, set_aside
from processor.queue.fitness import unfit
from processor.traceparent import valid
from processor.work.delivering import target_of
from processor.work.ledger import Run
from processor.work.roster import Runnable
from processor.work.state import MOST_MISFITS, State

MOST_AT_ONCE = 500
"""Jobs of one claim, as many as one settle: their payloads are in memory together, at the default limit 500 MiB at the
very worst, and only where there are so many slots."""


class Claiming:
    def __init__(self, state: State) -> None:
        self._state = state

    def step(self) -> None:
        state, processor = self._state, self._state.settings.processor
        if state.patience.away or not state.can_claim():
            return
        room = state.ledger.room(processor.max_concurrent, processor.processes)
        room = Slots(min(room.jobs, MOST_AT_ONCE), room.processes)
        with state.patience.step():
            for job in self._claim(room):
                self.dispatch(job)
            state.newest_claim = state.claim_no
        state.happenings.emit(SlotsUsed(state.ledger.used, processor.max_concurrent))

    def _claim(self, room: Slots) -> list[ClaimedJob]:
        state = self._state
        state.claim_no += 1
        before = time.monotonic()
        try:
            taken = claim(
                state.database,
                state.life.id,
                state.claim_no,
                state.roster.wanted(state.ledger.running),
                room,
                max_payload_bytes=state.settings.processor.max_payload_bytes,
                notifies=state.roster.notifies,
                without=state.passed_over(),
            )
        except ValuesRefused as refusal:
            state.abandoned.append(state.claim_no)  # mostly nothing of it happened; the heartbeat sees to the rest
            self._set_aside(room, refusal)
            return []
        except DatabaseError:
            state.abandoned.append(state.claim_no)
            raise
        types = state.roster.types
        processes = sum(job.type not in types or types[job.type].process for job in taken.jobs)
        state.short_of_processes = processes >= room.processes
        state.more_is_due = len(taken.jobs) >= room.jobs or taken.moved_on or taken.held
        state.decided_elsewhere(taken.held and not taken.jobs)
        state.happenings.emit(ClaimFinished(len(taken.jobs), room.jobs, time.monotonic() - before))
        self._tell(taken)
        return taken.jobs

    def _tell(self, taken: Taken) -> None:
        state = self._state
        state.decided |= taken.decided
        known = state.rate_free_at if state.rate_pause() > 0 else math.inf
        state.rate_free_at = min(known, math.inf if taken.free_in is None else time.monotonic() + taken.free_in)
        for misfit, (type_, error) in taken.misfits.items():
            state.happenings.emit(RowRefused(misfit, type_, error, failed=False))
            state.pass_over(misfit)
        for reused in taken.reused:
            state.happenings.emit(JobReused(reused.id, reused.type, reused.original, reused.reason.value))
        for unreadable in taken.unreadable.items() - state.unreadable:
            state.unreadable.add(unreadable)
            state.happenings.emit(RuleUnusable(*unreadable))

    def _set_aside(self, room: Slots, refusal: ValuesRefused) -> None:
        """Get the row that broke the claim out of the way; the next turn claims its neighbours."""
        state, wanted = self._state, self._state.roster.wanted(self._state.ledger.running)
        misfits = set_aside(state.database, wanted, room, state.roster.notifies, state.passed_over())
        if not misfits or len(state.misfits) > MOST_MISFITS:
            raise refusal
        for misfit in misfits:
            state.happenings.emit(RowRefused(misfit.id, misfit.type, misfit.error, misfit.failed))
            if not misfit.failed:
                state.pass_over(misfit.id)

    def dispatch(self, job: ClaimedJob) -> None:
        """Hand a job to the supervisor, or judge at once that it cannot be run."""
        state = self._state
        runnable = state.roster.types.get(job.type) or _unknown(job.type)
        run = state.ledger.open(job, runnable, state.life.id)
        if job.trace_parent is not None or state.tracing is not None:
            run.trace_parent = self._trace(job)
        reason = unfit(job, state.roster.types, state.settings.processor.max_payload_bytes)
        if reason is not None or job.payload is None:
            state.ledger.close(run, reason or Outcome(Kind.MALFORMED))
            return
        if runnable.is_nothing:
            state.ledger.close(run, Outcome(Kind.RETURNED))
            return
        spec = target_of(state, run, runnable.spec) if runnable.is_delivery else runnable.spec
        if isinstance(spec, Outcome):
            state.ledger.close(run, spec)
            return
        timeout = job.timeout_seconds or runnable.timeout
        state.life.crew.run(run.number, spec, _facts(run), job.payload, timeout)

    def _trace(self, job: ClaimedJob) -> str | None:
        """Give the traceparent for the handler: of this attempt's span, or of the row where nothing is traced."""
        state, parent = self._state, valid(job.trace_parent)
        if parent is None and job.trace_parent is not None and job.type not in state.untraceable:
            state.untraceable.add(job.type)
            state.happenings.emit(TraceParentIgnored(job.id, job.type))
        return parent if state.tracing is None else state.tracing.begin(job, parent)


def _facts(run: Run) -> dict[str, object]:
    """Put together what a handler is told of its job."""
    job = run.job
    traced = {} if run.trace_parent is None else {"trace_parent": run.trace_parent}
    return {
        **traced,
        "id": job.id,
        "type": job.type,
        "attempt": job.attempt,
        "owner": job.owner,
        "key": job.key,
        "subject": job.subject,
        "fence": f"{run.processor_id}:{job.claim_no}",
    }


def _unknown(type_: str) -> Runnable:
    """Stand for the type of a row that the database takes for another: text may compare equal and not be so."""
    return Runnable(type_, {"spec": type_, "kind": "solo"}, Policy(), 0.0)
