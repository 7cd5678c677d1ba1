"""What PostgreSQL, MariaDB/MySQL and SQLite answer differently; nowhere else in the project asks which one it is.

A verb of the queue is written once, in SQLAlchemy Core. Where the same words do not exist on every database, it asks
the dialect: how to add seconds to now, how to turn a list of rows into a table, whether one statement can claim.
"""

import json
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

from sqlalchemy import (
    ARRAY,
    URL,
    BigInteger,
    ColumnElement,
    DateTime,
    Engine,
    Float,
    Interval,
    LargeBinary,
    Subquery,
    bindparam,
    cast,
    column,
    extract,
    func,
    literal_column,
    select,
    text,
    type_coerce,
)
from sqlalchemy.exc import DBAPIError

from models.types import Identity, Instant, JsonText, LongText, now
from processor.errors import Refused

INTEGER, NUMBER, TEXT, BOOLEAN = "integer", "number", "text", "boolean"
"""The shapes that a column of `rows` can have."""

IDLE_TRANSACTION = 10
"""Seconds after which the server ends an idle transaction of ours: its process was stopped with rows locked."""
_MIGRATION_LOCK = 5_628_325_442_000_001
"""One number (and MariaDB lock name) that every process which migrates waits for."""
LOCK_WAIT = 5
"""Seconds that a statement of ours waits for a lock before it is taken back and tried again: a heartbeat that waits for
somebody's ALTER TABLE would cost the lease, and with it all that runs."""
MIGRATION_TURN = 20
MIGRATION_WAIT = 600
"""Seconds after which MariaDB gives up waiting for that lock."""

_SQL_TYPE: dict[str, Any] = {INTEGER: Identity, NUMBER: Float(53), TEXT: LongText, BOOLEAN: Identity}


def document(rows: Iterable[Mapping[str, Any]]) -> str:
    """Write rows down for a `table`; what is null is left out, which every database reads as null."""
    return _encode([{key: value for key, value in row.items() if value is not None} for row in rows])


_encode = json.JSONEncoder(separators=(",", ":")).encode


def letters(text: str) -> int:
    """Give at most how many letters a text takes in a statement: JSON writes what is not ASCII as escapes."""
    return len(text) if text.isascii() else 12 * len(text)


class Dialect:
    """What every database answers; a subclass says where it is different. Without state: one of each serves all."""

    driver: ClassVar[str]
    extra: ClassVar[str] = ""
    """What to write behind `jobtable` so that pip installs the driver too."""
    has_schemas: ClassVar[bool] = True
    """One connection reaches more than one set of tables."""
    claims_in_one_statement: ClassVar[bool] = False
    """A claim may be one statement with row locks inside; otherwise it is a short transaction."""
    has_notices: ClassVar[bool] = False
    """The database can tell a waiting connection that something happened."""
    retryable: ClassVar[frozenset[str]] = frozenset()
    """Error codes of a transaction that the database rolled back for others' sake: run it again."""
    refused: ClassVar[frozenset[str]] = frozenset()
    """Error codes (or their beginnings) that say the values cannot be stored, however often they are sent."""
    forbidden: ClassVar[frozenset[str]] = frozenset()
    """Error codes that say this user may not, where the driver takes that for a lost connection."""
    full: ClassVar[frozenset[str]] = frozenset()
    """Error codes that say there is no room left to write."""
    missing_table: ClassVar[frozenset[str]] = frozenset()

    def address(self, url: URL) -> URL:
        return url.set(drivername=self.driver)

    def connect_arguments(self, connect_timeout: float) -> dict[str, Any]:
        return {}

    def engine_options(self) -> dict[str, Any]:
        return {}

    def without_refused(self, error: Exception, arguments: dict[str, Any]) -> dict[str, Any] | None:
        """Give connect arguments without what a server in between refused; None: that was not the reason."""
        return None

    def prepare(self, connection: Any) -> None:
        """Set up one new driver connection."""

    def begin(self, connection: Any) -> None:
        """Open a transaction that is going to write."""

    def reading(self, engine: Engine) -> Engine:
        """Give the engine as it is used for single statements."""
        return engine

    def lock_migrations(self, connection: Any) -> None:
        """Wait until no other process migrates this database."""

    def unlock_migrations(self, connection: Any) -> None:
        """Let the next one migrate, where the end of the transaction does not."""

    def after(self, seconds: ColumnElement[Any] | Any) -> ColumnElement[Any]:
        """Give the instant so many seconds after the database's now."""
        raise TypeError(type(self).__name__)

    def seconds_since(self, instant: ColumnElement[Any]) -> ColumnElement[float]:
        """Give the seconds from an instant to the database's now."""
        raise TypeError(type(self).__name__)

    def bytes_of(self, value: ColumnElement[Any]) -> ColumnElement[int]:
        """Give the size of a text or JSON column in bytes."""
        return func.octet_length(value)

    def among(self, identity: ColumnElement[Any]) -> ColumnElement[bool]:
        """State that a primary key is one of the parameter `ids`; by a join alone MariaDB scans, and locks, all."""
        return identity.in_(bindparam("ids", expanding=True))

    def json(self, value: ColumnElement[Any]) -> ColumnElement[Any]:
        """Give a text as JSON, where the database does not take one for the other."""
        return value

    def instant(self, text: ColumnElement[Any]) -> ColumnElement[Any]:
        """Give a text `YYYY-MM-DD HH:MM:SS.ffffff` in UTC as an instant."""
        return type_coerce(text, Instant())

    def table_sql(self, columns: Mapping[str, str], name: str) -> str:
        """Give the SELECT that reads the JSON document in the parameter `name` as a table."""
        raise TypeError(type(self).__name__)

    def table(self, columns: Mapping[str, str], name: str = "given") -> Subquery:
        """Give the rows of a `document` as a table: one parameter of that name, however many rows."""
        typed: list[Any] = [column(key, _SQL_TYPE[shape]) for key, shape in columns.items()]
        return text(self.table_sql(columns, name)).columns(*typed).subquery(name)

    def code(self, error: DBAPIError) -> str:
        """Give the database's own code of an error, or an empty string."""
        return ""

    def is_missing_table(self, error: DBAPIError) -> bool:
        return self.code(error) in self.missing_table

    def is_retryable(self, error: DBAPIError) -> bool:
        return self.code(error) in self.retryable

    def refuses(self, error: DBAPIError) -> bool:
        """Tell whether the database says that a value can never be stored."""
        code = self.code(error)
        return any(code.startswith(start) for start in self.refused)


class PostgreSQL(Dialect):
    driver = "postgresql+psycopg"
    claims_in_one_statement = True
    has_notices = True
    retryable = frozenset({"40001", "40P01", "55P03"})
    refused = frozenset({"22", "23", "54", "P0001"})  # P0001: a trigger of the user's own says no
    full = frozenset({"53100"})
    missing_table = frozenset({"42P01", "3F000"})
    _types: ClassVar[dict[str, str]] = {
        INTEGER: "bigint",
        NUMBER: "double precision",
        TEXT: "text",
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
        connection.execute(select(func.pg_advisory_xact_lock(_MIGRATION_LOCK)))

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


class MariaDB(Dialect):
    driver = "mysql+pymysql"
    extra = "[mariadb]"
    retryable = frozenset({"1213", "1205", "1020"})
    refused = frozenset(
        {"1264", "1265", "1292", "1366", "1406", "1441", "3140", "3141", "4025", "3819", "1048", "1153", "1644", "4038"}
    )
    forbidden = frozenset({"1044", "1142", "1143"})
    full = frozenset({"1021", "1114"})
    missing_table = frozenset({"1146", "1049"})
    _types: ClassVar[dict[str, str]] = {INTEGER: "BIGINT", NUMBER: "DOUBLE", TEXT: "LONGTEXT", BOOLEAN: "BIGINT"}

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
        name = str(_MIGRATION_LOCK)
        turns = range(0, MIGRATION_WAIT, MIGRATION_TURN)  # each shorter than the driver waits for an answer
        if not any(connection.execute(select(func.get_lock(name, MIGRATION_TURN))).scalar() for _ in turns):
            raise Refused(
                f"Another process has been migrating this server for {MIGRATION_WAIT} s. Nothing was changed.",
                "See what it does (SHOW PROCESSLIST), then run `jobtable migrate` again.",
            )

    def unlock_migrations(self, connection: Any) -> None:
        connection.execute(select(func.release_lock(str(_MIGRATION_LOCK))))
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

    def table_sql(self, columns: Mapping[str, str], name: str) -> str:
        shape = ", ".join(f"`{key}` {self._types[kind]} PATH '$.{key}'" for key, kind in columns.items())
        return f"SELECT * FROM JSON_TABLE(:{name}, '$[*]' COLUMNS ({shape})) AS document"  # noqa: S608

    def code(self, error: DBAPIError) -> str:
        arguments = getattr(error.orig, "args", ())
        return str(arguments[0]) if arguments else ""


class SQLite(Dialect):
    driver = "sqlite+pysqlite"
    has_schemas = False
    retryable = frozenset({"SQLITE_BUSY_SNAPSHOT", "SQLITE_LOCKED"})  # busy: it has already waited
    refused = frozenset({"SQLITE_CONSTRAINT", "SQLITE_TOOBIG", "SQLITE_MISMATCH"})
    full = frozenset({"SQLITE_FULL"})
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


_POSTGRESQL, _MARIADB, _SQLITE = PostgreSQL(), MariaDB(), SQLite()
_BY_NAME: dict[str, Dialect] = {
    "postgresql": _POSTGRESQL,
    "postgres": _POSTGRESQL,
    "mysql": _MARIADB,
    "mariadb": _MARIADB,
    "sqlite": _SQLITE,
}

SUPPORTED = ("postgresql://", "mysql://", "mariadb://", "sqlite:///")


def dialect_of(url: URL) -> Dialect | None:
    """Find the dialect of an address, whatever driver it names; None for a database we do not know."""
    return _BY_NAME.get(url.get_backend_name() if "+" in url.drivername else url.drivername)
