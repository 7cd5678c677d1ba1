"""The claim of what nothing limits, in one statement, for databases that lock rows inside of one.

Given are `claimant` and `number`, the `slots` and of these the `processes`, and the `wanted` types as a document. It
answers with the rows it made running, as `taking.columns`, and with those it left alone because something has to be
decided: of these only the first four columns, and true as the last.
"""

from functools import lru_cache
from typing import Any

from sqlalchemy import (
    ColumnElement,
    and_,
    bindparam,
    case,
    false,
    func,
    literal_column,
    null,
    or_,
    select,
    true,
    union_all,
    update,
)

from models import job_types, jobs, now
from models.types import Identity
from processor.db.dialects import INTEGER, NAME, TEXT, Dialect
from processor.lifecycle import Status
from processor.queue.rules import UNLIMITED
from processor.queue.taking import alive, columns, order, running
from processor.queue.where import is_, is_due_without, is_held_back

ASKED = {
    "type": NAME,
    "process": INTEGER,
    "room": INTEGER,
    "max_concurrent": INTEGER,
    "rate": TEXT,
    "payloads": INTEGER,
    "keyed": INTEGER,
}
STANDING = {"id": INTEGER, "type": NAME, "priority": INTEGER, "created_at": TEXT, "process": INTEGER}
"""Rows of types that have an order of their own: they are counted in their place, and not locked."""


@lru_cache(maxsize=64)
def statement(dialect: Dialect, max_payload_bytes: int, without: frozenset[int], standings: bool = False) -> Any:
    """Put the claim together once: doing it each time took 4 of the 8 ms of a small claim.

    With `standings` these are given as a document, too.
    """
    slots = bindparam("slots", type_=Identity)
    me = alive().with_for_update(read=True, key_share=True).cte("me").prefix_with("MATERIALIZED", dialect="*")
    wanted, said = dialect.table(ASKED, "wanted"), job_types.alias("said")
    limit = func.coalesce(said.c.max_concurrent, wanted.c.max_concurrent)
    best = (
        select(jobs.c.id, jobs.c.priority, jobs.c.created_at, _guarded(wanted, said, limit).label("guarded"))
        .where(jobs.c.type == wanted.c.type, *is_due_without(without))
        .order_by(*order(jobs))
        .limit(func.least(slots, func.coalesce(wanted.c.room, slots), _left_of(limit, wanted)))
        .with_for_update(skip_locked=True, of=jobs)
        .correlate(wanted, said)
        .lateral("best")
    )
    first = (
        select(best.c.id, wanted.c.type, best.c.priority, best.c.created_at, best.c.guarded, wanted.c.process)
        .select_from(me.join(wanted, true()).outerjoin(said, said.c.name == wanted.c.type).join(best, true()))
        .where(~func.coalesce(or_(is_held_back(said), _is_held(said, wanted)), False))
    )
    due = (union_all(first, _standings(dialect)) if standings else first).cte("due")
    due = due.prefix_with("MATERIALIZED", dialect="*")
    ranked = select(due, func.sum(due.c.process).over(order_by=order(due)).label("processes")).subquery("ranked")
    chosen = (
        select(ranked)
        .where(or_(ranked.c.process == 0, ranked.c.processes <= bindparam("processes", type_=Identity)))
        .order_by(*order(ranked))
        .limit(slots)
        .cte("chosen")
    )
    read = columns(dialect, max_payload_bytes)
    taken = (
        update(jobs)
        .where(jobs.c.id == chosen.c.id, ~chosen.c.guarded, is_(Status.PENDING))
        .values(running())
        .returning(*read)
        .cte("taken")
    )
    unread = [null().label(column.name) for column in read[4:]]
    undecided = select(chosen.c.id, chosen.c.type, chosen.c.priority, chosen.c.created_at, *unread, true())
    return union_all(select(taken, false().label("guarded")), undecided.where(chosen.c.guarded))


def _standings(dialect: Dialect) -> Any:
    given = dialect.table(STANDING, "standings")
    created_at = dialect.instant(given.c.created_at)
    return select(given.c.id, given.c.type, given.c.priority, created_at, true(), given.c.process)


def _guarded(wanted: Any, said: Any, limit: Any) -> ColumnElement[bool]:
    """State that a row has to be decided about: `Rules.concern_every_row`, or the row has a lane or a key."""
    decided: ColumnElement[bool] = or_(
        wanted.c.payloads == literal_column("1"),
        limit.is_not(None),
        func.coalesce(said.c.rate, wanted.c.rate) != literal_column(f"'{UNLIMITED}'"),
        jobs.c.concurrency_key.is_not(None),
        and_(wanted.c.keyed == literal_column("1"), jobs.c.key.is_not(None)),
    )
    return func.coalesce(decided, False)


def _left_of(limit: Any, wanted: Any) -> Any:
    """Give how many more of a type may run; null: as many as you like. Not exact: `admission` counts under a lock."""
    runs = jobs.alias("runs")
    count = (
        select(func.count())
        .select_from(runs)
        .where(runs.c.status == literal_column(f"'{Status.RUNNING.value}'"), runs.c.type == wanted.c.type)
        .correlate(wanted)
        .scalar_subquery()
    )
    return case((limit.is_not(None), func.greatest(literal_column("0"), limit - count)))


def _is_held(said: Any, wanted: Any) -> ColumnElement[bool]:
    """State that the rate lets nothing start yet, unless it was changed since that was found."""
    rate = func.coalesce(said.c.rate, wanted.c.rate)
    return and_(said.c.rate_free_at > now(), said.c.rate_free_for == rate)
