"""When a schedule fires, and what a late look at it brings."""

import math
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from processor.timetable import Late, Timetable, fall_due, plan

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
INSTANTLY = timedelta(microseconds=1)


def timetable(**columns: Any) -> Timetable:
    if not {"cron", "every_seconds"} & set(columns):
        columns["every_seconds"] = 60.0
    return Timetable.read({"cron": None, "every_seconds": None, "time_zone": "UTC", "jitter_seconds": 0.0, **columns})


def test_an_interval_counts_from_1970_whoever_asks() -> None:
    quarter = timetable(every_seconds=900.0)
    assert quarter.next(NOON) == NOON + 15 * MINUTE
    assert quarter.next(NOON + 7 * MINUTE) == NOON + 15 * MINUTE
    assert quarter.next(NOON + 15 * MINUTE - INSTANTLY) == NOON + 15 * MINUTE
    assert timetable(every_seconds=1.5).next(NOON) == NOON + timedelta(seconds=1.5)


@pytest.mark.parametrize(
    ("columns", "says"),
    [
        ({"cron": "* * * *"}, "cron: expected five fields"),
        ({"cron": "0 0 30 2 *"}, "cron: '0 0 30 2 *' never fires"),
        ({"cron": 5}, "cron: expected a text"),
        ({"cron": "@daily", "every_seconds": 5.0}, "cron, every_seconds: expected one"),
        ({"cron": None, "every_seconds": None}, "cron, every_seconds: expected one"),
        ({"every_seconds": 0.5}, "every_seconds: expected 1 to"),
        ({"every_seconds": math.nan}, "every_seconds: expected 1 to"),
        ({"every_seconds": math.inf}, "every_seconds: expected 1 to"),
        ({"every_seconds": "often"}, "every_seconds: expected 1 to"),
        ({"jitter_seconds": -1.0}, "jitter_seconds: expected 0 to"),
        ({"jitter_seconds": 60.0}, "jitter_seconds: expected less than every_seconds = 60"),
        ({"jitter_seconds": 1e9}, "jitter_seconds: expected 0 to"),
        *(
            ({"cron": "@daily", "time_zone": zone}, "time_zone: ")
            for zone in ("", "Mars/One", "Europe", "../etc/passwd", "/etc/passwd", "localtime", "a\0b", "ü", 5)
        ),
    ],
)
def test_what_cannot_be_read_is_refused_with_the_name_of_its_column(columns: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says.replace("*", r"\*")):
        timetable(**columns)


TABLES = st.sampled_from(
    [
        timetable(cron="*/5 * * * *"),
        timetable(cron="7,30 2 * * *", time_zone="Europe/Berlin"),
        timetable(cron="* 1-3 2 * *"),
        timetable(cron="0 0 29 2 *"),
        timetable(every_seconds=90.0),
        timetable(every_seconds=1.5),
    ]
)


@settings(max_examples=60, deadline=None)
@given(TABLES, st.integers(0, 10**7), st.integers(0, 3 * 86400), st.integers(1, 30))
def test_the_latest_firings_are_those_that_counting_forward_finds(
    table: Timetable, start: int, length: int, count: int
) -> None:
    after = NOON + timedelta(seconds=start)
    until = after + timedelta(seconds=length)
    forward, instant = [], after
    while len(forward) < 3000 and (following := table.next(instant)) is not None and following <= until:
        forward.append(following)
        instant = following
    until = min(until, instant) if len(forward) == 3000 else until
    assert table.latest(after, until, count) == forward[-count:]


def test_a_year_of_seconds_is_looked_through_at_once() -> None:
    table = timetable(cron="* * * * * *")
    assert table.last(NOON - timedelta(days=365), NOON) == NOON


# --- late -------------------------------------------------------------------------------------------------------------


def made(late: Late, minutes: float, **columns: Any) -> list[float]:
    """Give what is made so many minutes after the first firing of a schedule of every minute, in minutes after it."""
    firings, _ = fall_due(timetable(**columns), "s", NOON, NOON + minutes * MINUTE, late)
    return [(firing - NOON) / MINUTE for firing in firings]


@pytest.mark.parametrize(
    ("late", "minutes", "expected"),
    [
        (Late("none"), 0.5, [0]),
        (Late("none"), 1.5, [1]),
        (Late("once"), 0.5, [0]),
        (Late("once"), 1000.5, [1000]),
        (Late("all", 100), 0.5, [0]),
        (Late("all", 100), 3.5, [0, 1, 2, 3]),
        (Late("all", 3), 1000.5, [998, 999, 1000]),
    ],
)
def test_the_policy_says_what_becomes_of_firings_that_were_missed(
    late: Late, minutes: float, expected: list[float]
) -> None:
    assert made(late, minutes) == expected


@pytest.mark.parametrize(("seconds", "expected"), [(59, 1), (60, 1), (61, 0), (80_000, 0)])
def test_a_firing_counts_as_in_time_for_a_minute(seconds: int, expected: int) -> None:
    daily = timetable(cron="0 12 * * *")
    firings, last = fall_due(daily, "s", NOON, NOON + timedelta(seconds=seconds), Late("none"))
    assert (len(firings), last) == (expected, NOON)


def test_a_firing_that_was_called_forward_comes_now_and_in_its_time_again() -> None:
    table = timetable(cron="0 12 * * *")
    early = NOON - timedelta(hours=3)
    firings, last = fall_due(table, "s", NOON, early, Late("none"))
    assert firings == [early]
    assert table.next(last) == NOON


# --- jitter -----------------------------------------------------------------------------------------------------------


def test_jitter_is_the_same_for_everybody_and_different_each_time() -> None:
    table = timetable(jitter_seconds=30.0)
    plans = [plan(table, name, NOON + minute * MINUTE) for name in "ab" for minute in range(50)]
    assert plans == [plan(table, name, NOON + minute * MINUTE) for name in "ab" for minute in range(50)]
    shares = [(one.at - one.planned).total_seconds() for one in plans if one is not None]
    assert len(set(shares)) == 100
    assert 0 <= min(shares) < 3
    assert 27 < max(shares) <= 30


@settings(max_examples=100, deadline=None)
@given(st.floats(1, 59), st.floats(0, 300), st.sampled_from(["none", "once", "all"]))
def test_no_firing_is_lost_or_doubled_by_jitter(jitter: float, pause: float, catch_up: str) -> None:
    """Looks that come now and then make each firing once (`all`), and never one before its time."""
    table, instant = timetable(jitter_seconds=jitter), NOON
    next_ = plan(table, "s", instant)
    assert next_ is not None
    seen: list[datetime] = []
    while len(seen) < 20 and instant < NOON + 200 * MINUTE:
        instant = max(instant + timedelta(seconds=pause), next_.at)
        firings, last = fall_due(table, "s", next_.planned, instant, Late(catch_up))
        assert all(table.fires_at("s", firing) <= instant for firing in firings)
        seen += firings
        following = plan(table, "s", last)
        assert following is not None
        assert following.at > instant
        next_ = following
    assert seen == sorted(set(seen))
    if catch_up == "all":
        assert seen == [NOON + (number + 1) * MINUTE for number in range(len(seen))]


@pytest.mark.parametrize("catch_up", ["none", "once"])
def test_a_jitter_longer_than_the_pause_loses_no_firing(catch_up: str) -> None:
    hourly = timetable(cron="0 * * * *", jitter_seconds=86_400.0)
    instant = datetime(2026, 1, 1, 0, 30, tzinfo=UTC)
    made = 0
    ahead = plan(hourly, "s", instant)
    for _ in range(48):
        assert ahead is not None
        firings, last = fall_due(hourly, "s", ahead.planned, ahead.at, Late(catch_up))
        made += len(firings)
        ahead = plan(hourly, "s", last)
    assert made == 48
    assert ahead is not None
    assert ahead.planned == datetime(2026, 1, 3, 1, 0, tzinfo=UTC)
