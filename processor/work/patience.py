"""Live through a database that is away: say it once, keep everything, come back with growing pauses."""

import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from processor.errors import DatabaseError, SchemaError
from processor.happenings import DatabaseLost, DatabaseReturned, Happenings

FIRST_PAUSE = 0.2
LONGEST_PAUSE = 10.0
"""Seconds; full jitter between them, so that a hundred processors do not return in the same instant."""


class Patience:
    """Guards every step that needs the database. `away` tells whether it is time to leave it alone."""

    def __init__(self, happenings: Happenings, clock: Callable[[], float] = time.monotonic) -> None:
        self._happenings = happenings
        self._clock = clock
        self._lost_at: float | None = None
        self._pause = FIRST_PAUSE
        self.again_at = 0.0
        self.last_error: DatabaseError | None = None

    @property
    def away(self) -> bool:
        return self._lost_at is not None and self._clock() < self.again_at

    @property
    def lost(self) -> bool:
        return self._lost_at is not None

    @contextmanager
    def step(self) -> Iterator[None]:
        """Do one thing with the database; an error is remembered and answered with a pause, not raised."""
        try:
            yield
        except SchemaError:
            raise  # waiting does not mend it
        except DatabaseError as error:
            self._lose(error)
        else:
            self._return()

    def _lose(self, error: DatabaseError) -> None:
        self.last_error = error
        if self._lost_at is None:
            self._lost_at = self._clock()
            self._happenings.emit(DatabaseLost(error.message))
        self.again_at = self._clock() + self._pause * (0.5 + random.random() / 2)  # noqa: S311
        self._pause = min(self._pause * 2, LONGEST_PAUSE)

    def _return(self) -> None:
        if self._lost_at is not None:
            self._happenings.emit(DatabaseReturned(self._clock() - self._lost_at))
            self._lost_at, self._pause = None, FIRST_PAUSE
