"""Store what running jobs tell: progress on the row, log lines and output as numbered events.

One transaction for all jobs that said something since the last time. It is fenced like a settle: what a stale worker
says is not written. Numbers are taken from the job's row, so they have no gaps and no two writers can take the same.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from sqlalchemy import Connection, and_, case, insert, select, update

from models import job_events, jobs
from processor.db.database import Database
from processor.db.dialects import INTEGER, NUMBER, TEXT, Dialect, document, letters
from processor.lifecycle import Status
from processor.queue.where import is_

EVENT_LETTERS = 150
"""What an event takes in a statement beside its text."""


@dataclass(frozen=True, slots=True)
class Event:
    kind: str
    level: str | None = None
    percent: float | None = None
    text: str | None = None


@dataclass(frozen=True, slots=True)
class Told:
    """What one job said since the last time, and the claim under which it runs."""

    job_id: int
    processor_id: str
    claim_no: int
    attempt: int
    events: tuple[Event, ...]

    @property
    def size(self) -> int:
        """Roughly how many letters are to be written."""
        return sum(EVENT_LETTERS + letters(event.text or "") for event in self.events)

    @property
    def progress(self) -> Event | None:
        return next((event for event in reversed(self.events) if event.kind == "progress"), None)


def store(database: Database, told: Sequence[Told]) -> list[Told]:
    """Store events and progress of several jobs; give back what belongs to rows that others hold locked just now."""

    def verb(connection: Connection) -> list[Told]:
        first = _take_numbers(connection, database.dialect, told)
        rows = [
            _event_row(one, event, first[one.job_id] + offset)
            for one in told
            if one.job_id in first
            for offset, event in enumerate(one.events)
        ]
        if rows:
            connection.execute(_insert(database.dialect), {"given": document(rows)})
        return _held(connection, database.dialect, told, first) if len(first) < len(told) else []

    return database.write(verb) if told else []


def _take_numbers(connection: Connection, dialect: Dialect, told: Sequence[Told]) -> dict[int, int]:
    """Lock the jobs that are still ours, take their next numbers and set their progress; give the first number each."""
    given = {"given": document(map(_told_row, told)), "ids": [one.job_id for one in told]}
    latest = connection.execute(_lock(dialect), given).all()
    if latest:
        connection.execute(_update(dialect), {**given, "ids": [row.id for row in latest]})
    return {row.id: row.event_no + 1 for row in latest}


def _held(connection: Connection, dialect: Dialect, told: Sequence[Told], taken: Collection[int]) -> list[Told]:
    """Give what could not be written although it is ours: somebody else has locked the row."""
    given = {"given": document(map(_told_row, told)), "ids": [one.job_id for one in told]}
    held = set(connection.execute(_ours(dialect), given).scalars()) - set(taken)
    return [one for one in told if one.job_id in held]


_TOLD = {
    "id": INTEGER,
    "processor_id": TEXT,
    "claim_no": INTEGER,
    "count": INTEGER,
    "percent": NUMBER,
    "message": TEXT,
}


def _told_row(one: Told) -> dict[str, Any]:
    progress = one.progress
    return {
        "id": one.job_id,
        "processor_id": one.processor_id,
        "claim_no": one.claim_no,
        "count": len(one.events),
        "percent": progress.percent if progress else None,
        "message": progress.text if progress else None,
    }


@cache
def _ours(dialect: Dialect) -> Any:
    given = dialect.table(_TOLD)
    return select(jobs.c.id).join(given, _is_ours(dialect, given))


@cache
def _lock(dialect: Dialect) -> Any:
    given = dialect.table(_TOLD)
    ours = select(jobs.c.id, jobs.c.event_no).join(given, _is_ours(dialect, given))
    return ours.order_by(jobs.c.id).with_for_update(of=jobs, skip_locked=True)


@cache
def _update(dialect: Dialect) -> Any:
    given = dialect.table(_TOLD)
    return (
        update(jobs)
        .where(_is_ours(dialect, given))
        .values(
            {
                jobs.c.event_no: jobs.c.event_no + given.c.count,
                jobs.c.progress: case((given.c.percent.is_not(None), given.c.percent), else_=jobs.c.progress),
                jobs.c.progress_message: case(
                    (given.c.message.is_not(None), given.c.message), else_=jobs.c.progress_message
                ),
            }
        )
    )


def _is_ours(dialect: Dialect, given: Any) -> Any:
    return and_(
        jobs.c.id == given.c.id,
        jobs.c.processor_id == given.c.processor_id,
        jobs.c.claim_no == given.c.claim_no,
        is_(Status.RUNNING),
        dialect.among(jobs.c.id),
    )


_EVENT = {
    "job_id": INTEGER,
    "number": INTEGER,
    "attempt": INTEGER,
    "kind": TEXT,
    "level": TEXT,
    "percent": NUMBER,
    "text": TEXT,
}


def _event_row(one: Told, event: Event, number: int) -> dict[str, Any]:
    return {
        "job_id": one.job_id,
        "number": number,
        "attempt": one.attempt,
        "kind": event.kind,
        "level": event.level,
        "percent": event.percent,
        "text": event.text,
    }


@cache
def _insert(dialect: Dialect) -> Any:
    given = dialect.table(_EVENT)
    return insert(job_events).from_select(list(_EVENT), select(given).order_by(given.c.job_id, given.c.number))
