"""The end of a job that waits for its children: with their results, or failed, by its rule.

It is a settle like any other: an outcome is judged and written, by the same statements. Two that end one parent do no
harm: its row is locked and its children are looked at once more before anything is written.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, select

from models import jobs
from processor.db.database import Database
from processor.db.dialects import Dialect
from processor.errors import ValuesRefused
from processor.judge import Policy, judge
from processor.lifecycle import Status
from processor.outcome import Outcome
from processor.queue import verdicts
from processor.queue.children import own_ancestors, waits_for_itself
from processor.queue.deliveries import announce
from processor.queue.followups import follow_up
from processor.queue.gathering import PARENT, Gathered, gather
from processor.queue.settlement import Settled, Settlement, unstorable
from processor.queue.upkeep import Notifies
from processor.queue.waiting import go_on
from processor.queue.where import has_open_children, is_parent_that_waits

BITE = 20
"""Parents that end in one transaction."""
BITE_BYTES = 4 * 1024**2
"""Of their results together; MariaDB takes 16 MiB in one statement unless told otherwise."""


def end(database: Database, parents: Collection[int], notifies: Notifies) -> Settled:
    """End those of these jobs that wait for children of which none is open any more."""
    settled = Settled()
    for bite in _bites(sorted(parents)):
        with database.read() as connection:
            rows = connection.execute(select(*PARENT).where(*_is_ready(bite))).all()
            ready = [gather(connection, database.dialect, row) for row in rows]
        settled += _end_all_or_each(database, ready, notifies)
    return settled


def end_circles(database: Database, parents: Collection[int], notifies: Notifies) -> Settled:
    """End those of these waiting jobs that wait for themselves, because somebody made a circle of `parent_id`."""
    with database.read() as connection:
        chains = own_ancestors(connection, parents)
        rows = connection.execute(select(*PARENT).where(jobs.c.id.in_(sorted(chains)), is_parent_that_waits())).all()
    settled = Settled()
    for row in rows:
        settlement = _judged(row, waits_for_itself(chains[row.id]), notifies)
        try:
            settled += _write(database, [settlement], circle=True)
        except ValuesRefused as error:
            settled += Settled(refusals=(error.message,))
    return settled


def _bites(parents: Sequence[int]) -> Iterator[Sequence[int]]:
    for start in range(0, len(parents), BITE):
        yield parents[start : start + BITE]


def _is_ready(parents: Collection[int]) -> tuple[Any, ...]:
    return (jobs.c.id.in_(sorted(parents)), is_parent_that_waits(), ~has_open_children())


def _end_all_or_each(database: Database, ready: Sequence[Gathered], notifies: Notifies) -> Settled:
    """End all in one transaction, or each in its own where together they are too large or something is refused."""
    if not ready:
        return Settled()
    ours = [_settlement(one, notifies) for one in ready]
    refusal: ValuesRefused | None = None
    if len(ours) == 1 or sum(one.size for one in ours) <= BITE_BYTES:
        try:
            return _write(database, ours)
        except ValuesRefused as error:
            refusal = error
    if refusal is not None and len(ready) == 1:
        return _end_otherwise(database, ready[0], notifies, refusal)
    middle = len(ready) // 2
    return _end_all_or_each(database, ready[:middle], notifies) + _end_all_or_each(database, ready[middle:], notifies)


def _end_otherwise(database: Database, one: Gathered, notifies: Notifies, refusal: ValuesRefused) -> Settled:
    """End a parent whose result the database refuses: without what its children tell, or returned; else unstorable."""
    without = _settlement(one, notifies, told=False)
    bare = _settlement(one, notifies, told=False, returned=False)
    for instead in (without, bare, unstorable(bare, refusal.message)):
        try:
            return _write(database, [instead])
        except ValuesRefused as error:
            refusal = error
    return Settled(refusals=(refusal.message,))


def _settlement(one: Gathered, notifies: Notifies, *, told: bool = True, returned: bool = True) -> Settlement:
    return _judged(one.parent, one.outcome(told=told, returned=returned), notifies)


def _judged(parent: Any, outcome: Outcome, notifies: Notifies) -> Settlement:
    verdict = judge(
        outcome, attempt=parent.attempt, crashes=0, cancelled=parent.cancel_requested, policy=Policy(), chance=0.0
    )
    notify, notify_failure = (notifies(parent.type, status) for status in (verdict.status, Status.FAILED))
    verdict = replace(verdict, notify=notify, notify_failure=notify_failure)
    return Settlement.of(parent, parent.processor_id or "", parent.claim_no or 0, verdict)


def _write(database: Database, ours: Sequence[Settlement], *, circle: bool = False) -> Settled:
    return database.write(lambda connection: _write_ends(connection, database.dialect, ours, circle=circle))


def _write_ends(connection: Connection, dialect: Dialect, ours: Sequence[Settlement], *, circle: bool) -> Settled:
    these = [one.job_id for one in ours]
    locked = connection.execute(
        select(jobs.c.id, jobs.c.parent_id)
        .where(*((jobs.c.id.in_(these), is_parent_that_waits()) if circle else _is_ready(these)))
        .order_by(jobs.c.id)
        .with_for_update(of=jobs, skip_locked=True)
    ).all()
    mine = {row.id for row in locked}
    ended = [one for one in ours if one.job_id in mine]
    if not ended:
        return Settled()
    verdicts.write(connection, dialect, ended)
    gone_on = go_on(connection, dialect, ended)
    made = follow_up(connection, dialect, mine) + announce(connection, dialect, mine)
    return Settled(
        tuple(ended),
        reused=tuple(gone_on.reused),
        woken=gone_on.woken + made.count,
        unseen=gone_on.unseen,
        parents=frozenset(row.parent_id for row in locked if isinstance(row.parent_id, int)),
        refusals=tuple(made.refusals),
    )
