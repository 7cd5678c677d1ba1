"""Tell the owner of a job how it ended: a row for each final state, in the transaction that writes the state."""

from collections.abc import Sequence
from functools import cache
from typing import Any

from sqlalchemy import Connection, insert, select

from models import notifications
from processor.db.dialects import INTEGER, TEXT, Dialect, document

_NOTIFICATION = {
    "job_id": INTEGER,
    "type": TEXT,
    "owner": TEXT,
    "subject": TEXT,
    "status": TEXT,
    "reason": TEXT,
    "message": TEXT,
}


def notify(connection: Connection, dialect: Dialect, rows: Sequence[dict[str, Any]]) -> None:
    """Insert notifications with these columns; `message` may be left out."""
    if rows:
        connection.execute(_insert(dialect), {"given": document(rows)})


@cache
def _insert(dialect: Dialect) -> Any:
    given = dialect.table(_NOTIFICATION)
    return insert(notifications).from_select(list(_NOTIFICATION), select(given))
