"""Alembic's entry: migrate over the connection that `processor.db.migrate` opened and locked.

Run by hand (`alembic upgrade head`), the address comes from jobtable's own settings.
"""

from alembic import context
from sqlalchemy import Connection

from models import VERSION_TABLE, Base


def migrate(connection: Connection, schema: str | None) -> None:
    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
        version_table=VERSION_TABLE,
        version_table_schema=schema,
        transactional_ddl=False,  # the transaction is ours: opened with the lock, committed with the work
    )
    context.run_migrations()


def migrate_by_hand() -> None:
    from processor.db import Database
    from processor.settings import load

    settings = load().database
    with Database(settings.url, schema=settings.schema_name) as database:

        def locked(connection: Connection) -> None:
            database.dialect.lock_migrations(connection)
            try:
                migrate(connection, settings.schema_name)
            finally:
                database.dialect.unlock_migrations(connection)

        database.write(locked)


given = context.config.attributes.get("connection")
if given is not None:
    migrate(given, context.config.attributes.get("schema"))
else:
    migrate_by_hand()
