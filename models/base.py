"""The metadata that every table belongs to, and the column shapes that recur."""

from datetime import datetime

from sqlalchemy import Identity as Generated
from sqlalchemy import MetaData
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from models.types import Identity, Instant, now

VERSION_TABLE = "jobtable_version"
"""Alembic's own table under a name that cannot meet the application's."""


class Base(DeclarativeBase):
    metadata = MetaData()


def identity(comment: str) -> Mapped[int]:
    """Declare the numbered primary key of a table."""
    return mapped_column(Identity, Generated(), primary_key=True, autoincrement=True, comment=comment)


def instant(comment: str) -> Mapped[datetime | None]:
    """Declare an instant that may be missing."""
    return mapped_column(Instant, comment=comment)


def stamped(comment: str) -> Mapped[datetime]:
    """Declare an instant that the database sets when the row is inserted."""
    return mapped_column(Instant, nullable=False, server_default=now(), comment=comment)
