"""The claim of what nothing limits, in one statement, for databases that lock rows inside of one.

Given are `claimant` and `number`, the `slots` and of these the `processes`, and the `wanted` types as a document. It
answers with the rows it made running, as `taking.columns`, and with those it left alone because something has to be
decided: of these only the first four columns, and true as the last.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from sqlalchemy import (
    ColumnElement,
    and_,
    bindparam,
    case,
    false,
    func,
    insert,
    literal_column,
    null,
    or_,
    select,
    true,
    union_all,
    update,
)

from models import job_events, job_types, jobs, now
from models.types import Identity
from processor.db.dialects import INTEGER, NAME, TEXT, Dialect
from processor.lifecycle import Status
from processor.queue import states
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
def statement(
    dialect: Dialect,
    max_payload_bytes: int,
    without: frozenset[int],
    standings: bool = False,
    of_the_best: bool = False,
) -> Any:
    """Put the claim together once: doing it each time took 4 of the 8 ms of a small claim.

    With `standings` these are given as a document, too. `of_the_best` types only, as many as there are slots.
    """
    slots = bindparam("slots", type_=Identity)
    me = alive().with_for_update(read=True, key_share=True).cte("me").prefix_with("MATERIALIZED", dialect="*")
    asked = _best(dialect, without) if of_the_best else _all(dialect)
    best = (
        select(jobs.c.id, jobs.c.priority, jobs.c.created_at, _guarded(asked).label("guarded"))
        .where(jobs.c.type == asked.type, *is_due_without(without))
        .order_by(*order(jobs))
        .limit(func.least(slots, asked.room))
        .with_for_update(skip_locked=True, of=jobs)
        .correlate(*asked.tables)
        .lateral("best")
    )
    tables = me.join(asked.tables[0], true())
    for said in asked.tables[1:]:
        tables = tables.outerjoin(said, said.c.name == asked.type)
    first = (
        select(best.c.id, asked.type, best.c.priority, best.c.created_at, best.c.guarded, asked.process)
        .select_from(tables.join(best, true()))
        .where(*asked.conditions)
    )
    due = (union_all(first, _standings(dialect)) if standings else first).cte("due")
    due = due.prefix_with("MATERIALIZED", dialect="*")
    ranked = select(due, func.sum(due.c.process).over(order_by=order(due)).label("processes")).subquery("ranked")
    chosen = select(ranked).where(_has_a_process(ranked)).order_by(*order(ranked)).limit(slots).cte("chosen")
    read = columns(dialect, max_payload_bytes)
    taken = (
        update(jobs)
        .where(jobs.c.id == chosen.c.id, ~chosen.c.guarded, is_(Status.PENDING))
        .values(running())
        .returning(*read, jobs.c.event_no, jobs.c.status, jobs.c.reason)
        .cte("taken")
    )
    told = insert(job_events).from_select(states.COLUMNS, select(*states.said(taken.c))).cte("told")
    unread = [null().label(column.name) for column in read[4:]]
    undecided = select(chosen.c.id, chosen.c.type, chosen.c.priority, chosen.c.created_at, *unread, true())
    rows = select(*(taken.c[column.name] for column in read), false().label("guarded"))
    return union_all(rows, undecided.where(chosen.c.guarded)).add_cte(told)


@dataclass(frozen=True, slots=True)
class _Asked:
    """The types that are asked, with the rules in force: what the processor says, and people in `job_types`."""

    tables: tuple[Any, ...]
    conditions: tuple[ColumnElement[bool], ...]
    type: Any
    process: Any
    room: Any
    limit: Any
    rate: Any
    payloads: Any
    keyed: Any


def _all(dialect: Dialect) -> _Asked:
    wanted, said = dialect.table(ASKED, "wanted").c, job_types.alias("said")
    limit, rate = func.coalesce(said.c.max_concurrent, wanted.max_concurrent), func.coalesce(said.c.rate, wanted.rate)
    room = func.least(wanted.room, _left_of(limit, wanted.type))
    is_held = and_(said.c.rate_free_at > now(), said.c.rate_free_for == rate)  # unless it was changed since
    is_open = ~func.coalesce(or_(is_held_back(said), is_held), False)
    tables = (wanted.type.table, said)
    return _Asked(tables, (is_open,), wanted.type, wanted.process, room, limit, rate, wanted.payloads, wanted.keyed)


def _best(dialect: Dialect, without: frozenset[int]) -> _Asked:
    """Ask only the types whose first rows are the best that may start, as many types as there are slots.

    The best n rows are among those of these n types. Nothing is locked for it.
    """
    asked = _all(dialect)
    head = (
        select(jobs.c.id, jobs.c.priority, jobs.c.created_at)
        .where(jobs.c.type == asked.type, *is_due_without(without))
        .order_by(*order(jobs))
        .limit(literal_column("1"))
        .correlate(*asked.tables)
        .lateral("head")
    )
    names = ("type", "process", "room", "limit", "rate", "payloads", "keyed")
    facts = [getattr(asked, name).label(name) for name in names]
    wanted, said = asked.tables
    heads = (
        select(*facts, head, func.sum(asked.process).over(order_by=order(head)).label("processes"))
        .select_from(wanted.outerjoin(said, said.c.name == asked.type).join(head, true()))
        .where(*asked.conditions, func.coalesce(asked.room > literal_column("0"), True))
        .subquery("heads")
    )
    first = select(heads).where(_has_a_process(heads)).order_by(*order(heads))
    best = first.limit(bindparam("slots", type_=Identity)).subquery("wanted")
    return _Asked((best,), (), *(best.c[name] for name in names))


def _has_a_process(rows: Any) -> ColumnElement[bool]:
    """State that there is a process left for a row where it needs one: `processes` counts those before it and it."""
    return or_(rows.c.process == 0, rows.c.processes <= bindparam("processes", type_=Identity))


def _standings(dialect: Dialect) -> Any:
    given = dialect.table(STANDING, "standings")
    created_at = dialect.instant(given.c.created_at)
    return select(given.c.id, given.c.type, given.c.priority, created_at, true(), given.c.process)


def _guarded(asked: _Asked) -> ColumnElement[bool]:
    """State that a row has to be decided about: `Rules.concern_every_row`, or the row has a lane or a key."""
    decided: ColumnElement[bool] = or_(
        asked.payloads == literal_column("1"),
        asked.limit.is_not(None),
        asked.rate != literal_column(f"'{UNLIMITED}'"),
        jobs.c.concurrency_key.is_not(None),
        and_(asked.keyed == literal_column("1"), jobs.c.key.is_not(None)),
    )
    return func.coalesce(decided, False)


def _left_of(limit: Any, type_: Any) -> Any:
    """Give how many more of a type may run; null: as many as you like. Not exact: `admission` counts under a lock."""
    runs = jobs.alias("runs")
    count = (
        select(func.count())
        .select_from(runs)
        .where(runs.c.status == literal_column(f"'{Status.RUNNING.value}'"), runs.c.type == type_)
        .correlate(type_.table)
        .scalar_subquery()
    )
    return case((limit.is_not(None), func.greatest(literal_column("0"), limit - count)))
