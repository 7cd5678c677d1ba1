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
from processor.queue import verdicts
from processor.queue.followups import follow_up
from processor.queue.gathering import PARENT, Gathered, gather
from processor.queue.settlement import Settled, Settlement, unstorable
from processor.queue.upkeep import Notifies
from processor.queue.waiting import go_on
from processor.queue.where import has_open_children, is_parent_that_waits

BITE = 20
"""Parents that end in one transaction, each with up to 512 KiB of results."""


def end(database: Database, parents: Collection[int], notifies: Notifies) -> Settled:
    """End those of these jobs that wait for children of which none is open any more.

    Raises `ValuesRefused` where one is not to be changed at all, when the others are done.
    """
    settled, refusals = Settled(), list[ValuesRefused]()
    for bite in _bites(sorted(parents)):
        with database.read() as connection:
            rows = connection.execute(select(*PARENT).where(*_is_ready(bite))).all()
            ready = [gather(connection, database.dialect, row) for row in rows]
        for part in _end_all_or_each(database, ready, notifies, refusals):
            settled += part
    if refusals:
        raise refusals[0]
    return settled


def _bites(parents: Sequence[int]) -> Iterator[Sequence[int]]:
    for start in range(0, len(parents), BITE):
        yield parents[start : start + BITE]


def _is_ready(parents: Collection[int]) -> tuple[Any, ...]:
    return (jobs.c.id.in_(sorted(parents)), is_parent_that_waits(), ~has_open_children())


def _end_all_or_each(
    database: Database, ready: Sequence[Gathered], notifies: Notifies, refusals: list[ValuesRefused]
) -> Iterator[Settled]:
    """End all in one transaction, or each in its own where something of one is refused."""
    if not ready:
        return
    try:
        yield _write(database, [_settlement(one, notifies) for one in ready])
    except ValuesRefused as refusal:
        if len(ready) > 1:
            for one in ready:
                yield from _end_all_or_each(database, [one], notifies, refusals)
        else:
            yield from _end_otherwise(database, ready[0], notifies, refusal, refusals)


def _end_otherwise(
    database: Database, one: Gathered, notifies: Notifies, refusal: ValuesRefused, refusals: list[ValuesRefused]
) -> Iterator[Settled]:
    """End a parent whose result the database refuses: without what its children tell, else as unstorable."""
    bare = _settlement(one, notifies, told=False)
    for instead in (bare, unstorable(bare, refusal.message)):
        try:
            yield _write(database, [instead])
            return
        except ValuesRefused as error:
            refusal = error
    refusals.append(refusal)


def _settlement(one: Gathered, notifies: Notifies, *, told: bool = True) -> Settlement:
    parent = one.parent
    outcome = one.outcome(told=told)
    verdict = judge(
        outcome, attempt=parent.attempt, crashes=0, cancelled=parent.cancel_requested, policy=Policy(), chance=0.0
    )
    notify, notify_failure = (notifies(parent.type, status) for status in (verdict.status, Status.FAILED))
    verdict = replace(verdict, notify=notify, notify_failure=notify_failure)
    return Settlement(
        parent.id,
        parent.processor_id or "",
        parent.claim_no or 0,
        parent.type,
        parent.attempt,
        parent.owner,
        parent.subject,
        verdict,
        parent.key,
        parent.concurrency_key,
    )


def _write(database: Database, ours: Sequence[Settlement]) -> Settled:
    return database.write(lambda connection: _write_ends(connection, database.dialect, ours))


def _write_ends(connection: Connection, dialect: Dialect, ours: Sequence[Settlement]) -> Settled:
    locked = connection.execute(
        select(jobs.c.id, jobs.c.parent_id)
        .where(*_is_ready([one.job_id for one in ours]))
        .order_by(jobs.c.id)
        .with_for_update(of=jobs, skip_locked=True)
    ).all()
    mine = {row.id for row in locked}
    ended = [one for one in ours if one.job_id in mine]
    if not ended:
        return Settled()
    verdicts.write(connection, dialect, ended)
    gone_on = go_on(connection, dialect, ended)
    gone_on.woken += follow_up(connection, dialect, mine)
    return Settled(
        tuple(ended),
        reused=tuple(gone_on.reused),
        woken=gone_on.woken,
        unseen=gone_on.unseen,
        parents=frozenset(row.parent_id for row in locked) - {None},
    )
