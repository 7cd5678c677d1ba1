"""What owners are told of the ends of their jobs: one reader for all who wait for notifications.

The place of who listens is the id of a notification. Ids become visible out of order, so the reader goes only as far as
every row is there (`queue/tail`).
"""

import asyncio
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from itertools import groupby

from models import notifications
from processor.api.reader import Listener, Reader
from processor.db.database import Database
from processor.queue import lookup
from processor.queue.tail import Tail

PAGE = 500
"""Notifications of one statement."""


@dataclass(eq=False, slots=True)
class OwnerListener(Listener):
    """Somebody who waits for notifications of an `owner`, None: of all. `place` None: from now on.

    What it is given first is `{"id": place}`, from where on it hears all.
    """

    owner: str | None
    place: int | None


class Bulletin(Reader[OwnerListener]):
    """The reader of notifications."""

    def __init__(self, database: Database, failed: Callable[[Exception], object]) -> None:
        super().__init__(database, failed)
        self._tail = Tail(database, notifications)

    def listening(self, owner: str | None, after: int | None) -> AbstractContextManager[OwnerListener]:
        """Wait for notifications behind the id `after`."""
        listener = OwnerListener(owner, after)
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
        behind = sorted((one for one in waiting if _place(one) < end), key=_place)
        more = False
        for place, listeners in groupby(behind, key=_place):
            more |= await self._give(list(listeners), place, end)
        return more

    async def _give(self, listeners: list[OwnerListener], place: int, end: int) -> bool:
        owners = {one.owner for one in listeners}
        owner = owners.pop() if len(owners) == 1 else None
        rows = await asyncio.to_thread(lookup.notifications_behind, self._database, place, end, owner=owner, limit=PAGE)
        more = len(rows) == PAGE
        for one in listeners:
            one.place = rows[-1]["id"] if more else end
            own = [row for row in rows if one.owner is None or row["owner"] == one.owner]
            if own:
                one.given.extend(own)
                one.news.set()
        return more


def _place(listener: OwnerListener) -> int:
    return listener.place or 0
