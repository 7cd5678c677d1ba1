"""When a schedule fires, and what a late look at it brings: pure decisions, instants as arguments.

A firing is planned for an instant of the cron expression or the interval; its jitter moves it back by a share that
follows from the schedule's name and that instant, so that every processor finds the same one.
"""

import math
import zlib
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, Self
from zoneinfo import ZoneInfo

from processor.cron import Cron

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
SHORTEST, LONGEST = 1.0, 366 * 86400.0
"""Seconds between two firings of an interval."""
LONGEST_JITTER = 86400.0
MOST_CAUGHT_UP = 1000
"""Jobs that `catch_up = "all"` may make at once."""
LATE = timedelta(seconds=60)
"""A firing that is found so late still counts as in time: a restart, or a database that was away for a moment."""
_INSTANTLY, _SECOND = timedelta(microseconds=1), timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class Timetable:
    """Exactly one of `cron` and `every` is there. `jitter` in seconds."""

    cron: Cron | None
    every: timedelta | None
    zone: ZoneInfo
    jitter: float = 0.0

    @classmethod
    def read(cls, row: Mapping[str, Any]) -> Self:
        """Read the columns of a row, which anybody may have written. Raises `ValueError` that names the column."""
        cron, every = row["cron"], row["every_seconds"]
        if (cron is None) == (every is None):
            raise ValueError("cron, every_seconds: expected one of the two")
        seconds = None if every is None else _seconds("every_seconds", every, SHORTEST, LONGEST)
        jitter = _seconds("jitter_seconds", row["jitter_seconds"], 0.0, LONGEST_JITTER)
        if seconds is not None and jitter >= seconds:
            raise ValueError(f"jitter_seconds: expected less than every_seconds = {seconds:g}, got {jitter:g}")
        return cls(
            None if cron is None else _named("cron", Cron.parse, cron),
            None if seconds is None else timedelta(seconds=seconds),
            _named("time_zone", zone_of, row["time_zone"]),
            jitter,
        )

    def next(self, after: datetime) -> datetime | None:
        """Give the first planned instant after this one; intervals count from 1970-01-01 00:00 UTC."""
        if self.cron is not None:
            return self.cron.next(after, self.zone)
        assert self.every is not None
        try:
            return EPOCH + ((after - EPOCH) // self.every + 1) * self.every
        except OverflowError:  # beyond the calendar
            return None

    def last(self, after: datetime, until: datetime, back: timedelta = _SECOND) -> datetime | None:
        """Give the latest planned instant after `after`, up to `until`.

        It is looked for from the end, first so far back, then twice as far, and in what is found by halves.
        """
        while until - back > after and not self._has(until - back, until):
            back *= 2
        low, high = self._up_to(max(after, until - back), until), until
        while low is not None and (following := self._up_to(low, until)) is not None:
            middle = low + (high - low) / 2
            beyond = self._up_to(middle, until)
            low, high = (following, middle) if beyond is None else (beyond, high)
        return low

    def latest(self, after: datetime, until: datetime, count: int) -> list[datetime]:
        """Give the latest planned instants after `after`, up to `until`: so many at most, oldest first."""
        found: deque[datetime] = deque()
        back = _SECOND
        while len(found) < count and (instant := self.last(after, until, back)) is not None:
            back = found[0] - instant if found else _SECOND
            found.appendleft(instant)
            until = instant - _INSTANTLY
        return list(found)

    def fires_at(self, name: str, planned: datetime) -> datetime:
        """Give the instant at which a planned firing of the schedule `name` comes, its jitter counted in."""
        share = zlib.crc32(f"{name} {planned.astimezone(UTC).isoformat()}".encode(errors="replace")) / 2**32
        try:
            return planned + self._longest_jitter(planned) * share
        except OverflowError:  # beyond the calendar
            return planned

    def _longest_jitter(self, planned: datetime) -> timedelta:
        """Give the jitter, cut where the next firing is planned: one must not come after the other."""
        jitter = timedelta(seconds=self.jitter)
        following = self.next(planned) if self.cron is not None and jitter else None
        return jitter if following is None else min(jitter, following - planned)

    def _has(self, after: datetime, until: datetime) -> bool:
        return self._up_to(after, until) is not None

    def _up_to(self, after: datetime, until: datetime) -> datetime | None:
        instant = self.next(after)
        return instant if instant is not None and instant <= until else None


@dataclass(frozen=True, slots=True)
class Plan:
    """A firing to come: what it is planned for, and when it comes."""

    planned: datetime
    at: datetime


@dataclass(frozen=True, slots=True)
class Late:
    """What the catch-up policy says: `none`, `once`, or `all` up to `limit`."""

    catch_up: str = "once"
    limit: int = 100


def plan(timetable: Timetable, name: str, after: datetime) -> Plan | None:
    """Plan the first firing after an instant."""
    planned = timetable.next(after)
    return None if planned is None else Plan(planned, timetable.fires_at(name, planned))


def fall_due(
    timetable: Timetable, name: str, planned: datetime, instant: datetime, late: Late
) -> tuple[list[datetime], datetime]:
    """Decide which firings are made now, oldest first, and after which instant the next one is planned.

    `planned` is the earliest that was not made yet. One that is ahead was called forward by hand: it is made now, and
    comes again in its time.
    """
    if planned > instant:
        return [instant], planned - _INSTANTLY
    last = _last_due(timetable, name, planned, instant)
    if late.catch_up == "all":
        made = timetable.latest(planned - _INSTANTLY, last, late.limit) or [last]
    else:
        made = [last] if late.catch_up == "once" or timetable.fires_at(name, last) >= instant - LATE else []
    return made, last


def _last_due(timetable: Timetable, name: str, planned: datetime, instant: datetime) -> datetime:
    """Give the latest planned instant whose jitter is over, too; the first one's is."""
    last = timetable.last(planned, instant)
    while last is not None and timetable.fires_at(name, last) > instant:
        last = timetable.last(planned, last - _INSTANTLY)
    return last or planned


@lru_cache(maxsize=1000)
def zone_of(name: str) -> ZoneInfo:
    """Find a time zone. Raises `ValueError`."""
    try:
        if name == "localtime":  # what it is differs between machines
            raise ValueError(name)
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:
        raise ValueError(f"no time zone {name!r} is known; write one such as Europe/Berlin or UTC") from error


def _named(column: str, read: Any, value: Any) -> Any:
    if not isinstance(value, str):
        raise ValueError(f"{column}: expected a text, got {value!r}")
    try:
        return read(value)
    except ValueError as error:
        raise ValueError(f"{column}: {error}") from error


def _seconds(column: str, value: Any, least: float, most: float) -> float:
    if not isinstance(value, int | float) or not (math.isfinite(value) and least <= value <= most):
        raise ValueError(f"{column}: expected {least:g} to {most:g} seconds, got {value!r}")
    return float(value)
