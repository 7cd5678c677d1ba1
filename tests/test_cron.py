"""Cron means what cron means, in any time zone: held to a slow oracle that reads the fields by itself."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from processor.cron import MACROS, Cron

MINUTE = timedelta(minutes=1)
ZONES = (
    "UTC",
    "Europe/Berlin",  # 02:00 to 03:00, and back
    "America/New_York",
    "Australia/Lord_Howe",  # by half an hour
    "America/Havana",  # at midnight
    "Africa/Cairo",  # a gap at midnight
    "America/Santiago",  # at midnight, in the southern spring
    "Asia/Kathmandu",  # +05:45, never changed
    "Africa/Casablanca",  # twice a year for Ramadan, at +01:00 otherwise
    "Pacific/Apia",  # lost a whole day in 2011
)
MONTHS = "jan feb mar apr may jun jul aug sep oct nov dec".split()
DAYS = "sun mon tue wed thu fri sat".split()


# --- the oracle: every minute of real time, and every minute of the wall ----------------------------------------------


def values(field: str, first: int, last: int, names: list[str]) -> set[int]:
    """Read one field; names count from `first`."""
    found = set()
    for part in field.lower().split(","):
        part, _, step = part.partition("/")
        low, _, high = part.partition("-")
        ends = [
            int(end) if end.isdigit() else names.index(end) + first
            for end in ([str(first), str(last)] if part == "*" else [low, high or low])
        ]
        found |= set(range(ends[0], ends[1] + 1, int(step or 1)))
    return found


def fits(text: str, wall: datetime) -> bool:
    minute, hour, day, month, weekday = text.split()
    by_day = wall.day in values(day, 1, 31, [])
    sunday_first = (wall.weekday() + 1) % 7
    by_weekday = bool({sunday_first, sunday_first or 7} & values(weekday, 0, 7, DAYS))
    restricted = not day.startswith("*") and not weekday.startswith("*")
    return (
        wall.minute in values(minute, 0, 59, [])
        and wall.hour in values(hour, 0, 23, [])
        and wall.month in values(month, 1, 12, MONTHS)
        and ((by_day or by_weekday) if restricted else (by_day and by_weekday))
    )


def oracle(text: str, zone: ZoneInfo, start: datetime, end: datetime) -> list[datetime]:
    """Go through every minute as Vixie cron does, with what its source says of a changed clock."""
    fixed = not any(field.startswith("*") for field in text.split()[:2])
    fired, seen_until = [], start.astimezone(zone).replace(tzinfo=None)
    instant = start
    while instant <= end:
        wall = instant.astimezone(zone).replace(tzinfo=None)
        if not fixed:
            run = fits(text, wall)
        else:  # every minute of the wall is looked at once, those of a gap when it is over
            passed = minutes(max(seen_until + MINUTE, wall - timedelta(days=2)), wall) if wall > seen_until else []
            run = any(fits(text, one) for one in passed)
            seen_until = max(seen_until, wall)
        if run and instant > start:
            fired.append(instant)
        instant += MINUTE
    return fired


def minutes(first: datetime, last: datetime) -> Iterator[datetime]:
    while first <= last:
        yield first
        first += MINUTE


def number(first: int, last: int, names: list[str]) -> st.SearchStrategy[str]:
    numbers = st.integers(first, last).map(str)
    return numbers | st.sampled_from([name.upper() for name in names] + names) if names else numbers


def field(first: int, last: int, names: list[str] | None = None) -> st.SearchStrategy[str]:
    ranges = st.tuples(st.integers(first, last), st.integers(first, last)).map(sorted).map(lambda r: f"{r[0]}-{r[1]}")
    steps = st.integers(1, max(2, last // 2)).map(str)
    part = st.one_of(
        number(first, last, names or []),
        ranges,
        st.tuples(ranges, steps).map("/".join),
        steps.map("*/{}".format),
    )
    return st.one_of(st.just("*"), part, st.lists(part, min_size=2, max_size=3).map(",".join))


expressions = st.tuples(field(0, 59), field(0, 23), field(1, 31), field(1, 12, MONTHS), field(0, 7, DAYS)).map(" ".join)
changes = {
    "UTC": ["2026-03-01"],
    "Europe/Berlin": ["2026-03-28", "2026-10-24"],
    "America/New_York": ["2026-03-07", "2026-10-31"],
    "Australia/Lord_Howe": ["2026-04-04", "2026-10-03"],
    "America/Havana": ["2026-03-07", "2026-10-31"],
    "Africa/Cairo": ["2026-04-23", "2026-10-29"],
    "America/Santiago": ["2026-04-04", "2026-09-05"],
    "Asia/Kathmandu": ["2026-02-27"],
    "Africa/Casablanca": ["2026-02-14", "2026-03-21"],
    "Pacific/Apia": ["2011-12-28"],
}
"""A day or so before something happens to the clock."""


def read(text: str) -> Cron | None:
    """Parse it; None: it is refused because it never fires."""
    try:
        return Cron.parse(text)
    except ValueError as error:
        if "never fires" in str(error):
            return None
        raise


@settings(max_examples=250, deadline=None)
@given(expressions, st.sampled_from(ZONES), st.data())
def test_the_firings_of_any_expression_in_any_zone_are_those_of_a_slow_oracle(
    text: str, name: str, data: st.DataObject
) -> None:
    zone = ZoneInfo(name)
    day = datetime.fromisoformat(data.draw(st.sampled_from(changes[name]))).replace(tzinfo=UTC)
    start = day + data.draw(st.integers(0, 48 * 60)) * MINUTE
    end = start + timedelta(days=2)
    cron, expected = read(text), oracle(text, zone, start, end)
    if cron is None:
        assert expected == []
        return
    assume(len(expected) < 1500)
    found, instant = [], cron.next(start, zone)
    while instant is not None and instant <= end:
        found.append(instant)
        instant = cron.next(instant, zone)
    assert found == expected, text


@settings(max_examples=100, deadline=None)
@given(expressions, st.sampled_from(ZONES), st.integers(0, 400 * 24 * 3600), st.integers(0, 999_999))
def test_a_firing_is_later_than_asked_and_nothing_lies_between(text: str, name: str, seconds: int, micros: int) -> None:
    """From any instant, also one inside a gap, an hour that comes twice, or a second."""
    cron = read(text)
    assume(cron is not None)
    assert cron is not None
    after = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds, microseconds=micros)
    following = cron.next(after, ZoneInfo(name))
    assert following is not None
    assert following > after
    between = after + (following - after) / 2
    assert cron.next(between, ZoneInfo(name)) == following


# --- clocks that are changed -----------------------------------------------------------------------------------------


def firings(text: str, zone: str, start: str, count: int) -> list[str]:
    """Give firings in local time with their offset, from an instant in UTC on."""
    found, instant = [], datetime.fromisoformat(start).replace(tzinfo=UTC)
    for _ in range(count):
        following = Cron.parse(text).next(instant, ZoneInfo(zone))
        assert following is not None
        instant = following
        found.append(instant.astimezone(ZoneInfo(zone)).strftime("%d %H:%M %z"))
    return found


@pytest.mark.parametrize(
    ("text", "zone", "start", "expected"),
    [
        ("30 2 * * *", "Europe/Berlin", "2026-03-28T12:00", ["29 03:00 +0200", "30 02:30 +0200"]),
        ("15,30,45 2 * * *", "Europe/Berlin", "2026-03-28T12:00", ["29 03:00 +0200", "30 02:15 +0200"]),
        ("0 2,3 * * *", "Europe/Berlin", "2026-03-28T12:00", ["29 03:00 +0200", "30 02:00 +0200"]),
        ("30 2 * * *", "Europe/Berlin", "2026-10-24T12:00", ["25 02:30 +0200", "26 02:30 +0100"]),
        ("*/30 2 * * *", "Europe/Berlin", "2026-03-28T12:00", ["30 02:00 +0200", "30 02:30 +0200"]),
        ("@hourly", "Europe/Berlin", "2026-03-29T00:00", ["29 03:00 +0200", "29 04:00 +0200"]),
        ("@hourly", "Europe/Berlin", "2026-10-24T23:30", ["25 02:00 +0200", "25 02:00 +0100", "25 03:00 +0100"]),
        ("30 2 * * *", "America/New_York", "2026-03-08T00:00", ["08 03:00 -0400", "09 02:30 -0400"]),
        ("30 1 * * *", "America/New_York", "2026-11-01T00:00", ["01 01:30 -0400", "02 01:30 -0500"]),
        ("15 2 * * *", "Australia/Lord_Howe", "2026-10-03T00:00", ["04 02:30 +1100", "05 02:15 +1100"]),
        ("45 1 * * *", "Australia/Lord_Howe", "2026-04-04T00:00", ["05 01:45 +1100", "06 01:45 +1030"]),
        ("*/15 1 * * *", "Australia/Lord_Howe", "2026-04-04T14:30", ["05 01:45 +1100", "05 01:30 +1030"]),
        ("@daily", "Africa/Cairo", "2026-04-23T12:00", ["24 01:00 +0300", "25 00:00 +0300"]),
        ("@daily", "America/Havana", "2026-10-31T12:00", ["01 00:00 -0400", "02 00:00 -0500"]),
        ("0 9 * * *", "Pacific/Apia", "2011-12-29T12:00", ["29 09:00 -1000", "31 00:00 +1400", "31 09:00 +1400"]),
    ],
)  # fmt: skip
def test_a_changed_clock_loses_and_doubles_no_fixed_time(text: str, zone: str, start: str, expected: list[str]) -> None:
    assert firings(text, zone, start, len(expected)) == expected


def test_seconds_stand_in_front() -> None:
    assert firings("*/20 * * * * *", "UTC", "2026-01-01T00:00", 3) == ["01 00:00 +0000"] * 2 + ["01 00:01 +0000"]
    cron = Cron.parse("7 30 2 * * *")
    assert cron.next(datetime(2026, 1, 1, tzinfo=UTC), UTC) == datetime(2026, 1, 1, 2, 30, 7, tzinfo=UTC)


# --- what is meant, and what is refused ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "equal"),
    [
        ("0 0 * * 0", "0 0 * * 7"),
        ("0 0 * * SUN", "0 0 * * 0"),
        ("0 0 * * fri-7", "0 0 * * 5,6,0"),
        ("0 0 1 JAN,dec *", "0 0 1 1,12 *"),
        ("0 0 * * mon-fri", "0 0 * * 1-5"),
        ("  0\t0 * * 1 ", "0 0 * * 1"),
        *((name, text) for name, text in MACROS.items()),
        ("@DAILY", "0 0 0 * * *"),
    ],
)
def test_two_ways_to_write_the_same(text: str, equal: str) -> None:
    assert Cron.parse(text) == Cron.parse(equal)


def test_where_both_day_fields_are_restricted_one_is_enough() -> None:
    assert firings("0 0 13 * fri", "UTC", "2026-11-01T00:00", 3) == [
        "06 00:00 +0000",
        "13 00:00 +0000",
        "20 00:00 +0000",
    ]
    assert firings("0 0 30 feb mon", "UTC", "2026-11-01T00:00", 2) == ["01 00:00 +0000", "08 00:00 +0000"]


def test_a_day_field_that_begins_with_a_star_does_not_restrict() -> None:
    assert firings("0 0 */2 * mon", "UTC", "2026-11-01T00:00", 2) == ["09 00:00 +0000", "23 00:00 +0000"]


def test_the_29_of_february_comes_every_leap_year() -> None:
    after = datetime(2097, 1, 1, tzinfo=UTC)
    assert Cron.parse("0 0 29 2 *").next(after, UTC) == datetime(2104, 2, 29, tzinfo=UTC)


def test_at_the_end_of_the_calendar_nothing_comes() -> None:
    assert Cron.parse("0 0 1 1 *").next(datetime(9999, 6, 1, tzinfo=UTC), ZoneInfo("Europe/Berlin")) is None


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "five fields"),
        ("* * * *", "five fields"),
        ("* * * * * * *", "five fields"),
        ("@reboot", "five fields"),
        ("60 * * * *", "the minute '60' is not 0 to 59"),
        ("* 24 * * *", "the hour '24' is not 0 to 23"),
        ("* * 0 * *", "the day of the month '0' is not 1 to 31"),
        ("* * * 13 *", "the month '13' is not 1 to 12, or jan to dec"),
        ("* * * * 8", "the day of the week '8' is not 0 to 7, or sun to sat"),
        ("* * * foo *", "the month 'foo'"),
        ("* * * * januar", "cannot be read"),
        ("5/15 * * * *", "write 5-59/15"),
        ("*/0 * * * *", "a step that is not 1 to 59"),
        ("*/99 * * * *", "a step that is not 1 to 59"),
        ("30-10 * * * *", "runs backwards"),
        ("* * * * sat-sun", "runs backwards"),
        ("1,,2 * * * *", "cannot be read"),
        ("-5 * * * *", "cannot be read"),
        ("? * L * 1#2", "cannot be read"),
        ("١ * * * *", "cannot be read"),
        ("0 0 30 2 *", "never fires"),
        ("0 0 31 feb,apr,jun,9,11 *", "never fires"),
    ],
)
def test_what_is_no_expression_is_refused_with_what_is_meant(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=re.escape(says)):
        Cron.parse(text)
