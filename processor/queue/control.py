"""What people ask for: cancel, pause, resume, retry, delete; pause a type; mark notifications as read.

Each verb takes a filter and works in batches, so that a million rows make many short transactions and no long one.
The moves that are allowed are those of `lifecycle`; rows in another state are left alone, and the answer says how many
were changed. A row that the database lets nobody change stops no other; `Refused` names it at the end. The same can be
done with plain SQL where the contract says so (`cancel_requested`, `job_types.paused`).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any

from sqlalchemy import Connection, Select, case, delete, false, func, insert, null, select, update

from models import job_types, jobs, notifications, now
from processor.db.database import Database
from processor.errors import Refused, ValuesRefused
from processor.judge import Policy
from processor.lifecycle import FINAL, MOVES, Reason, Status
from processor.queue.lookup import Filter
from processor.queue.upkeep import BATCH, Notifies, cancel_waiting
from processor.queue.where import is_not_started, is_one_of

MOST_NAMED = 10
"""Rows that one refusal names."""


def cancel(database: Database, which: Filter, notifies: Notifies | None = None) -> tuple[int, int]:
    """Cancel what waits, at once, and ask what runs to stop; give (cancelled, asked).

    All are asked first, so that a row which is claimed at this very moment is not missed by both.
    """
    notifies = notifies or (lambda type_, status: Policy().notifies(status))
    wanted = which.conditions(database)

    def end(connection: Connection, ids: list[int]) -> None:
        cancel_waiting(connection, database.dialect, (jobs.c.id.in_(ids),), notifies, BATCH)

    not_final = is_one_of(set(Status) - FINAL)
    asked = _change(database, [*wanted, not_final, ~jobs.c.cancel_requested], {"cancel_requested": True})
    cancelled = _batches(database, [*wanted, jobs.c.cancel_requested, is_not_started()], end)
    _tell_refused(asked.changed, {**asked.refused, **cancelled.refused})
    return cancelled.changed, max(0, asked.changed - cancelled.changed)


def pause(database: Database, which: Filter) -> int:
    """Keep jobs that wait from being claimed; give how many."""
    return _move(database, which, "pause", {"reason": Reason.ASKED.value})


def resume(database: Database, which: Filter) -> int:
    """Let paused jobs go on; give how many."""
    return _move(database, which, "resume", {"reason": None, "duplicate_of": None})


def retry(database: Database, which: Filter) -> int:
    """Put finished jobs back as if they were new, errors and events kept; give how many."""
    fresh = {
        "attempt": 0,
        "crashes": 0,
        "reason": Reason.ASKED.value,  # by a person: it is worked on, whatever result an equal job has
        "run_at": None,
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

    return _all_or_refused(_batches(database, removable, verb))


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


def _move(database: Database, which: Filter, name: str, values: dict[str, Any]) -> int:
    leaves, reaches = MOVES[name]
    wanted = [*which.conditions(database), is_one_of(leaves)]
    return _all_or_refused(_change(database, wanted, {"status": reaches.value, **values}))


@dataclass(slots=True)
class _Done:
    """How many rows were changed; which ones the database lets nobody change, and its words."""

    changed: int = 0
    refused: dict[int, str] = field(default_factory=dict)


def _all_or_refused(done: _Done) -> int:
    _tell_refused(done.changed, done.refused)
    return done.changed


def _tell_refused(changed: int, refused: dict[int, str]) -> None:
    if not refused:
        return
    named = "; ".join(f"job {job_id}: {words}" for job_id, words in list(refused.items())[:MOST_NAMED])
    more = f"; and {len(refused) - MOST_NAMED:,} more" if len(refused) > MOST_NAMED else ""
    raise Refused(
        f"{changed:,} jobs were changed, and {len(refused):,} more the database lets nobody change ({named}{more}).",
        "Correct those rows, or what refuses them (a trigger, perhaps), and repeat the command.",
    )


def _change(database: Database, wanted: list[Any], values: dict[str, Any]) -> _Done:
    def verb(connection: Connection, ids: list[int]) -> None:
        connection.execute(update(jobs).where(jobs.c.id.in_(ids)).values(values))

    return _batches(database, wanted, verb)


def _batches(database: Database, wanted: list[Any], verb: Callable[[Connection, list[int]], None]) -> _Done:
    """Run a verb over all rows that are wanted, a batch and a transaction each time.

    Each batch goes on behind the last id of the one before: from the beginning again, a million rows took hours. A row
    that the database lets nobody change stops none of its neighbours.
    """

    def run(connection: Connection, where: list[Any]) -> list[int]:
        ids = _lock(connection, [*wanted, *where])
        if ids:
            verb(connection, ids)
        return ids

    def one_by_one(ids: list[int]) -> None:
        for job_id in ids:
            try:
                done.changed += len(database.write(partial(run, where=[jobs.c.id == job_id])))
            except ValuesRefused as error:
                done.refused[job_id] = error.cause

    done, behind = _Done(), list[Any]()
    while True:
        try:
            ids = database.write(partial(run, where=behind))
            done.changed += len(ids)
        except ValuesRefused:
            with database.read() as connection:
                ids = list(connection.execute(_next([*wanted, *behind])).scalars())
            one_by_one(ids)
        if len(ids) < BATCH:
            return done
        behind = [jobs.c.id > ids[-1]]


def _lock(connection: Connection, wanted: list[Any]) -> list[int]:
    """Lock the next rows in the order of their ids: who locks in one order cannot deadlock."""
    return list(connection.execute(_next(wanted).with_for_update()).scalars())


def _next(wanted: list[Any]) -> Select[Any]:
    return select(jobs.c.id).where(*wanted).order_by(jobs.c.id).limit(BATCH)
