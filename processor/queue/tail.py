"""The end of a table that grows, read so that nothing is missed: up to which id every row is there that will ever be.

Ids are given before rows become visible, so a higher one may be seen first. Who reads on behind the highest one that he
has seen would miss the lower one. So the tail asks who is writing at the moment in which it sees an id, and believes in
that id as the end when none of these writes any more: by then each lower row is visible, or will never be.
"""

from sqlalchemy import Connection, Table, func, select

from processor.db.database import Database

LOOK_BACK = 100_000
"""Ids before the end in which somebody may be writing when the first look is taken."""


class Tail:
    """The end of a table with the column `id`; one reader, from one thread at a time."""

    def __init__(self, database: Database, table: Table) -> None:
        self._database = database
        self._table = table
        self._end: int | None = None
        self._ahead: int | None = None
        self._writing: frozenset[str] = frozenset()

    def look(self) -> int | None:
        """Give the id up to which all rows are there; None as long as none can be given."""
        with self._database.read() as connection:
            if self._ahead is None:
                newest = self._newest(connection)
                if self._end is not None and newest <= self._end:
                    self._end = newest  # lower: rows were deleted, or the table is an older one that was restored
                    return self._end
                self._ahead = newest
        writing = self._who_writes(self._ahead)
        self._writing = writing if not self._writing else self._writing & writing
        if not self._writing:
            self._end, self._ahead = self._ahead, None
        return self._end

    def newest(self) -> int:
        """Read the highest id that is there. No place that somebody reached lies beyond it but in a table of before."""
        with self._database.read() as connection:
            return self._newest(connection)

    def _newest(self, connection: Connection) -> int:
        return connection.execute(select(func.max(self._table.c.id))).scalar() or 0

    def _who_writes(self, upto: int) -> frozenset[str]:
        after = max(0, upto - LOOK_BACK) if self._end is None else self._end
        with self._database.read() as connection:
            return self._database.dialect.writing(connection, self._table, self._database.schema, after, upto)
