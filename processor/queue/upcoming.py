"""What runs, and what is next: the first of what waits, in the order in which claims take it, for people who look.

Each sort of waiting has a share of what is shown, and what one leaves goes to the earlier ones: a long queue hides no
job that waits for its children. Every part is read by an index, type by type, as claims do.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, or_, select, union_all

from models import jobs, now
from processor.db.database import Database
from processor.lifecycle import NOT_STARTED, Status
from processor.queue.lookup import TEXT_COLUMNS, TEXT_REACH, Filter, Row, has_text, jobs_page, rows_of, summaries
from processor.queue.taking import order, rank
from processor.queue.where import is_

TYPES_AT_ONCE = 50
"""Types whose first rows one statement reads."""

PLACE = ("id", "type", "priority", "created_at", "run_at", "duplicate_of")
"""What the orders need, beginning as `rank` does."""

Conditions = tuple[ColumnElement[bool], ...]


def running(database: Database, *, text: str | None = None, limit: int = 100) -> list[Row]:
    """Read the jobs that run, those first that have been running longest: of all jobs these alone are looked at."""
    wanted = (is_(Status.RUNNING), *Filter(text=text).conditions(database))
    return rows_of(database, summaries(database).where(*wanted).order_by(jobs.c.started_at, jobs.c.id).limit(limit))


def upcoming(
    database: Database, *, open_: Collection[str], closed: Collection[str], text: str | None = None, limit: int = 100
) -> list[Row]:
    """Read the first jobs that wait: due ones of `open_` types, which may start, those of `closed` ones, others.

    Others wait for jobs, are paused, or are for later. A text is looked for in the first rows of each part.
    """
    look = _Look(database, text, limit)
    parts = [look.due(open_), look.due(closed), look.waiting(), look.paused(), look.later()]
    ids = shared(parts, limit)
    found = {row["id"]: row for row in jobs_page(database, Filter(ids=tuple(ids)), limit=limit)} if ids else {}
    return [found[id] for id in ids if id in found and found[id]["status"] in NOT_STARTED]


def shared(parts: Sequence[Sequence[int]], limit: int) -> list[int]:
    """Take the first of each part: at least its share, and what others leave, the earlier parts first."""
    share = limit // len(parts)
    left = limit - sum(min(len(part), share) for part in parts)
    shown: list[int] = []
    for part in parts:
        more = min(max(0, len(part) - share), left)
        left -= more
        shown += part[: share + more]
    return shown


@dataclass(frozen=True, slots=True)
class _Look:
    database: Database
    text: str | None
    limit: int

    def due(self, types: Collection[str]) -> list[int]:
        """Give the first due rows of these types, in the order of claims."""
        names, rows = sorted(types), list[Any]()
        for place in range(0, len(names), TYPES_AT_ONCE):
            rows += self._first([_due(name) for name in names[place : place + TYPES_AT_ONCE]], order)
        return self._ordered(rows)

    def waiting(self) -> list[int]:
        return self._ordered(self._first([(is_(Status.WAITING),)], lambda rows: (rows.c.duplicate_of, rows.c.id)))

    def paused(self) -> list[int]:
        return self._ordered(self._first([(is_(Status.PAUSED),)], lambda rows: (rows.c.type,)))

    def later(self) -> list[int]:
        """Give the rows whose time lies ahead, or has just come, the earliest first."""
        parts = [(is_(Status.SCHEDULED),), (is_(Status.PENDING), jobs.c.run_at > now())]
        return [row.id for row in self._first(parts, lambda rows: (rows.c.run_at, rows.c.id))]

    def _ordered(self, rows: Sequence[Any]) -> list[int]:
        return [row.id for row in sorted(rows, key=rank)[: self.limit]]

    def _first(self, parts: Sequence[Conditions], by: Callable[[Any], tuple[Any, ...]]) -> Sequence[Any]:
        """Read the first rows of all parts together, in an order which an index gives for each part."""
        names = PLACE if self.text is None else (*PLACE, *(name for name in TEXT_COLUMNS if name not in PLACE))
        reach = self.limit if self.text is None else max(self.limit, TEXT_REACH // len(parts))
        columns = [jobs.c[name] for name in names]
        firsts = [select(*columns).where(*part).order_by(*by(jobs)).limit(reach).subquery() for part in parts]
        rows = union_all(*(select(first) for first in firsts)).subquery("first")
        wanted = () if self.text is None else (has_text(rows, self.text),)
        with self.database.read() as connection:
            return connection.execute(select(rows).where(*wanted).order_by(*by(rows)).limit(self.limit)).all()


def _due(type_: str) -> Conditions:
    return is_(Status.PENDING), jobs.c.type == type_, or_(jobs.c.run_at.is_(None), jobs.c.run_at <= now())
