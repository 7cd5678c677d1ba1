"""PostgreSQL: claims in one statement, tells waiting connections, knows arrays."""

from collections.abc import Mapping
from typing import Any, ClassVar

from sqlalchemy import (
    ARRAY,
    BigInteger,
    ColumnElement,
    DateTime,
    Engine,
    Float,
    Interval,
    bindparam,
    cast,
    extract,
    func,
    select,
    text,
    type_coerce,
)
from sqlalchemy.exc import DBAPIError

from models.types import Instant, JsonText, LongText, now
from processor.db.dialects.dialect import (
    BOOLEAN,
    IDLE_TRANSACTION,
    INTEGER,
    LOCK_WAIT,
    MIGRATION_LOCK,
    NAME,
    NUMBER,
    TEXT,
    Dialect,
)


class PostgreSQL(Dialect):
    driver = "postgresql+psycopg"
    claims_in_one_statement = True
    has_notices = True
    bytewise_collation = "C"
    retryable = frozenset({"40001", "40P01", "55P03"})
    refused = frozenset({"22", "23", "54", "P0001"})  # P0001: a trigger of the user's own says no
    full = frozenset({"53100"})
    trigger = frozenset({"P0001"})
    missing_table = frozenset({"42P01", "3F000"})
    _types: ClassVar[dict[str, str]] = {
        INTEGER: "bigint",
        NUMBER: "double precision",
        TEXT: "text",
        NAME: "text",
        BOOLEAN: "bigint",
    }

    def connect_arguments(self, connect_timeout: float) -> dict[str, Any]:
        return {
            "connect_timeout": max(2, round(connect_timeout)),
            "application_name": "jobtable",
            "prepare_threshold": None,  # a transaction pooler gives every transaction another server session
            "keepalives_idle": 30,
            "keepalives_interval": 10,
            "keepalives_count": 3,
            "tcp_user_timeout": 20_000,
            "options": f"-c idle_in_transaction_session_timeout={IDLE_TRANSACTION * 1000} -c lock_timeout={LOCK_WAIT}s",
        }

    def without_refused(self, error: Exception, arguments: dict[str, Any]) -> dict[str, Any] | None:
        if "options" in arguments and "startup parameter" in str(error):  # a transaction pooler
            return {name: value for name, value in arguments.items() if name != "options"}
        return None

    def prepare(self, connection: Any) -> None:
        from psycopg.types.string import TextLoader

        for name in ("json", "jsonb"):
            connection.adapters.register_loader(name, TextLoader)

    def reading(self, engine: Engine) -> Engine:
        return engine.execution_options(isolation_level="AUTOCOMMIT")  # saves BEGIN and COMMIT: half of the time

    def lock_migrations(self, connection: Any) -> None:
        connection.execute(text("SET LOCAL lock_timeout = 0"))  # migrating takes as long as it takes
        connection.execute(select(func.pg_advisory_xact_lock(MIGRATION_LOCK)))

    def after(self, seconds: Any) -> ColumnElement[Any]:
        interval = func.make_interval(0, 0, 0, 0, 0, 0, cast(seconds, Float(53)), type_=Interval())
        return type_coerce(type_coerce(now(), DateTime(timezone=True)) + interval, Instant())

    def seconds_since(self, instant: ColumnElement[Any]) -> ColumnElement[float]:
        passed = type_coerce(now(), DateTime(timezone=True)) - type_coerce(instant, DateTime(timezone=True))
        return cast(extract("epoch", passed), Float(53))

    def bytes_of(self, value: ColumnElement[Any]) -> ColumnElement[int]:
        return func.octet_length(cast(value, LongText))

    def instant(self, text: ColumnElement[Any]) -> ColumnElement[Any]:
        return cast(text + "+00", Instant())

    def among(self, identity: ColumnElement[Any]) -> ColumnElement[bool]:
        return identity == func.any(bindparam("ids", type_=ARRAY(BigInteger)))  # one parameter, one plan

    def json(self, value: ColumnElement[Any]) -> ColumnElement[Any]:
        return cast(value, JsonText())

    def table_sql(self, columns: Mapping[str, str], name: str) -> str:
        shape = ", ".join(f'"{key}" {self._types[kind]}' for key, kind in columns.items())
        return f"SELECT * FROM jsonb_to_recordset(CAST(:{name} AS jsonb)) AS document ({shape})"  # noqa: S608

    def code(self, error: DBAPIError) -> str:
        return getattr(error.orig, "sqlstate", None) or ""
