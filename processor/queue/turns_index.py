"""The index by which owners are found who take turns; only who has a type with `fair` pays for it.

It costs every insert some microseconds, where rows have owners (docs/performance.md), so that it is not one of the
tables' own: the first processor that runs such a type makes it.
"""

from collections.abc import Iterable

from sqlalchemy import Connection, inspect, text

from processor.db.database import Database
from processor.errors import DatabaseError, DatabaseUnreachable, StartRefused
from processor.queue.rules import Rules

NAME = "jobs_turns"


def ensure(database: Database, rules: Iterable[Rules]) -> bool:
    """Make the index where one of these rules needs it; tell whether that was done.

    Raises `StartRefused` where this user may not, `DatabaseUnreachable`.
    """
    if not any(one.fair != "none" for one in rules):
        return False
    with database.read() as connection:
        if _exists(database, connection):
            return False
    try:
        return database.write(lambda connection: _make(database, connection))
    except DatabaseUnreachable:
        raise
    except DatabaseError as error:
        raise StartRefused(
            f"A type has `fair`, which needs an index, and it could not be made. {error.message}",
            f"Let somebody who may make it: {statement(database)}; or remove `fair`.",
        ) from error


def statement(database: Database) -> str:
    """Give the SQL that makes it."""
    quote = "`" if not database.dialect.has_partial_indexes else '"'
    schema = f"{quote}{database.schema}{quote}." if database.schema else ""
    collation = database.dialect.bytewise_collation
    owner = f'owner COLLATE "{collation}"' if collation else "owner"
    columns = f"priority, type, {owner}, created_at, id"
    if database.dialect.has_partial_indexes:
        return f"CREATE INDEX {NAME} ON {schema}jobs ({columns}) WHERE status = 'pending'"
    return f"CREATE INDEX {NAME} ON {schema}jobs (status, {columns})"


def _make(database: Database, connection: Connection) -> bool:
    database.dialect.lock_migrations(connection)
    try:
        if _exists(database, connection):  # another processor was faster
            return False
        for setting in database.dialect.impatience:
            connection.execute(text(setting))
        connection.execute(text(statement(database)))
        return True
    finally:
        database.dialect.unlock_migrations(connection)


def _exists(database: Database, connection: Connection) -> bool:
    indexes = inspect(connection).get_indexes("jobs", schema=database.schema)
    return NAME in {index["name"] for index in indexes}
