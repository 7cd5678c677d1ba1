"""Steps that come again after a while, by the monotonic clock, spread so that processors do not march in step."""

import random
import time
from collections.abc import Callable


class Rhythm:
    """Due at once, and then every `pause` seconds plus or minus the share `jitter`."""

    def __init__(self, pause: float, jitter: float = 0.0, clock: Callable[[], float] = time.monotonic) -> None:
        self._pause = pause
        self._jitter = jitter
        self._clock = clock
        self._at = clock()

    def is_due(self) -> bool:
        return self._clock() >= self._at

    def now(self) -> None:
        self._at = self._clock()

    def rest(self) -> None:
        self._at = self._clock() + self._pause * (1 + self._jitter * random.uniform(-1, 1))  # noqa: S311

    def remaining(self) -> float:
        return max(0.0, self._at - self._clock())
