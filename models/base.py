"""The metadata that every table belongs to, and the column shapes that recur."""

from datetime import datetime

from sqlalchemy import CheckConstraint, MetaData, Table
from sqlalchemy import Identity as Generated
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


def check_instant(table: Table, column: str) -> None:
    """Refuse what is no instant in UTC, infinity, and what no driver can read back: it would break who meets it.

    SQLite has no type for instants: text there must compare as it sorts.
    """
    table.append_constraint(
        CheckConstraint(
            f"{column} NOT GLOB '*[^0-9 :.-]*' AND strftime('%Y-%m-%d %H:%M:%S', {column}) IS substr({column}, 1, 19)"
            f" AND (length({column}) = 19 OR (substr({column}, 20, 1) = '.' AND length({column}) > 20"
            f" AND substr({column}, 21) NOT GLOB '*[^0-9]*'))",
            name=f"{table.name}_{column}_is_utc_YYYY_MM_DD_HH_MM_SS",
        ).ddl_if(dialect="sqlite")
    )
    no_zeros = f" AND month({column}) > 0 AND dayofmonth({column}) > 0"  # '2026-00-15' is a date there
    for dialects, zone, more in (
        (("postgresql",), "+00", ""),
        (("mysql", "mariadb"), "", no_zeros),
        (("sqlite",), "", ""),
    ):
        check = CheckConstraint(
            f"{column} BETWEEN '1970-01-01 00:00:00{zone}' AND '9999-12-30 23:59:59{zone}'{more}",
            name=f"{table.name}_{column}_is_within_1970_to_9999",
        )
        table.append_constraint(check.ddl_if(dialect=dialects))  # type: ignore[arg-type]
