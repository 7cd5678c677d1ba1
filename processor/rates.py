"""How often a type may start: at most so many in any window of so many seconds.

A sliding log of the latest starts, so that no window is ever overdrawn: a token bucket lets twice as many through
around a refill. The log is a value, small and bounded: `[[instant, starts], …]`, oldest first, instants in seconds
since 1970 by the database's clock.
"""

import json
import math
import re
from dataclasses import dataclass
from typing import Self

UNITS = {
    "s": 1,
    "sec": 1,
    "second": 1,
    "m": 60,
    "min": 60,
    "minute": 60,
    "h": 3600,
    "hour": 3600,
    "d": 86400,
    "day": 86400,
}
_RATE = re.compile(r"\s*(\d{1,7})\s*/\s*(\d{1,5})?\s*([a-z]+)\s*")
ACCEPTED = 'starts in a time, such as "10/min", "1/s" or "500/15m"'
LONGEST = 366 * 86_400
FINE = 100
"""Entries of a log that are kept as they are; with more, starts within a hundredth of the window count as the last of
them, which may delay a start by that much and never lets one through too early."""


@dataclass(frozen=True, slots=True)
class Rate:
    """At most `count` starts in any window of `seconds`."""

    count: int
    seconds: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read "10/min". Raises `ValueError` with what is accepted."""
        match = _RATE.fullmatch(text.lower())
        if match is None or match[3] not in UNITS or not int(match[1]) or match[2] == "0":
            raise ValueError(f"expected {ACCEPTED}, got {text!r}")
        seconds = int(match[2] or 1) * UNITS[match[3]]
        if not 0 < seconds <= LONGEST:
            raise ValueError(f"expected {ACCEPTED}, with a time of at most a year")
        return cls(int(match[1]), seconds)

    def __str__(self) -> str:
        for unit in ("d", "h", "min", "s"):
            if self.seconds % UNITS[unit] == 0:
                times = self.seconds // UNITS[unit]
                return f"{self.count}/{'' if times == 1 else times}{unit}"
        raise AssertionError("every whole number of seconds is a number of seconds")


@dataclass(frozen=True, slots=True)
class Starts:
    """The latest starts of a type."""

    entries: tuple[tuple[float, int], ...] = ()

    @classmethod
    def read(cls, text: str | None) -> Self:
        """Read what `written` wrote; what cannot be read counts as no starts."""
        try:
            entries = tuple((float(instant), int(count)) for instant, count in json.loads(text or "[]"))
        except (ValueError, TypeError, OverflowError, RecursionError):
            return cls()
        return cls(entries if all(math.isfinite(instant) for instant, _ in entries) else ())

    def written(self) -> str:
        return json.dumps(self.entries, separators=(",", ":"))

    def free(self, rate: Rate, instant: float) -> int:
        """Give how many may start at this instant."""
        return max(0, rate.count - sum(count for _, count in self._within(rate, instant)))

    def next_free(self, rate: Rate, instant: float) -> float:
        """Give the first instant, from this one on, at which something may start."""
        left = rate.count
        for at, count in reversed(self._within(rate, instant)):
            left -= count
            if left <= 0:
                return at + rate.seconds
        return instant

    def plus(self, rate: Rate, instant: float, count: int) -> "Starts":
        """Give the log with so many starts more, without what is older than the window."""
        if not count:
            return Starts(tuple(self._within(rate, instant)))
        return Starts(tuple(_coarse([*self._within(rate, instant), (instant, count)], rate)))

    def _within(self, rate: Rate, instant: float) -> list[tuple[float, int]]:
        """Give what still counts; a start ahead of a clock that was set back counts as of now."""
        return [(min(at, instant), count) for at, count in self.entries if min(at, instant) + rate.seconds > instant]


def _coarse(entries: list[tuple[float, int]], rate: Rate) -> list[tuple[float, int]]:
    if len(entries) <= FINE:
        return entries
    merged: list[tuple[float, int]] = []
    bucket = -1
    for at, count in entries:
        number = int(at * FINE / rate.seconds)
        if merged and number == bucket:
            merged[-1] = (at, merged[-1][1] + count)
        else:
            merged.append((at, count))
        bucket = number
    return merged
