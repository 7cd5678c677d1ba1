"""`jobtable schedules`: what makes jobs by the clock, when it fires next, and why it does not."""

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import click

from processor.cli.given import as_json, payload
from processor.cli.given import duration as seconds
from processor.cli.given import name as text
from processor.cli.session import Session, configured, pass_session
from processor.cli.shown import Column, Row, decoded, moment, span, visible, write_json, write_table

if TYPE_CHECKING:
    from processor.timetable import Timetable


def _when(row: Row) -> str:
    if row["cron"] is None:
        return f"every {span(row['every_seconds'])}"
    return f"{row['cron']}  {row['time_zone']}"


def _last_job(row: Row) -> str:
    if row["last_job_id"] is None:
        return ""
    return f"{row['last_job_id']} {row['last_job_status'] or 'deleted'}"


def _note(row: Row) -> str:
    if row["paused"]:
        return "paused"
    return row["error"] or ("" if row["next_at"] else "not planned yet: a processor does that")


COLUMNS = (
    Column("schedule", lambda row: row["name"]),
    Column("type", lambda row: row["type"]),
    Column("when", _when),
    Column("next (UTC)", lambda row: moment(row["next_at"])),
    Column("last (UTC)", lambda row: moment(row["last_at"])),
    Column("last job", _last_job),
    Column("from", lambda row: row["source"] or ""),
    Column("note", _note, wraps=True),
)
FIRINGS = (
    Column("next (UTC)", lambda row: moment(row["at"])),
    Column("in", lambda row: span(row["in_seconds"])),
    Column("local", lambda row: row["local"]),
)


@click.group(invoke_without_command=True)
@configured
@as_json
@pass_session
@click.pass_context
def schedules(context: click.Context, session: Session, as_json: bool) -> None:
    """List schedules: when each fires next, its latest job, and what keeps it from firing."""
    if context.invoked_subcommand is not None:
        return
    from processor.queue import schedules as queue

    with session.database() as database:
        rows = [_shown(row) for row in queue.page(database)]
    if as_json:
        write_json(rows)
    else:
        write_table(COLUMNS, rows, empty="There is no schedule.")


def _shown(row: Row) -> Row:
    """Give a row for people: with its error, also where no processor runs that would have said it."""
    found = _timetable(row)
    return {
        **{name: value for name, value in decoded(row).items() if name not in ("planned_for", "instant")},
        "error": found if isinstance(found, str) else row["error"],
    }


def _timetable(row: Row) -> "Timetable | str":
    from processor.timetable import Timetable

    try:
        return Timetable.read(row)
    except ValueError as error:
        return str(error)


@schedules.command("next")
@configured
@click.argument("name")
@click.option("--count", type=click.IntRange(1, 1000), default=10, show_default=True, help="So many firings.")
@as_json
@pass_session
def next_(session: Session, name: str, count: int, as_json: bool) -> None:
    """Show the next firings of a schedule, from now on, jitter counted in."""
    rows = _firings(_one(session, name), count)
    if as_json:
        write_json(rows)
    else:
        write_table(FIRINGS, rows, empty="It never fires again.")


def _one(session: Session, name: str) -> Row:
    from processor.queue import schedules as queue

    with session.database() as database:
        found = queue.page(database, name)
    if not found:
        raise queue.not_found(name)
    return found[0]


def _firings(row: Row, count: int) -> list[Row]:
    from processor.errors import Refused

    timetable = _timetable(row)
    if isinstance(timetable, str):
        message = f"The schedule {visible(row['name'])} cannot be read: {timetable}. It does not fire."
        raise Refused(message, "Correct it with `jobtable schedules set`.")
    firings: list[Row] = []
    planned: datetime | None = row["instant"]
    while len(firings) < count and planned is not None and (planned := timetable.next(planned)) is not None:
        at = timetable.fires_at(row["name"], planned)
        firings.append(
            {
                "at": at,
                "planned_at": planned,
                "in_seconds": round((at - row["instant"]) / timedelta(seconds=1), 6),
                "local": f"{at.astimezone(timetable.zone):%a %Y-%m-%d %H:%M:%S %Z}",
            }
        )
    return firings


@schedules.command("set")
@configured
@click.argument("name")
@click.option("--type", "type_", type=text, metavar="NAME", help="Type of the jobs it makes.")
@click.option("--cron", type=text, metavar="EXPRESSION", help="Five fields, six with seconds in front, or @daily.")
@click.option("--every", type=seconds, metavar="DURATION", help="Instead of --cron: an interval (30s, 15m, 2h).")
@click.option("--time-zone", type=text, metavar="ZONE", help="In which cron is read (default: UTC).")
@click.option("--payload", type=payload, metavar="JSON|@FILE|-", help="What the handler gets.")
@click.option("--priority", type=int, help="Higher runs first; customary are 1 to 10.")
@click.option("--owner", metavar="TEXT", help="Whom its jobs belong to; '' for nobody.")
@click.option("--subject", metavar="TEXT", help="What they are about; '' for schedule:NAME.")
@click.option("--jitter", type=seconds, metavar="DURATION", help="Fire up to so much later, each time differently.")
@click.option(
    "--catch-up", type=click.Choice(["none", "once", "all"]), help="What becomes of firings that were missed."
)
@click.option("--catch-up-limit", type=click.IntRange(1, 1000), metavar="N", help="With 'all': so many at most.")
@click.option("--skip-if-running", type=bool, metavar="yes|no", help="Make no job while the last one goes on.")
@pass_session
def set_schedule(session: Session, /, name: str, type_: str | None, every: float | None, **given: Any) -> None:
    """Make a schedule, or change what is given of one; processors follow within five seconds."""
    from pydantic import TypeAdapter, ValidationError

    from processor.queue import schedules as queue
    from processor.sections import TypeName

    try:
        TypeAdapter(TypeName).validate_python(name)
    except ValidationError as error:
        raise click.BadParameter(f"{name!r} is no name of a schedule: write letters, digits and _ . : -") from error
    if given["cron"] is not None and every is not None:
        raise click.UsageError("--cron and --every are two answers to one question; give one of them.")
    given |= {"type": type_, "every_seconds": every, "jitter_seconds": given.pop("jitter")}
    changes = {key: value for key, value in given.items() if value is not None}
    if not changes:
        raise click.UsageError("Nothing to set: give at least one option.")
    for key in ("owner", "subject"):
        if changes.get(key) == "":
            changes[key] = None
    with session.database() as database:
        sources = [row["source"] for row in queue.page(database, name)]
        is_new = queue.put(database, name, **changes)
    row = _one(session, name)
    following = _firings(row, 1)
    said = " (paused)" if row["paused"] else f"; next at {moment(following[0]['at'])} UTC" if following else ""
    click.echo(f"{'made' if is_new else 'changed'} the schedule {visible(name)}{said}")
    if any(sources):
        click.echo(f"note: the configuration of {visible(sources[0])} has it, too, and changes it no more.", err=True)


@schedules.command()
@configured
@click.argument("name")
@pass_session
def pause(session: Session, name: str) -> None:
    """Let a schedule fire no more until it is resumed; its jobs go on."""
    from processor.queue import schedules as queue

    with session.database() as database:
        queue.pause(database, name)
    click.echo(f"paused the schedule {visible(name)}")


@schedules.command()
@configured
@click.argument("name")
@pass_session
def resume(session: Session, name: str) -> None:
    """Let a schedule fire again, from now on."""
    from processor.queue import schedules as queue

    with session.database() as database:
        queue.resume(database, name)
    click.echo(f"resumed the schedule {visible(name)}")


@schedules.command()
@configured
@click.argument("name")
@pass_session
def fire(session: Session, name: str) -> None:
    """Make a job of a schedule now, beside its firings, and print the job's id."""
    from processor.queue import firing

    with session.database() as database:
        click.echo(firing.fire_now(database, name))


@schedules.command()
@configured
@click.argument("name")
@pass_session
def delete(session: Session, name: str) -> None:
    """Delete a schedule; its jobs stay. One of a configuration comes back with the next start of its processor."""
    from processor.queue import schedules as queue

    with session.database() as database:
        source = _one(session, name)["source"]
        queue.remove(database, name)
    click.echo(f"deleted the schedule {visible(name)}")
    if source is not None:
        click.echo(f"note: it stands in the configuration of {visible(source)}; take it out there, too.", err=True)
