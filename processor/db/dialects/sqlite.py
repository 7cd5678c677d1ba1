"""SQLite: one writer at a time, no locks on rows, text for instants and JSON."""

import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Float,
    LargeBinary,
    cast,
    func,
)
from sqlalchemy.exc import DBAPIError

from models.types import Instant
from processor.db.dialects.dialect import (
    Dialect,
)
from processor.diagnosis import Diagnosis, problem, warning


class SQLite(Dialect):
    driver = "sqlite+pysqlite"
    has_schemas = False
    retryable = frozenset({"SQLITE_BUSY_SNAPSHOT", "SQLITE_LOCKED"})  # busy: it has already waited
    refused = frozenset({"SQLITE_CONSTRAINT", "SQLITE_TOOBIG", "SQLITE_MISMATCH"})
    full = frozenset({"SQLITE_FULL"})
    trigger = frozenset({"SQLITE_CONSTRAINT_TRIGGER"})
    missing_table = frozenset({"SQLITE_ERROR"})

    def connect_arguments(self, connect_timeout: float) -> dict[str, Any]:
        return {"timeout": connect_timeout, "check_same_thread": False}

    def prepare(self, connection: Any) -> None:
        connection.text_factory = _readable
        connection.isolation_level = None  # transactions are begun by us, as writers from the start
        for pragma in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON"):
            connection.execute(f"PRAGMA {pragma}")

    def begin(self, connection: Any) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    def after(self, seconds: Any) -> ColumnElement[Any]:
        modifier = func.printf("%+.3f seconds", cast(seconds, Float(53)))
        return func.strftime("%Y-%m-%d %H:%M:%f000", "now", modifier, type_=Instant())

    def seconds_since(self, instant: ColumnElement[Any]) -> ColumnElement[float]:
        return (func.julianday("now") - func.julianday(instant)) * 86_400.0

    def bytes_of(self, value: ColumnElement[Any]) -> ColumnElement[int]:
        return func.length(cast(value, LargeBinary()))

    def table_sql(self, columns: Mapping[str, str], name: str) -> str:
        shape = ", ".join(f"json_extract(value, '$.{key}') AS \"{key}\"" for key in columns)
        return f"SELECT {shape} FROM json_each(:{name})"  # noqa: S608

    def checks(self) -> Sequence[tuple[str, Callable[[Connection], Iterator[Diagnosis]]]]:
        return (("file", _file),)

    def code(self, error: DBAPIError) -> str:
        return getattr(error.orig, "sqlite_errorname", None) or ""


LITTLE_ROOM = 500 * 2**20
NO_ROOM = 50 * 2**20
"""Bytes that are free where the file is."""
LONG_LOG = 500 * 2**20
"""Bytes of the write-ahead log; it is cut as soon as nobody reads from its beginning."""


def _file(connection: Connection) -> Iterator[Diagnosis]:
    """Look at the file: its journal, the room it has, its write-ahead log."""
    journal = connection.exec_driver_sql("PRAGMA journal_mode").scalar()
    if journal != "wal":
        text = f"The file is in journal mode {journal}, so who reads stops who writes."
        yield warning("file", text, "Put it on a local disk that this user may write to; no network file system.")
    path = str(connection.exec_driver_sql("PRAGMA database_list").all()[0][2])
    free = shutil.disk_usage(os.path.dirname(path)).free
    if free < LITTLE_ROOM:
        find = problem if free < NO_ROOM else warning
        yield find("file", f"Where {path} is, {free // 2**20:,} MiB are free.", "Make room: nothing is stored without.")
    log = os.path.getsize(f"{path}-wal") if os.path.exists(f"{path}-wal") else 0
    if log > LONG_LOG:
        text = f"The write-ahead log of {path} has {log // 2**20:,} MiB: somebody keeps a transaction open."
        yield warning("file", text, f"Find who (`lsof {path}`), and end it.")


def _readable(text: bytes) -> str:
    """Read text as it is; SQLite stores bytes that are no text under that name, and one row must not break a claim."""
    return text.decode(errors="replace")
