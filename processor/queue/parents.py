"""Jobs that wait for their children: which they are, how far their children are, and what is done with those.

Every verb is a small batch that skips what others hold, so any processor can do any of it. `endings` ends them.
"""

import math
from collections import defaultdict
from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import cache
from typing import Any

from sqlalchemy import ColumnElement, Connection, case, func, literal_column, or_, select, true, update

from models import jobs
from processor.db.database import Database
from processor.db.dialects import INTEGER, NUMBER, TEXT, Dialect, document
from processor.errors import ValuesRefused
from processor.lifecycle import FINAL, Reason, Status
from processor.queue import states
from processor.queue.upkeep import BATCH, Notifies, cancel_waiting
from processor.queue.where import LAST_FINAL, has_open_children, is_, is_not_started, is_parent_that_waits

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
    waits = (is_parent_that_waits(), jobs.c.duplicate_of.is_(None), jobs.c.id > after)
    rows = select(jobs.c.id, open_).where(*waits).order_by(jobs.c.id).limit(PAGE)
    for name in ("mysql", "mariadb"):  # by its primary key it would read the whole table behind that id
        rows = rows.with_hint(jobs, "FORCE INDEX (jobs_waiting_for)", name)
    with database.read() as connection:
        found = connection.execute(rows).all()
    return Page(
        tuple(row.id for row in found if not row.open),
        tuple(row.id for row in found if row.open),
        found[-1].id if len(found) == PAGE else None,
    )


def stop_children(database: Database, notifies: Notifies, limit: int = BATCH) -> int:
    """Cancel children of parents that are to stop, and ask those that run; give how many were, a batch at most.

    Raises `ValuesRefused` where one is not to be changed, when the others are done.
    """
    unasked = has_open_children(lambda child: ~child.cancel_requested)
    to_stop = select(jobs.c.id).where(jobs.c.cancel_requested, is_parent_that_waits(), is_not_started(), unasked)

    def verb(connection: Connection, ids: list[int]) -> int:
        these = jobs.c.id.in_(ids)
        cancelled = cancel_waiting(connection, database.dialect, (these,), notifies, limit, Reason.PARENT)
        goes_on = or_(is_(Status.RUNNING), is_parent_that_waits())
        locked = select(jobs.c.id).where(these, goes_on, ~jobs.c.cancel_requested).order_by(jobs.c.id)
        running = list(connection.execute(locked.with_for_update(skip_locked=True)).scalars())
        asked = {jobs.c.cancel_requested: true()}
        return cancelled + connection.execute(update(jobs).where(jobs.c.id.in_(running)).values(asked)).rowcount

    with database.read() as connection:
        parents = connection.execute(to_stop.order_by(jobs.c.id).limit(PAGE)).scalars().all()
        ids = _children(connection, parents, limit, ~jobs.c.cancel_requested)
    return _all_or_each(database, ids, verb)


def stopped(database: Database) -> list[int]:
    """Read parents that are to stop and whose children have all ended."""
    over = (jobs.c.cancel_requested, is_parent_that_waits(), is_not_started(), ~has_open_children())
    with database.read() as connection:
        return list(connection.execute(select(jobs.c.id).where(*over).order_by(jobs.c.id).limit(PAGE)).scalars())


def let_go(database: Database, parents: Collection[int], limit: int = BATCH) -> int:
    """Let children be claimed that wait until all of a batch is there; give how many.

    Raises `ValuesRefused` where one is not to be changed, when the others are done.
    """
    staged = (is_(Status.PAUSED), jobs.c.reason == Reason.BATCH.value)

    def verb(connection: Connection, ids: list[int]) -> int:
        those = select(jobs.c.id).where(jobs.c.id.in_(ids), *staged).order_by(jobs.c.id)
        locked = list(connection.execute(those.with_for_update(skip_locked=True)).scalars())
        return states.move(connection, database.dialect, locked, {"status": Status.PENDING.value, "reason": None})

    with database.read() as connection:
        ids = _children(connection, parents, limit, *staged)
    return _all_or_each(database, ids, verb)


def _children(connection: Connection, parents: Collection[int], limit: int, *only: ColumnElement[bool]) -> list[int]:
    """Read some open children of these jobs, in no order: an order would be a sort of all of them, each time."""
    if not parents:
        return []
    is_open = jobs.c.status > literal_column(f"'{LAST_FINAL.value}'")
    rows = select(jobs.c.id).where(jobs.c.parent_id.in_(sorted(parents)), is_open, *only).limit(limit)
    for name in ("mysql", "mariadb"):
        rows = rows.with_hint(jobs, "FORCE INDEX (jobs_parent)", name)
    return sorted(connection.execute(rows).scalars())


def _all_or_each(database: Database, ids: list[int], verb: Callable[[Connection, list[int]], int]) -> int:
    """Change rows in one transaction, or each in its own where one of them is refused."""
    if not ids:
        return 0
    try:
        return database.write(lambda connection: verb(connection, ids))
    except ValuesRefused as error:
        if len(ids) == 1:
            raise
        refusal = error
    changed = 0
    for id in ids:
        try:
            changed += _all_or_each(database, [id], verb)
        except ValuesRefused as error:
            refusal = error
    if not changed:
        raise refusal
    return changed


def tell_progress(database: Database, parents: Collection[int]) -> int:
    """Write how far the children of parents are, the share that has ended with the progress of those that run.

    Gives how many parents are further than before.

    Raises `ValuesRefused` where one is not to be changed, when the others are done.
    """
    mine = jobs.c.parent_id.in_(sorted(parents))
    ended = jobs.c.status.in_([status.value for status in sorted(FINAL)])
    counts = select(jobs.c.parent_id, func.count().label("all"), func.sum(case((ended, 1), else_=0)).label("ended"))
    runs = select(jobs.c.parent_id, jobs.c.progress).where(mine, is_(Status.RUNNING), jobs.c.progress.is_not(None))
    with database.read() as connection:
        found = connection.execute(counts.where(mine).group_by(jobs.c.parent_id)).all()
        running: dict[int, float] = defaultdict(float)
        for parent, progress in connection.execute(runs):
            running[parent] += min(100.0, max(0.0, progress)) if math.isfinite(progress) else 0.0
    told = {
        parent: {
            "id": parent,
            "progress": round((100.0 * int(done) + running[parent]) / all_, 1),
            "message": f"{int(done):,} of {all_:,} children have ended",
        }
        for parent, all_, done in found
    }

    def verb(connection: Connection, ids: list[int]) -> int:
        given = {"given": document(told[id] for id in ids), "ids": ids}
        return connection.execute(_tell(database.dialect), given).rowcount

    return _all_or_each(database, sorted(told), verb)


@cache
def _tell(dialect: Dialect) -> Any:
    given = dialect.table({"id": INTEGER, "progress": NUMBER, "message": TEXT})
    changed = func.coalesce(jobs.c.progress, -1.0) != given.c.progress
    return (
        update(jobs)
        .where(jobs.c.id == given.c.id, dialect.among(jobs.c.id), is_parent_that_waits(), changed)
        .values({jobs.c.progress: given.c.progress, jobs.c.progress_message: given.c.message})
    )
