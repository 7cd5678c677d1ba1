"""Make job rows: the only place where our own code does. Any other program does the same with a plain INSERT."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, Self

from sqlalchemy import Connection, insert, select

from models import jobs
from processor.db.database import Database
from processor.db.dialects import INTEGER, NUMBER, TEXT, Dialect
from processor.errors import Refused


@dataclass(frozen=True, slots=True)
class NewJob:
    """A job to be made. `payload` is JSON text; `delay_seconds` counts from the insert, by the database's clock."""

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
    trace_parent: str | None = None

    @classmethod
    def from_message(cls, message: dict[str, Any]) -> Self:
        """Read what a handler asked for; raises `Refused` for a column that a producer does not have."""
        known = {field.name for field in fields(cls)}
        unknown = set(message) - known
        if unknown or not isinstance(message.get("type"), str):
            raise Refused(
                f"A job cannot be enqueued with {', '.join(sorted(unknown)) or 'no type'}.",
                f"Columns that can be given: {', '.join(sorted(known))}.",
            )
        payload = message.get("payload", {})
        return cls(**{**message, "payload": payload if isinstance(payload, str) else json.dumps(payload)})


_COLUMNS = {
    "type": TEXT,
    "payload": TEXT,
    "priority": INTEGER,
    "delay_seconds": NUMBER,
    "owner": TEXT,
    "key": TEXT,
    "subject": TEXT,
    "concurrency_key": TEXT,
    "max_attempts": INTEGER,
    "timeout_seconds": NUMBER,
    "parent_id": INTEGER,
    "trace_parent": TEXT,
}


def enqueue(database: Database, job: NewJob) -> int:
    """Insert one job and give its id.

    Raises `ValuesRefused` naming the column that the database does not take, `DatabaseUnreachable`.
    """

    def verb(connection: Connection) -> int:
        values: dict[str, Any] = {name: getattr(job, name) for name in _COLUMNS if name != "delay_seconds"}
        if job.delay_seconds is not None:
            values["run_at"] = database.dialect.after(job.delay_seconds)
        key = connection.execute(insert(jobs).values(values)).inserted_primary_key
        assert key is not None
        return int(key[0])

    return database.write(verb)


def insert_jobs(connection: Connection, dialect: Dialect, new: Sequence[NewJob]) -> None:
    """Insert many jobs in the caller's transaction."""
    given = dialect.rows(_COLUMNS, [{name: getattr(job, name) for name in _COLUMNS} for job in new])
    columns = [name for name in _COLUMNS if name != "delay_seconds"]
    values = [dialect.json(given.c.payload) if name == "payload" else given.c[name] for name in columns]
    connection.execute(
        insert(jobs).from_select([*columns, "run_at"], select(*values, dialect.after(given.c.delay_seconds)))
    )
