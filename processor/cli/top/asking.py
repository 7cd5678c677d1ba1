"""Asks the database again and again, and keeps in mind whether it answers."""

from collections.abc import Callable
from typing import Any, TypeVar

from processor.cli.shown import visible
from processor.cli.top.clerk import Clerk
from processor.errors import JobtableError, NotFound

T = TypeVar("T")

PATIENCE = 5.0
"""Seconds after which an answer that has not come is said to be late."""
LOOK_SECONDS = 0.5
SHARE = 5
"""It rests at least so many times as long as a reading took."""


class Asking:
    """`is_off`: the database does not answer. `tell` hears, in words, when that changes."""

    def __init__(
        self, clerk: Clerk, set_timer: Callable[[float, Callable[[], None]], Any], tell: Callable[[str], None]
    ):
        self.is_off = False
        self._clerk = clerk
        self._set_timer = set_timer
        self._tell = tell

    async def ask(self, call: Callable[[], T]) -> T:
        """Have the database asked. Raises `JobtableError`."""
        late = self._set_timer(PATIENCE, self._is_late)
        try:
            found = await self._clerk.do(call)
        except NotFound:  # that is an answer
            raise
        except JobtableError as error:
            self._is_now(True, visible(error.message))
            raise
        finally:
            late.stop()
        self._is_now(False, "The database answers again.")
        return found

    def _is_late(self) -> None:
        self._is_now(True, f"The database has not answered for {PATIENCE:.0f} s. What was read last is shown.")

    def _is_now(self, is_off: bool, words: str) -> None:
        if self.is_off is not is_off:
            self.is_off = is_off
            self._tell(words)


def rest_after(seconds: float, *, is_off: bool) -> float:
    """Give how long to rest after a look that took so long; one that waited for a database in vain cost it nothing."""
    return LOOK_SECONDS if is_off else max(LOOK_SECONDS, SHARE * seconds)
