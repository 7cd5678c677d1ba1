"""Show how far the work is: a bar on a terminal, a line now and then everywhere else."""

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from processor.cli.shown import Row, shortened, visible

if TYPE_CHECKING:
    from processor.cli.demo.play import View

LINE_SECONDS = 2.0

Show = Callable[["View"], None]


@contextmanager
def progress(total: int) -> Iterator[Show]:
    """Give what shows a view of the table, on the way to `total` jobs."""
    if sys.stdout.isatty() and os.environ.get("TERM", "dumb") != "dumb":
        with _bar(total) as show:
            yield show
    else:
        yield _lines(total)


def _lines(total: int) -> Show:
    started = time.monotonic()
    said_at = started

    def show(view: "View") -> None:
        nonlocal said_at
        if time.monotonic() - said_at >= LINE_SECONDS or view.done == total:
            said_at = time.monotonic()
            click.echo(f"  {view.done} of {total} done, {_rate(view, said_at - started)}{_now(view, 100)}")

    return show


@contextmanager
def _bar(total: int) -> Iterator[Show]:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
    from rich.table import Column

    started = time.monotonic()
    now = TextColumn("{task.fields[now]}", markup=False, style="dim", table_column=Column(no_wrap=True, ratio=1))
    columns = (BarColumn(30), MofNCompleteColumn(), TextColumn("{task.fields[rate]}"), now)
    with Progress(*columns, expand=True) as bar:
        task = bar.add_task("jobs", total=total, rate="", now="")

        def show(view: "View") -> None:
            rate = _rate(view, time.monotonic() - started)
            bar.update(task, completed=view.done, rate=rate, now=_now(view, 200))

        yield show


def _rate(view: "View", seconds: float) -> str:
    return f"{view.done / max(seconds, 0.1):.0f}/s"


def _now(view: "View", length: int) -> str:
    names = ", ".join(sorted(_name(row) for row in view.running))
    return shortened(f"  now: {names}" if names else "", length)


def _name(row: Row) -> str:
    return visible(row["progress_message"] or row["subject"] or row["type"])
