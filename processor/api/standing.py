"""Whether who listens may go on: looked at in the database once for all who were let in by the same token.

A thousand streams of one token would else ask two hundred times a second what one answer says.
"""

import asyncio
import time
from dataclasses import dataclass

from processor.api.access import Caller, Doorkeeper
from processor.errors import DatabaseError

SHARED = 1.0
"""Seconds in which others share an answer."""


@dataclass(frozen=True, slots=True)
class _Look:
    began_at: float
    answer: asyncio.Task[bool]


class Standing:
    """What was revoked, closed or has expired since somebody was let in; asked from one event loop."""

    def __init__(self, doorkeeper: Doorkeeper) -> None:
        self._doorkeeper = doorkeeper
        self._looks: dict[Caller, _Look] = {}

    async def holds(self, caller: Caller) -> bool:
        """Tell whether a caller may be told more, or might less than a second ago."""
        oldest = time.monotonic() - SHARED
        self._looks = {who: look for who, look in self._looks.items() if look.began_at > oldest}
        if caller not in self._looks:
            self._looks[caller] = _Look(time.monotonic(), asyncio.create_task(self.holds_now(caller)))
        return await asyncio.shield(self._looks[caller].answer)

    async def holds_now(self, caller: Caller) -> bool:
        """Tell whether a caller may go on, at this moment."""
        return await asyncio.to_thread(self._look, caller)

    def _look(self, caller: Caller) -> bool:
        try:
            return self._doorkeeper.is_still(caller)
        except DatabaseError:  # it is away, and nothing is told meanwhile: the next look will say
            return True
