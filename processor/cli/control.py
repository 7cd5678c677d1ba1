"""`jobtable cancel, pause, resume, run-now, priority, retry, delete`: jobs by their ids, or all that filters find.

Ids are taken at their word. Filters are counted first, and without a person to ask they need --yes: a filter that finds
more than was meant is found out before, not after.
"""

import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import click

from processor.cli.given import ID, chosen, filtered
from processor.cli.session import Session, configured, pass_session
from processor.cli.shown import counted, visible
from processor.errors import NotFound, Refused
from processor.lifecycle import FINAL, MOVES, Status

if TYPE_CHECKING:
    from processor.db import Database
    from processor.queue.lookup import Filter
    from processor.queue.upkeep import Notifies
    from processor.settings import Settings


PORTION = 1000
"""Ids of one statement: a database takes some ten thousand parameters, and xargs gives more."""
MOST_NAMED = 50
"""Jobs that one message names."""


@dataclass(frozen=True, slots=True)
class Change:
    """What is asked for: the word for it, the states it may leave, the word for what was done, and the verb.

    `run_later`: only jobs whose time has not come can be changed so.
    """

    word: str
    leaves: frozenset[Status]
    done: str
    verb: Callable[["Database", "Filter"], int]
    run_later: bool = False


def choosing(command: Callable[..., Any]) -> Callable[..., Any]:
    """Let a command take ids or filters, and --yes."""
    ids = click.argument("ids", metavar="[ID]...", nargs=-1, type=ID)
    yes = click.option("--yes", is_flag=True, help="Do not ask before changing what filters find.")
    return configured(ids(filtered(yes(pass_session(command)))))


@click.command()
@choosing
def cancel(session: Session, ids: tuple[int, ...], yes: bool, **narrowed: Any) -> None:
    """Cancel jobs: what waits ends at once, what runs is asked to stop and then killed.

    Name jobs by their ids, or find them with filters.
    """
    from processor.queue import control

    asked = 0

    def verb(database: "Database", which: "Filter") -> int:
        nonlocal asked
        cancelled, running = control.cancel(database, which, notifies(session.settings))
        asked += running
        return cancelled + running

    leaves, _ = MOVES["cancel"]
    _change(session, Change("cancel", leaves, "cancelled", verb), ids, narrowed, yes)
    if asked:
        click.echo(f"{counted(asked, 'job')} of these still running: asked to stop, killed after the grace period.")


@click.command()
@choosing
def pause(session: Session, ids: tuple[int, ...], yes: bool, **narrowed: Any) -> None:
    """Keep jobs that wait from being run, until `jobtable resume`.

    Name jobs by their ids, or find them with filters. A whole type: `jobtable types pause`.
    """
    from processor.queue import control

    leaves, _ = MOVES["pause"]
    _change(session, Change("pause", leaves, "paused", control.pause), ids, narrowed, yes)


@click.command()
@choosing
def resume(session: Session, ids: tuple[int, ...], yes: bool, **narrowed: Any) -> None:
    """Let paused jobs be run again.

    Name jobs by their ids, or find them with filters. A whole type: `jobtable types resume`.
    """
    from processor.queue import control

    leaves, _ = MOVES["resume"]
    _change(session, Change("resume", leaves, "resumed", control.resume), ids, narrowed, yes)


@click.command("run-now")
@choosing
def run_now(session: Session, ids: tuple[int, ...], yes: bool, **narrowed: Any) -> None:
    """Let jobs whose time has not come be run at once; those that are due already stay as they are.

    Name jobs by their ids, or find them with filters.
    """
    from processor.queue import control

    leaves, _ = MOVES["run_now"]
    change = Change("run-now", leaves, "brought forward", control.run_now, run_later=True)
    _change(session, change, ids, narrowed, yes)


@click.command()
@click.argument("number", metavar="N", type=int)
@choosing
def priority(session: Session, number: int, ids: tuple[int, ...], yes: bool, **narrowed: Any) -> None:
    """Give jobs that have not ended the priority N; higher runs first.

    Name jobs by their ids, or find them with filters.
    """
    from processor.queue import control

    def verb(database: "Database", which: "Filter") -> int:
        return control.reprioritise(database, which, number)

    change = Change(f"give priority {number} to", frozenset(set(Status) - FINAL), f"given priority {number}", verb)
    _change(session, change, ids, narrowed, yes)


@click.command()
@choosing
def retry(session: Session, ids: tuple[int, ...], yes: bool, **narrowed: Any) -> None:
    """Put finished jobs back as if they were new; their errors and events are kept.

    Name jobs by their ids, or find them with filters.
    """
    from processor.queue import control

    leaves, _ = MOVES["retry"]
    _change(session, Change("retry", leaves, "put back", control.retry), ids, narrowed, yes)


@click.command()
@choosing
def delete(session: Session, ids: tuple[int, ...], yes: bool, **narrowed: Any) -> None:
    """Delete jobs that do not run, with their events, errors and notifications.

    Name jobs by their ids, or find them with filters.
    """
    from processor.queue import control

    leaves = frozenset(set(Status) - {Status.RUNNING})
    _change(session, Change("delete", leaves, "deleted", control.remove), ids, narrowed, yes)


def notifies(settings: "Settings") -> "Notifies":
    """Tell of which final states a type wants to be told, as its configuration here says."""
    from processor.judge import Policy

    types = settings.types
    return lambda type_, status: Policy(notify=types[type_].notify if type_ in types else "both").notifies(status)


def _change(session: Session, change: Change, ids: tuple[int, ...], narrowed: dict[str, Any], yes: bool) -> None:
    if bool(ids) == any(value not in (None, ()) for value in narrowed.values()):
        raise click.UsageError("Name jobs by their ids, or find them with filters such as --type; one of the two.")
    with session.database() as database:
        if ids:
            _change_named(database, change, tuple(dict.fromkeys(ids)))
        else:
            _name_strangers(session, database, narrowed["types"])
            _change_found(database, change, chosen(narrowed), yes)


def _change_named(database: "Database", change: Change, ids: tuple[int, ...]) -> None:
    from processor.queue.lookup import Filter, jobs_page

    portions = [Filter(ids=ids[start : start + PORTION]) for start in range(0, len(ids), PORTION)]
    rows = [row for portion in portions for row in jobs_page(database, portion, limit=PORTION)]
    statuses = {row["id"]: Status(row["status"]) for row in rows}
    missing = [str(job_id) for job_id in ids if job_id not in statuses]
    if missing:
        raise NotFound(f"There is no job {_some(missing)}. Nothing was changed.", "See `jobtable list`.")
    changed = sum(change.verb(database, portion) for portion in portions)
    click.echo(f"{change.done}: {counted(changed, 'job')}")
    kept = [f"{job_id} is {statuses[job_id]}" for job_id in ids if statuses[job_id] not in change.leaves]
    if kept:
        raise Refused(
            f"Not every job was {change.done}: {_some(kept)}.",
            f"Only jobs that are {_listed(change.leaves)} can be {change.done}.",
        )


def _name_strangers(session: Session, database: "Database", types: tuple[str, ...]) -> None:
    """Say which types nobody knows; it is no error, because jobs of a type come and go."""
    from processor.cli.known import resembling, unknown

    for name in unknown(session.settings, database, types):
        hint = resembling(session.settings, database, name)
        click.echo(f"note: there is no type {visible(name)}, and no job has it. {hint}".rstrip(), err=True)


def _change_found(database: "Database", change: Change, which: "Filter", yes: bool) -> None:
    from processor.queue.lookup import counts

    movable = frozenset(which.statuses or change.leaves) & change.leaves
    if not movable:
        raise Refused(
            f"Jobs that are {_listed(frozenset(which.statuses))} cannot be {change.done}. Nothing was changed.",
            f"Only jobs that are {_listed(change.leaves)} can.",
        )
    left = frozenset(which.statuses) - movable
    if left:
        click.echo(f"note: jobs that are {_listed(left)} cannot be {change.done} and are left.", err=True)
    which = replace(which, statuses=tuple(status for status in Status if status in movable), run_later=change.run_later)
    found: Counter[str] = Counter()
    for (_, status), count in counts(database, which).items():
        found[status] += count
    if not found:
        click.echo(f"{change.done}: 0 jobs (none matches)")
        return
    states = ", ".join(f"{count:,} {status}" for status, count in sorted(found.items()))
    ask(f"{change.word} {counted(found.total(), 'job')} ({states})?", yes)
    click.echo(f"{change.done}: {counted(change.verb(database, which), 'job')}")


def _some(texts: list[str]) -> str:
    """Write texts one after the other, and of many how many more there are."""
    more = f" and {len(texts) - MOST_NAMED:,} more" if len(texts) > MOST_NAMED else ""
    return ", ".join(texts[:MOST_NAMED]) + more


def _listed(statuses: frozenset[Status]) -> str:
    *others, last = [status.value for status in Status if status in statuses]
    return f"{', '.join(others)} or {last}" if others else last


def ask(question: str, yes: bool) -> None:
    """Ask a person, unless `yes`. Raises `Refused` without a person, or when the answer is no."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise Refused(f"{question} Nobody is there to ask, so nothing was changed.", "Add --yes to mean it.")
    if not click.confirm(question, err=True):
        raise Refused("Nothing was changed.")
