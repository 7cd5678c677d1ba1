"""What people ask for: cancel, pause, resume, run now, retry, delete jobs; pause a type; drain a processor.

Each verb takes a filter and works in batches, so that a million rows make many short transactions and no long one.
The moves that are allowed are those of `lifecycle`; rows in another state are left alone, and the answer says how many
were changed. A row that the database lets nobody change stops no other; `Refused` names it at the end. The same can be
done with plain SQL where the contract says so (`cancel_requested`, `job_types.paused`, `processors.drain_requested`).
"""

import contextlib
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, case, delete, false, func, insert, null, or_, select, update

from models import job_types, jobs, notifications, now, processors
from models.job import PRIORITY_LIMIT
from processor.db.database import Database
from processor.errors import NotFound, Refused, ValuesRefused
from processor.judge import Policy
from processor.lifecycle import FINAL, MOVES, Reason, Status
from processor.queue import bulk, endings, parents, states
from processor.queue.leases import ALIVE
from processor.queue.lookup import Filter
from processor.queue.upkeep import BATCH, Notifies, cancel_waiting
from processor.queue.where import is_not_started, is_one_of, waits_for_others


def cancel(database: Database, which: Filter, notifies: Notifies | None = None) -> tuple[int, int]:
    """Cancel what waits, at once, and ask what runs to stop; give (cancelled, asked).

    All are asked first, so that a row which is claimed at this very moment is not missed by both. Children of a job go
    with it.
    """
    notifies = notifies or (lambda type_, status: Policy().notifies(status))
    wanted = which.conditions(database)

    def end(connection: Connection, ids: list[int]) -> None:
        cancel_waiting(connection, database.dialect, (jobs.c.id.in_(ids),), notifies, BATCH)

    not_final = is_one_of(set(Status) - FINAL)
    asked = bulk.change(database, [*wanted, not_final, ~jobs.c.cancel_requested], {"cancel_requested": True})
    ends_here = (jobs.c.cancel_requested, is_not_started(), waits_for_others())
    cancelled = bulk.in_batches(database, [*wanted, *ends_here], end)
    with contextlib.suppress(ValuesRefused):  # a row of somebody else's batch; processors say it
        while parents.stop_children(database, notifies):
            pass
    while endings.end(database, parents.stopped(database), notifies).accepted:
        pass
    bulk.Done(asked.changed, {**asked.refused, **cancelled.refused}).or_refused()
    return cancelled.changed, max(0, asked.changed - cancelled.changed)


def pause(database: Database, which: Filter) -> int:
    """Keep jobs that wait from being claimed, but for those that wait for their children; give how many."""
    return _move(database, which, "pause", {"reason": Reason.ASKED.value}, waits_for_others())


def resume(database: Database, which: Filter) -> int:
    """Let paused jobs go on, but for those whose batch is not all there yet; give how many."""
    parent = jobs.alias("parent")
    filled = select(parent.c.id).where(parent.c.id == func.coalesce(jobs.c.parent_id, jobs.c.id))
    filled = filled.where(parent.c.status == Status.PAUSED.value, parent.c.reason == Reason.BATCH.value)
    whole = or_(func.coalesce(jobs.c.reason, "") != Reason.BATCH.value, ~filled.correlate(jobs).exists())
    return _move(database, which, "resume", {"reason": None, "duplicate_of": None}, whole)


def run_now(database: Database, which: Filter) -> int:
    """Let jobs whose time has not come be claimed at once; give how many.

    Their reason stays: one that failed is still a retry.
    """
    return _move(database, replace(which, run_later=True), "run_now", {"run_at": None})


def reprioritise(database: Database, which: Filter, priority: int) -> int:
    """Give jobs that have not ended this priority; give how many. One that runs has it at its next try.

    Raises `Refused` for a priority that no row may have.
    """
    if abs(priority) > PRIORITY_LIMIT:
        raise Refused(
            f"{priority} is no priority. Nothing was changed.", f"It is from -{PRIORITY_LIMIT} to {PRIORITY_LIMIT}."
        )
    wanted = [*which.conditions(database), is_one_of(set(Status) - FINAL)]
    return bulk.change(database, wanted, {"priority": priority}).or_refused()


def retry(database: Database, which: Filter) -> int:
    """Put finished jobs back as if they were new, errors and events kept; give how many.

    An `expires_at` that has passed goes: it would end them at once, and who retries them wants them all the same.
    """
    fresh = {
        "attempt": 0,
        "crashes": 0,
        "reason": Reason.ASKED.value,  # by a person: it is worked on, whatever result an equal job has
        "run_at": None,
        "expires_at": case((jobs.c.expires_at > now(), jobs.c.expires_at)),
        "started_at": None,
        "finished_at": None,
        "progress": None,
        "progress_message": None,
        "result": null(),
        "error_type": None,
        "error_message": None,
        "error_detail": None,
        "duplicate_of": None,
        "cancel_requested": false(),
    }
    return _move(database, which, "retry", fresh)


def remove(database: Database, which: Filter) -> int:
    """Delete jobs that do not run, with their events, errors and notifications; give how many."""
    removable = [*which.conditions(database), is_one_of(set(Status) - {Status.RUNNING})]

    def verb(connection: Connection, ids: list[int]) -> None:
        connection.execute(delete(jobs).where(jobs.c.id.in_(ids)))

    return bulk.in_batches(database, removable, verb).or_refused()


def pause_type(database: Database, name: str, *, until: datetime | None = None, seconds: float | None = None) -> None:
    """Keep a whole type from being claimed: until resumed, until an instant, or for so many seconds."""
    timed = until is not None or seconds is not None
    end: Any = database.dialect.after(seconds) if seconds is not None else until
    _set_type(database, name, {"paused": not timed, "paused_until": end})


def hold_type(database: Database, name: str, seconds: float) -> None:
    """Keep a whole type from being claimed for so many seconds; a longer pause that is there already stays."""
    end = database.dialect.after(seconds)
    longer = func.coalesce(job_types.c.paused_until < end, True)
    _set_type(
        database, name, {"paused_until": case((longer, end), else_=job_types.c.paused_until)}, {"paused_until": end}
    )


def limit_type(database: Database, name: str, **values: Any) -> None:
    """Set `max_concurrent` or `rate` of a type for every processor; None: as each is configured."""
    _set_type(database, name, values)


def resume_type(database: Database, name: str) -> None:
    """Let a type be claimed again."""
    _set_type(database, name, {"paused": False, "paused_until": None})


def _set_type(database: Database, name: str, values: dict[str, Any], first: dict[str, Any] | None = None) -> None:
    """Change the row of a type, or make it, then with the values of `first`."""

    def verb(connection: Connection) -> None:
        changed = connection.execute(
            update(job_types).where(job_types.c.name == name).values(**values, updated_at=now())
        )
        if not changed.rowcount:
            connection.execute(insert(job_types).values(name=name, **(first or values)))

    database.write(verb)


def mark_read(database: Database, ids: Sequence[int] = (), *, owner: str | None = None) -> int:
    """Mark notifications as read: these, or all (of an owner); give how many were unread."""
    wanted: list[Any] = [notifications.c.read_at.is_(None)]
    if ids:
        wanted.append(notifications.c.id.in_(ids))
    if owner is not None:
        wanted.append(notifications.c.owner == owner)
    return database.write(
        lambda connection: connection.execute(update(notifications).where(*wanted).values(read_at=now())).rowcount
    )


def drain_processor(database: Database, processor_id: str) -> None:
    """Ask a processor to end in order, as a SIGTERM does; its next heartbeat hears it. Raises `NotFound`."""
    alive = (processors.c.id == processor_id, processors.c.status.in_(ALIVE))
    asked = update(processors).where(*alive).values(drain_requested=True)
    if not database.write(lambda connection: connection.execute(asked).rowcount):
        raise NotFound(f"No processor {processor_id!r} is alive. Nothing was changed.", "See `jobtable processors`.")


def _move(database: Database, which: Filter, name: str, values: dict[str, Any], *only: ColumnElement[bool]) -> int:
    leaves, reaches = MOVES[name]
    wanted = [*which.conditions(database), is_one_of(leaves), *only]
    written = {"status": reaches.value, **values}

    def move(connection: Connection, ids: list[int]) -> None:
        states.move(connection, database.dialect, ids, written)

    return bulk.in_batches(database, wanted, move).or_refused()
