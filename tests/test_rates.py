"""Rates: no window is ever overdrawn, and what may start does."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processor.rates import FINE, Rate, Starts


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("10/min", Rate(10, 60)),
        ("1/s", Rate(1, 1)),
        (" 500 / 15m ", Rate(500, 900)),
        ("3/hour", Rate(3, 3600)),
        ("7/2d", Rate(7, 172800)),
    ],
)
def test_a_rate_is_read_and_written(text: str, rate: Rate) -> None:
    assert Rate.parse(text) == rate
    assert Rate.parse(str(rate)) == rate


@pytest.mark.parametrize(
    "text", ["", "10", "10/", "/min", "0/min", "10/0min", "-1/s", "1.5/s", "10/fortnight", "1/999d"]
)
def test_what_is_no_rate_is_refused_with_what_is_accepted(text: str) -> None:
    with pytest.raises(ValueError, match="10/min"):
        Rate.parse(text)


@given(
    st.integers(1, 12),
    st.integers(1, 30),
    st.lists(st.tuples(st.floats(0, 9), st.integers(1, 20)), min_size=1, max_size=400),
)
def test_no_window_is_overdrawn_and_no_start_is_refused_for_long(
    count: int, seconds: int, asks: list[tuple[float, int]]
) -> None:
    """Each ask comes some time after the one before and wants so many; all that is free is taken."""
    rate, log, instant = Rate(count, seconds), Starts(), 1_000_000.0
    started: list[float] = []
    for pause, wanted in asks:
        instant += pause
        log = Starts.read(log.written())
        free = log.free(rate, instant)
        true_free = count - sum(1 for at in started if at + seconds > instant)
        coarse = seconds / FINE if len(log.entries) > FINE / 2 else 0.0
        patient_free = count - sum(1 for at in started if at + seconds + coarse > instant)
        assert patient_free <= free <= true_free
        assert (log.next_free(rate, instant) > instant) == (free == 0)
        taken = min(free, wanted)
        log = log.plus(rate, instant, taken)
        started += [instant] * taken
    for at in started:
        assert sum(1 for other in started if at <= other < at + seconds) <= count


def test_a_log_stays_small() -> None:
    rate, log = Rate(1_000_000, 3600), Starts()
    for number in range(20_000):
        log = log.plus(rate, number * 0.1, 3)
    assert len(log.entries) <= FINE + 2
    assert log.free(rate, 2000.0) == 1_000_000 - 60_000


def test_a_clock_that_was_set_back_blocks_no_longer_than_a_window() -> None:
    rate = Rate(2, 60)
    log = Starts().plus(rate, 10_000.0, 2)
    assert log.free(rate, 5_000.0) == 0
    assert log.next_free(rate, 5_000.0) == 5_060.0
    assert log.plus(rate, 5_000.0, 0).free(rate, 5_060.0) == 2


@pytest.mark.parametrize("text", [None, "", "nonsense", "{}", "[1]", '[["a", 1]]'])
def test_a_log_that_cannot_be_read_counts_as_none(text: str | None) -> None:
    assert Starts.read(text) == Starts()
