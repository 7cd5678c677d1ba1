"""Step two of the loop, once per poll: obey plain UPDATEs, keep the due index small, look after the dead."""

from collections.abc import Callable

from processor import happenings as h
from processor.errors import ValuesRefused
from processor.queue import leases, upkeep, waiting, wakeup
from processor.work.parenting import Parenting
from processor.work.rescue import Rescuer, settle_lost
from processor.work.rhythm import Rhythm
from processor.work.state import State

WAITING_PAUSE = 5.0
"""Seconds between two looks at rows that wait; nearly all are woken by the settle of what they wait for."""
RESCUE_PAUSE = 5.0
"""Seconds between two looks at the other processors; the proof of death needs readings closer than half a lease."""
MOVES_PER_TURN = 10
"""Batches of parking and promoting before the next claim: a flood of future rows must not delay the due ones."""


class Chores:
    def __init__(self, state: State) -> None:
        self._state = state
        processor = state.settings.processor
        self._rescuer = Rescuer(state.database, state.happenings, processor.lease, processor.workdir)
        self._rescue = Rhythm(min(RESCUE_PAUSE, state.settings.processor.lease / 4), jitter=0.2)
        self.poll = Rhythm(state.settings.processor.poll_interval, jitter=0.2)
        self._waiting = Rhythm(WAITING_PAUSE, jitter=0.2)
        self._parenting = Parenting(state, self._complain)
        self._refusals: set[str] = set()
        self._of_a_poll = (
            self._move,
            self._cancel_waiting,
            self._parenting.stop_children,
            self._stop_cancelled,
            self._reconcile,
            self._bury_former_lives,
            self._look_at_waiting,
            self._parenting.look,
            self._fall_asleep,
        )

    def hurry(self) -> None:
        """Somebody says that there is something to do."""
        self.poll.now()

    def pause(self) -> float:
        """How long nothing of this is due, in seconds."""
        return min(self.poll.remaining(), self._rescue.remaining())

    def set_pace(self) -> None:
        """Take over a poll interval that was changed."""
        self.poll = Rhythm(self._state.settings.processor.poll_interval, jitter=0.2)

    def step(self) -> None:
        state = self._state
        if state.patience.away:
            return
        if state.patience.lost:
            self._rescuer.forget()
        if self._rescue.is_due():  # by a clock of its own: a poll may be longer than a lease
            self._rescue.rest()
            if not self._do((self._look_after_the_dead,)):
                return
        if state.parents and not self._do((self._parenting.end_families,)):
            return
        if state.patience.lost or self.poll.is_due():
            self.poll.rest()
            state.more_is_due = self._do(self._of_a_poll) or state.more_is_due

    def _do(self, chores: tuple[Callable[[], None], ...]) -> bool:
        """Do chores in order; False when the database went away, so that the next ones wait for it."""
        for chore in chores:
            with self._state.patience.step():
                chore()
            if self._state.patience.lost:
                return False
        return True

    def _cancel_waiting(self) -> None:
        try:
            upkeep.cancel_asked(self._state.database, self._state.roster.notifies)
        except ValuesRefused as refusal:
            self._complain(refusal.message)

    def _look_at_waiting(self) -> None:
        """Let rows go on that wait for nothing any more."""
        state = self._state
        if not state.unseen and not self._waiting.is_due():
            return
        self._waiting.rest()
        rules = {name: runnable.rules for name, runnable in state.roster.types.items()}
        try:
            gone_on = waiting.look(state.database, rules, state.roster.notifies, state.passed_over())
        except ValuesRefused as refusal:
            state.unseen = False
            self._complain(refusal.message)
            return
        state.unseen = gone_on.unseen
        for reused in gone_on.reused:
            state.happenings.emit(h.JobReused(reused.id, reused.type, reused.original, reused.reason.value))

    def _fall_asleep(self) -> None:
        """Ask for a notice, where the settings want one; the claim of this turn is the last look before the rest."""
        if self._state.settings.database.wakeup:
            wakeup.fall_asleep(self._state.database)

    def _move(self) -> None:
        for move in (upkeep.park, upkeep.promote):
            try:
                for _ in range(MOVES_PER_TURN):
                    if move(self._state.database) < upkeep.BATCH:
                        break
            except ValuesRefused as refusal:
                self._complain(refusal.message)

    def _complain(self, refusal: str) -> None:
        """Say it once, not at every poll."""
        if refusal not in self._refusals:
            self._refusals.add(refusal)
            self._state.happenings.emit(h.MoveRefused(refusal))

    def _stop_cancelled(self) -> None:
        state = self._state
        if not state.ledger.runs:
            return
        for job_id, claim_no in leases.cancelled(state.database, state.life.id):
            run = state.ledger.find(job_id, claim_no)
            if run is not None:
                state.stop(run, "cancel")

    def _reconcile(self) -> None:
        """Act on what the heartbeat found: rows nobody runs are settled, runs whose row is gone are stopped."""
        state = self._state
        audit = state.life.take_audit()
        if audit is None:
            return
        held = set(state.holdings().known)
        unknown = [orphan for orphan in audit.unknown if (orphan.id, orphan.claim_no) not in held]
        if unknown:
            message = "The database says that this processor runs the job, and the processor does not know it."
            settle_lost(state.database, state.happenings, state.roster, unknown, message)
            state.happenings.emit(h.ClaimsReleased(len(unknown), "audit"))
        for job_id, claim_no in audit.taken:
            run = state.ledger.find(job_id, claim_no)
            if run is not None:
                state.stop(run, "release")

    def _bury_former_lives(self) -> None:
        """Say of an incarnation that lost its lease that it is over, once nothing is left to be written under it."""
        state = self._state
        for former in [one for one in state.former if not state.ledger.holds_for(one)]:
            leases.leave(state.database, former)
            state.former.remove(former)

    def _look_after_the_dead(self) -> None:
        self._rescuer.look(self._state.life.id, self._state.roster)
