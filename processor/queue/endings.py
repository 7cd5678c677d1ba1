"""The end of a job that waits for its children: with their results, or failed, by its rule.

It is a settle like any other: an outcome is judged and written, by the same statements. Two that end one parent do no
harm: its row is locked and its children are looked at once more before anything is written.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any

from sqlalchemy import Connection, select

from models import jobs
from processor.db.database import Database
from processor.db.dialects import Dialect
from processor.errors import ValuesRefused
from processor.judge import Policy, judge
from processor.queue import verdicts
from processor.queue.followups import follow_up
from processor.queue.gathering import PARENT, Gathered, gather
from processor.queue.settlement import Settled, Settlement, unstorable
from processor.queue.waiting import go_on
from processor.queue.where import has_open_children, is_parent_that_waits

BITE = 20
"""Parents that end in one transaction, each with up to 512 KiB of results."""

Policies = Callable[[str], Policy | None]
"""Gives the policy of a type; None: it is not for us to end."""


def end(database: Database, parents: Collection[int], policies: Policies) -> Settled:
    """End those of these jobs that wait for children of which none is open any more.

    Raises `ValuesRefused` where one is not to be changed at all, when the others are done.
    """
    settled, refusals = Settled(), list[ValuesRefused]()
    for bite in _bites(sorted(parents)):
        with database.read() as connection:
            rows = connection.execute(select(*PARENT).where(*_is_ready(bite))).all()
            ready = [gather(connection, database.dialect, row) for row in rows if policies(row.type) is not None]
        for part in _end_all_or_each(database, ready, policies, refusals):
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
    database: Database, ready: Sequence[Gathered], policies: Policies, refusals: list[ValuesRefused]
) -> Iterator[Settled]:
    """End all in one transaction, or each in its own where something of one is refused."""
    if not ready:
        return
    try:
        yield _write(database, [_settlement(one, policies) for one in ready])
    except ValuesRefused as refusal:
        if len(ready) > 1:
            for one in ready:
                yield from _end_all_or_each(database, [one], policies, refusals)
        else:
            yield from _end_otherwise(database, ready[0], policies, refusal, refusals)


def _end_otherwise(
    database: Database, one: Gathered, policies: Policies, refusal: ValuesRefused, refusals: list[ValuesRefused]
) -> Iterator[Settled]:
    """End a parent whose result the database refuses: without what its children tell, else as unstorable."""
    bare = _settlement(one, policies, told=False)
    for instead in (bare, unstorable(bare, refusal.message)):
        try:
            yield _write(database, [instead])
            return
        except ValuesRefused as error:
            refusal = error
    refusals.append(refusal)


def _settlement(one: Gathered, policies: Policies, *, told: bool = True) -> Settlement:
    parent = one.parent
    verdict = judge(
        one.outcome(told=told),
        attempt=parent.attempt,
        crashes=0,
        cancelled=parent.cancel_requested,
        policy=policies(parent.type) or Policy(),
        chance=0.0,
    )
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
