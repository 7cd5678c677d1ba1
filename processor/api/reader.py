"""One reader of the database for all who listen to the same thing: what every such reader has.

Everybody who listens has a place: the number of the latest thing that was given. The reader looks for all of them at
once. It reads on for nobody who has not taken what was given, so who is slow costs no memory.
"""

import asyncio
import contextlib
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import AsyncGenerator, Callable, Iterator
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from processor.db.database import Database
from processor.errors import JobtableError
from processor.queue import lookup

PAUSE = 0.2
"""Seconds between two looks."""
PAUSE_AFTER_ERROR = 2.0


@dataclass(eq=False, slots=True)
class Listener:
    """Somebody who listens. `was_dropped`: it was let go before its end; who comes again goes on at its place."""

    given: deque[lookup.Row] = field(default_factory=deque, init=False)
    has_ended: bool = field(default=False, init=False)
    was_dropped: bool = field(default=False, init=False)
    news: asyncio.Event = field(default_factory=asyncio.Event, init=False)

    @property
    def waits(self) -> bool:
        """Whether it has taken all that it was given, and wants more."""
        return not self.given and not self.has_ended

    @property
    def place_without_news(self) -> int | None:
        """From where on who has taken all would go on, although nothing told them so; None: from where they know."""
        return None

    def let_go(self) -> None:
        """End it before its time."""
        self.given.clear()
        self.was_dropped = self.has_ended = True
        self.news.set()


L = TypeVar("L", bound=Listener)


class Reader(ABC, Generic[L]):
    """It works while somebody listens; all methods are called from one event loop."""

    def __init__(self, database: Database, failed: Callable[[Exception], object]) -> None:
        """`failed` hears of a bug of ours, which ends all streams; who comes again is heard again."""
        self._database = database
        self._failed = failed
        self._listeners: set[L] = set()
        self._reading: asyncio.Task[None] | None = None

    def __len__(self) -> int:
        return len(self._listeners)

    @contextlib.contextmanager
    def _listening(self, listener: L) -> Iterator[L]:
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

    @abstractmethod
    async def _look(self) -> bool:
        """Give everybody what is new; tell whether there is more of it."""


async def told(listener: Listener, keep_alive: float) -> AsyncGenerator[lookup.Row | None]:
    """Give what somebody is told until the end; None each time nothing was told for so many seconds."""
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
            if not listener.given:  # it may have come in the very moment
                yield None
