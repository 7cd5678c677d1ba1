"""What `jobtable show --watch` does: on a terminal a picture that is drawn again in place, elsewhere a line a change.

Both end with the job. A terminal gets what it has room for: how the job stands, and its latest events.
"""

import sys
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from processor.cli.follow import followed, patiently
from processor.cli.life import event_line, heading, outline
from processor.cli.shown import Row, json_text
from processor.lifecycle import FINAL

if TYPE_CHECKING:
    from processor.db import Database

KEPT_EVENTS = 100
"""More than that no terminal shows below the outline."""


def is_terminal() -> bool:
    """Tell whether a picture can be drawn again in place."""
    import os

    return sys.stdout.isatty() and os.environ.get("TERM", "dumb") not in ("dumb", "unknown")


def write_changes(database: "Database", job: Row) -> None:
    """Write what a job tells since it was read, and how it stands where that changes without an event; a line each."""
    from processor.queue import lookup

    said = heading(job)
    for _, events in followed(database, job["id"], after=job["event_no"]):
        for event in events:
            click.echo(event_line(event))
        now = heading(patiently(lambda: lookup.job(database, job["id"])))
        if now != said and not any(event["kind"] == "state" for event in events):
            click.echo(now)
        said = now


def write_objects(database: "Database", job_id: int, life: Callable[[], dict[str, Any]]) -> None:
    """Write the whole life of a job as a JSON object a line, each time that it changed."""
    said: Row | None = None
    for _ in followed(database, job_id, after=_told(database, job_id)):
        now = patiently(life)
        known = {name: value for name, value in now.items() if name != "seconds"}
        if known != said:
            said = known
            click.echo(json_text(now))


def draw(database: "Database", job_id: int) -> None:
    """Draw how a job stands, again and again, until it has ended; then take the picture away."""
    from rich.console import Console
    from rich.live import Live

    console = Console(highlight=False)
    before = max(0, _told(database, job_id) - KEPT_EVENTS)
    latest: deque[Row] = deque(maxlen=KEPT_EVENTS)
    with Live(console=console, auto_refresh=False, transient=True) as live:
        for head, events in followed(database, job_id, after=before):
            latest += events
            if head["status"] not in FINAL:
                lines = patiently(lambda: _outline(database, job_id))
                live.update(_picture(lines, list(latest), console.height - 1), refresh=True)


def _told(database: "Database", job_id: int) -> int:
    """Give the number of the latest event of a job."""
    from processor.queue import lookup

    number: int = patiently(lambda: lookup.job(database, job_id))["event_no"]
    return number


def _outline(database: "Database", job_id: int) -> list[str]:
    from processor.queue import lookup

    return list(outline(lookup.job(database, job_id), lookup.children(database, job_id)))


def _picture(lines: list[str], latest: list[Row], height: int) -> Any:
    """Fit lines and the latest events to a height; every line is one line on the terminal."""
    from rich.text import Text

    told = [line for event in latest for line in event_line(event).split("\n")]
    room = height - len(lines) - 2
    shown = ["", "events", *(f"  {line}" for line in told[-room:])] if told and room > 0 else []
    text = Text.from_ansi("\n".join([*lines, *shown][:height]))
    text.no_wrap, text.overflow = True, "ellipsis"
    return text
