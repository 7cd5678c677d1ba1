"""Make job rows: the only place where our own code does. Any other program does the same with a plain INSERT."""

import json
import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from functools import cache
from typing import Any, Self

from sqlalchemy import Connection, and_, case, func, insert, literal_column, or_, select

from models import jobs
from models.types import NAME_LENGTH
from processor import traceparent
from processor.db.database import Database
from processor.db.dialects import INTEGER, NUMBER, TEXT, Dialect, document
from processor.errors import QueueFull, Refused, ValuesRefused
from processor.lifecycle import FINAL, NOT_STARTED, Reason, Status
from processor.queue.rules import NO_RULES, Rules
from processor.queue.where import is_, is_one_of


@dataclass(frozen=True, slots=True)
class NewJob:
    """A job to be made. `payload` is JSON text.

    `delay_seconds` counts from the insert, by the database's clock; `run_at` and `expires_at` are aware instants.
    """

    type: str
    payload: str = "{}"
    priority: int = 5
    delay_seconds: float | None = None
    owner: str | None = None
    key: str | None = None
    subject: str | None = None
    concurrency_key: str | None = None
    max_attempts: int | None = None
    timeout_seconds: float | None = None
    parent_id: int | None = None
    fail_on: str | None = None
    on_complete: str | None = None
    on_failure: str | None = None
    trace_parent: str | None = None
    run_at: datetime | None = None
    expires_at: datetime | None = None

    @classmethod
    def from_message(cls, message: dict[str, Any]) -> Self:
        """Read what a handler asked for; raises `Refused` for a column that a producer does not have."""
        known = {field.name for field in fields(cls)}
        unknown = set(message) - known
        if unknown or not isinstance(message.get("type"), str) or not message["type"]:
            raise Refused(
                f"A job cannot be enqueued with {', '.join(sorted(unknown)) or 'no type'}.",
                f"Columns that can be given: {', '.join(sorted(known))}.",
            )
        for column, shape in _SHAPES.items():
            if message.get(column) is not None and not _fits(message[column], shape):
                raise Refused(f"A job cannot be enqueued with {column} = {message[column]!r}.", f"It is {shape.words}.")
        payload = _payload(message.get("payload", {}))
        instants = {column: _instant(message.get(column)) for column in ("run_at", "expires_at")}
        return cls(**{**message, **instants, "payload": payload})


def _payload(value: Any) -> str:
    """Write a payload as JSON. Raises `Refused` for numbers that JSON does not have."""
    try:
        return json.dumps(value, allow_nan=False)
    except ValueError as error:
        raise Refused(
            f"A job cannot be enqueued with this payload: {error}.", "JSON knows finite numbers only."
        ) from None


@dataclass(frozen=True, slots=True)
class _Shape:
    words: str
    types: tuple[type, ...]


FAIL_ON = re.compile("any|all|[1-9][0-9]{0,8}")
"""How many of its children must fail for a job to fail with them."""
_TEXT = _Shape("a text of at most 200 letters", (str,))
_INTEGER = _Shape("a whole number", (int,))
_FAIL_ON = _Shape('"any", "all", or a number of children as a text', (str,))
_SECONDS = _Shape("a number of seconds", (int, float))
_INSTANT = _Shape("an instant such as 2026-01-31T08:00:00+00:00, with its offset", (str,))
_SHAPES = {
    **dict.fromkeys(
        ("type", "owner", "key", "subject", "concurrency_key", "on_complete", "on_failure", "trace_parent"), _TEXT
    ),
    "fail_on": _FAIL_ON,
    **dict.fromkeys(("priority", "max_attempts", "parent_id"), _INTEGER),
    **dict.fromkeys(("delay_seconds", "timeout_seconds"), _SECONDS),
    **dict.fromkeys(("run_at", "expires_at"), _INSTANT),
}
"""What a handler may write into each column; the ranges are the database's own constraints."""


def _fits(value: Any, shape: _Shape) -> bool:
    if isinstance(value, bool) or not isinstance(value, shape.types):
        return False
    if shape is _FAIL_ON:
        return FAIL_ON.fullmatch(str(value)) is not None
    if shape is _TEXT:
        return len(str(value)) <= NAME_LENGTH and is_storable(str(value))
    if isinstance(value, float) and not math.isfinite(value):
        return False
    return shape is not _INSTANT or _is_instant(str(value))


def is_storable(text: str) -> bool:
    """Tell whether every database can keep the text: no lone surrogate, no NUL."""
    return "\0" not in text and not any("\ud800" <= letter <= "\udfff" for letter in text)


EARLIEST = 1970
"""The year from which on every database takes an instant, by the table's own constraint."""


def _is_instant(text: str) -> bool:
    try:
        instant = datetime.fromisoformat(text)
        return instant.tzinfo is not None and instant.astimezone(UTC).year >= EARLIEST
    except (ValueError, OverflowError):
        return False


def _instant(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


_COLUMNS = {
    "type": TEXT,
    "payload": TEXT,
    "priority": INTEGER,
    "owner": TEXT,
    "key": TEXT,
    "subject": TEXT,
    "concurrency_key": TEXT,
    "max_attempts": INTEGER,
    "timeout_seconds": NUMBER,
    "parent_id": INTEGER,
    "fail_on": TEXT,
    "on_complete": TEXT,
    "on_failure": TEXT,
    "trace_parent": TEXT,
}
_TIMES = {"delay_seconds": NUMBER, "run_at": TEXT, "expires_at": TEXT}


@dataclass(frozen=True, slots=True)
class Enqueued:
    """The job that is there now; `new` is false where one of the same work was there already."""

    id: int
    new: bool = True


def enqueue(database: Database, job: NewJob, *, rules: Rules = NO_RULES) -> Enqueued:
    """Insert one job, unless one with its key waits, runs, or lends its result; give its id.

    `rules` are those of its type. Two that are enqueued in the same instant both become rows: then the claim decides.
    Raises `QueueFull` where as many of its type wait as may, `ValuesRefused` naming the column that the database does
    not take, `DatabaseUnreachable`.
    """
    there = _there(database, job, rules)
    if there is not None:
        return Enqueued(there, new=False)
    if rules.queue_limit is not None:
        refuse_if_full(database, job.type, rules.queue_limit)
    return Enqueued(insert_one(database, job))


def enqueue_many(database: Database, new: Sequence[NewJob], rules: Mapping[str, Rules]) -> list[Enqueued]:
    """Insert jobs in one transaction, all or none, but for those whose work is there already; `rules` by type.

    Raises as `enqueue` does; `ValuesRefused` names the job by its place.
    """
    there = [_there(database, job, rules[job.type]) for job in new]
    types = Counter(job.type for job, id in zip(new, there, strict=True) if id is None)
    for type_, count in types.items():
        limit = rules[type_].queue_limit
        if limit is not None:
            refuse_if_full(database, type_, limit, count)

    at = 0

    def verb(connection: Connection) -> list[Enqueued]:
        nonlocal at
        made = []
        for at, (job, id) in enumerate(zip(new, there, strict=True), 1):  # noqa: B007 - says which one was refused
            made.append(
                Enqueued(insert_job(connection, database.dialect, job)) if id is None else Enqueued(id, new=False)
            )
        return made

    try:
        return database.write(verb)
    except ValuesRefused as error:
        raise error.at(f"Job {at} of {len(new)}") from error


def _there(database: Database, job: NewJob, rules: Rules) -> int | None:
    return same_work(database, job, rules) if job.key is not None and rules.dedupe != "none" else None


def same_work(database: Database, job: NewJob, rules: Rules) -> int | None:
    """Find a job of the same work that waits, runs, or lends its result."""
    lends = and_(
        is_(Status.COMPLETED),
        jobs.c.duplicate_of.is_(None),
        jobs.c.finished_at > database.dialect.after(-rules.reuse_result_for),
    )
    staged = and_(is_(Status.PAUSED), func.coalesce(jobs.c.reason, "") == Reason.BATCH.value)  # it may never be whole
    goes_on = and_(is_one_of(set(Status) - FINAL), ~jobs.c.cancel_requested, ~staged)
    equal = [jobs.c.type == job.type, jobs.c.key == job.key, or_(goes_on, lends)]
    if not rules.across_owners:
        equal.append(jobs.c.owner.is_(None) if job.owner is None else jobs.c.owner == job.owner)
    with database.read() as connection:
        there: int | None = connection.execute(select(func.min(jobs.c.id)).where(*equal)).scalar()
    return there


def refuse_if_full(database: Database, type_: str, limit: int, new: int = 1) -> None:
    """Refuse to add so many jobs of a type where more would wait then than may. Raises `QueueFull`."""
    room = max(0, limit - new + 1)
    with database.read() as connection:
        count = count_waiting(connection, type_, room)
    if count >= room:
        full = f"{limit:,} of its jobs wait" if new == 1 else f"{new:,} more would be over {limit:,}"
        raise QueueFull(
            f"The queue of the type {type_!r} is full: {full}. Nothing was enqueued.",
            "Try again when some have started, or raise queue_limit of the type. See `jobtable types`.",
        )


def count_waiting(connection: Connection, type_: str, limit: int) -> int:
    """Count the jobs of a type that did not start yet, up to `limit`."""
    count = 0
    for status in NOT_STARTED:  # each has an index of its own
        some = select(jobs.c.id).where(jobs.c.type == type_, is_(status)).limit(limit - count).subquery()
        count += connection.execute(select(func.count()).select_from(some)).scalar_one()
        if count >= limit:
            break
    return count


def insert_one(database: Database, job: NewJob, *, staged: bool = False) -> int:
    """Insert one job; `staged`: nobody runs it until its batch is let go."""
    return database.write(lambda connection: insert_job(connection, database.dialect, job, staged=staged))


def insert_job(connection: Connection, dialect: Dialect, job: NewJob, *, staged: bool = False) -> int:
    """Insert one job in the caller's transaction; give its id."""
    values: dict[str, Any] = {name: getattr(job, name) for name in (*_COLUMNS, "run_at", "expires_at")}
    values["trace_parent"] = job.trace_parent or traceparent.current()
    if job.delay_seconds is not None:
        values["run_at"] = dialect.after(job.delay_seconds)
    if staged:
        values |= _STAGED
    key = connection.execute(insert(jobs).values(values)).inserted_primary_key
    assert key is not None
    return int(key[0])


def insert_jobs(connection: Connection, dialect: Dialect, new: Sequence[NewJob], *, staged: bool = False) -> None:
    """Insert many jobs in the caller's transaction; `staged`: nobody runs them until their batch is let go."""
    connection.execute(_insert(dialect, staged), {"given": document(map(_row, new))})


_STAGED = {"status": Status.PAUSED.value, "reason": Reason.BATCH.value}


@cache
def _insert(dialect: Dialect, staged: bool) -> Any:
    given = dialect.table({**_COLUMNS, **_TIMES})
    values = [dialect.json(given.c.payload) if name == "payload" else given.c[name] for name in _COLUMNS]
    delayed = case(
        (given.c.delay_seconds.is_not(None), dialect.after(given.c.delay_seconds)),
        else_=dialect.instant(given.c.run_at),
    )
    fixed: dict[str, Any] = {name: literal_column(f"'{value}'") for name, value in _STAGED.items()} if staged else {}
    chosen = select(*values, delayed, dialect.instant(given.c.expires_at), *fixed.values())
    return insert(jobs).from_select([*_COLUMNS, "run_at", "expires_at", *fixed], chosen)


def _row(job: NewJob) -> dict[str, Any]:
    row = {name: getattr(job, name) for name in (*_COLUMNS, *_TIMES)}
    row["trace_parent"] = job.trace_parent or traceparent.current()
    for name in ("run_at", "expires_at"):
        instant = row[name]
        row[name] = instant and instant.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.%f")
    return row
