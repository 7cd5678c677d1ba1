"""MariaDB from 10.8 and MySQL from 8: no partial indexes, no UPDATE … RETURNING, one transaction for each DDL."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, ClassVar

from sqlalchemy import (
    ColumnElement,
    Connection,
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
from processor.diagnosis import Diagnosis, ok, problem, warning
from processor.errors import Refused

MIGRATION_TURN = 20
MIGRATION_WAIT = 600
"""Seconds after which it gives up waiting for another that migrates, asked in turns."""


NAME_TYPE = f"VARCHAR({NAME_LENGTH}) COLLATE utf8mb4_bin"
"""As the columns are: compared with a LONGTEXT, 200 look-ups by an index took over 30 s instead of 3 ms."""


_LOCKED = frozenset({"1205", "3572"})
"""Codes of MariaDB and of MySQL: somebody else has locked a row."""


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
    impatience = ("SET lock_wait_timeout = 2",)
    missing_index = frozenset({"1176"})
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

    def writing(
        self, connection: Connection, table: Table, schema: str | None, after: int, upto: int
    ) -> frozenset[str]:
        """Try to lock rows of all these ids: those that are written just now cannot be.

        Ids are given and rows inserted within one statement, one after the other as long as `innodb_autoinc_lock_mode`
        is not 2.
        """
        rows = select(table.c.id).where(table.c.id > after, table.c.id <= upto)
        rows = rows.order_by(table.c.id.desc())  # forwards it would also lock the first row behind `upto`
        try:
            connection.execute(rows.with_for_update(read=True, nowait=True)).all()
        except DBAPIError as error:
            if self.code(error) not in _LOCKED:
                raise
            return frozenset({"somebody"})
        return frozenset()

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

    def checks(self) -> Sequence[tuple[str, Callable[[Connection], Iterator[Diagnosis]]]]:
        return (("server", _server), ("transactions", _transactions))

    def code(self, error: DBAPIError) -> str:
        return _code(error)


def _code(error: DBAPIError) -> str:
    arguments = getattr(error.orig, "args", ())
    return str(arguments[0]) if arguments else ""


LONG_OPEN = 300
"""Seconds after which an open transaction counts as long: what it may still see is not cleared away."""

_MAY_NOT = "1227"
_OPEN = """
SELECT trx_mysql_thread_id AS thread, timestampdiff(SECOND, trx_started, now()) AS seconds
FROM information_schema.innodb_trx WHERE trx_mysql_thread_id <> connection_id() ORDER BY trx_started
"""


def _server(connection: Connection) -> Iterator[Diagnosis]:
    """Look at what the server is set to."""
    names = "'version', 'innodb_flush_log_at_trx_commit', 'log_bin', 'binlog_format'"
    rows = connection.execute(text(f"SHOW VARIABLES WHERE variable_name IN ({names})")).all()
    is_set = {name.lower(): value for name, value in rows}
    version = tuple(int(part) for part in re.findall(r"\d+", is_set["version"])[:2])
    if version < (8, 0) or (10, 0) <= version < (10, 8):  # from 10 on the number is not MySQL's
        said = f"The server is {is_set['version']}, which ignores DESC in an index: claims sort, and lock, everything."
        yield problem("server", said, "MariaDB 10.8 or MySQL 8.0, or newer.")
    if is_set["innodb_flush_log_at_trx_commit"] != "1":
        said = "innodb_flush_log_at_trx_commit is not 1: after a crash commits may be missing, and jobs may run twice."
        yield warning("server", said, "Set it to 1.")
    if is_set.get("log_bin") == "ON" and is_set.get("binlog_format") == "STATEMENT":
        said = "The binary log is statement-based, and the server refuses our statements with READ COMMITTED."
        yield problem("server", said, "Set binlog_format to ROW or MIXED.")


def _transactions(connection: Connection) -> Iterator[Diagnosis]:
    """Look for transactions that stay open, where this user may see those of others."""
    try:
        found = connection.execute(text(_OPEN)).all()
    except DBAPIError as error:
        if _code(error) != _MAY_NOT:
            raise
        yield ok("transactions", "Only a user with the right PROCESS sees which stay open.")
        return
    for row in found:
        if row.seconds > LONG_OPEN:
            said = f"The session {row.thread} has been in a transaction for {row.seconds} s. What it holds cannot be"
            yield warning("transactions", f"{said} claimed, and old rows are not cleared away.", f"KILL {row.thread}")
