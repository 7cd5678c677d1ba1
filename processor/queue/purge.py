"""Delete what is over and old: ended jobs with all that was told of them, notifications, processors that ended.

A walk goes through the rows of one kind, oldest first, by an index. Each bite reads a few hundred rows without a lock,
then deletes those that are old enough in one short transaction that skips what others hold. A walk remembers where it
is, so that rows which stay (kept for longer, or still needed) are read once in a walk and not with every bite.

A job is never deleted while its outcome matters:

* its parent, or one of its children, has not ended;
* a job waits for its result, or was there before it ended with the same key and is still to run;
* its notification is unread, and younger than notifications are kept.

What the database refuses to delete (a trigger or a foreign key of the user's) is found by halving and passed over.
"""

import json
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Integer,
    Select,
    and_,
    case,
    delete,
    func,
    literal,
    literal_column,
    or_,
    select,
    tuple_,
    type_coerce,
)
from sqlalchemy.types import NullType

from models import job_events, jobs, notifications, processors
from processor.db.database import Database
from processor.errors import ValuesRefused
from processor.lifecycle import FINAL, Status
from processor.queue.keeping import FOREVER, KINDS, NOTIFICATIONS, Keeps
from processor.queue.where import is_, is_final

BITE = 200
"""Rows of one bite; what a bite costs is measured in docs/retention.md."""
SMALLEST = 20
"""Rows of a bite where deleting is slow; fewer only where something is refused."""
SLOW = 0.05
"""Seconds of deleting, without the commit, after which the next bite is half as large."""
MOST_EVENTS = 5_000
"""Events and errors that go with one bite; of a job with more, events are deleted before it, so many at once."""
PROCESSORS_KEPT = 30 * 86_400.0
"""Seconds for which the row of a processor that ended is kept: it tells which types are run elsewhere."""
LONGEST = 2.0e9
"""Seconds that stand for ever in a statement: 63 years."""
_ENDED_AT: Any = type_coerce(jobs.c.finished_at, NullType())
"""As the database gives it, to be sent back as it is: SQLite compares texts, with or without a fraction."""
_FIRST: Any = literal_column("1")


@dataclass(slots=True)
class Walk:
    """A way through the rows of one kind, oldest first; `after` is the last row that it left behind."""

    kind: str
    size: int = BITE
    after: tuple[Any, int] | None = None
    over: bool = False


@dataclass(frozen=True, slots=True)
class Bite:
    """What one bite did: rows it deleted; rows past their time that are still needed; why one cannot be deleted."""

    deleted: int = 0
    needed: int = 0
    refusal: str | None = None


def walks() -> list[Walk]:
    """Give a walk for each kind of rows."""
    return [Walk(kind) for kind in KINDS]


def bite(database: Database, walk: Walk, keeps: Keeps, *, dry: bool = False) -> Bite:
    """Take the next bite of a walk; `dry` counts what would be deleted. Raises `DatabaseUnreachable`."""
    read = _next(database, walk, keeps)
    rows = read if dry else _with_few_events(read)
    old = [row for row in rows if row.age is not None and row.age >= keeps.of(row.type, walk.kind)]
    free = [row for row in old if not row.needed]
    deleted, refusal, spent = len(free), None, 0.0
    if free and not dry:
        try:
            if free[0].events > MOST_EVENTS and _thin_out(database, walk, free[0], keeps):
                return Bite()
            deleted, spent = database.write(lambda connection: _delete(connection, database, walk, free, keeps))
        except ValuesRefused as error:
            if len(free) > 1:
                walk.size = max(1, len(rows) // 2)
                return Bite()
            deleted, refusal = 0, error.message
    young = walk.kind == NOTIFICATIONS and bool(read) and read[-1].age < keeps.shortest(walk.kind)
    walk.over = rows is read and (len(read) < walk.size or young)
    if rows:
        walk.after = (rows[-1].at, rows[-1].id)
    walk.size = max(min(walk.size, SMALLEST), walk.size // 2) if spent > SLOW else min(walk.size * 2, BITE)
    return Bite(deleted, len(old) - len(free), refusal)


def _with_few_events(rows: Sequence[Any]) -> Sequence[Any]:
    """Give the first rows, so many that few enough events go with them; at least one."""
    events = 0
    for place, row in enumerate(rows):
        events += row.events
        if events > MOST_EVENTS and place:
            return rows[:place]
    return rows


def _next(database: Database, walk: Walk, keeps: Keeps) -> Sequence[Any]:
    """Read the next rows of a walk, by its index and without a lock."""
    shortest = keeps.shortest(walk.kind)
    if shortest == FOREVER:
        return []
    rows = _next_notifications(database) if walk.kind == NOTIFICATIONS else _next_jobs(database, walk, keeps)
    if walk.after is not None and walk.kind == NOTIFICATIONS:
        rows = rows.where(notifications.c.id > walk.after[1])
    with database.read() as connection:
        return connection.execute(rows.limit(walk.size)).all()


def _next_notifications(database: Database) -> Select[Any]:
    columns = (notifications.c.id, notifications.c.type, notifications.c.created_at.label("at"))
    age = database.dialect.seconds_since(notifications.c.created_at).label("age")
    nothing: Any = (literal_column("0").label("events"), literal_column("0").label("needed"))
    return select(*columns, age, *nothing).order_by(notifications.c.id)


def _next_jobs(database: Database, walk: Walk, keeps: Keeps) -> Select[Any]:
    needed = case((or_(*_needs(database, keeps)), 1), else_=0).label("needed")
    age = database.dialect.seconds_since(jobs.c.finished_at).label("age")
    events = (jobs.c.event_no + jobs.c.attempt).label("events")
    rows = (
        select(
            jobs.c.id,
            jobs.c.type,
            _ENDED_AT.label("at"),
            age,
            events,
            needed,
        )
        .where(*_ended(walk), jobs.c.finished_at < database.dialect.after(-keeps.shortest(walk.kind)))
        .order_by(jobs.c.finished_at, jobs.c.id)
    )
    if walk.after is None:
        return rows
    at, last = literal(walk.after[0], NullType()), literal(walk.after[1], Integer())
    later = tuple_(_ENDED_AT, jobs.c.id) > tuple_(at, last)
    return rows.where(at <= _ENDED_AT, later)  # the first is for MariaDB, which finds no pairs by an index


def _ended(walk: Walk) -> tuple[ColumnElement[bool], ...]:
    """State the final state of a walk twice: by the first SQLite proves its partial index."""
    return is_final(), is_(Status(walk.kind))


def _needs(database: Database, keeps: Keeps) -> list[ColumnElement[bool]]:
    """State what keeps an ended job: each looks for one row by an index.

    They are scalar, and in the order of their index, on purpose: of an EXISTS, PostgreSQL may make a join with the
    whole table, and it looks for any row by reading the table where it believes that there are many.
    """
    other = jobs.alias("other")
    open_ = other.c.status.in_([literal_column(f"'{status.value}'") for status in Status if status not in FINAL])
    waits = other.c.status == literal_column(f"'{Status.WAITING.value}'")
    equal = and_(other.c.type == jobs.c.type, other.c.key == jobs.c.key, other.c.created_at <= jobs.c.finished_at)
    unread = (
        select(notifications.c.id)
        .where(notifications.c.job_id == jobs.c.id, notifications.c.read_at.is_(None))
        .where(notifications.c.created_at > database.dialect.after(-_seconds_of(keeps)))
    )
    found = [
        select(other.c.id).where(other.c.parent_id == jobs.c.id, open_).order_by(other.c.status),
        select(other.c.id).where(other.c.id == jobs.c.parent_id, open_),
        select(other.c.id).where(other.c.duplicate_of == jobs.c.id, waits).order_by(other.c.id),
        select(other.c.id).where(equal, open_, is_(Status.COMPLETED)).order_by(other.c.status),
        unread,
    ]
    return [one.limit(_FIRST).correlate(jobs).scalar_subquery().is_not(None) for one in found]


def _seconds_of(keeps: Keeps) -> Any:
    """Give for how long the notifications of a job's type are kept."""
    default = min(getattr(keeps.default, NOTIFICATIONS), LONGEST)
    special = {type_: min(seconds, LONGEST) for type_, seconds in keeps.special(NOTIFICATIONS)}
    return case(special, value=jobs.c.type, else_=default) if special else default


def _delete(
    connection: Connection, database: Database, walk: Walk, rows: Sequence[Any], keeps: Keeps
) -> tuple[int, float]:
    """Delete those of the rows that are to go; give how many, and the seconds without the commit."""
    began = time.monotonic()
    table = notifications if walk.kind == NOTIFICATIONS else jobs
    ids = _locked(connection, database, walk, rows, keeps)
    if ids:
        connection.execute(delete(table).where(table.c.id.in_(ids)))
    return len(ids), time.monotonic() - began


def _locked(connection: Connection, database: Database, walk: Walk, rows: Sequence[Any], keeps: Keeps) -> list[int]:
    """Lock those of the rows that nobody holds and that are still as they were read."""
    table = notifications if walk.kind == NOTIFICATIONS else jobs
    these = select(table.c.id).where(table.c.id.in_([row.id for row in rows])).order_by(table.c.id)
    if table is jobs:
        unchanged = literal(max(row.at for row in rows), NullType()) >= _ENDED_AT
        these = these.where(*_ended(walk), unchanged, ~or_(*_needs(database, keeps)))
    return list(connection.execute(these.with_for_update(skip_locked=True, of=table)).scalars())


def _thin_out(database: Database, walk: Walk, row: Any, keeps: Keeps) -> bool:
    """Delete the first events of a job that has very many; tell whether there may be as many again."""

    def verb(connection: Connection) -> bool:
        if not _locked(connection, database, walk, [row], keeps):
            return False
        of_job = job_events.c.job_id == row.id
        first = connection.execute(select(func.min(job_events.c.number)).where(of_job)).scalar()
        upto = (first or 0) + MOST_EVENTS
        return connection.execute(delete(job_events).where(of_job, job_events.c.number < upto)).rowcount >= MOST_EVENTS

    return database.write(verb)


def processors_that_ended(database: Database, *, dry: bool = False) -> int:
    """Delete the rows of processors that ended long ago and run nothing; give how many."""
    runs = select(jobs.c.id).where(is_(Status.RUNNING), jobs.c.processor_id == processors.c.id).limit(_FIRST)
    gone = (
        select(processors.c.id)
        .where(processors.c.status.in_(("stopped", "dead")))
        .where(processors.c.ended_at < database.dialect.after(-PROCESSORS_KEPT))
        .where(runs.correlate(processors).scalar_subquery().is_(None))
        .order_by(processors.c.id)
    )
    with database.read() as connection:
        found = connection.execute(gone if dry else gone.limit(BITE)).scalars().all()
    if dry or not found:
        return len(found)

    def verb(connection: Connection) -> int:
        those = gone.where(processors.c.id.in_(found)).with_for_update(skip_locked=True, of=processors)
        ids = connection.execute(those).scalars().all()
        connection.execute(delete(processors).where(processors.c.id.in_(ids)))
        return len(ids)

    return database.write(verb)


def run_elsewhere(database: Database, ours: Collection[str]) -> frozenset[str]:
    """Read which types processors of other configurations run, or ran until not long ago: theirs is the say."""
    with database.read() as connection:
        listed = connection.execute(select(processors.c.types)).scalars().all()
    return frozenset(name for types in set(listed) for name in _names(types)) - set(ours)


def _names(types: str) -> Sequence[str]:
    try:
        return [name for name in json.loads(types) if isinstance(name, str)]
    except (TypeError, ValueError):
        return []  # what no program here wrote


def overdue(database: Database, keeps: Keeps, seconds: float, limit: int = 1000) -> dict[str, int]:
    """Count, of the oldest rows of each kind, those that should have been deleted so many seconds ago."""
    counted = {}
    for walk in walks():
        walk.size = limit
        rows = _next(database, walk, keeps)
        late = [row for row in rows if not row.needed and row.age > keeps.of(row.type, walk.kind) + seconds]
        counted[walk.kind] = len(late)
    return {kind: count for kind, count in counted.items() if count}
