"""What waits and why: by type, state and reason, with the oldest job of each and what the claim says of it.

Reading why asks as the claim does, job by job; so it is read of the largest few groups, and of each for one job.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Select, func, literal_column, null, select, union_all

from models import jobs
from processor.db.database import Database
from processor.errors import NotFound
from processor.lifecycle import NOT_STARTED, Status
from processor.queue.explain import Finding, explain
from processor.queue.lookup import Filter
from processor.queue.where import is_

EXPLAINED = 8
"""Groups of which is said why."""
SHOWN = 50
WAITS = tuple(status for status in Status if status in NOT_STARTED)


@dataclass(frozen=True, slots=True)
class Group:
    """Jobs of one type that wait in one state for one reason; of pending ones no reason is told.

    `why` says what keeps the oldest; None: nobody asked.
    """

    type: str
    status: str
    reason: str | None
    jobs: int
    oldest: int
    since: datetime
    why: tuple[Finding, ...] | None = None


def backlog(database: Database, *, owner: str | None = None, max_payload_bytes: int = 1024**2) -> list[Group]:
    """Read what waits, the largest groups first."""
    groups = _groups(database, owner)
    return [
        Group(*group, _why(database, group[4], max_payload_bytes) if place < EXPLAINED else None)
        for place, group in enumerate(groups)
    ]


def _groups(database: Database, owner: str | None) -> list[tuple[str, str, str | None, int, int, datetime]]:
    wanted = Filter(owner=owner).conditions(database)
    rows = union_all(*(_of(status).where(*wanted) for status in WAITS)).subquery()
    statement = (
        select(rows.c.type, rows.c.status, rows.c.reason, rows.c.number, rows.c.oldest, jobs.c.created_at)
        .join(jobs, jobs.c.id == rows.c.oldest)
        .order_by(rows.c.number.desc(), rows.c.oldest)
        .limit(SHOWN)
    )
    with database.read() as connection:
        return [tuple(row) for row in connection.execute(statement)]


def _of(status: Status) -> Select[Any]:
    """Count by type and reason. Of what is due the index alone is read, and it has no reasons."""
    reason = null() if status is Status.PENDING else jobs.c.reason
    columns: list[ColumnElement[Any]] = [
        jobs.c.type,
        literal_column(f"'{status.value}'").label("status"),
        reason.label("reason"),
    ]
    sums = (func.count().label("number"), func.min(jobs.c.id).label("oldest"))
    by = (jobs.c.type,) if status is Status.PENDING else (jobs.c.type, jobs.c.reason)
    return select(*columns, *sums).where(is_(status)).group_by(*by)


def _why(database: Database, job_id: int, max_payload_bytes: int) -> tuple[Finding, ...] | None:
    try:
        return explain(database, job_id, max_payload_bytes=max_payload_bytes).findings
    except NotFound:  # it was deleted meanwhile
        return None
