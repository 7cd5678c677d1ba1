"""`jobtable types`: what can be run, how, how much of it waits, and what is paused."""

from collections import Counter
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from processor.cli.given import as_json, instant
from processor.cli.given import duration as seconds
from processor.cli.session import Session, configured, pass_session
from processor.cli.shown import Column, Row, moment, span, visible, write_json, write_table
from processor.errors import NotFound
from processor.lifecycle import FINAL, Status

if TYPE_CHECKING:
    from processor.db import Database
    from processor.sections import Type
    from processor.settings import Settings

DEFAULT = "default"
MOST = 1_000_000
WAITING = tuple(status for status in Status if status not in FINAL)


def _count(status: Status) -> Column:
    return Column(status.value, lambda row: str(row["jobs"].get(status.value) or ""), right=True)


def _note(row: Row) -> str:
    if row["paused"]:
        return f"paused until {moment(row['paused_until'])}" if row["paused_until"] else "paused"
    return "" if row["handled"] else "no handler known: its jobs wait"


COLUMNS = (
    Column("type", lambda row: row["type"]),
    Column("kind", lambda row: row["kind"]),
    Column("attempts", lambda row: str(row["max_attempts"] or ""), right=True),
    Column("time limit", lambda row: span(row["timeout_seconds"]), right=True),
    Column("at once", lambda row: "" if row["max_concurrent"] is None else str(row["max_concurrent"]), right=True),
    Column("rate", lambda row: row["rate"] or ""),
    *(_count(status) for status in Status),
    Column("note", _note),
    Column("handler", lambda row: row["handler"]),
)


@click.group(invoke_without_command=True)
@configured
@click.option("--all", "finished", is_flag=True, help="Count finished jobs, too; that reads the whole table.")
@as_json
@pass_session
@click.pass_context
def types(context: click.Context, session: Session, finished: bool, as_json: bool) -> None:
    """List types: those of this configuration, of living processors, and of jobs that wait."""
    if context.invoked_subcommand is not None:
        return
    with session.database() as database:
        rows = _rows(session.settings, database, finished)
    if as_json:
        write_json(rows)
    else:
        write_table(COLUMNS, rows, empty="No type is configured, and no job waits.")


def _rows(settings: "Settings", database: "Database", finished: bool) -> list[Row]:
    from processor.queue import lookup
    from processor.queue.living import live_types

    counts = _counts(database, finished)
    set_by_people = {row["name"]: row for row in lookup.types(database)}
    alive = live_types(database) or set()
    own = _own_types(settings)
    names = {*own, *alive, *counts, *set_by_people}
    return [
        {
            "type": name,
            **_handler(settings, name),
            **_limits(settings, name, set_by_people.get(name)),
            "handled": name in own or name in alive,
            "jobs": {status.value: counts[name][status] for status in (Status if finished else WAITING)}
            if name in counts
            else dict.fromkeys([status.value for status in (Status if finished else WAITING)], 0),
            "paused": bool(set_by_people.get(name, {}).get("is_paused")),
            "paused_until": set_by_people.get(name, {}).get("paused_until"),
        }
        for name in sorted(names)
    ]


def _own_types(settings: "Settings") -> set[str]:
    """Name the types of this configuration; modules of decorated handlers are asked, in their own interpreter."""
    if not settings.processor.modules:
        return set(settings.types)
    from processor.happenings import Happenings
    from processor.work.roster import call_up

    return set(call_up(settings, Happenings()).types)


def _counts(database: "Database", finished: bool) -> dict[str, Counter[str]]:
    from processor.queue import lookup

    if finished:
        pairs = lookup.counts(database, lookup.Filter())
    else:
        pairs = {(type_, status): count for (status, type_), count in lookup.active(database).items()}
    counts: dict[str, Counter[str]] = {}
    for (type_, status), count in pairs.items():
        counts.setdefault(type_, Counter())[status] += count
    return counts


def _handler(settings: "Settings", name: str) -> dict[str, Any]:
    """Say how a type is run; of one that is not configured here nothing is known."""
    type_ = settings.types.get(name)
    if type_ is None:
        return {"kind": None, "handler": None, "max_attempts": None, "timeout_seconds": None}
    limits = settings.limits(type_)
    return {
        "kind": type_.kind,
        "handler": _target(type_),
        "max_attempts": limits.max_attempts,
        "timeout_seconds": limits.timeout,
    }


def _limits(settings: "Settings", name: str, said: Row | None) -> dict[str, Any]:
    """Say what limits a type: what people set, else what this configuration says."""
    own = settings.types.get(name)
    return {
        key: said[key] if said is not None and said[key] is not None else getattr(own, key, None)
        for key in ("max_concurrent", "rate")
    }


def _target(type_: "Type") -> str:
    from processor.provenance import mask_text

    if type_.command is not None:
        return " ".join(type_.command)
    return type_.python or mask_text(type_.http or "")


@types.command()
@configured
@click.argument("name")
@click.option("--for", "duration", type=seconds, metavar="DURATION", help="Only for so long (90s, 10m, 2h, 7d).")
@click.option("--until", type=instant, metavar="INSTANT", help="Only until this instant (2030-01-31T08:00Z).")
@pass_session
def pause(session: Session, name: str, duration: float | None, until: datetime | None) -> None:
    """Keep the jobs of a type from being started, on every processor; what runs goes on."""
    if duration is not None and until is not None:
        raise click.UsageError("--for and --until are two answers to one question; give one of them.")
    from processor.queue import control

    with session.database() as database:
        _must_exist(session.settings, database, name)
        control.pause_type(database, name, until=until, seconds=duration)
    end = f" for {span(duration)}" if duration is not None else f" until {moment(until)} UTC" if until else ""
    click.echo(f"paused the type {visible(name)}{end}")


@types.command()
@configured
@click.argument("name")
@pass_session
def resume(session: Session, name: str) -> None:
    """Let the jobs of a type be started again."""
    from processor.queue import control

    with session.database() as database:
        _must_exist(session.settings, database, name)
        control.resume_type(database, name)
    click.echo(f"resumed the type {visible(name)}")


def _limit(value: str) -> int | None:
    """Read how many may run at once; `default` leaves it to each configuration."""
    if value == DEFAULT:
        return None
    if not value.isdecimal() or int(value) > MOST:
        raise click.BadParameter(f"{value!r} is no number of jobs from 0 to {MOST:,}, nor {DEFAULT!r}")
    return int(value)


def _rate(value: str) -> str | None:
    """Read how many may start in a time."""
    from processor.queue.rules import UNLIMITED
    from processor.rates import Rate

    if value in (DEFAULT, UNLIMITED):
        return None if value == DEFAULT else UNLIMITED
    try:
        return str(Rate.parse(value))
    except ValueError as error:
        raise click.BadParameter(f"{error}; or {UNLIMITED!r}, or {DEFAULT!r}") from None


@types.command("set")
@configured
@click.argument("name")
@click.option("--max-concurrent", "limit", metavar="N", help="So many run at once, on all processors; or 'default'.")
@click.option("--rate", metavar="RATE", help="So many start in a time (10/min); or 'unlimited', 'default'.")
@pass_session
def set_limits(session: Session, name: str, limit: str | None, rate: str | None) -> None:
    """Limit a type on every processor, from its next claim on; 'default' goes back to what each has configured."""
    if limit is None and rate is None:
        raise click.UsageError("Nothing to set: give --max-concurrent, --rate, or both.")
    from processor.queue import control

    values: dict[str, Any] = {}
    if limit is not None:
        values["max_concurrent"] = _limit(limit)
    if rate is not None:
        values["rate"] = _rate(rate)
    with session.database() as database:
        _must_exist(session.settings, database, name)
        control.limit_type(database, name, **values)
    said = ", ".join(f"{key} {DEFAULT if value is None else value}" for key, value in values.items())
    click.echo(f"set for the type {visible(name)}: {said}")


def _must_exist(settings: "Settings", database: "Database", name: str) -> None:
    """Refuse a name that nobody ever used: it is misspelled, and what was meant would go on running."""
    from processor.cli.known import resembling, unknown

    if unknown(settings, database, (name,)):
        message = f"There is no type {visible(name)}, and no job has it. Nothing was changed."
        raise NotFound(message, f"{resembling(settings, database, name)} See `jobtable types`.".lstrip())
