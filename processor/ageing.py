"""How a job that waits gains priority: so much for each full time of so long, counted from its creation.

The level of a job is its priority and what it has gained. Of one priority the oldest job has the highest level, so that
the order by levels is a merge of one line for each priority, each in the order of creation.
"""

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Self

from processor.rates import LONGEST, UNITS

ACCEPTED = 'priority per time, such as "1 per 10m", "5 per hour" or "1 per 2d"'
_AGEING = re.compile(r"\s*(\d{1,5})\s*per\s*(\d{1,5})?\s*([a-z]+)\s*")


@dataclass(frozen=True, slots=True)
class Ageing:
    """A job gains `gain` for each full `seconds` that it waits."""

    gain: int
    seconds: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read "1 per 10m". Raises `ValueError` with what is accepted."""
        match = _AGEING.fullmatch(text.lower())
        if match is None or match[3] not in UNITS or not int(match[1]) or (match[2] is not None and not int(match[2])):
            raise ValueError(f"expected {ACCEPTED}, got {text!r}")
        seconds = int(match[2] or 1) * UNITS[match[3]]
        if seconds > LONGEST:
            raise ValueError(f"expected {ACCEPTED}, with a time of at most a year")
        return cls(int(match[1]), seconds)

    def __str__(self) -> str:
        for unit in ("d", "h", "m", "s"):
            if self.seconds % UNITS[unit] == 0:
                times = self.seconds // UNITS[unit]
                return f"{self.gain} per {'' if times == 1 else times}{unit}"
        raise AssertionError("every whole number of seconds is a number of seconds")

    def level(self, priority: int, created_at: datetime, instant: datetime) -> int:
        """Give what a priority has become; of a row that says it comes from the future, the priority itself."""
        waited = max(0.0, (instant - created_at).total_seconds())
        return priority + self.gain * int(waited // self.seconds)
