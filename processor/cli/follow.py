"""Follow a job: look a few times a second at what it told since the last look, until it has ended.

Events are numbered without gaps and become visible in the order of their numbers, so who asks for what comes after a
number misses nothing, however long the database was away in between.
"""

import errno
import select
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import click

from processor.cli.shown import Row, visible_lines
from processor.errors import DatabaseUnreachable, NotFound
from processor.lifecycle import FINAL

if TYPE_CHECKING:
    from processor.db import Database

T = TypeVar("T")

LOOK_SECONDS = 0.25
"""Between two looks at the table: events are written four times a second."""
PAGE = 1000


class Lookout:
    """Looks and rests in turn, for so many seconds where they are given."""

    def __init__(self, seconds: float | None = None) -> None:
        self._end = None if seconds is None else time.monotonic() + seconds
        self._is_away = False

    def look(self, read: Callable[[], T]) -> T | None:
        """Give what is read; None where the database is away, which is said once on the error output."""
        try:
            seen = read()
        except DatabaseUnreachable as error:
            if not self._is_away:
                click.echo(f"note: {visible_lines(error.message)} It is waited for.", err=True)
            self._is_away = True
            return None
        self._is_away = False
        return seen

    def rest(self) -> bool:
        """Wait until the next look; tell whether there is to be one.

        Raises `BrokenPipeError` as soon as nobody reads the standard output any more.
        """
        left = LOOK_SECONDS if self._end is None else self._end - time.monotonic()
        if left > 0:
            _wait(min(LOOK_SECONDS, left))
        return left > 0


def patiently(read: Callable[[], T]) -> T:
    """Give what is read, however long the database is away."""
    lookout = Lookout()
    while (seen := lookout.look(read)) is None:
        lookout.rest()
    return seen


def follow(database: "Database", job_id: int, hear: Callable[[Row], object], **which: Any) -> Row | None:
    """Hand over each event as it comes (`followed` says which); give how the job stood at last, None if nobody saw."""
    head = None
    for head, events in followed(database, job_id, **which):  # noqa: B007 - the last one is the answer
        for event in events:
            hear(event)
    return head


def followed(
    database: "Database", job_id: int, *, after: int = 0, states: bool = True, seconds: float | None = None
) -> Iterator[tuple[Row, list[Row]]]:
    """Give how a job stands and what it told since, again and again, until it has ended or the time is over.

    When it has ended, the last look has all it told. Raises `NotFound` where it is not there, or no more.
    """
    lookout, place = Lookout(seconds), after
    while True:
        seen = lookout.look(partial(_seen, database, job_id, place, states))
        if seen is not None:
            head, events = seen
            yield head, events
            place = events[-1]["number"] if events else place
            if len(events) == PAGE:
                continue
            if head["status"] in FINAL:
                return
        if not lookout.rest():
            return


def _seen(database: "Database", job_id: int, after: int, states: bool) -> tuple[Row, list[Row]]:
    from processor.queue import lookup, news

    head = news.heads(database, {job_id}).get(job_id)  # before the events: an end is told with the state it writes
    if head is None:
        raise NotFound(f"There is no job {job_id}.", "See `jobtable list`.")
    behind = head["event_no"] > after
    return head, lookup.events(database, job_id, after=after, limit=PAGE, states=states) if behind else []


def _wait(seconds: float) -> None:
    output = _number_of_stdout()
    if output is None:
        time.sleep(seconds)
        return
    poll = select.poll()
    poll.register(output, 0)  # no event but the errors: a pipe without a reader, a terminal that is gone
    if poll.poll(seconds * 1000):
        raise BrokenPipeError(errno.EPIPE, "nobody reads the standard output")


def _number_of_stdout() -> int | None:
    try:
        return sys.stdout.fileno()
    except (AttributeError, OSError, ValueError):  # closed, or replaced by what is no file
        return None
