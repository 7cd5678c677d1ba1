"""Whether who listens may go on: one look at the database for all who do, as the readers look for them all at once."""

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from processor.api.access import Caller, Doorkeeper
from processor.errors import DatabaseError

PAUSE = 5.0
"""Seconds between two looks."""


@dataclass(eq=False, slots=True)
class Watch:
    """Somebody who listens. `is_over`: what let them in was revoked or closed, or has expired since."""

    caller: Caller
    end: Callable[[], object]
    is_over: bool = False


class Standing:
    """Looks while somebody listens; all methods are called from one event loop."""

    def __init__(self, doorkeeper: Doorkeeper, failed: Callable[[Exception], object]) -> None:
        """`failed` hears of a bug of ours, which ends all who are watched: nobody goes on without being looked at."""
        self._doorkeeper = doorkeeper
        self._failed = failed
        self._watches: set[Watch] = set()
        self._looking: asyncio.Task[None] | None = None

    @contextlib.contextmanager
    def watching(self, caller: Caller, end: Callable[[], object]) -> Iterator[Watch]:
        """Call `end` as soon as it is seen that a caller may be told no more."""
        watch = Watch(caller, end)
        self._watches.add(watch)
        if self._looking is None or self._looking.done():
            self._looking = asyncio.get_running_loop().create_task(self._look_on())
        try:
            yield watch
        finally:
            self._watches.discard(watch)
            if not self._watches:
                self._rest()

    def _rest(self) -> None:
        if self._looking is not None:
            self._looking.cancel()
        self._looking = None

    async def holds_now(self, caller: Caller) -> bool:
        """Tell whether a caller may go on, at this moment."""
        return caller in await self._still({caller})

    async def _look_on(self) -> None:
        try:
            while True:
                await asyncio.sleep(PAUSE)
                await self._look()
        except Exception as error:  # noqa: BLE001 - told, and nobody goes on
            self._failed(error)
            for watch in tuple(self._watches):
                watch.end()

    async def _look(self) -> None:
        asked = {watch.caller for watch in self._watches}
        over = asked - await self._still(asked)
        for watch in [one for one in self._watches if one.caller in over]:
            watch.is_over = True
            watch.end()

    async def _still(self, callers: set[Caller]) -> set[Caller]:
        try:
            return await asyncio.to_thread(self._doorkeeper.still, callers)
        except DatabaseError:  # it is away, and nothing is told meanwhile: the next look will say
            return callers
