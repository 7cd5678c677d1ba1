"""Column types and the database's clock, written so that three databases keep the same contract.

PostgreSQL  timestamptz, json (kept as it was sent, as the other two keep it; `::jsonb` where you search in it)
MariaDB     DATETIME(6) in UTC, JSON
SQLite      text `YYYY-MM-DD HH:MM:SS[.ffffff]` in UTC (compares as it sorts), JSON text checked by `json_valid`
"""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import BigInteger, DateTime, Dialect, Integer, String, Text, TypeDecorator
from sqlalchemy.dialects import mysql
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import UserDefinedType

NAME_LENGTH = 200
"""Longest type, owner, key, subject or lane: MariaDB's index entries are limited to 3,072 bytes."""

Identity = BigInteger().with_variant(Integer, "sqlite")
"""A row's number; SQLite numbers by itself only a column declared INTEGER."""


def _readable(value: Any) -> Any:
    return value.decode(errors="replace") if isinstance(value, bytes) else value


class _ReadableText(String):
    """Text, whatever SQLite has in the column: it keeps a BLOB as it is, and one row must not break a claim."""

    def result_processor(self, dialect: Dialect, coltype: object) -> Any:
        return _readable


Name = (
    Text()
    .with_variant(mysql.VARCHAR(NAME_LENGTH, collation="utf8mb4_bin"), "mysql", "mariadb")
    .with_variant(_ReadableText(), "sqlite")
)
"""Text that is compared byte by byte on every database (MariaDB's default would fold case).

Where a length is no matter of the index, a constraint limits it: the refusal of one names the column.
"""

LongText = Text().with_variant(mysql.LONGTEXT(), "mysql", "mariadb")


class JsonText(UserDefinedType[str]):
    """JSON kept by the database; it comes and goes as text, because the core never decodes a payload."""

    cache_ok = True

    def get_col_spec(self, **options: Any) -> str:
        return "TEXT"


@compiles(JsonText, "postgresql")
def _json_on_postgresql(element: JsonText, compiler: Any, **options: Any) -> str:
    return "JSON"


@compiles(JsonText, "mysql")
@compiles(JsonText, "mariadb")
def _json_on_mariadb(element: JsonText, compiler: Any, **options: Any) -> str:
    return "JSON"


class Instant(TypeDecorator[datetime]):
    """An instant in UTC with microseconds; aware in Python, whatever the database stores."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> Any:
        if dialect.name in ("mysql", "mariadb"):
            return dialect.type_descriptor(mysql.DATETIME(fsp=6))
        return dialect.type_descriptor(DateTime(timezone=True))

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        value = value.astimezone(UTC)
        return value if dialect.name == "postgresql" else value.replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class now(FunctionElement[datetime]):
    """The database's own instant at the start of the statement; no host's clock decides anything."""

    type = Instant()
    inherit_cache = True


@compiles(now, "postgresql")
def _now_on_postgresql(element: now, compiler: Any, **options: Any) -> str:
    return "statement_timestamp()"


@compiles(now, "mysql")
@compiles(now, "mariadb")
def _now_on_mariadb(element: now, compiler: Any, **options: Any) -> str:
    return "(utc_timestamp(6))"


@compiles(now, "sqlite")
def _now_on_sqlite(element: now, compiler: Any, **options: Any) -> str:
    return "(strftime('%Y-%m-%d %H:%M:%f000', 'now'))"
