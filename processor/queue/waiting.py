"""Rows that wait: for their lane, or for an equal job. Who wakes them, and when.

The settle of the job they wait for does, in its own transaction (`go_on`). What it could not see to (a row that was
deleted by hand, more equals than a batch, a type whose row in `job_types` somebody holds) is found by `look`, which
every processor does every few seconds. Waking too much does no harm: `admission` decides anew about each row.
"""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, func, or_, select, update

from models import job_types, jobs
from processor.db.database import Database
from processor.db.dialects import Dialect
from processor.lifecycle import FINAL, Reason, Status
from processor.queue import duplicates
from processor.queue.duplicates import Reused
from processor.queue.rules import Rules
from processor.queue.settlement import Settlement
from processor.queue.taking import order
from processor.queue.upkeep import BATCH, Notifies
from processor.queue.where import is_, is_due

Lane = tuple[str, str]
"""Type and `concurrency_key`."""


@dataclass(slots=True)
class GoneOn:
    """What became of rows that waited. `unseen`: some could not be looked at, `look` has to."""

    woken: int = 0
    reused: list[Reused] = field(default_factory=list)
    unseen: bool = False


def go_on(connection: Connection, dialect: Dialect, ours: Sequence[Settlement]) -> GoneOn:
    """Wake what waited for jobs whose verdicts are being written, in the caller's transaction."""
    lanes = Counter((one.type, one.concurrency_key) for one in ours if one.concurrency_key is not None)
    ended = {one.job_id: one for one in ours if one.key is not None and one.verdict.final}
    gone_on = GoneOn()
    if not lanes and not ended:
        return gone_on
    types = {type_ for type_, _ in lanes} | {one.type for one in ended.values()}
    locked = _lock(connection, types)
    gone_on.unseen = locked != types
    for (type_, lane), places in lanes.items():
        if type_ in locked:
            gone_on.woken += _wake_lane(connection, (type_, lane), places)
    seen = {id: one for id, one in ended.items() if one.type in locked}
    completed = [id for id, one in seen.items() if one.verdict.status is Status.COMPLETED]
    told = {one.type: one.verdict.notify for one in seen.values()}
    gone_on.reused = _end_equals(connection, dialect, completed, lambda type_, status: told[type_])
    gone_on.woken += _free_equals(connection, seen.keys() - set(completed))
    gone_on.unseen |= len(gone_on.reused) >= BATCH or gone_on.woken >= BATCH
    return gone_on


def look(database: Database, rules: Mapping[str, Rules], notifies: Notifies) -> GoneOn:
    """Look for rows of these types that wait for nothing any more, and let them go on."""
    gone_on = GoneOn()
    for type_, lane in _open_lanes(database, rules):
        gone_on.woken += database.write(lambda c, w=(type_, lane): _wake_free(c, w, rules[w[0]]))  # type: ignore[misc]
    completed, others = _settled_originals(database, rules)
    if completed:
        gone_on.reused = database.write(
            lambda connection: _end_equals(connection, database.dialect, completed, notifies)
        )
    if others:
        gone_on.woken += database.write(lambda connection: _free_equals(connection, others))
    return gone_on


def _lock(connection: Connection, types: Collection[str]) -> set[str]:
    """Let nobody else decide about these types; what somebody holds is left to `look`."""
    rows = select(job_types.c.name).where(job_types.c.name.in_(sorted(types))).order_by(job_types.c.name)
    return set(connection.execute(rows.with_for_update(skip_locked=True)).scalars())


def _wake_lane(connection: Connection, lane: Lane, places: int) -> int:
    """See to it that the best rows of a lane, so many, are pending."""
    in_lane = (jobs.c.type == lane[0], jobs.c.concurrency_key == lane[1])
    read = select(jobs.c.id, jobs.c.type, jobs.c.priority, jobs.c.created_at).order_by(*order(jobs)).limit(places)
    waiting = connection.execute(
        read.where(*in_lane, is_(Status.WAITING)).with_for_update(skip_locked=True, of=jobs)
    ).all()
    if not waiting:
        return 0
    due = connection.execute(read.where(*in_lane, *is_due())).all()
    ahead = sorted([*waiting, *due], key=lambda row: (-row.priority, row.created_at, row.id))[:places]
    return _wake(connection, [row.id for row in waiting if row in ahead])


def _wake(connection: Connection, ids: Sequence[int]) -> int:
    if not ids:
        return 0
    fresh = {"status": Status.PENDING.value, "reason": None, "duplicate_of": None}
    return connection.execute(update(jobs).where(jobs.c.id.in_(ids)).values(fresh)).rowcount


def _end_equals(
    connection: Connection, dialect: Dialect, completed: Collection[int], notifies: Notifies
) -> list[Reused]:
    """Complete what waited for originals that are completed."""
    rows = duplicates.waiters(connection, completed, BATCH) if completed else []
    reused: list[Reused] = []
    for notified in (True, False):
        pairs = {row.id: row.duplicate_of for row in rows if notifies(row.type, Status.COMPLETED) is notified}
        reused += duplicates.reuse(connection, dialect, pairs, Reason.DUPLICATE, notified=notified)
    return reused


def _free_equals(connection: Connection, originals: Collection[int]) -> int:
    """Let what waited for originals without a result go on."""
    rows = duplicates.waiters(connection, originals, BATCH) if originals else []
    return _wake(connection, [row.id for row in rows])


def _open_lanes(database: Database, rules: Mapping[str, Rules]) -> list[Lane]:
    """Read the lanes in which somebody waits and fewer run than may."""
    waiting = (
        select(jobs.c.type, jobs.c.concurrency_key)
        .where(is_(Status.WAITING), jobs.c.duplicate_of.is_(None), jobs.c.concurrency_key.is_not(None))
        .group_by(jobs.c.type, jobs.c.concurrency_key)
    )
    with database.read() as connection:
        lanes = [(type_, lane) for type_, lane in connection.execute(waiting) if type_ in rules]
        if not lanes:
            return []
        count = running_in_lanes(connection)
    return [lane for lane in lanes if count[lane] < rules[lane[0]].max_per_lane]


def running_in_lanes(connection: Connection, *only: Any) -> Counter[Lane]:
    """Count what runs in each lane."""
    rows = connection.execute(
        select(jobs.c.type, jobs.c.concurrency_key, func.count())
        .where(is_(Status.RUNNING), jobs.c.concurrency_key.is_not(None), *only)
        .group_by(jobs.c.type, jobs.c.concurrency_key)
    )
    return Counter({(type_, lane): count for type_, lane, count in rows})


def _wake_free(connection: Connection, lane: Lane, rules: Rules) -> int:
    if lane[0] not in _lock(connection, [lane[0]]):
        return 0
    runs = running_in_lanes(connection, jobs.c.type == lane[0], jobs.c.concurrency_key == lane[1])
    return _wake_lane(connection, lane, max(0, rules.max_per_lane - runs[lane]))


def _settled_originals(database: Database, rules: Mapping[str, Rules]) -> tuple[list[int], list[int]]:
    """Read which originals that somebody waits for are completed; which ended otherwise, or are gone."""
    waited_for = (
        select(jobs.c.duplicate_of, jobs.c.type)
        .where(is_(Status.WAITING), jobs.c.duplicate_of.is_not(None))
        .distinct()
        .subquery("waited_for")
    )
    original = jobs.alias("original")
    over = (
        select(waited_for.c.duplicate_of, waited_for.c.type, original.c.status)
        .select_from(waited_for.outerjoin(original, original.c.id == waited_for.c.duplicate_of))
        .where(or_(original.c.id.is_(None), original.c.status.in_(sorted(FINAL))))
        .limit(BATCH)
    )
    with database.read() as connection:
        rows = [row for row in connection.execute(over) if row.type in rules]
    completed = [row.duplicate_of for row in rows if row.status == Status.COMPLETED]
    return completed, [row.duplicate_of for row in rows if row.status != Status.COMPLETED]
