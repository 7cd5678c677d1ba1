"""Things to do later, on the monotonic clock.

A cancelled timer stays in the heap until it is due or until half of the heap is cancelled: at 30,000 jobs a second,
each with a limit of ten minutes, the heap would otherwise hold eighteen million dead entries."""

from __future__ import annotations

import heapq
import time
from collections.abc import Callable
from itertools import count

COMPACT_FROM = 1024


class Timer:
    __slots__ = ("action",)

    def __init__(self, action: Callable[[], None] | None) -> None:
        self.action = action


class Timers:
    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Timer]] = []
        self._numbers = count()
        self._cancelled = 0

    def after(self, seconds: float, action: Callable[[], None]) -> Timer:
        timer = Timer(action)
        heapq.heappush(self._heap, (time.monotonic() + seconds, next(self._numbers), timer))
        return timer

    def cancel(self, timer: Timer | None) -> None:
        if timer is None or timer.action is None:
            return
        timer.action = None
        self._cancelled += 1
        if self._cancelled > COMPACT_FROM and self._cancelled * 2 > len(self._heap):
            self._compact()

    def wait(self) -> float | None:
        """Seconds until something is due, at most an hour (epoll takes 24 days); None when nothing ever will be."""
        return min(3600.0, max(0.0, self._heap[0][0] - time.monotonic())) if self._heap else None

    def fire(self) -> None:
        now = time.monotonic()
        while self._heap and self._heap[0][0] <= now:
            timer = heapq.heappop(self._heap)[2]
            action, timer.action = timer.action, None
            if action is None:
                self._cancelled -= 1
            else:
                action()

    def _compact(self) -> None:
        self._heap = [entry for entry in self._heap if entry[2].action is not None]
        heapq.heapify(self._heap)
        self._cancelled = 0
