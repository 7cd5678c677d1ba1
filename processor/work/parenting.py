"""Jobs that wait for their children: end those whose last child has ended, and see to the children of the others."""

import time
from collections.abc import Callable

from processor import happenings as h
from processor.errors import ValuesRefused
from processor.queue import endings, parents
from processor.work.rhythm import Rhythm
from processor.work.state import State

LOOK_PAUSE = 5.0
"""Seconds between two looks; nearly all parents end with the settle of their last child."""
SHARE = 20
"""Progress is told so seldom that counting takes a twentieth of the time: a million children take some 0.2 s."""
BITES_PER_LOOK = 10
GENERATIONS_PER_TURN = 10


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
            try:
                self._end(candidates)
                state.more_is_due |= parents.let_go(state.database, candidates) > 0
            except ValuesRefused as refusal:
                self._complain(refusal.message)

    def stop_children(self) -> None:
        """Cancel what is left to do of jobs that are cancelled themselves."""
        try:
            for _ in range(BITES_PER_LOOK):
                if not parents.stop_children(self._state.database, self._state.roster.notifies):
                    break
        except ValuesRefused as refusal:
            self._complain(refusal.message)

    def look(self) -> None:
        """Look at a page of all parents that wait, whoever settled their children."""
        state = self._state
        if not self._look.is_due():
            return
        page = parents.page(state.database, self._after)
        self._after = page.last or 0
        if page.last is None:
            self._look.rest()
        try:
            self._end(set(page.ready))
            for _ in range(BITES_PER_LOOK):
                if not parents.let_go(state.database, page.open):
                    break
                state.more_is_due = True
            self._tell_progress(page.open)
        except ValuesRefused as refusal:
            self._complain(refusal.message)

    def _tell_progress(self, open_: tuple[int, ...]) -> None:
        begin = time.monotonic()
        if open_ and begin >= self._tell_after:
            parents.tell_progress(self._state.database, open_)
            instant = time.monotonic()
            self._tell_after = instant + SHARE * (instant - begin)

    def _end(self, candidates: set[int]) -> None:
        state = self._state
        if not candidates:
            return
        settled = endings.end(state.database, candidates, state.roster.notifies)
        state.parents |= settled.parents
        state.unseen |= settled.unseen
        state.more_is_due |= settled.woken > 0
        for one in settled.accepted:
            verdict = one.verdict
            state.happenings.emit(
                h.ParentEnded(
                    one.job_id,
                    one.type,
                    verdict.status.value,
                    verdict.reason.value,
                    verdict.outcome.error_message,
                )
            )
        for reused in settled.reused:
            state.happenings.emit(h.JobReused(reused.id, reused.type, reused.original, reused.reason.value))
        for settlement, error in settled.unstorable:
            state.happenings.emit(h.OutcomeUnstorable(settlement.job_id, settlement.type, error))
