"""Bring a database to the schema of this program, safely from several processes at once.

All of them wait for one lock; the first migrates, the others find the work done. On PostgreSQL and SQLite a migration
is one transaction: it happens or it does not. MariaDB commits each statement by itself, so a migration that was
interrupted there is continued by hand; the message of the failed statement names it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection

from processor.db import schema
from processor.db.database import Database


@dataclass(frozen=True, slots=True)
class Migrated:
    before: str | None
    after: str | None

    @property
    def changed(self) -> bool:
        return self.before != self.after


def upgrade(database: Database, target: str = "head") -> Migrated:
    """Migrate up to `target`, waiting for any other process that migrates."""
    return _migrate(database, target, command.upgrade)


def downgrade(database: Database, target: str = "base") -> Migrated:
    """Migrate down to `target`; tables that it removes lose their rows."""
    return _migrate(database, target, command.downgrade)


def _migrate(database: Database, target: str, direction: Callable[[Config, str], None]) -> Migrated:
    before: str | None = None

    def migrate(connection: Connection) -> None:
        nonlocal before
        database.dialect.lock_migrations(connection)
        before = schema.revision(database)
        config = configuration()
        config.attributes.update(connection=connection, schema=database.schema)
        try:
            direction(config, target)
        finally:
            database.dialect.unlock_migrations(connection)

    database.write(migrate)
    return Migrated(before, schema.revision(database))


def configuration() -> Config:
    """Point Alembic at the migrations, in the installed package or in the checkout."""
    config = Config()
    config.set_main_option("script_location", str(_folder()))
    return config


def _folder() -> Path:
    installed = Path(str(files("processor"))) / "migrations"
    return installed if installed.is_dir() else installed.parent.parent / "migrations"
