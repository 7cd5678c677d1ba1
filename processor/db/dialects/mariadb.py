"""MariaDB from 10.8 and MySQL from 8: no partial indexes, no UPDATE … RETURNING, one transaction for each DDL."""

from collections.abc import Mapping
from typing import Any, ClassVar

from sqlalchemy import (
    ColumnElement,
    Float,
    Select,
    Table,
    func,
    literal_column,
    select,
    text,
    type_coerce,
)
from sqlalchemy.exc import DBAPIError

from models.types import NAME_LENGTH, Instant, now
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
from processor.errors import Refused

MIGRATION_TURN = 20
MIGRATION_WAIT = 600
"""Seconds after which it gives up waiting for another that migrates, asked in turns."""


NAME_TYPE = f"VARCHAR({NAME_LENGTH}) COLLATE utf8mb4_bin"
"""As the columns are: compared with a LONGTEXT, 200 look-ups by an index took over 30 s instead of 3 ms."""


class MariaDB(Dialect):
    driver = "mysql+pymysql"
    extra = "[mariadb]"
    has_partial_indexes = False
    skips_by_recursion = False
    retryable = frozenset({"1213", "1205", "1020"})
    refused = frozenset(
        {"1264", "1265", "1292", "1366", "1406", "1441", "3140", "3141", "4025", "3819", "1048", "1153", "1644", "4038"}
    )
    forbidden = frozenset({"1044", "1142", "1143"})
    full = frozenset({"1021", "1114"})
    trigger = frozenset({"1644"})
    missing_table = frozenset({"1146", "1049"})
    _types: ClassVar[dict[str, str]] = {
        INTEGER: "BIGINT",
        NUMBER: "DOUBLE",
        TEXT: "LONGTEXT",
        NAME: NAME_TYPE,
        BOOLEAN: "BIGINT",
    }

    def connect_arguments(self, connect_timeout: float) -> dict[str, Any]:
        return {
            "connect_timeout": max(2, round(connect_timeout)),
            "read_timeout": 30,
            "write_timeout": 30,
            "charset": "utf8mb4",
        }

    def engine_options(self) -> dict[str, Any]:
        return {"isolation_level": "READ COMMITTED"}  # REPEATABLE READ locks gaps: 43 deadlocks in 8 s against 0

    def lock_migrations(self, connection: Any) -> None:
        connection.execute(text(f"SET lock_wait_timeout = {MIGRATION_WAIT}"))
        name = str(MIGRATION_LOCK)
        turns = range(0, MIGRATION_WAIT, MIGRATION_TURN)  # each shorter than the driver waits for an answer
        if not any(connection.execute(select(func.get_lock(name, MIGRATION_TURN))).scalar() for _ in turns):
            raise Refused(
                f"Another process has been migrating this server for {MIGRATION_WAIT} s. Nothing was changed.",
                "See what it does (SHOW PROCESSLIST), then run `jobtable migrate` again.",
            )

    def unlock_migrations(self, connection: Any) -> None:
        connection.execute(select(func.release_lock(str(MIGRATION_LOCK))))
        connection.execute(text(f"SET lock_wait_timeout = {LOCK_WAIT}"))

    def prepare(self, connection: Any) -> None:
        with connection.cursor() as cursor:
            cursor.execute(
                f"SET time_zone = '+00:00', innodb_lock_wait_timeout = {LOCK_WAIT}, lock_wait_timeout = {LOCK_WAIT}"
            )
            cursor.execute("SHOW VARIABLES LIKE 'idle_transaction_timeout'")
            if cursor.fetchone():  # MariaDB has it, MySQL has not
                cursor.execute(f"SET idle_transaction_timeout = {IDLE_TRANSACTION}")

    def after(self, seconds: Any) -> ColumnElement[Any]:
        micros = func.round(type_coerce(seconds, Float(53)) * 1_000_000)
        return func.timestampadd(literal_column("MICROSECOND"), micros, now(), type_=Instant())

    def seconds_since(self, instant: ColumnElement[Any]) -> ColumnElement[float]:
        passed = func.timestampdiff(literal_column("MICROSECOND"), instant, now()) / 1_000_000.0
        return type_coerce(passed, Float(53))

    def by_index(
        self, statement: Select[Any], table: Table, index: str, order: tuple[Any, ...], fixed: tuple[Any, ...] = ()
    ) -> Select[Any]:
        for name in ("mysql", "mariadb"):
            statement = statement.with_hint(table, f"FORCE INDEX ({index})", name)
        return statement.order_by(*order)  # by a column that is fixed to null it would sort

    def table_sql(self, columns: Mapping[str, str], name: str) -> str:
        shape = ", ".join(f"`{key}` {self._types[kind]} PATH '$.{key}'" for key, kind in columns.items())
        return f"SELECT * FROM JSON_TABLE(:{name}, '$[*]' COLUMNS ({shape})) AS document"  # noqa: S608

    def code(self, error: DBAPIError) -> str:
        arguments = getattr(error.orig, "args", ())
        return str(arguments[0]) if arguments else ""
