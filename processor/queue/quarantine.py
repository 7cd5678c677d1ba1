"""A row that breaks every claim that meets it must not stop the queue: find it, and fail it alone as `malformed`.

The constraints of the table keep such rows out. But they can be switched off for a session (MariaDB's
`check_constraint_checks`, SQLite's `ignore_check_constraints`), and a user's own trigger may refuse what it likes; so a
row may be there whose every UPDATE is refused. It is looked for when a claim was refused: what the claim does is done
to one row at a time, and taken back.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from sqlalchemy import Connection, select

from models import jobs, now
from processor.db.database import Database
from processor.db.dialects import Dialect
from processor.errors import ValuesRefused
from processor.lifecycle import Reason, Status
from processor.queue import states
from processor.queue.deliveries import announce
from processor.queue.notifications import notify
from processor.queue.upkeep import Notifies
from processor.queue.where import is_

_REPAIRED = {"attempt": 0, "crashes": 0, "max_attempts": None, "timeout_seconds": None, "priority": 0}
"""Columns with a range, put inside it: without that the final state could not be written either."""


@dataclass(frozen=True, slots=True)
class Misfit:
    """A pending row that cannot be claimed; `failed` says that it could be marked so and is out of the way."""

    id: int
    type: str
    error: str
    failed: bool


class _Undo(Exception):
    """Takes a trial back."""


def find_misfits(
    database: Database, ids: Sequence[int], claim_one: Callable[[Connection, int], object], notifies: Notifies
) -> list[Misfit]:
    """Try to claim each of these rows alone, without keeping it; fail those that the database refuses.

    A trigger of the user's own may think better of it: what it refuses is not failed, only passed over. Where it
    refuses every row, none is to blame.
    """

    def mark(connection: Connection, job_id: int, error: str) -> None:
        _mark(connection, database.dialect, job_id, error, notifies)

    refused = [(job_id, _refusal(database, partial(_try, job_id=job_id, claim_one=claim_one))) for job_id in ids]
    found = [(job_id, refusal) for job_id, refusal in refused if refusal is not None]
    if len(found) == len(ids) > 1 and all(refusal.by_trigger for _, refusal in found):
        return []  # it is no row's fault: somebody lets nothing start just now
    misfits = []
    for job_id, refusal in found:
        error = refusal.message
        failed = not refusal.by_trigger and _refusal(database, partial(mark, job_id=job_id, error=error)) is None
        misfits.append(Misfit(job_id, _type_of(database, job_id), error, failed))
    return misfits


def _refusal(database: Database, verb: Callable[[Connection], None]) -> ValuesRefused | None:
    """Do something to a row; give the database's refusal, or None."""
    try:
        database.write(verb)
    except _Undo:
        return None
    except ValuesRefused as refusal:
        return refusal
    return None


def _try(connection: Connection, job_id: int, claim_one: Callable[[Connection, int], object]) -> None:
    if _lock(connection, job_id) is not None:
        claim_one(connection, job_id)
    raise _Undo


def _mark(connection: Connection, dialect: Dialect, job_id: int, error: str, notifies: Notifies) -> None:
    row = _lock(connection, job_id)
    if row is None:
        return  # somebody was faster
    final: dict[str, Any] = {"status": Status.FAILED.value, "reason": Reason.MALFORMED.value}
    message = f"The row cannot be claimed. {error}"
    words = {"error_type": "RowRefused", "error_message": message}
    states.move(connection, dialect, [job_id], {**final, **words, "finished_at": now(), **_REPAIRED})
    if notifies(row.type, Status.FAILED):
        notify(connection, dialect, [{"job_id": job_id, **row._mapping, **final, "message": message}])
    announce(connection, dialect, [job_id])


def _lock(connection: Connection, job_id: int) -> Any:
    columns = (jobs.c.type, jobs.c.owner, jobs.c.subject)
    pending = select(*columns).where(jobs.c.id == job_id, is_(Status.PENDING)).with_for_update(skip_locked=True)
    return connection.execute(pending).first()


def _type_of(database: Database, job_id: int) -> str:
    with database.read() as connection:
        return connection.execute(select(jobs.c.type).where(jobs.c.id == job_id)).scalar_one_or_none() or ""
