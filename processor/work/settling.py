"""Step one of the loop: write what jobs told, then the verdicts; what cannot be written now is kept.

One batch of verdicts in a turn: what is claimed into its slots runs while the next batch is written.
"""

import time
from collections.abc import Iterator

from processor import happenings as h
from processor.db.database import hangs_up
from processor.errors import DatabaseError, ValuesRefused
from processor.lifecycle import Reason
from processor.queue import control, events
from processor.queue.events import Told
from processor.queue.settle import settle
from processor.queue.settlement import Settled, Settlement, unstorable
from processor.work.delivering import report
from processor.work.ledger import Run
from processor.work.rhythm import Rhythm
from processor.work.state import State

BATCH = 500
"""Verdicts of one transaction: 100,000 rows/s were measured at 100, hardly more at 1,000; a lost answer costs one."""
BATCH_BYTES = 4 * 1024**2
"""Of one transaction's values; MariaDB takes 16 MiB in one statement unless told otherwise."""
TELL_PAUSE = 0.25
"""Seconds between two writes of one job's events: four a second is live to a reader and nothing to the database."""


SMALLEST_PORTION = 12
"""Halvings after which a portion is not made smaller: 1 KiB, which is one job's."""
HOPELESS = 3
"""Failures in a row, after the first, from which on a verdict may be the reason itself."""
HELD_PAUSE = 0.5
"""Seconds until a row that somebody else had locked is tried again."""


class Settling:
    def __init__(self, state: State) -> None:
        self._state = state
        self._held = Rhythm(HELD_PAUSE)
        self._failures = 0
        self._untold = 0
        self._beaten_at_first = 0.0

    def step(self) -> None:
        state = self._state
        if state.patience.away:
            return
        self._hold()
        if not self._tell():
            return  # the last words of a job come before its verdict, or the fence refuses them
        if state.ledger.held and self._held.is_due():
            state.ledger.try_again()
        if state.ledger.outbox:
            with state.patience.step():
                batch = state.ledger.next_batch(max(1, BATCH >> self._failures), BATCH_BYTES)
                self._write(report(state, batch))

    def _hold(self) -> None:
        """Keep types from being claimed, as their handlers asked: before the next claim."""
        holds = self._state.holds
        for type_ in list(holds):
            with self._state.patience.step():
                control.hold_type(self._state.database, type_, max(0.0, holds[type_] - time.monotonic()))
                del holds[type_]

    def _tell(self) -> bool:
        """Write what jobs told: before their verdicts, because the fence lets only running jobs speak.

        False where the database did not take it. What it hangs up at is sent in smaller portions the next time.
        """
        ledger, instant = self._state.ledger, time.monotonic()
        ended: list[tuple[Told, Run | None]] = [(told, None) for told in ledger.unsaid]
        running = [(run.told(), run) for run in ledger.talkative(instant, TELL_PAUSE)]
        for portion in _portions([*ended, *running], BATCH_BYTES >> self._untold):
            stored = False
            with self._state.patience.step():
                self._store(portion, instant)
                stored = True
            if not stored:
                self._untold = min(self._untold + 1, SMALLEST_PORTION)
                return False
        self._untold = 0
        return True

    def _store(self, portion: list[tuple[Told, Run | None]], instant: float) -> None:
        """Store what jobs told; what the database will never store is dropped, and said, without its neighbours."""
        try:
            held = events.store(self._state.database, [told for told, _ in portion])
        except ValuesRefused as refusal:
            if len(portion) > 1:
                middle = len(portion) // 2
                self._store(portion[:middle], instant)
                self._store(portion[middle:], instant)
                return
            held = []
            self._state.happenings.emit(h.EventsRefused(portion[0][0].job_id, refusal.message))
        self._state.ledger.was_told([(told, run) for told, run in portion if told not in held], instant)

    def _write(self, batch: list[Settlement]) -> None:
        before = time.monotonic()
        try:
            settled = settle(self._state.database, batch)
        except DatabaseError as error:
            self._state.ledger.doubt(batch)
            self._suspect(batch, error)
            raise
        self._failures = 0
        self._state.ledger.written(batch, settled.held)
        if settled.held:
            self._held.rest()
        self._report(settled)
        self._state.happenings.emit(h.SettleFinished(len(batch), time.monotonic() - before))

    def _suspect(self, batch: list[Settlement], error: DatabaseError) -> None:
        """Ask whether it is the batch: a server hangs up at what is too large for it, and looks like one that is away.

        Each time it hangs up halves the next batch. One verdict alone that fails again and again, while the heartbeat
        reaches the database, is replaced by one that says so.
        """
        if not hangs_up(error):
            return
        self._failures += 1
        if self._failures == 1:
            self._beaten_at_first = self._state.life.beaten_at
        beaten = self._state.life.beaten_at > self._beaten_at_first
        alone = len(batch) == 1 and batch[0].verdict.reason is not Reason.UNSTORABLE
        if alone and beaten and self._failures > HOPELESS:
            self._state.ledger.replace_first(unstorable(batch[0], error.message))
            self._state.happenings.emit(h.OutcomeUnstorable(batch[0].job_id, batch[0].type, error.message))
            self._failures = 1

    def _report(self, settled: Settled) -> None:
        emit = self._state.happenings.emit
        for settlement in settled.accepted:
            emit(_accepted(settlement))
            self._state.released += settlement.verdict.reason.value == "release"
        for settlement in settled.stale:
            outcome = settlement.verdict.outcome.kind.value
            emit(h.OutcomeStale(settlement.job_id, settlement.type, settlement.attempt, outcome))
        for reused in settled.reused:
            emit(h.JobReused(reused.id, reused.type, reused.original, reused.reason.value))
        for refusal in settled.refusals:
            emit(h.MoveRefused(refusal))
        self._state.unseen |= settled.unseen
        self._state.parents |= settled.parents
        made = any(one.verdict.outcome.enqueue or self._made_room(one.type) for one in settled.accepted)
        self._state.more_is_due |= settled.woken > 0 or made
        for settlement, error in settled.unstorable:
            emit(h.OutcomeUnstorable(settlement.job_id, settlement.type, error))

    def _made_room(self, type_: str) -> bool:
        """Tell whether the end of a job lets another of its type start, which the last claim left behind."""
        runnable = self._state.roster.types.get(type_)
        return type_ in self._state.decided or (runnable is not None and runnable.rules.max_per_processor is not None)

    def pause(self) -> float:
        """How long it may rest, in seconds: not at all with verdicts to write, a little with something to tell."""
        ledger = self._state.ledger
        if ledger.outbox or self._state.holds:
            return 0.0
        if ledger.held:
            return self._held.remaining()
        talking = any(run.events for run in ledger.runs.values())
        return TELL_PAUSE if talking else 60.0


def _portions(stories: list[tuple[Told, Run | None]], most: int) -> Iterator[list[tuple[Told, Run | None]]]:
    """Cut what is to be told into portions of one transaction each."""
    portion: list[tuple[Told, Run | None]] = []
    size = 0
    for told, run in stories:
        size += told.size
        if portion and size > most:
            yield portion
            portion, size = [], told.size
        portion.append((told, run))
    if portion:
        yield portion


def _accepted(settlement: Settlement) -> h.JobSettled:
    verdict = settlement.verdict
    return h.JobSettled(
        settlement.job_id,
        settlement.type,
        settlement.attempt,
        verdict.status.value,
        verdict.reason.value,
        verdict.outcome.seconds,
        verdict.outcome.error_message,
    )
