"""What PostgreSQL, MariaDB/MySQL and SQLite answer differently; nowhere else in the project asks which one it is.

A verb of the queue is written once, in SQLAlchemy Core. Where the same words do not exist on every database, it asks
the dialect: how to add seconds to now, how to turn a list of rows into a table, whether one statement can claim.
"""

from sqlalchemy import URL

from processor.db.dialects.dialect import BOOLEAN, INTEGER, NAME, NUMBER, TEXT, Dialect, document, letters
from processor.db.dialects.mariadb import MariaDB
from processor.db.dialects.postgresql import PostgreSQL
from processor.db.dialects.sqlite import SQLite

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


__all__ = ["BOOLEAN", "INTEGER", "NAME", "NUMBER", "SUPPORTED", "TEXT", "Dialect", "dialect_of", "document", "letters"]
