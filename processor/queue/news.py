"""What came since somebody looked: events of single jobs by their numbers, and those of all, and notifications, by ids.

Numbers of one job become visible in order; ids do not, so who reads by these goes no further than `tail` says.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Table, and_, or_, select

from models import job_events, jobs, notifications
from processor.db.database import Database
from processor.queue.lookup import Row, rows_of


@dataclass(frozen=True, slots=True)
class Choice:
    """Whose news somebody wants, of which types of jobs, and of which kinds; None: of all."""

    owners: frozenset[str] | None = None
    types: frozenset[str] | None = None
    kinds: frozenset[str] | None = None

    @classmethod
    def of(cls, owner: str | None, types: Iterable[str] = (), kinds: Iterable[str] = ()) -> "Choice":
        """Choose by single values; none of one sort: all of it."""
        owners = None if owner is None else frozenset((owner,))
        return cls(owners, frozenset(types) or None, frozenset(kinds) or None)

    def takes(self, row: Row) -> bool:
        """Tell whether a row is among what is wanted."""
        return (
            (self.owners is None or row["owner"] in self.owners)
            and (self.types is None or row["type"] in self.types)
            and (self.kinds is None or row["kind"] in self.kinds)
        )


def heads(database: Database, ids: Collection[int]) -> dict[int, Row]:
    """Read of jobs, as far as they are there, how they stand and the number of their latest event."""
    columns = (jobs.c.id, jobs.c.status, jobs.c.reason, jobs.c.event_no)
    return {row["id"]: row for row in rows_of(database, select(*columns).where(jobs.c.id.in_(sorted(ids))))}


def events_behind(database: Database, positions: Mapping[int, int], *, limit: int) -> list[Row]:
    """Read what several jobs told after the event that is given for each, job by job, in order."""
    behind = [and_(job_events.c.job_id == id, job_events.c.number > number) for id, number in sorted(positions.items())]
    statement = select(*job_events.c).where(or_(*behind)).order_by(job_events.c.job_id, job_events.c.number)
    return rows_of(database, statement.limit(limit))


def changes_behind(database: Database, after: int, upto: int, choices: Collection[Choice], *, limit: int) -> list[Row]:
    """Read what jobs told behind an id up to another, in order: what one of several wants, and perhaps more."""
    events = job_events
    told = select(*events.c, jobs.c.type, jobs.c.owner).join(jobs, jobs.c.id == events.c.job_id)
    wanted = _wanted(choices, owners=jobs.c.owner, types=jobs.c.type, kinds=events.c.kind)
    return rows_of(database, told.where(*_between(events, after, upto), *wanted).order_by(events.c.id).limit(limit))


def notifications_behind(
    database: Database, after: int, upto: int, choices: Collection[Choice], *, limit: int
) -> list[Row]:
    """Read notifications behind an id up to another, in order: what one of several wants, and perhaps more."""
    wanted = _wanted(choices, owners=notifications.c.owner, types=notifications.c.type)
    told = select(*notifications.c).where(*_between(notifications, after, upto), *wanted)
    return rows_of(database, told.order_by(notifications.c.id).limit(limit))


def _between(table: Table, after: int, upto: int) -> tuple[ColumnElement[bool], ...]:
    return table.c.id > after, table.c.id <= upto


def _wanted(choices: Collection[Choice], **columns: ColumnElement[Any]) -> list[ColumnElement[bool]]:
    """State of each column that it has a value which somebody wants, where nobody wants all."""
    wanted: list[ColumnElement[bool]] = []
    for name, column in columns.items():
        groups = [getattr(choice, name) for choice in choices]
        if None not in groups:
            wanted.append(column.in_(sorted(set().union(*groups))))
    return wanted
