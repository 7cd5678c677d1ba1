"""When a cron expression fires: what Vixie cron means by it, in any time zone.

    minute hour day-of-month month day-of-week      or six fields, with the second in front, or @daily and its like

APScheduler's trigger finds the next time on the wall that fits; it is asked in UTC, where no clock is ever changed.
What cron means by the fields, and what a changed clock does, is decided here:

* 0 and 7 are Sunday. Where both day fields are restricted, either is enough; one that begins with `*` is not.
* A job at fixed times (neither minute nor hour begins with `*`) fires once for each day's time: one that falls into a
  gap right after it, all of a gap together; one that comes twice, the first time.
* Every other job goes on by real time: what the clock does not show is left out, what it shows twice comes twice.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache
from typing import Any, Self

ACCEPTED = (
    'five fields such as "30 4 * * 1-5", six with seconds in front, or @hourly, @daily, @weekly, @monthly, @yearly'
)
MACROS = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_DAYS_OF_WEEK = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_LONGEST = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
_INSTANTLY, _SECOND, _DAY = timedelta(microseconds=1), timedelta(seconds=1), timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Cron:
    """A parsed expression; `weekdays` count from Sunday = 0.

    `either_day`: a day fits by its number or by its weekday; otherwise by both. `fixed`: at fixed times of the day.
    """

    seconds: frozenset[int]
    minutes: frozenset[int]
    hours: frozenset[int]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    either_day: bool
    fixed: bool

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read an expression. Raises `ValueError` saying which field is wrong, or that it never fires."""
        fields = MACROS.get(text.strip().lower(), text).split()
        if len(fields) == 5:
            fields = ["0", *fields]
        if len(fields) != 6:
            raise ValueError(f"expected {ACCEPTED}; got {text!r}")
        second, minute, hour, day, month, weekday = (
            field.read(written) for field, written in zip(_FIELDS, fields, strict=True)
        )
        _, any_minute, any_hour, any_day, _, any_weekday = (written.startswith("*") for written in fields)
        sunday_is_0 = frozenset(number % 7 for number in weekday)
        either_day, fixed = not (any_day or any_weekday), not (any_minute or any_hour)
        cron = cls(second, minute, hour, day, month, sunday_is_0, either_day, fixed)
        if not cron.either_day and not cron.has_day:
            raise ValueError(f"{text!r} never fires: no month of it has such a day")
        return cron

    @property
    def has_day(self) -> bool:
        """Tell whether one of the months has one of the days of the month."""
        return any(min(self.days) <= _LONGEST[month - 1] for month in self.months)

    def next(self, after: datetime, zone: tzinfo) -> datetime | None:
        """Give the first firing after an instant, in UTC; None: not before the end of the calendar."""
        try:
            after = after.astimezone(UTC)
            return self._next_fixed(after, zone) if self.fixed else self._next_by_real_time(after, zone)
        except (OverflowError, ValueError):  # past the year 9999
            return None

    def _next_fixed(self, after: datetime, zone: tzinfo) -> datetime | None:
        wall: datetime | None = _wall(after, zone) + _INSTANTLY
        while wall is not None and (wall := self._fitting(wall)) is not None:
            instant = _instant(wall, zone)
            if instant > after:
                return instant
            wall += _SECOND  # in the second showing of an hour: the first was it
        return None

    def _next_by_real_time(self, after: datetime, zone: tzinfo) -> datetime | None:
        """Go from one change of the offset to the next; between two of them the wall runs with real time."""
        start = after + _INSTANTLY
        while True:
            offset = _offset(start, zone)
            wall = self._fitting((start + offset).replace(tzinfo=None))
            if wall is None:
                return None
            instant = wall.replace(tzinfo=UTC) - offset
            change = _first_change(start, instant, zone)
            if change is None:
                return instant
            start = change

    def _fitting(self, wall: datetime) -> datetime | None:
        """Give the first time on the wall, from this one on, that fits."""
        found = [trigger.get_next_fire_time(None, wall.replace(tzinfo=UTC)) for trigger in _triggers(self)]
        return min((instant.replace(tzinfo=None) for instant in found if instant is not None), default=None)


@lru_cache(maxsize=1000)
def _triggers(cron: Cron) -> tuple[Any, ...]:
    from apscheduler.triggers.cron import CronTrigger  # 50 ms, which no other command should wait for

    times = {
        "month": _listed(cron.months),
        "hour": _listed(cron.hours),
        "minute": _listed(cron.minutes),
        "second": _listed(cron.seconds),
        "timezone": UTC,
    }
    day = {"day": _listed(cron.days)}
    weekday = {"day_of_week": ",".join(_DAYS_OF_WEEK[number] for number in sorted(cron.weekdays))}
    if not cron.either_day:
        return (CronTrigger(**day, **weekday, **times),)
    by_number = (CronTrigger(**day, **times),) if cron.has_day else ()
    return (*by_number, CronTrigger(**weekday, **times))


def _listed(numbers: frozenset[int]) -> str:
    return ",".join(map(str, sorted(numbers)))


@dataclass(frozen=True, slots=True)
class _Field:
    name: str
    first: int
    last: int
    names: tuple[str, ...] = ()

    def read(self, written: str) -> frozenset[int]:
        return frozenset(number for part in written.split(",") for number in self._part(part))

    def _part(self, part: str) -> range:
        match = _PART.fullmatch(part)
        if match is None:
            raise ValueError(f"the {self.name} {part!r} cannot be read; write numbers, ranges, steps: 1,5-7,*/2")
        star, low, high, step = match.groups()
        if step is not None and not star and high is None:
            raise ValueError(f"the {self.name} {part!r} has a step without a range; write {low}-{self.last}/{step}")
        first, last = (self.first, self.last) if star else (self._number(low), self._number(high or low))
        if first > last:
            raise ValueError(f"the {self.name} {part!r} runs backwards; write two ranges, with a comma between them")
        if step is not None and not 1 <= int(step) <= self.last:
            raise ValueError(f"the {self.name} {part!r} has a step that is not 1 to {self.last}")
        return range(first, last + 1, int(step or 1))

    def _number(self, word: str) -> int:
        if word.lower() in self.names:
            return self.names.index(word.lower()) + self.first
        if not word.isdigit() or not self.first <= int(word) <= self.last:
            names = f", or {self.names[0]} to {self.names[-1]}" if self.names else ""
            raise ValueError(f"the {self.name} {word!r} is not {self.first} to {self.last}{names}")
        return int(word)


_PART = re.compile(r"(?:(\*)|([0-9]{1,3}|[A-Za-z]{3})(?:-([0-9]{1,3}|[A-Za-z]{3}))?)(?:/([0-9]{1,3}))?")
_FIELDS = (
    _Field("second", 0, 59),
    _Field("minute", 0, 59),
    _Field("hour", 0, 23),
    _Field("day of the month", 1, 31),
    _Field("month", 1, 12, _MONTHS),
    _Field("day of the week", 0, 7, _DAYS_OF_WEEK),
)


# --- clocks that are changed -----------------------------------------------------------------------------------------


def _offset(instant: datetime, zone: tzinfo) -> timedelta:
    return instant.astimezone(zone).utcoffset() or timedelta()


def _wall(instant: datetime, zone: tzinfo) -> datetime:
    return instant.astimezone(zone).replace(tzinfo=None, fold=0)


def _instant(wall: datetime, zone: tzinfo) -> datetime:
    """Give the instant at which the clock first shows this, or the end of the gap that swallows it."""
    instant = wall.replace(tzinfo=zone, fold=0).astimezone(UTC)
    if _wall(instant, zone) == wall:
        return instant
    before_the_gap = wall.replace(tzinfo=zone, fold=1).astimezone(UTC)
    return _first_change(before_the_gap, instant, zone) or instant


def _first_change(low: datetime, high: datetime, zone: tzinfo) -> datetime | None:
    """Find the first instant after `low`, up to `high`, at which the offset changes; changes are days apart."""
    offset = _offset(low, zone)
    low = low.replace(microsecond=0)
    while low < high:
        end = min(low + _DAY, high)
        if _offset(end, zone) != offset:
            return _bisected(low, end, zone)
        low = end
    return None


def _bisected(low: datetime, high: datetime, zone: tzinfo) -> datetime:
    """Narrow it down: `low` has the old offset, `high` the new one."""
    offset = _offset(low, zone)
    while (seconds := int((high - low).total_seconds())) > 1:
        middle = low + timedelta(seconds=seconds // 2)
        low, high = (middle, high) if _offset(middle, zone) == offset else (low, middle)
    return high.replace(microsecond=0)
