"""Jobs that wait for their children: which they are, how far their children are, and what is done with those.

Every verb is a small batch that skips what others hold, so any processor can do any of it. `endings` ends them.
"""

from collections.abc import Collection
from dataclasses import dataclass
from functools import cache
from typing import Any

from sqlalchemy import Connection, case, func, or_, select, true, update

from models import jobs
from processor.db.database import Database
from processor.db.dialects import INTEGER, NUMBER, TEXT, Dialect, document
from processor.lifecycle import FINAL, Reason, Status
from processor.queue.upkeep import BATCH, Notifies, cancel_waiting
from processor.queue.where import has_open_children, is_, is_not_started, is_parent_that_waits

PAGE = 200
"""Parents that are looked at in one go."""


@dataclass(frozen=True, slots=True)
class Page:
    """Some of the parents that wait: of which no child is open, and of which some are."""

    ready: tuple[int, ...]
    open: tuple[int, ...]
    last: int | None


def page(database: Database, after: int = 0) -> Page:
    """Read the next parents that wait, after an id; `last` is None where there are no more."""
    open_ = has_open_children().label("open")
    rows = select(jobs.c.id, open_).where(is_parent_that_waits(), jobs.c.id > after)
    with database.read() as connection:
        found = connection.execute(rows.order_by(jobs.c.id).limit(PAGE)).all()
    return Page(
        tuple(row.id for row in found if not row.open),
        tuple(row.id for row in found if row.open),
        found[-1].id if len(found) == PAGE else None,
    )


def stop_children(database: Database, notifies: Notifies, limit: int = BATCH) -> int:
    """Cancel children of parents that are to stop, and ask those that run; give how many were, a batch at most."""
    unasked = has_open_children(lambda child: ~child.cancel_requested)
    to_stop = select(jobs.c.id).where(jobs.c.cancel_requested, is_parent_that_waits(), is_not_started(), unasked)
    with database.read() as connection:
        parents = connection.execute(to_stop.order_by(jobs.c.id).limit(PAGE)).scalars().all()
    if not parents:
        return 0
    mine = jobs.c.parent_id.in_(sorted(parents))

    def verb(connection: Connection) -> int:
        cancelled = cancel_waiting(connection, database.dialect, (mine,), notifies, limit, Reason.PARENT)
        goes_on = or_(is_(Status.RUNNING), is_parent_that_waits())
        ids = connection.execute(
            select(jobs.c.id)
            .where(mine, goes_on, ~jobs.c.cancel_requested)
            .order_by(jobs.c.id)
            .limit(limit)
            .with_for_update(skip_locked=True)
        ).scalars()
        asked = {jobs.c.cancel_requested: true()}
        return cancelled + connection.execute(update(jobs).where(jobs.c.id.in_(list(ids))).values(asked)).rowcount

    return database.write(verb)


def stopped(database: Database) -> list[int]:
    """Read parents that are to stop and whose children have all ended."""
    over = (jobs.c.cancel_requested, is_parent_that_waits(), is_not_started(), ~has_open_children())
    with database.read() as connection:
        return list(connection.execute(select(jobs.c.id).where(*over).order_by(jobs.c.id).limit(PAGE)).scalars())


def let_go(database: Database, parents: Collection[int], limit: int = BATCH) -> int:
    """Let children be claimed that wait until all of a batch is there; give how many."""
    if not parents:
        return 0
    staged = (jobs.c.parent_id.in_(sorted(parents)), is_(Status.PAUSED), jobs.c.reason == Reason.BATCH.value)
    with database.read() as connection:
        if connection.execute(select(jobs.c.id).where(*staged).limit(1)).first() is None:
            return 0

    def verb(connection: Connection) -> int:
        ids = connection.execute(
            select(jobs.c.id).where(*staged).order_by(jobs.c.id).limit(limit).with_for_update(skip_locked=True)
        ).scalars()
        fresh = {jobs.c.status: Status.PENDING.value, jobs.c.reason: None}
        return connection.execute(update(jobs).where(jobs.c.id.in_(list(ids))).values(fresh)).rowcount

    return database.write(verb)


def tell_progress(database: Database, parents: Collection[int]) -> None:
    """Write how far the children of parents are: the share that has ended, with the progress of those that run."""
    mine = jobs.c.parent_id.in_(sorted(parents))
    ended = jobs.c.status.in_([status.value for status in sorted(FINAL)])
    counts = select(jobs.c.parent_id, func.count().label("all"), func.sum(case((ended, 1), else_=0)).label("ended"))
    runs = select(jobs.c.parent_id, func.sum(jobs.c.progress)).where(mine, is_(Status.RUNNING))
    with database.read() as connection:
        found = connection.execute(counts.where(mine).group_by(jobs.c.parent_id)).all()
        running = dict(map(tuple, connection.execute(runs.group_by(jobs.c.parent_id))))
    told = [
        {
            "id": parent,
            "progress": round((100.0 * int(done) + float(running.get(parent) or 0.0)) / all_, 1),
            "message": f"{int(done):,} of {all_:,} children have ended",
        }
        for parent, all_, done in found
    ]
    if told:
        given = {"given": document(told), "ids": [one["id"] for one in told]}
        database.write(lambda connection: connection.execute(_tell(database.dialect), given))


@cache
def _tell(dialect: Dialect) -> Any:
    given = dialect.table({"id": INTEGER, "progress": NUMBER, "message": TEXT})
    changed = func.coalesce(jobs.c.progress, -1.0) != given.c.progress
    return (
        update(jobs)
        .where(jobs.c.id == given.c.id, dialect.among(jobs.c.id), is_parent_that_waits(), changed)
        .values({jobs.c.progress: given.c.progress, jobs.c.progress_message: given.c.message})
    )
