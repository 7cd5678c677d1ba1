"""What jobs tell, as it is stored: one reader of the database for all who listen, whatever they listen to.

Everybody who listens has a place: the number of the latest event that was sent. The reader looks for all of them at
once, and gives each what is behind its place, in order and without gaps, since the numbers of a job become visible in
order. It reads on for nobody who has not taken what was given, so who is slow costs no memory.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncGenerator, Callable, Iterator
from dataclasses import dataclass, field

from processor.db.database import Database
from processor.errors import JobtableError
from processor.lifecycle import FINAL, Status
from processor.queue import lookup

PAUSE = 0.2
"""Seconds between two looks."""
PAUSE_AFTER_ERROR = 2.0
AT_ONCE = 200
"""Jobs of one statement."""
PAGE = 2000
"""Events of one statement."""


@dataclass(eq=False, slots=True)
class Listener:
    """Somebody who follows a job. `end` says how it ended: the row, or None where it is there no more."""

    job_id: int
    place: int
    given: deque[lookup.Row] = field(default_factory=deque)
    has_ended: bool = False
    end: lookup.Row | None = None
    was_dropped: bool = False
    news: asyncio.Event = field(default_factory=asyncio.Event)

    def let_go(self) -> None:
        """End it before the job has ended; who comes again goes on where this one stopped."""
        self.given.clear()
        self.was_dropped = self.has_ended = True
        self.news.set()


class Feed:
    """The one reader. It works while somebody listens; all methods are called from one event loop."""

    def __init__(self, database: Database, failed: Callable[[Exception], object]) -> None:
        """`failed` hears of a bug of ours, which ends all streams; who comes again is heard again."""
        self._database = database
        self._failed = failed
        self._listeners: set[Listener] = set()
        self._reading: asyncio.Task[None] | None = None

    def __len__(self) -> int:
        return len(self._listeners)

    @contextlib.contextmanager
    def listening(self, job_id: int, after: int) -> Iterator[Listener]:
        """Follow a job from the event behind `after` on."""
        listener = Listener(job_id, after)
        self._listeners.add(listener)
        if self._reading is None or self._reading.done():
            self._reading = asyncio.get_running_loop().create_task(self._read())
            self._reading.add_done_callback(self._has_read)
        try:
            yield listener
        finally:
            self._listeners.discard(listener)

    def end(self) -> None:
        """Let everybody go who listens."""
        for one in self._listeners:
            one.let_go()

    async def _read(self) -> None:
        while self._listeners:
            try:
                more = await self._look()
            except JobtableError:  # the database is away: who listens waits, and misses nothing
                more = False
                await asyncio.sleep(PAUSE_AFTER_ERROR)
            await asyncio.sleep(0 if more else PAUSE)

    def _has_read(self, reading: asyncio.Task[None]) -> None:
        error = None if reading.cancelled() else reading.exception()
        if isinstance(error, Exception):
            self._failed(error)
            self.end()

    async def _look(self) -> bool:
        """Give everybody what is new; tell whether there is more of it."""
        waiting = [listener for listener in self._listeners if not listener.given and not listener.has_ended]
        more = False
        for start in range(0, len(waiting), AT_ONCE):
            more |= await self._give(waiting[start : start + AT_ONCE])
        return more

    async def _give(self, listeners: list[Listener]) -> bool:
        heads = await asyncio.to_thread(lookup.heads, self._database, {one.job_id for one in listeners})
        places: dict[int, int] = {}
        for one in listeners:
            head = heads.get(one.job_id)
            if head is not None and head["event_no"] > one.place:
                places[one.job_id] = min(one.place, places.get(one.job_id, one.place))
        rows = []
        if places:
            rows = await asyncio.to_thread(lookup.events_behind, self._database, places, limit=PAGE)
        by_job: dict[int, list[lookup.Row]] = {}
        for row in rows:
            by_job.setdefault(row["job_id"], []).append(row)
        for one in listeners:
            self._hand(one, [row for row in by_job.get(one.job_id, ()) if row["number"] > one.place], heads)
        return len(rows) >= PAGE

    def _hand(self, one: Listener, rows: list[lookup.Row], heads: dict[int, lookup.Row]) -> None:
        head = heads.get(one.job_id)
        if rows:
            one.given.extend(rows)
            one.place = rows[-1]["number"]
        if head is None or (Status(head["status"]) in FINAL and one.place >= head["event_no"]):
            one.has_ended, one.end = True, head
        if rows or one.has_ended:
            one.news.set()


async def told(listener: Listener, keep_alive: float) -> AsyncGenerator[lookup.Row | None]:
    """Give what a job tells until its end; None each time nothing was told for so many seconds."""
    while True:
        while listener.given:
            yield listener.given.popleft()
        if listener.has_ended:
            return
        listener.news.clear()
        try:
            async with asyncio.timeout(keep_alive):
                await listener.news.wait()
        except TimeoutError:
            yield None
