"""`jobtable list` and `jobtable show`: many jobs in a line each, one job with its whole life."""

from typing import TYPE_CHECKING, Any

import click

from processor.cli.given import ID, as_json, chosen, filtered
from processor.cli.session import Session, configured, pass_session
from processor.cli.shown import Column, Row, decoded, moment, span, visible, write_json, write_table

if TYPE_CHECKING:
    from processor.db import Database

LAST_EVENTS = 10


def state(row: Row) -> str:
    """Write where a job is and why."""
    return f"{row['status']} ({row['reason']})" if row["reason"] else str(row["status"])


def _progress(row: Row) -> str:
    percent = "" if row["progress"] is None else f"{row['progress']:.0f} %"
    return f"{percent} {row['progress_message'] or ''}".strip() if row["status"] == "running" else ""


def trouble(row: Row) -> str:
    """Write what the latest try of a job failed with."""
    return f"{row['error_type'] or ''}: {row['error_message'] or ''}".strip(": ")


COLUMNS = (
    Column("id", lambda row: str(row["id"]), right=True),
    Column("type", lambda row: row["type"]),
    Column("status", state, styled=True),
    Column("prio", lambda row: str(row["priority"]), right=True),
    Column("try", lambda row: str(row["attempt"] or ""), right=True),
    Column("inserted (UTC)", lambda row: moment(row["created_at"])),
    Column("due (UTC)", lambda row: moment(row["run_at"]) if row["status"] in ("pending", "scheduled") else ""),
    Column("ran", lambda row: span(row["seconds"]), right=True),
    Column("owner", lambda row: row["owner"]),
    Column("subject", lambda row: row["subject"]),
    Column("progress", _progress),
    Column("error", trouble),
)


@click.command("list")
@configured
@filtered
@click.option("--limit", type=click.IntRange(1, 100_000), default=50, show_default=True, help="At most so many.")
@as_json
@pass_session
def list_jobs(session: Session, /, limit: int, as_json: bool, **narrowed: Any) -> None:
    """List jobs, newest first."""
    from processor.queue import lookup

    with session.database() as database:
        which = chosen(narrowed)
        rows = lookup.jobs_page(database, which, limit=limit)
        floor = lookup.text_floor(database, which)
        strangers = _strangers(database, rows)
    if as_json:
        write_json([decoded(row) for row in rows])
        return
    write_table(COLUMNS, rows, empty="There are no such jobs.")
    if len(rows) == limit:
        click.echo(f"The newest {limit} are shown; --limit shows more.", err=True)
    elif floor is not None:
        reach = f"The text was looked for in the newest {lookup.TEXT_REACH:,} jobs only, down to job {floor}"
        click.echo(f"{reach}; --created-before looks further.", err=True)
    if strangers:
        names = ", ".join(visible(name) for name in strangers)
        click.echo(f"No processor that is alive runs: {names}. See `jobtable types`.", err=True)


def _strangers(database: "Database", rows: list[Row]) -> list[str]:
    """Name the types of due jobs that no living processor runs; none where no processor lives at all."""
    from processor.queue.living import live_types

    due = {row["type"] for row in rows if row["status"] == "pending"}
    known = live_types(database) if due else None
    return sorted(due - known) if known is not None else []


@click.command()
@configured
@click.argument("job_id", metavar="ID", type=ID)
@click.option("--watch", is_flag=True, help="Go on until the job has ended: drawn in place, in a pipe a line a change.")
@as_json
@pass_session
def show(session: Session, job_id: int, watch: bool, as_json: bool) -> None:
    """Show the whole life of a job: its row, its timeline, what failed, what it said, who was told.

    With --watch, --json writes one object a line, each time that something changed.
    """
    with session.database() as database:
        if watch:
            _watch(database, job_id, as_json)
        elif as_json:
            write_json(_as_object(database, job_id))
        else:
            write_one(database, job_id)


def _watch(database: "Database", job_id: int, as_json: bool) -> None:
    from processor.cli import watch
    from processor.queue import lookup

    if as_json:
        watch.write_objects(database, job_id, lambda: _as_object(database, job_id))
    elif watch.is_terminal():
        watch.draw(database, job_id)
        write_one(database, job_id)
    else:
        job = lookup.job(database, job_id)
        write_one(database, job_id)
        watch.write_changes(database, job)


def _as_object(database: "Database", job_id: int) -> Row:
    job, *others = _life(database, job_id)
    names = ("errors", "events", "notifications", "children")
    return {**decoded(job), **dict(zip(names, others, strict=True))}


def write_one(database: "Database", job_id: int) -> None:
    """Write the whole life of a job for people. Raises `NotFound`."""
    from processor.cli.life import write_life

    write_life(*_life(database, job_id))


def _life(database: "Database", job_id: int) -> tuple[Row, list[Row], list[Row], list[Row], dict[str, int]]:
    from processor.queue import lookup

    job = lookup.job(database, job_id)
    return (
        job,
        lookup.errors(database, job_id),
        lookup.events(database, job_id, after=max(0, job["event_no"] - LAST_EVENTS)),
        lookup.notifications_page(database, job_id=job_id),
        lookup.children(database, job_id),
    )
