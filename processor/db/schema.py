"""Which schema the database has, and whether this program may work with it.

A processor that meets a schema it does not know refuses to start: an old program must never write to a newer schema,
and a new one must not guess what an older one lacks.
"""

from sqlalchemy import Column, MetaData, String, Table, select
from sqlalchemy.exc import DBAPIError

from models import VERSION_TABLE
from processor.db.database import Database
from processor.errors import SchemaMissing, SchemaTooNew, SchemaTooOld

REVISIONS = ("0001",)
"""Every revision up to the one this program is written for, oldest first; a test compares them with migrations/."""

_versions = Table(VERSION_TABLE, MetaData(), Column("version_num", String(32)))


def revision(database: Database) -> str | None:
    """Read the schema's revision; None where `jobtable migrate` never ran.

    Raises `DatabaseUnreachable` when the database does not answer.
    """
    with database.read() as connection:
        try:
            return connection.execute(select(_versions.c.version_num)).scalar()
        except DBAPIError as error:
            if database.dialect.is_missing_table(error):
                return None
            raise


def check(database: Database) -> None:
    """Refuse a schema that this program does not know.

    Raises `SchemaMissing`, `SchemaTooOld` or `SchemaTooNew`, each with the command to run.
    """
    found = revision(database)
    if found == REVISIONS[-1]:
        return
    if found is None:
        raise SchemaMissing(database.address)
    if found in REVISIONS:
        raise SchemaTooOld(database.address, found, REVISIONS[-1])
    raise SchemaTooNew(database.address, found, REVISIONS[-1])
