"""PostgreSQL: claims in one statement, tells waiting connections, knows arrays."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, ClassVar

from sqlalchemy import (
    ARRAY,
    BigInteger,
    ColumnElement,
    Connection,
    DateTime,
    Engine,
    Float,
    Interval,
    Table,
    bindparam,
    cast,
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
from processor.diagnosis import Diagnosis, warning

_WRITING = text(
    "SELECT virtualtransaction FROM pg_locks WHERE relation = to_regclass(:named) AND mode = 'RowExclusiveLock'"
    " AND database = (SELECT oid FROM pg_database WHERE datname = current_database()) AND pid <> pg_backend_pid()"
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
    impatience = ("SET LOCAL lock_timeout = '2s'", "SET LOCAL statement_timeout = 0")
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
            "options": " ".join(
                (
                    f"-c idle_in_transaction_session_timeout={IDLE_TRANSACTION * 1000}",
                    f"-c lock_timeout={LOCK_WAIT}s",
                    "-c jit=off",  # by the estimates of a long queue a claim was compiled each time: 33 ms instead of 4
                )
            ),
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

    def writing(
        self, connection: Connection, table: Table, schema: str | None, after: int, upto: int
    ) -> frozenset[str]:
        """Name the transactions that have the table open for writing: each opened it before it took an id.

        A lock goes after what was written has become visible, so who is named no more has no row left to show.
        """
        named = f'"{schema}"."{table.name}"' if schema else f'"{table.name}"'
        return frozenset(connection.execute(_WRITING, {"named": named}).scalars())

    def after(self, seconds: Any) -> ColumnElement[Any]:
        interval = func.make_interval(0, 0, 0, 0, 0, 0, cast(seconds, Float(53)), type_=Interval())
        return type_coerce(type_coerce(now(), DateTime(timezone=True)) + interval, Instant())

    def seconds_since(self, instant: ColumnElement[Any]) -> ColumnElement[float]:
        passed = type_coerce(now(), DateTime(timezone=True)) - type_coerce(instant, DateTime(timezone=True))
        return func.date_part("epoch", passed, type_=Float(53))  # EXTRACT is numeric, and takes twice as long

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

    def checks(self) -> Sequence[tuple[str, Callable[[Connection], Iterator[Diagnosis]]]]:
        return (("transactions", _transactions), ("vacuum", _vacuum), ("commits", _commits))

    def code(self, error: DBAPIError) -> str:
        return getattr(error.orig, "sqlstate", None) or ""


LONG_OPEN = 300
"""Seconds after which an open transaction counts as long: what it may still see is not cleared away."""
MANY_DEAD = 100_000

_OPEN = """
SELECT 'The session ' || pid || ' (' || coalesce(nullif(application_name, ''), usename) || ', ' || state || ')'
         AS who,
       extract(epoch FROM clock_timestamp() - xact_start) AS seconds,
       'SELECT pg_terminate_backend(' || pid || ')' AS how
FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'
UNION ALL
SELECT 'The prepared transaction ' || gid, extract(epoch FROM clock_timestamp() - prepared), 'ROLLBACK PREPARED'
FROM pg_prepared_xacts WHERE database = current_database()
ORDER BY seconds DESC
"""
_DEAD = """
SELECT n_dead_tup, n_live_tup, last_autovacuum, current_setting('autovacuum') AS autovacuum
FROM pg_stat_user_tables WHERE relid = CAST(:jobs AS regclass)
"""


def _transactions(connection: Connection) -> Iterator[Diagnosis]:
    """Look for transactions that hold back vacuum; of other users' sessions only who may sees since when."""
    for row in connection.execute(text(_OPEN)).all():
        if row.seconds is not None and row.seconds > LONG_OPEN:
            said = f"{row.who} has been in a transaction for {row.seconds:.0f} s. Dead rows since then cannot be"
            yield warning("transactions", f"{said} cleared away, and claims read past them.", f"End it: {row.how}.")


def _vacuum(connection: Connection) -> Iterator[Diagnosis]:
    schema = connection.get_execution_options().get("schema_translate_map", {}).get(None)
    table = f'"{schema}".jobs' if schema else "jobs"
    row = connection.execute(text(_DEAD), {"jobs": table}).first()
    if row is None:
        return
    if row.autovacuum != "on":
        yield warning("vacuum", "Autovacuum is off, so claims get slower.", "Switch it on in postgresql.conf.")
    if row.n_dead_tup > max(MANY_DEAD, row.n_live_tup):
        last = f"{row.last_autovacuum:%Y-%m-%d %H:%M} UTC" if row.last_autovacuum else "never"
        said = f"jobs has {row.n_dead_tup:,} dead rows and {row.n_live_tup:,} living; vacuumed by itself: {last}."
        yield warning("vacuum", said, "VACUUM jobs; then find what held it back: a long transaction, or autovacuum.")


def _commits(connection: Connection) -> Iterator[Diagnosis]:
    if connection.execute(text("SELECT current_setting('synchronous_commit')")).scalar() == "off":
        said = "synchronous_commit is off: after a crash the last commits may be missing, and jobs may run twice."
        yield warning("commits", said, "Set it to on for this user: ALTER ROLE … SET synchronous_commit = on.")
