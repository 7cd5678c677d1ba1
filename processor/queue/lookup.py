"""Read: one job with its whole life, lists with filters, counts for metrics. Nothing here changes a row."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, case, func, or_, select

from models import job_errors, job_events, job_types, jobs, notifications, now, processors
from processor.db.database import Database
from processor.errors import NotFound
from processor.lifecycle import FINAL, Status
from processor.queue.where import is_, is_one_of

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Filter:
    """Which jobs: every field that is given narrows. Ages are in seconds, by the database's clock."""

    statuses: tuple[Status, ...] = ()
    types: tuple[str, ...] = ()
    owner: str | None = None
    subject: str | None = None
    key: str | None = None
    older_than: float | None = None
    newer_than: float | None = None
    ids: tuple[int, ...] = ()
    parent_id: int | None = None

    def conditions(self, database: Database) -> list[ColumnElement[bool]]:
        wanted: list[ColumnElement[bool]] = []
        if self.ids:
            wanted.append(jobs.c.id.in_(self.ids))
        if self.statuses:
            wanted.append(is_one_of(self.statuses))
        if self.types:
            wanted.append(jobs.c.type.in_(self.types))
        wanted += [jobs.c[name] == getattr(self, name) for name in ("owner", "subject", "key") if getattr(self, name)]
        if self.parent_id is not None:
            wanted.append(jobs.c.parent_id == self.parent_id)
        if self.older_than is not None:
            wanted.append(jobs.c.created_at < database.dialect.after(-self.older_than))
        if self.newer_than is not None:
            wanted.append(jobs.c.created_at >= database.dialect.after(-self.newer_than))
        return wanted


SUMMARY = (
    "id",
    "type",
    "status",
    "reason",
    "priority",
    "owner",
    "subject",
    "key",
    "attempt",
    "progress",
    "progress_message",
    "created_at",
    "run_at",
    "started_at",
    "finished_at",
    "error_type",
    "error_message",
)


def jobs_page(database: Database, which: Filter, *, limit: int = 50, before_id: int | None = None) -> list[Row]:
    """Read jobs, newest first; `before_id` continues after the last id of the page before."""
    statement = _summaries(database).where(*which.conditions(database)).order_by(jobs.c.id.desc()).limit(limit)
    if before_id is not None:
        statement = statement.where(jobs.c.id < before_id)
    return _rows(database, statement)


def _summaries(database: Database) -> Select[Any]:
    return select(*(jobs.c[name] for name in SUMMARY), _seconds(database))


def _seconds(database: Database) -> Any:
    """How long the latest attempt ran, or has been running."""
    since = database.dialect.seconds_since
    ran = since(jobs.c.started_at) - func.coalesce(since(jobs.c.finished_at), 0.0)
    return case((or_(is_(Status.RUNNING), jobs.c.finished_at.is_not(None)), ran)).label("seconds")


def job(database: Database, job_id: int) -> Row:
    """Read one job with all its columns. Raises `NotFound`."""
    rows = _rows(database, select(*jobs.c, _seconds(database)).where(jobs.c.id == job_id))
    if not rows:
        raise NotFound(f"There is no job {job_id}.", "See `jobtable list`.")
    return rows[0]


def children(database: Database, job_id: int) -> dict[str, int]:
    """Count the children of a job by their status."""
    statement = select(jobs.c.status, func.count()).where(jobs.c.parent_id == job_id).group_by(jobs.c.status)
    with database.read() as connection:
        return dict(map(tuple, connection.execute(statement)))


def errors(database: Database, job_id: int) -> list[Row]:
    """Read the failed attempts of a job, oldest first."""
    return _rows(database, select(*job_errors.c).where(job_errors.c.job_id == job_id).order_by(job_errors.c.id))


def events(database: Database, job_id: int, *, after: int = 0, limit: int = 1000) -> list[Row]:
    """Read what a job told, in order, after the event with this number."""
    return _rows(
        database,
        select(*job_events.c)
        .where(job_events.c.job_id == job_id, job_events.c.number > after)
        .order_by(job_events.c.number)
        .limit(limit),
    )


def notifications_page(
    database: Database,
    *,
    unread: bool = False,
    owner: str | None = None,
    job_id: int | None = None,
    limit: int = 50,
) -> list[Row]:
    """Read notifications, newest first."""
    statement = select(*notifications.c).order_by(notifications.c.id.desc()).limit(limit)
    if unread:
        statement = statement.where(notifications.c.read_at.is_(None))
    if owner is not None:
        statement = statement.where(notifications.c.owner == owner)
    if job_id is not None:
        statement = statement.where(notifications.c.job_id == job_id)
    return _rows(database, statement)


def has_notification(database: Database, id: int, *, owner: str | None = None) -> bool:
    """Tell whether a notification is there, for this owner where one is given."""
    statement = select(notifications.c.id).where(notifications.c.id == id)
    if owner is not None:
        statement = statement.where(notifications.c.owner == owner)
    return bool(_rows(database, statement))


def processors_page(database: Database, *, everyone: bool = False, limit: int = 50) -> list[Row]:
    """Read processors, newest first; only those that count as alive unless `everyone`."""
    since = database.dialect.seconds_since
    running = (
        select(func.count())
        .select_from(jobs)
        .where(is_(Status.RUNNING), jobs.c.processor_id == processors.c.id)
        .scalar_subquery()
    )
    statement = (
        select(
            *processors.c,
            since(processors.c.beat_at).label("beat_age_seconds"),
            (processors.c.lease_until < now()).label("lease_over"),
            running.label("running"),
        )
        .order_by(processors.c.started_at.desc())
        .limit(limit)
    )
    if not everyone:
        statement = statement.where(processors.c.status.in_(("live", "draining")))
    return _rows(database, statement)


def types(database: Database) -> list[Row]:
    """Read what people set for types."""
    paused = or_(job_types.c.paused, and_(job_types.c.paused_until.is_not(None), job_types.c.paused_until > now()))
    statement = select(*job_types.c, paused.label("is_paused")).order_by(job_types.c.name)
    return _rows(database, statement)


def active(database: Database) -> dict[tuple[str, str], int]:
    """Count the jobs that are not final, by (status, type), from the partial indexes."""
    counted: dict[tuple[str, str], int] = {}
    with database.read() as connection:
        for status in [status for status in Status if status not in FINAL]:
            statement = select(jobs.c.type, func.count()).where(is_(status)).group_by(jobs.c.type)
            counted |= {(status.value, type_): count for type_, count in connection.execute(statement)}
    return counted


def counts(database: Database, which: Filter) -> dict[tuple[str, str], int]:
    """Count jobs by (type, status)."""
    statement = (
        select(jobs.c.type, jobs.c.status, func.count())
        .where(*which.conditions(database))
        .group_by(jobs.c.type, jobs.c.status)
    )
    with database.read() as connection:
        return {(type_, status): count for type_, status, count in connection.execute(statement)}


def oldest_due(database: Database) -> dict[str, float]:
    """Read how long the oldest due row of each type has been waiting, in seconds."""
    waiting = database.dialect.seconds_since(func.coalesce(jobs.c.run_at, jobs.c.created_at))
    statement = select(jobs.c.type, func.max(waiting)).where(is_(Status.PENDING)).group_by(jobs.c.type)
    with database.read() as connection:
        return {type_: max(0.0, float(seconds or 0.0)) for type_, seconds in connection.execute(statement)}


def database_now(database: Database) -> datetime:
    """Read the database's clock."""
    with database.read() as connection:
        instant: datetime = connection.execute(select(now())).scalar_one()
    return instant


def _rows(database: Database, statement: Select[Any]) -> list[Row]:
    with database.read() as connection:
        return [dict(row._mapping) for row in connection.execute(statement)]
