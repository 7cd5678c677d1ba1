"""Count failed requests by address: who tries tokens is sent away for a while."""

import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable

MOST_FAILURES = 10
SECONDS = 60.0
"""So many failures within so long block an address for as long."""
MOST_ADDRESSES = 10_000
"""So many are remembered; the one that has not failed for the longest time is forgotten first."""


class Failures:
    """The latest failures of each address, from any thread."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._latest: OrderedDict[str, deque[float]] = OrderedDict()

    def add(self, address: str) -> None:
        """Count one more failure of an address."""
        with self._lock:
            latest = self._latest.setdefault(address, deque(maxlen=MOST_FAILURES))
            latest.append(self._clock())
            self._latest.move_to_end(address)
            if len(self._latest) > MOST_ADDRESSES:
                self._latest.popitem(last=False)

    def is_blocked(self, address: str) -> bool:
        """Tell whether an address failed too often, less than a minute ago."""
        with self._lock:
            latest = self._latest.get(address, deque())
            if len(latest) < MOST_FAILURES:
                return False
            return latest[-1] - latest[0] < SECONDS and self._clock() - latest[-1] < SECONDS
