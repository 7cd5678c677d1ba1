"""What follows a job: when it ends, a job of the type that it names for this is made, in the same transaction."""

import json
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, and_, case, cast, or_, select
from sqlalchemy.exc import DBAPIError

from models import jobs
from models.types import LongText
from processor.db.database import is_refusal, one_line
from processor.db.dialects import Dialect
from processor.lifecycle import Status
from processor.queue.enqueue import NewJob, insert_jobs
from processor.queue.where import is_

TOLD_BYTES = 512 * 1024
"""A result that is larger is not told to what follows: half of the payload that is allowed by default."""


@dataclass(slots=True)
class Made:
    """How many jobs follow, and why others do not."""

    count: int = 0
    refusals: list[str] = field(default_factory=list)

    def __add__(self, other: "Made") -> "Made":
        return Made(self.count + other.count, self.refusals + other.refusals)


def follow_up(connection: Connection, dialect: Dialect, ended: Collection[int]) -> Made:
    """Make the jobs that follow these, which ended in the caller's transaction; nothing follows a cancelled one.

    What the database refuses must not cost the end itself: it is tried without the result, then left out and said.
    """
    made = Made()
    if not ended:
        return made
    small = dialect.bytes_of(jobs.c.result) <= TOLD_BYTES
    follows = case((is_(Status.COMPLETED), jobs.c.on_complete), else_=jobs.c.on_failure).label("follows")
    rows = connection.execute(
        select(
            jobs.c.id,
            jobs.c.type,
            jobs.c.status,
            jobs.c.reason,
            jobs.c.priority,
            jobs.c.owner,
            jobs.c.subject,
            jobs.c.error_message,
            case((small, cast(jobs.c.result, LongText))).label("result"),
            dialect.bytes_of(jobs.c.result).label("result_bytes"),
            follows,
        ).where(
            jobs.c.id.in_(sorted(ended)),
            or_(
                and_(is_(Status.COMPLETED), jobs.c.on_complete.is_not(None)),
                and_(is_(Status.FAILED), jobs.c.on_failure.is_not(None)),
            ),
        )
    ).all()
    if rows and insert_or_refuse(connection, dialect, [_next(row, row.result) for row in rows]) is None:
        made.count = len(rows)
        return made
    for row in rows:
        refusal = None
        for result in (row.result, None):  # one level of JSON deeper is one too many, perhaps
            refusal = insert_or_refuse(connection, dialect, [_next(row, result)])
            if refusal is None:
                made.count += 1
                break
        if refusal is not None:
            made.refusals.append(f"What follows job {row.id} (type {row.follows!r}) was not made: {refusal}")
    return made


def insert_or_refuse(connection: Connection, dialect: Dialect, new: list[NewJob]) -> str | None:
    """Insert jobs, or say why the database refuses them."""
    try:
        with connection.begin_nested():
            insert_jobs(connection, dialect, new)
    except DBAPIError as error:
        if not is_refusal(dialect, error):
            raise
        return one_line(error)
    return None


def _next(row: Any, result: str | None) -> NewJob:
    """Put a job together that follows; the result goes in as it is written, letter by letter."""
    told = {name: getattr(row, name) for name in ("type", "status", "reason", "error_message")}
    payload = json.dumps({"job_id": row.id, **told})
    if result is None and row.result_bytes:
        result = f'null, "result_bytes": {row.result_bytes}'
    payload = f'{payload[:-1]}, "result": {result or "null"}}}'
    return NewJob(row.follows, payload, row.priority, owner=row.owner, subject=row.subject)
