"""Conditions that more than one verb states, written so that the partial indexes are seen to serve them."""

from collections.abc import Callable, Collection, Iterable
from typing import Any

from sqlalchemy import ColumnElement, and_, exists, func, literal_column, or_, select

from models import job_types, jobs, now
from processor.lifecycle import FINAL, NOT_STARTED, Reason, Status


def is_(status: Status) -> ColumnElement[bool]:
    """State the status as a constant: a planner proves a partial index from constants, not from parameters."""
    matches: ColumnElement[bool] = jobs.c.status == _constant(status)
    return matches


def is_one_of(statuses: Iterable[Status]) -> ColumnElement[bool]:
    """State that the status is one of these, in the order of the lifecycle, as the indexes have it."""
    return jobs.c.status.in_([_constant(status) for status in Status if status in set(statuses)])


def is_final() -> ColumnElement[bool]:
    return is_one_of(FINAL)


def is_not_started() -> ColumnElement[bool]:
    return is_one_of(NOT_STARTED)


def is_parent_that_waits() -> ColumnElement[bool]:
    """State that the row waits for its children; words and constants as the index `jobs_parents` has them."""
    return and_(is_(Status.WAITING), jobs.c.reason == literal_column(f"'{Reason.CHILDREN.value}'"))


def waits_for_others() -> ColumnElement[bool]:
    """State that a row which waits does so for its lane or an equal job."""
    return func.coalesce(jobs.c.reason, "") != literal_column(f"'{Reason.CHILDREN.value}'")


LAST_FINAL = max(FINAL)
"""All states that are not final come after it in the alphabet, so that open children are one range of an index."""


def has_children() -> ColumnElement[bool]:
    """State that a row has children, whatever became of them."""
    child = jobs.alias("any_child")
    first = select(child.c.id).where(child.c.parent_id == jobs.c.id)
    for name in ("mysql", "mariadb"):
        first = first.with_hint(child, "FORCE INDEX (jobs_parent)", name)
    in_order = first.order_by(child.c.status, child.c.id).limit(literal_column("1"))
    return in_order.correlate(jobs).scalar_subquery().is_not(None)


def has_open_children(*only: Callable[[Any], ColumnElement[bool]]) -> ColumnElement[bool]:
    """State that a row has children that have not ended, and of which `only` holds.

    The first in the order of the index, though any would do: PostgreSQL would look for any in the whole table.
    """
    child = jobs.alias("child")
    is_open = child.c.status > literal_column(f"'{LAST_FINAL.value}'")
    first = select(child.c.id).where(child.c.parent_id == jobs.c.id, is_open, *(holds(child.c) for holds in only))
    for name in ("mysql", "mariadb"):  # where few rows have a parent, MariaDB reads all of the index for each row
        first = first.with_hint(child, "FORCE INDEX (jobs_parent)", name)
    in_order = first.order_by(child.c.status, child.c.id).limit(literal_column("1"))
    return in_order.correlate(jobs).scalar_subquery().is_not(None)


def is_due() -> tuple[ColumnElement[bool], ...]:
    """State that a claim may take the row: pending, its time has come, nobody asked it to stop."""
    return is_due_without(())


def is_due_without(ids: Collection[int]) -> tuple[ColumnElement[bool], ...]:
    """State the same of rows other than these."""
    return (is_(Status.PENDING), *is_due_once_pending(ids))


def is_due_once_pending(without: Collection[int] = ()) -> tuple[ColumnElement[bool], ...]:
    """State of a pending row, other than these, that a claim may take it."""
    its_time = or_(jobs.c.run_at.is_(None), jobs.c.run_at <= now())
    others = (jobs.c.id.not_in(sorted(without)),) if without else ()
    return (its_time, ~jobs.c.cancel_requested, *others)


def is_paused(type_: Any) -> ColumnElement[bool]:
    """State that somebody keeps this type (a name or a column) from being claimed."""
    return exists(
        select(job_types.c.name).where(
            and_(job_types.c.name == type_, or_(job_types.c.paused, job_types.c.paused_until > now()))
        )
    )


def is_held_back(said: Any) -> ColumnElement[bool]:
    """State that a row of `job_types` (or an alias of it) says that its type is paused."""
    return or_(said.c.paused, func.coalesce(said.c.paused_until > now(), False))


def _constant(status: Status) -> Any:
    return literal_column(f"'{status.value}'")
