"""Tell each change of a job's status as an event of kind `state`, in the transaction that makes the change.

The UPDATE that writes the status takes the job's next number (`NUMBERED`); one statement then writes the events of all
rows that moved, from what the rows say now. The rows are locked by then, so numbers have no gaps, and who reads a job's
events by their numbers misses none. What somebody writes with a plain UPDATE leaves no event.
"""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from sqlalchemy import Connection, insert, literal_column, select, update

from models import job_events, jobs
from processor.db.dialects import Dialect

NUMBERED: dict[str, Any] = {"event_no": jobs.c.event_no + 1}
"""What an UPDATE of the status writes besides, so that `tell` finds a number."""
STATE = "state"
COLUMNS = ("job_id", "number", "attempt", "kind", "level", "text")


def move(connection: Connection, dialect: Dialect, ids: Sequence[int], values: Mapping[str, Any]) -> int:
    """Write a status, and what goes with it, into locked rows, and tell it; give how many rows these are."""
    if ids:
        connection.execute(update(jobs).where(jobs.c.id.in_(ids)).values({**values, **NUMBERED}))
        tell(connection, dialect, ids)
    return len(ids)


def tell(connection: Connection, dialect: Dialect, ids: Sequence[int]) -> None:
    """Write an event for each of these rows, whose status was just changed and numbered."""
    if ids:
        connection.execute(_insert(dialect), {"ids": list(ids)})


@cache
def _insert(dialect: Dialect) -> Any:
    return insert(job_events).from_select(COLUMNS, select(*said(jobs.c)).where(dialect.among(jobs.c.id)))


def said(row: Any) -> tuple[Any, ...]:
    """Give the `COLUMNS` of the event that tells the state of a row (columns of `jobs`)."""
    return (row.id, row.event_no, row.attempt, literal_column(f"'{STATE}'").label("kind"), row.status, row.reason)
