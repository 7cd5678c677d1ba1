"""What a claim writes into a row and reads of it, whichever way the row was chosen."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Select, bindparam, case, cast, func, select, update

from models import jobs, now, processors
from models.types import Identity, LongText, Name
from processor.db.dialects import Dialect
from processor.lifecycle import Status
from processor.queue import states
from processor.queue.where import is_


@dataclass(frozen=True, slots=True)
class ClaimedJob:
    """A job that is ours. `payload` is JSON text, None where it is larger than allowed (`payload_bytes` says it)."""

    id: int
    claim_no: int
    type: str
    attempt: int
    payload: str | None
    payload_bytes: int
    max_attempts: int | None
    timeout_seconds: float | None
    owner: str | None
    key: str | None
    subject: str | None
    concurrency_key: str | None
    crashes: int
    trace_parent: str | None
    expired: bool
    wait_seconds: float


def alive() -> Select[Any]:
    """Read the processor `claimant` if it may claim."""
    return select(processors.c.id).where(
        processors.c.id == bindparam("claimant", type_=Name),
        processors.c.status == "live",
        processors.c.lease_until > now(),
    )


def running() -> dict[Any, Any]:
    """Give what a claim writes; `claimant` and `number` are given when it is sent."""
    return {
        jobs.c.status: Status.RUNNING.value,
        jobs.c.reason: None,
        jobs.c.attempt: jobs.c.attempt + 1,
        jobs.c.processor_id: bindparam("claimant", type_=Name),
        jobs.c.claim_no: bindparam("number", type_=Identity),
        jobs.c.started_at: now(),
        jobs.c.progress: None,
        jobs.c.progress_message: None,
        **states.NUMBERED,
    }


def columns(dialect: Dialect, max_payload_bytes: int) -> tuple[Any, ...]:
    """Give what is read of a claimed row: after the order of claims, the fields of `ClaimedJob` in their order."""
    size = dialect.bytes_of(jobs.c.payload)
    return (
        jobs.c.id,
        jobs.c.type,
        jobs.c.priority,
        jobs.c.created_at,
        jobs.c.attempt,
        case((size <= max_payload_bytes, cast(jobs.c.payload, LongText))).label("payload"),
        size.label("payload_bytes"),
        jobs.c.max_attempts,
        jobs.c.timeout_seconds,
        jobs.c.owner,
        jobs.c.key,
        jobs.c.subject,
        jobs.c.concurrency_key,
        jobs.c.crashes,
        jobs.c.trace_parent,
        func.coalesce(jobs.c.expires_at <= now(), False).label("expired"),
        dialect.seconds_since(func.coalesce(jobs.c.run_at, jobs.c.created_at)).label("wait_seconds"),
    )


def take(
    connection: Connection,
    dialect: Dialect,
    ids: Sequence[int],
    claim: dict[str, Any],
    max_payload_bytes: int,
) -> Sequence[Any]:
    """Make locked rows running, for the `claimant` and `number` of a claim, and read them."""
    if not ids:
        return []
    mine = jobs.c.id.in_(ids)
    connection.execute(update(jobs).where(mine, is_(Status.PENDING)).values(running()), claim)
    states.tell(connection, dialect, ids)
    return connection.execute(select(*columns(dialect, max_payload_bytes)).where(mine)).all()


def rank(row: Any) -> tuple[int, datetime, int]:
    """Give the place of a row in the order of claims; it begins with id, type, priority, created_at."""
    return (-row[2], row[3], row[0])


def order(rows: Any) -> tuple[Any, ...]:
    """Give the order of claims, for a statement."""
    return (rows.c.priority.desc(), rows.c.created_at, rows.c.id)


def claimed(row: Any, claim_no: int) -> ClaimedJob:
    """Take a row of `columns` apart at once: sixteen look-ups by name would cost more than the rest of a claim."""
    id, type, _, _, attempt, *facts, expired, wait_seconds = row
    facts += [bool(expired), max(0.0, float(wait_seconds))]
    return ClaimedJob(id, claim_no, type, attempt, *facts)
