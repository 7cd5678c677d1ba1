"""Turns: nobody's many jobs come before another's one, and what waits long enough comes first."""

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processor.ageing import Ageing
from processor.turns import REMEMBERED, Place, Rank, Turns, merged

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
OWNERS = st.sampled_from([None, "", "A", "B", "C", "b", "ä", "𝄞"])
ROWS = st.lists(st.tuples(st.integers(1, 4), st.integers(0, 5000), OWNERS), max_size=30)


def places(rows: Sequence[tuple[int, int, str | None]]) -> list[Place]:
    """Make due rows of (priority, seconds since their creation, owner), by age."""
    made = [
        Place(id, priority, NOW - timedelta(seconds=age), owner) for id, (priority, age, owner) in enumerate(rows, 1)
    ]
    return sorted(made, key=lambda place: (place.created_at, place.id))


def next_of(left: list[Place], turns: Turns, ageing: Ageing | None, *, fair: bool) -> Place:
    """The model, one start at a time: the priority whose oldest has the highest level; in it, whose turn it is."""

    def level(place: Place) -> int:
        return ageing.level(place.priority, place.created_at, NOW) if ageing else place.priority

    oldest = min(left, key=lambda place: (-level(place), place.created_at, place.id))
    rank = [place for place in left if place.priority == oldest.priority]
    if not fair:
        return oldest
    names = sorted({place.owner for place in rank}, key=lambda owner: (owner is not None, (owner or "").encode()))
    if oldest.priority in turns.latest:
        latest = turns.latest[oldest.priority]
        later = [n for n in names if (n is not None, n or "") > (latest is not None, latest or "")]
        names = later or names
    return next(place for place in rank if place.owner == names[0])


@given(ROWS, st.booleans(), st.sampled_from([None, Ageing(1, 600), Ageing(3, 1000)]), st.integers(1, 7))
def test_the_order_is_that_of_one_start_after_the_other(
    rows: list[tuple[int, int, str | None]], fair: bool, ageing: Ageing | None, size: int
) -> None:
    left, turns = places(rows), Turns()
    while left:
        by_priority = [[p for p in left if p.priority == one] for one in {place.priority for place in left}]
        ranks = [Rank(turns.in_turn(rank) if fair else rank, rank) for rank in by_priority]

        def level(place: Place) -> int:
            return ageing.level(place.priority, place.created_at, NOW) if ageing else place.priority

        order = merged(ranks, size, level)
        expected = []
        for _ in range(min(size, len(left))):
            expected.append(next_of(left, turns, ageing, fair=fair))
            left.remove(expected[-1])
            turns = turns.plus(expected[-1:])
        assert order == expected


@given(st.lists(st.integers(1, 50), min_size=2, max_size=8))
def test_who_has_jobs_never_waits_for_two_turns_of_another(counts: list[int]) -> None:
    rows = places([(5, 10, f"owner {number}") for number, count in enumerate(counts) for _ in range(count)])
    order = Turns().in_turn(rows)
    left = Counter(place.owner for place in rows)
    had: Counter[str | None] = Counter()
    for place in order:
        had[place.owner] += 1
        left[place.owner] -= 1
        assert all(had[place.owner] - had[owner] <= 1 for owner in left if left[owner])


def test_turns_are_written_and_read() -> None:
    turns = Turns().plus(places([(5, 1, "A"), (5, 2, None), (7, 1, 'ö"')]))
    assert Turns.read(turns.written()) == turns
    for nonsense in (None, "", "7", "[]", "{}", '[["x", 1]]', "[[5, 7]]", "[" * 100_000):
        assert Turns.read(nonsense) == Turns()


def test_turns_of_no_more_priorities_are_remembered_than_that() -> None:
    turns = Turns().plus(places([(priority, 1, "A") for priority in range(2 * REMEMBERED)]))
    assert len(turns.latest) == REMEMBERED
    assert min(turns.latest) == REMEMBERED


@pytest.mark.parametrize(
    ("text", "ageing", "written"),
    [
        ("1 per 10m", Ageing(1, 600), "1 per 10m"),
        ("2 per hour", Ageing(2, 3600), "2 per h"),
        (" 10 PER 90s ", Ageing(10, 90), "10 per 90s"),
        ("1 per 2d", Ageing(1, 172800), "1 per 2d"),
    ],
)
def test_an_ageing_is_read_and_written(text: str, ageing: Ageing, written: str) -> None:
    assert Ageing.parse(text) == ageing
    assert str(ageing) == written
    assert Ageing.parse(written) == ageing


@pytest.mark.parametrize(
    "text", ["", "1", "1/10m", "per 10m", "0 per h", "1 per 0m", "-1 per m", "1 per moon", "1 per 999d"]
)
def test_what_is_no_ageing_is_refused_with_what_is_accepted(text: str) -> None:
    with pytest.raises(ValueError, match="1 per 10m"):
        Ageing.parse(text)


def test_a_level_grows_by_full_steps_and_never_sinks() -> None:
    ageing = Ageing(2, 600)
    ages = [-3600, 0, 599, 600, 1199, 1200]
    assert [ageing.level(3, NOW - timedelta(seconds=age), NOW) for age in ages] == [3, 3, 3, 5, 5, 7]
