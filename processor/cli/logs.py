"""`jobtable logs`: what a job told, once or while it tells."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from processor.cli.follow import PAGE, follow
from processor.cli.given import ID, as_json
from processor.cli.session import Session, configured, pass_session
from processor.cli.shown import Row, json_text, write_json

if TYPE_CHECKING:
    from processor.db import Database


@click.command()
@configured
@click.argument("job_id", metavar="ID", type=ID)
@click.option("--follow", "-f", is_flag=True, help="Go on until the job has ended, over all its tries.")
@click.option("--after", type=click.IntRange(0, 2**63 - 1), default=0, metavar="N", help="Only events after number N.")
@click.option("--states", is_flag=True, help="Also each change of its status.")
@as_json
@pass_session
def logs(session: Session, job_id: int, follow: bool, after: int, states: bool, as_json: bool) -> None:
    """Print the log lines, output and progress of a job: time (UTC), try, level, text.

    With --follow, --json writes one object a line.
    """
    with session.database() as database:
        if follow:
            _follow(database, job_id, after, states, as_json)
            return
        _need(database, job_id)
        told = list(_events(database, job_id, after, states))
    if as_json:
        write_json(told)
    else:
        for event in told:
            _write(event, as_json)


def _follow(database: "Database", job_id: int, after: int, states: bool, as_json: bool) -> None:
    head = follow(database, job_id, lambda event: _write(event, as_json), after=after, states=states)
    assert head is not None  # without a time limit it ends with the job
    click.echo(f"job {job_id} {head['status']}", err=True)


def _need(database: "Database", job_id: int) -> None:
    from processor.queue import lookup

    lookup.job(database, job_id)


def _events(database: "Database", job_id: int, after: int, states: bool) -> Iterator[Row]:
    from processor.queue import lookup

    while page := lookup.events(database, job_id, after=after, limit=PAGE, states=states):
        yield from page
        after = page[-1]["number"]


def _write(event: Row, as_json: bool) -> None:
    from processor.cli.life import event_line

    click.echo(json_text(event) if as_json else event_line(event))
