"""How values are written."""

from datetime import datetime, timedelta, timezone
from decimal import Decimal

import pytest

from processor.cli.shown import iso, json_text, span, visible


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, ""),
        (0, "0 ms"),
        (0.0126, "13 ms"),
        (3.44, "3.4 s"),
        (Decimal("61.5"), "1 min 1 s"),
        (3700, "1 h 1 min"),
        (90_000, "1 d 1 h"),
        (float("inf"), ""),
    ],
)
def test_a_span_has_the_units_that_matter(seconds: float | None, text: str) -> None:
    assert span(seconds) == text


def test_what_is_not_printable_is_escaped_and_the_rest_is_not() -> None:
    assert visible("Zoë 漢字 👍") == "Zoë 漢字 👍"
    assert visible("\x1b[31m\u202e\ud800\n") == "\\x1b[31m\\u202e\\ud800\\n"


def test_instants_are_utc_and_numbers_are_numbers_in_json() -> None:
    instant = datetime(2030, 1, 31, 9, 0, tzinfo=timezone(timedelta(hours=1)))
    assert iso(instant) == "2030-01-31T08:00:00.000000Z"
    assert json_text({"at": instant, "seconds": Decimal("1.5")}) == (
        '{"at": "2030-01-31T08:00:00.000000Z", "seconds": 1.5}'
    )
