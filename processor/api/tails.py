"""What is told by ids of a table: one reader for all who wait for notifications, one for what jobs tell.

The place of who listens is the id of a row. Ids become visible out of order, so a reader goes only as far as every row
is there (`queue/tail`).
"""

import asyncio
from collections.abc import Callable, Collection
from contextlib import AbstractContextManager
from dataclasses import dataclass
from itertools import groupby
from typing import Protocol

from models import job_events, notifications
from processor.api.reader import Listener, Reader
from processor.db.database import Database
from processor.queue import news
from processor.queue.lookup import Row
from processor.queue.news import Choice
from processor.queue.tail import Tail

PAGE = 500
"""Rows of one statement."""
REACH = 20_000
"""Ids that one statement goes through, whatever is wanted of them."""


class Behind(Protocol):
    """Read rows behind an id up to another, in order: what one of several wants, and perhaps more."""

    def __call__(
        self, database: Database, after: int, upto: int, choices: Collection[Choice], *, limit: int
    ) -> list[Row]: ...


@dataclass(eq=False, slots=True)
class TailListener(Listener):
    """Somebody who waits for rows of his `choice`. `place` None: from now on.

    What it is given first is `{"id": place}`, from where on it hears all; so again where it was ahead of the table.
    """

    choice: Choice
    place: int | None

    @property
    def place_without_news(self) -> int | None:
        return None if self.given else self.place


class TailReader(Reader[TailListener]):
    """The reader of a table that grows."""

    def __init__(self, database: Database, failed: Callable[[Exception], object], tail: Tail, behind: Behind) -> None:
        super().__init__(database, failed)
        self._tail = tail
        self._behind = behind

    def listening(self, choice: Choice, after: int | None) -> AbstractContextManager[TailListener]:
        """Wait for rows behind the id `after`."""
        listener = TailListener(choice, after)
        if after is not None:
            listener.given.append({"id": after})
        return self._listening(listener)

    async def _look(self) -> bool:
        end = await asyncio.to_thread(self._tail.look)
        if end is None:
            return False
        waiting = [one for one in self._listeners if one.waits]
        for one in waiting:
            if one.place is None:
                one.place = end
                one.given.append({"id": end})
                one.news.set()
        await self._bring_back([one for one in waiting if _place(one) > end])
        behind = sorted((one for one in waiting if _place(one) < end), key=_place)
        more = False
        for place, listeners in groupby(behind, key=_place):
            more |= await self._give(list(listeners), place, end)
        return more

    async def _bring_back(self, ahead: list[TailListener]) -> None:
        """Let who is ahead of all that is there go on from there: its rows were deleted, or a backup was restored."""
        newest = await asyncio.to_thread(self._tail.newest) if ahead else 0
        for one in ahead:
            if _place(one) > newest:
                one.place = newest
                one.given.append({"id": newest})
                one.news.set()

    async def _give(self, listeners: list[TailListener], place: int, end: int) -> bool:
        upto = min(end, place + REACH)
        choices = {one.choice for one in listeners}
        rows = await asyncio.to_thread(self._behind, self._database, place, upto, choices, limit=PAGE)
        reached = rows[-1]["id"] if len(rows) == PAGE else upto
        for one in listeners:
            one.place = reached
            own = [row for row in rows if one.choice.takes(row)]
            if own:
                one.given.extend(own)
                one.news.set()
        return reached < end


def _place(listener: TailListener) -> int:
    return listener.place or 0


def bulletin(database: Database, failed: Callable[[Exception], object]) -> TailReader:
    """Make the reader of notifications: what owners are told of the ends of their jobs."""
    return TailReader(database, failed, Tail(database, notifications), news.notifications_behind)


def changes(database: Database, failed: Callable[[Exception], object]) -> TailReader:
    """Make the reader of what all jobs tell."""
    return TailReader(database, failed, Tail(database, job_events), news.changes_behind)
