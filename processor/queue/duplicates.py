"""The same work only once: which rows are equal, whose result they get, and how those end that waited for one.

Rows are equal when type, owner and `key` are. The original is the row that was started; it stays the original while it
waits for a further try. Later equals wait for it (`waiting`, reason `duplicate`, `duplicate_of`) and end with its
result, or go on where it has none. Every verb here works in the caller's transaction.
"""

import hashlib
import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, bindparam, func, null, or_, select, update

from models import jobs, now
from models.types import Name
from processor.db.dialects import INTEGER, Dialect, document
from processor.lifecycle import Reason, Status
from processor.queue import states
from processor.queue.deliveries import announce
from processor.queue.followups import follow_up
from processor.queue.notifications import notify
from processor.queue.where import is_, is_not_started

Equality = tuple[str | None, str]
"""The owner (None also where owners do not matter) and the key of a row of one type."""


@dataclass(frozen=True, slots=True)
class Reused:
    """A row that ended with the result of another."""

    id: int
    type: str
    original: int
    reason: Reason


def fingerprint(payload: str) -> str | None:
    """Give the key that stands for a payload, whatever the order of its keys; None: it cannot be read."""
    try:
        read = json.loads(payload, parse_float=_exactly, parse_constant=_exactly)
        canonical = json.dumps(read, sort_keys=True, separators=(",", ":"))
    except (ValueError, RecursionError):
        return None
    return "payload:" + hashlib.sha256(canonical.encode()).hexdigest()


def _exactly(number: str) -> dict[str, str]:
    """Keep a number as it is written: as a float, others would look the same."""
    return {"\0number": number}


@dataclass(frozen=True, slots=True)
class Original:
    """A row that was started and has not ended; `waits`: for its children."""

    id: int
    waits: bool = False


def originals(
    connection: Connection, type_: str, keys: Collection[str], *, across_owners: bool
) -> dict[Equality, list[Original]]:
    """Find the rows that were started and have not ended: what runs before what waits for a further try."""
    if not keys:
        return {}
    rows = connection.execute(
        select(jobs.c.id, jobs.c.owner, jobs.c.key, jobs.c.status, jobs.c.reason).where(
            jobs.c.type == type_,
            jobs.c.key.in_(sorted(keys)),
            or_(is_(Status.RUNNING), and_(is_not_started(), jobs.c.started_at.is_not(None))),
            jobs.c.duplicate_of.is_(None),
        )
    ).all()
    best_first: dict[Equality, list[Original]] = {}
    for row in sorted(rows, key=lambda row: (row.status != Status.RUNNING, row.id)):
        waits = row.status == Status.WAITING and row.reason == Reason.CHILDREN
        best_first.setdefault(equality(row, row.key, across_owners=across_owners), []).append(Original(row.id, waits))
    return best_first


@dataclass(frozen=True, slots=True)
class Result:
    """The latest result of some work: the job that has it, and since when."""

    job: int
    finished_at: datetime


def results(
    connection: Connection, type_: str, keys: Collection[str], since: datetime, *, across_owners: bool
) -> dict[Equality, Result]:
    """Find the latest rows that did the work themselves and completed after an instant."""
    if not keys:
        return {}
    did_it = (
        jobs.c.type == type_,
        jobs.c.key.in_(sorted(keys)),
        is_(Status.COMPLETED),
        jobs.c.finished_at > since,
        jobs.c.duplicate_of.is_(None),
    )
    latest = (
        select(jobs.c.owner, jobs.c.key, func.max(jobs.c.finished_at).label("finished_at"))
        .where(*did_it)
        .group_by(jobs.c.owner, jobs.c.key)
        .subquery("latest")
    )
    rows = connection.execute(
        select(jobs.c.id, jobs.c.owner, jobs.c.key, jobs.c.finished_at)
        .join(latest, and_(jobs.c.key == latest.c.key, jobs.c.finished_at == latest.c.finished_at))
        .where(*did_it)
    ).all()
    latest_last = sorted(rows, key=lambda row: (row.finished_at, row.id))
    return {equality(row, row.key, across_owners=across_owners): Result(row.id, row.finished_at) for row in latest_last}


def equality(row: Any, key: str, *, across_owners: bool) -> Equality:
    """Give by what a row with this key is equal to others."""
    return (None if across_owners else row.owner, key)


_PAIR = {"id": INTEGER, "original": INTEGER}


def wait(connection: Connection, dialect: Dialect, pairs: dict[int, int]) -> None:
    """Let locked pending rows wait for their originals."""
    if pairs:
        connection.execute(_waiting(dialect), {"given": _document(pairs), "ids": list(pairs)})
        states.tell(connection, dialect, list(pairs))


@cache
def _waiting(dialect: Dialect) -> Any:
    given = dialect.table(_PAIR)
    return (
        update(jobs)
        .where(jobs.c.id == given.c.id, dialect.among(jobs.c.id))
        .values(
            {
                jobs.c.status: Status.WAITING.value,
                jobs.c.reason: Reason.DUPLICATE.value,
                jobs.c.duplicate_of: given.c.original,
                **states.NUMBERED,
            }
        )
    )


def reuse(
    connection: Connection, dialect: Dialect, pairs: dict[int, int], reason: Reason, *, notified: bool
) -> list[Reused]:
    """Complete locked rows with the results of originals that are completed (still), and tell their owners."""
    if not pairs:
        return []
    connection.execute(_reusing(dialect), {"given": _document(pairs), "ids": list(pairs), "why": reason.value})
    rows = connection.execute(
        select(jobs.c.id, jobs.c.type, jobs.c.owner, jobs.c.subject, jobs.c.on_complete).where(
            jobs.c.id.in_(sorted(pairs)), is_(Status.COMPLETED)
        )
    ).all()
    states.tell(connection, dialect, [row.id for row in rows])
    follow_up(connection, dialect, [row.id for row in rows if row.on_complete is not None])
    announce(connection, dialect, [row.id for row in rows])
    final = {"status": Status.COMPLETED.value, "reason": reason.value}
    if notified:
        told = [{"job_id": row.id, "type": row.type, "owner": row.owner, "subject": row.subject} for row in rows]
        notify(connection, dialect, [{**row, **final} for row in told])
    return [Reused(row.id, row.type, pairs[row.id], reason) for row in rows]


@cache
def _reusing(dialect: Dialect) -> Any:
    given, original = dialect.table(_PAIR), jobs.alias("original")
    return (
        update(jobs)
        .where(
            jobs.c.id == given.c.id,
            original.c.id == given.c.original,
            original.c.status == Status.COMPLETED.value,
            dialect.among(jobs.c.id),
        )
        .values(
            {
                jobs.c.status: Status.COMPLETED.value,
                jobs.c.reason: bindparam("why", type_=Name),
                jobs.c.duplicate_of: given.c.original,
                jobs.c.result: original.c.result,
                jobs.c.progress: 100.0,
                jobs.c.finished_at: now(),
                jobs.c.error_type: null(),
                jobs.c.error_message: null(),
                jobs.c.error_detail: null(),
                **states.NUMBERED,
            }
        )
    )


def waiters(connection: Connection, ids: Collection[int], limit: int, *which: ColumnElement[bool]) -> Sequence[Any]:
    """Lock rows that wait for one of these originals, oldest first."""
    if not ids:
        return []
    return connection.execute(
        select(jobs.c.id, jobs.c.type, jobs.c.duplicate_of)
        .where(is_(Status.WAITING), jobs.c.duplicate_of.in_(sorted(ids)), *which)
        .order_by(jobs.c.duplicate_of, jobs.c.id)
        .limit(limit)
        .with_for_update(skip_locked=True)
    ).all()


def _document(pairs: dict[int, int]) -> str:
    return document({"id": id, "original": original} for id, original in pairs.items())
