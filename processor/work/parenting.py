"""Jobs that wait for their children: end those whose last child has ended, and see to the children of the others."""

import time
from collections.abc import Callable, Collection

from processor import happenings as h
from processor.errors import ValuesRefused
from processor.queue import endings, parents
from processor.queue.settlement import Settled
from processor.work.rhythm import Rhythm
from processor.work.state import State

LOOK_PAUSE = 5.0
"""Seconds between two looks; nearly all parents end with the settle of their last child."""
SHARE = 20
"""Progress is told so seldom that counting takes a twentieth of the time: a million children take some 0.2 s."""
BITES_PER_LOOK = 10
GENERATIONS_PER_TURN = 10
LOOK_SECONDS = 0.2
"""Of one look, after which the loop does its other steps; the next poll goes on with the next page."""


class Parenting:
    """What the loop does about parents; `complain` says once what the database refuses."""

    def __init__(self, state: State, complain: Callable[[str], None]) -> None:
        self._state = state
        self._complain = complain
        self._look = Rhythm(LOOK_PAUSE, jitter=0.2)
        self._tell_after = 0.0
        self._after = 0

    def end_families(self) -> None:
        """End the jobs whose last child has just ended here, perhaps, and then theirs."""
        state = self._state
        for _ in range(GENERATIONS_PER_TURN):
            if not state.parents:
                return
            candidates, state.parents = state.parents, set()
            self._end(candidates)
            self._let_go(candidates)

    def stop_children(self) -> None:
        """Cancel what is left to do of jobs that are cancelled themselves."""
        state = self._state
        for _ in range(BITES_PER_LOOK):
            if not self._bite(lambda: parents.stop_children(state.database, state.roster.notifies)):
                return

    def look(self) -> None:
        """Look at parents that wait, whoever settled their children: page by page, for so long at most."""
        if not self._look.is_due():
            return
        until = time.monotonic() + LOOK_SECONDS
        while time.monotonic() < until:
            page = parents.page(self._state.database, self._after)
            self._after = page.last or 0
            self._look_at(page)
            if page.last is None:
                self._look.rest()
                return

    def _look_at(self, page: parents.Page) -> None:
        state = self._state
        self._end(set(page.ready))
        self._report(endings.end_circles(state.database, page.open, state.roster.notifies))
        for _ in range(BITES_PER_LOOK):
            if not self._let_go(page.open):
                break
        begin = time.monotonic()
        if page.open and begin >= self._tell_after:
            self._bite(lambda: parents.tell_progress(state.database, page.open))
            instant = time.monotonic()
            self._tell_after = instant + SHARE * (instant - begin)

    def _let_go(self, candidates: Collection[int]) -> int:
        changed = self._bite(lambda: parents.let_go(self._state.database, candidates))
        self._state.more_is_due |= changed > 0
        return changed

    def _bite(self, verb: Callable[[], int]) -> int:
        """Do something to some rows; what the database refuses is said."""
        try:
            changed = verb()
        except ValuesRefused as refusal:
            self._complain(refusal.message)
            return 0
        return changed

    def _end(self, candidates: set[int]) -> None:
        state = self._state
        if candidates:
            self._report(endings.end(state.database, candidates, state.roster.notifies))

    def _report(self, settled: Settled) -> None:
        state = self._state
        state.parents |= settled.parents
        state.unseen |= settled.unseen
        state.more_is_due |= settled.woken > 0
        for one in settled.accepted:
            verdict = one.verdict
            ended = (one.job_id, one.type, verdict.status.value, verdict.reason.value, verdict.outcome.error_message)
            state.happenings.emit(h.ParentEnded(*ended))
        for reused in settled.reused:
            state.happenings.emit(h.JobReused(reused.id, reused.type, reused.original, reused.reason.value))
        for refusal in settled.refusals:
            self._complain(refusal)
