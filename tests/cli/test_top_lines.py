"""What `jobtable top` draws: bars, columns, numbers, and a selection that stays where it is."""

import asyncio
from contextlib import closing

import pytest
from textual.app import App, ComposeResult

from processor.cli.top.asking import LOOK_SECONDS, rest_after
from processor.cli.top.lines import Line, _number, age, bar, job_lines, sparks
from processor.cli.top.listing import Listing, Place, fitted
from processor.cli.top.reading import Reader
from processor.settings import load
from tests.databases import Database
from tests.queue.conftest import Queue


@pytest.mark.parametrize(
    ("percent", "drawn"),
    [
        (0, "░░░░░░░░░░"),
        (25, "██▌░░░░░░░"),
        (100, "██████████"),
        (-5, "░░░░░░░░░░"),
        (1e9, "██████████"),
        (1, "▏░░░░░░░░░"),
    ],
)
def test_a_bar_is_as_long_as_it_is_wide(percent: float, drawn: str) -> None:
    assert bar(percent) == drawn


def test_columns_are_of_four_minutes_and_what_is_there_is_seen() -> None:
    assert sparks([0, 0, 0, 0, 1, 0, 0, 0, 500, 500, 0, 0]) == "▁▂█"
    assert sparks([0] * 60) == "▁" * 15
    assert sparks([]) == ""


@pytest.mark.parametrize(
    ("number", "written"),
    [(0, "·"), (7, "7"), (9_999, "9,999"), (10_000, "10.0k"), (123_456, "123k"), (1_000_000, "1.0M"), (10**9, "1.0G")],
)
def test_a_number_fits_into_five_letters(number: int, written: str) -> None:
    assert _number(number) == written


def test_an_age_is_in_whole_seconds() -> None:
    assert [age(seconds) for seconds in (0.2, 59.4, 90.0, None)] == ["0 s", "59 s", "1 min 30 s", ""]


def test_a_database_that_was_long_in_failing_is_not_left_alone_for_long() -> None:
    assert [rest_after(seconds, is_off=False) for seconds in (0.01, 0.2)] == [LOOK_SECONDS, 1.0]
    assert rest_after(30.0, is_off=True) == LOOK_SECONDS


def test_a_text_is_cut_by_what_it_takes_on_the_screen() -> None:
    assert fitted("日本語", 5) == "日本…"
    assert fitted("日本語", 4) == "日 …"
    assert fitted("abc", 5, right=True) == "  abc"
    assert fitted("[red]x[/red]", 12) == "[red]x[/red]"


def _whys(queue: Queue) -> dict[str, str]:
    """Give why a job of each type waits, as top says it."""
    lines = job_lines(Reader(load(None, environ={}), queue.database).read())
    return {line.row["type"]: line.cells[2][0] for line in lines if line.row is not None}


def test_why_a_due_job_waits_is_said(db: Database) -> None:
    queue = Queue(db)
    queue.register("p1", types='{"limited": {"max_concurrent": 1}, "rated": {"rate": "1/h"}, "free": {}}')
    with closing(queue.database):
        queue.insert("type", *["'limited'"] * 2, *["'rated'"] * 2, "'free'", "'strange'")
        limits = {"limited": {"max_concurrent": 1}, "rated": {"rate": "1/h"}}
        assert len(queue.take(types="limited rated", limits=limits).jobs) == 2
        queue.take(types="rated", limits=limits)
        said = {"limited": "due, its limit is reached, 1 of 1", "strange": "no processor runs its type"}
        assert _whys(queue).items() >= {**said, "free": "due"}.items()
        assert _whys(queue)["rated"].startswith("due, its rate is used up for ")
        queue.rows("UPDATE job_types SET rate = '2/s' WHERE name = 'rated'")
        queue.rows("UPDATE processors SET max_concurrent = 2")
        assert _whys(queue).items() >= {"rated": "due, every slot is taken", "free": "due, every slot is taken"}.items()
        queue.rows("UPDATE processors SET drain_requested = true")
        assert set(_whys(queue).values()) == {"every processor drains"}
        queue.rows("UPDATE processors SET status = 'stopped'")
        assert _whys(queue)["free"] == "no processor is alive"


def _lines(*keys: int) -> list[Line]:
    return [Line((("", ""), ("a heading", "bold"))), *(Line(((str(key), ""), ("x", "")), key) for key in keys)]


class _Host(App[None]):
    def compose(self) -> ComposeResult:
        yield Listing([Place("key", width=4), Place("text", share=1)], "nothing", id="one")


def test_what_is_selected_stays_so_while_lines_come_and_go() -> None:
    async def play() -> list[object]:
        seen: list[object] = []
        async with _Host().run_test(size=(40, 6)) as pilot:
            listing = pilot.app.query_one(Listing)
            listing.focus()

            def look(*keys: int) -> None:
                listing.show(_lines(*keys))
                seen.append(listing.selected.key if listing.selected else None)

            look(1, 2, 3)
            look(7, 2, 1)  # nobody moved it: it is at the top
            look(1, 2, 3)
            await pilot.press("j")
            look(9, 8, 1, 2, 3)  # 2 has moved down
            look(9, 3)  # 2 is gone: what is at its place, or the last
            await pilot.press("k")
            look(9, 3)
            await pilot.press("k", "k")  # there is nothing above but a heading
            look(9, 3)
            await pilot.press("G")
            look(9, 3, *range(10, 40))
            await pilot.press("G")
            look(9, 3, *range(10, 40))
            listing.show([])
            seen.append(listing.selected)
        return seen

    assert asyncio.run(play()) == [1, 7, 1, 2, 3, 9, 9, 3, 39, None]
