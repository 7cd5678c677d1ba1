"""SQLite: one writer at a time, no locks on rows, text for instants and JSON."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import (
    ColumnElement,
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

    def code(self, error: DBAPIError) -> str:
        return getattr(error.orig, "sqlite_errorname", None) or ""


def _readable(text: bytes) -> str:
    """Read text as it is; SQLite stores bytes that are no text under that name, and one row must not break a claim."""
    return text.decode(errors="replace")
