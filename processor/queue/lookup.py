"""Read: one job with its whole life, lists with filters, counts for metrics. Nothing here changes a row."""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, case, func, literal_column, or_, select, union_all

from models import job_errors, job_events, job_types, jobs, notifications, now, processors
from processor.db.database import Database
from processor.errors import NotFound
from processor.lifecycle import FINAL, Status
from processor.queue.states import STATE
from processor.queue.where import is_, is_one_of

Row = dict[str, Any]

TEXT_COLUMNS = ("type", "subject", "key", "owner", "error_message")
TEXT_REACH = 10_000
"""Rows in which one page looks for a text: no index finds a part of a word, and the whole table would take seconds."""


@dataclass(frozen=True, slots=True)
class Filter:
    """Which jobs: every field that is given narrows. Ages are in seconds, by the database's clock.

    `text` is a part of one of the `TEXT_COLUMNS`, in capitals or not (on SQLite of ASCII letters only). The instants
    are aware; `run_later` leaves those whose time has not come.
    """

    statuses: tuple[Status, ...] = ()
    types: tuple[str, ...] = ()
    owner: str | None = None
    subject: str | None = None
    key: str | None = None
    older_than: float | None = None
    newer_than: float | None = None
    ids: tuple[int, ...] = ()
    parent_id: int | None = None
    text: str | None = None
    created_after: datetime | None = None
    created_before: datetime | None = None
    run_later: bool = False

    def conditions(self, database: Database) -> list[ColumnElement[bool]]:
        wanted: list[ColumnElement[bool]] = []
        if self.ids:
            wanted.append(jobs.c.id.in_(self.ids))
        if self.statuses:
            wanted.append(is_one_of(self.statuses))
        if self.types:
            wanted.append(jobs.c.type.in_(self.types))
        wanted += [
            jobs.c[name] == getattr(self, name)
            for name in ("owner", "subject", "key", "parent_id")
            if getattr(self, name) is not None
        ]
        if self.text is not None:
            wanted.append(has_text(jobs, self.text))
        if self.run_later:
            wanted.append(or_(is_(Status.SCHEDULED), and_(is_(Status.PENDING), jobs.c.run_at > now())))
        return wanted + self._ages(database)

    def _ages(self, database: Database) -> list[ColumnElement[bool]]:
        after = database.dialect.after
        earliest = [self.created_after, None if self.newer_than is None else after(-self.newer_than)]
        latest = [self.created_before, None if self.older_than is None else after(-self.older_than)]
        return [
            *(jobs.c.created_at >= instant for instant in earliest if instant is not None),
            *(jobs.c.created_at < instant for instant in latest if instant is not None),
        ]


def has_text(rows: Any, text: str) -> ColumnElement[bool]:
    """State that a text is a part of one of the `TEXT_COLUMNS`."""
    return or_(*(rows.c[name].icontains(text, autoescape=True) for name in TEXT_COLUMNS))


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


def jobs_page(
    database: Database, which: Filter, *, limit: int = 50, before_id: int | None = None, floor: int | None = None
) -> list[Row]:
    """Read jobs, newest first; `before_id` continues after the last id of the page before.

    With a text a page may be short, or empty, and yet not the last: `text_floor` tells where to go on. Who goes on
    gives it as `floor` (0: none): rows that come and go between two looks would move it.
    """
    statement = _newest_first(summaries(database), database, which, before_id).limit(limit)
    if floor is None:
        floor = text_floor(database, which, before_id=before_id)
    if floor:
        statement = statement.where(jobs.c.id >= floor)
    return rows_of(database, statement)


def text_floor(database: Database, which: Filter, *, before_id: int | None = None) -> int | None:
    """Give the id down to which a page looks for a text: it looks in `TEXT_REACH` rows that the other fields find.

    None: there are no more rows than that, or no text is looked for.
    """
    if which.text is None:
        return None
    others = _newest_first(select(jobs.c.id), database, replace(which, text=None), before_id)
    with database.read() as connection:
        looked_at = connection.execute(others.limit(2).offset(TEXT_REACH - 1)).scalars().all()
    return looked_at[0] if len(looked_at) > 1 else None


def _newest_first(statement: Select[Any], database: Database, which: Filter, before_id: int | None) -> Select[Any]:
    below = () if before_id is None else (jobs.c.id < before_id,)
    return statement.where(*which.conditions(database), *below).order_by(jobs.c.id.desc())


def summaries(database: Database) -> Select[Any]:
    """Begin a statement that reads the columns of `SUMMARY` and how long the latest attempt ran."""
    return select(*(jobs.c[name] for name in SUMMARY), _seconds(database))


def _seconds(database: Database) -> Any:
    """How long the latest attempt ran, or has been running."""
    since = database.dialect.seconds_since
    ran = since(jobs.c.started_at) - func.coalesce(since(jobs.c.finished_at), 0.0)
    return case((or_(is_(Status.RUNNING), jobs.c.finished_at.is_not(None)), ran)).label("seconds")


def job(database: Database, job_id: int, owner: str | None = None) -> Row:
    """Read one job (of an owner) with all its columns. Raises `NotFound`."""
    rows = _lives(database, Filter(ids=(job_id,), owner=owner))
    if not rows:
        raise NotFound(f"There is no job {job_id}.", "See `jobtable list`.")
    return rows[0]


def latest_of(database: Database, subject: str, owner: str | None = None, type_: str | None = None) -> Row:
    """Read the latest job about a subject with all its columns. Raises `NotFound`."""
    types = () if type_ is None else (type_,)
    rows = _lives(database, Filter(subject=subject, owner=owner, types=types))
    if not rows:
        raise NotFound(f"There is no job about {subject!r}.", "See `jobtable list`.")
    return rows[0]


def _lives(database: Database, which: Filter) -> list[Row]:
    """Read all columns of the newest job that is found."""
    return rows_of(database, _newest_first(select(*jobs.c, _seconds(database)), database, which, None).limit(1))


def children(database: Database, job_id: int) -> dict[str, int]:
    """Count the children of a job by their status."""
    statement = select(jobs.c.status, func.count()).where(jobs.c.parent_id == job_id).group_by(jobs.c.status)
    with database.read() as connection:
        return dict(map(tuple, connection.execute(statement)))


def errors(database: Database, job_id: int) -> list[Row]:
    """Read the failed attempts of a job, oldest first."""
    return rows_of(database, select(*job_errors.c).where(job_errors.c.job_id == job_id).order_by(job_errors.c.id))


def events(database: Database, job_id: int, *, after: int = 0, limit: int = 1000, states: bool = True) -> list[Row]:
    """Read what a job told, in order, after the event with this number; with or without its changes of state."""
    told = () if states else (job_events.c.kind != STATE,)
    return rows_of(
        database,
        select(*job_events.c)
        .where(job_events.c.job_id == job_id, job_events.c.number > after, *told)
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
    before_id: int | None = None,
) -> list[Row]:
    """Read notifications, newest first; `before_id` continues after the last id of the page before."""
    statement = select(*notifications.c).order_by(notifications.c.id.desc()).limit(limit)
    if unread:
        statement = statement.where(notifications.c.read_at.is_(None))
    if owner is not None:
        statement = statement.where(notifications.c.owner == owner)
    if job_id is not None:
        statement = statement.where(notifications.c.job_id == job_id)
    if before_id is not None:
        statement = statement.where(notifications.c.id < before_id)
    return rows_of(database, statement)


def has_notification(database: Database, id: int, *, owner: str | None = None) -> bool:
    """Tell whether a notification is there, for this owner where one is given."""
    statement = select(notifications.c.id).where(notifications.c.id == id)
    if owner is not None:
        statement = statement.where(notifications.c.owner == owner)
    return bool(rows_of(database, statement))


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
    return rows_of(database, statement)


def types(database: Database) -> list[Row]:
    """Read what people set for types."""
    paused = or_(job_types.c.paused, and_(job_types.c.paused_until.is_not(None), job_types.c.paused_until > now()))
    statement = select(*job_types.c, paused.label("is_paused")).order_by(job_types.c.name)
    return rows_of(database, statement)


def active(database: Database, which: Filter | None = None) -> dict[tuple[str, str], int]:
    """Count the jobs that are not final, by (status, type), from the partial indexes."""
    wanted = [] if which is None else which.conditions(database)
    of_each = [
        select(literal_column(f"'{status.value}'"), jobs.c.type, func.count())
        .where(is_(status), *wanted)
        .group_by(jobs.c.type)
        for status in Status
        if status not in FINAL
    ]
    with database.read() as connection:
        return {(status, type_): number for status, type_, number in connection.execute(union_all(*of_each))}


def count(database: Database, which: Filter) -> int:
    """Count jobs."""
    statement = select(func.count()).select_from(jobs).where(*which.conditions(database))
    with database.read() as connection:
        return int(connection.execute(statement).scalar_one())


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


def rows_of(database: Database, statement: Select[Any]) -> list[Row]:
    """Read rows, each by the names of its columns."""
    with database.read() as connection:
        return [dict(row._mapping) for row in connection.execute(statement)]
