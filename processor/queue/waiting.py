"""Rows that wait: for their lane, or for an equal job. Who wakes them, and when.

The settle of the job they wait for does, in its own transaction (`go_on`). What it could not see to (a row that was
deleted by hand, more equals than a batch, a circle, a type whose row in `job_types` somebody holds) is found by `look`,
which every processor does every few seconds. Waking too much does no harm: `admission` decides anew about each row.
"""

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from sqlalchemy import Connection, func, literal_column, or_, select
from sqlalchemy.exc import DBAPIError

from models import job_types, jobs
from processor.db.database import Database, is_refusal
from processor.db.dialects import Dialect
from processor.errors import ValuesRefused
from processor.lifecycle import FINAL, Reason, Status
from processor.queue import circles, duplicates, states
from processor.queue.duplicates import Reused
from processor.queue.rules import Rules
from processor.queue.settlement import Settlement
from processor.queue.taking import order
from processor.queue.upkeep import BATCH, Notifies
from processor.queue.where import is_, is_due_without, waits_for_others

MOST_LANES = 500
"""Lanes that are looked at in one go."""
Lane = tuple[str, str]
"""Type and `concurrency_key`."""


@dataclass(slots=True)
class GoneOn:
    """What became of rows that waited. `unseen`: some could not be looked at, `look` has to."""

    woken: int = 0
    reused: list[Reused] = field(default_factory=list)
    unseen: bool = False
    refusals: list[str] = field(default_factory=list)


def go_on(connection: Connection, dialect: Dialect, ours: Sequence[Settlement]) -> GoneOn:
    """Wake what waited for jobs whose verdicts are being written, in the caller's transaction.

    A row that the database does not let us change must not cost those verdicts: it is left to `look`.
    """
    lanes = Counter((one.type, one.concurrency_key) for one in ours if one.concurrency_key is not None)
    keyed = [one for one in ours if one.key is not None and (one.verdict.final or one.verdict.status is Status.WAITING)]
    if not lanes and not keyed:
        return GoneOn()
    try:
        with connection.begin_nested():
            return _go_on(connection, dialect, lanes, {one.job_id: one for one in keyed})
    except DBAPIError as error:
        if not is_refusal(dialect, error):
            raise
        return GoneOn(unseen=True)


def _go_on(connection: Connection, dialect: Dialect, lanes: Counter[Lane], keyed: Mapping[int, Settlement]) -> GoneOn:
    gone_on = GoneOn()
    types = {type_ for type_, _ in lanes} | {one.type for one in keyed.values()}
    locked = _lock(connection, types)
    gone_on.unseen = locked != types
    for (type_, lane), places in lanes.items():
        if type_ in locked:
            gone_on.woken += _wake_lane(connection, dialect, (type_, lane), places)
    seen = {id: one for id, one in keyed.items() if one.type in locked}
    told = {id: one.verdict.notify for id, one in seen.items() if one.verdict.status is Status.COMPLETED}
    equals = duplicates.waiters(connection, told, BATCH)
    gone_on.reused = _end_equals(connection, dialect, equals, lambda row: told[row.duplicate_of])
    parents = {id for id, one in seen.items() if not one.verdict.final}  # perhaps of those that wait for them
    freed = duplicates.waiters(connection, seen.keys() - told.keys() - parents, BATCH)
    circling = duplicates.waiters(connection, parents, BATCH, circles.WAITED_FOR.is_not(None))
    gone_on.woken += _wake_found(connection, [row.id for row in (*freed, *circling)], dialect=dialect)
    gone_on.unseen |= any(len(rows) >= BATCH for rows in (equals, freed, circling))
    return gone_on


def look(database: Database, rules: Mapping[str, Rules], notifies: Notifies, without: Collection[int] = ()) -> GoneOn:
    """Look for rows of these types that wait for nothing any more, and let them go on.

    Rows in `without` cannot be claimed just now; nobody waits for them. Raises `ValuesRefused` when a row was not to be
    changed, after the others were.
    """
    gone_on, refusals = GoneOn(), list[ValuesRefused]()
    lanes = _open_lanes(database, rules, without)
    for type_ in sorted({type_ for type_, _ in lanes}):
        mine = [lane for lane in lanes if lane[0] == type_]
        work = partial(_wake_free, dialect=database.dialect, rules=rules[type_], without=without)
        gone_on.woken += sum(_all_or_each(database, mine, work, refusals))
    wake = partial(_wake_found, dialect=database.dialect)
    gone_on.woken += sum(_all_or_each(database, _lost(database, rules), wake, refusals))
    completed, others = _settled_originals(database, rules)

    def end(connection: Connection, ids: Sequence[int]) -> list[Reused]:
        rows = duplicates.waiters(connection, completed, BATCH, jobs.c.id.in_(sorted(ids)))
        return _end_equals(connection, database.dialect, rows, lambda row: notifies(row.type, Status.COMPLETED))

    for ended in _all_or_each(database, _waiters(database, completed), end, refusals):
        gone_on.reused += ended
    freed = sum(_all_or_each(database, _waiters(database, others), wake, refusals))
    circling = sum(_all_or_each(database, _in_circles(database, rules), wake, refusals))
    gone_on.woken += freed + circling
    gone_on.unseen = len(gone_on.reused) >= BATCH or max(freed, circling) >= BATCH or len(lanes) >= MOST_LANES
    if refusals:
        raise refusals[0]
    return gone_on


def _all_or_each(
    database: Database, things: Sequence[Any], verb: Callable[..., Any], refusals: list[ValuesRefused]
) -> list[Any]:
    """Do something to all in one transaction, or to each in its own where one of them is refused; give the answers."""
    if not things:
        return []
    try:
        return [database.write(lambda connection: verb(connection, things))]
    except ValuesRefused as refusal:
        if len(things) == 1:
            refusals.append(refusal)
            return []
    return [answer for thing in things for answer in _all_or_each(database, [thing], verb, refusals)]


def _waiters(database: Database, originals: Collection[int]) -> Sequence[int]:
    if not originals:
        return []
    rows = select(jobs.c.id).where(is_(Status.WAITING), jobs.c.duplicate_of.in_(sorted(originals))).limit(BATCH)
    with database.read() as connection:
        return connection.execute(rows).scalars().all()


def _lost(database: Database, rules: Mapping[str, Rules]) -> Sequence[int]:
    """Read rows that wait for a lane that somebody has taken from them."""
    alone = (jobs.c.duplicate_of.is_(None), jobs.c.concurrency_key.is_(None))
    lost = (is_(Status.WAITING), *alone, waits_for_others())
    rows = select(jobs.c.id).where(*lost, jobs.c.type.in_(sorted(rules))).limit(BATCH)
    with database.read() as connection:
        return connection.execute(rows).scalars().all()


def _in_circles(database: Database, rules: Mapping[str, Rules]) -> Sequence[int]:
    with database.read() as connection:
        return circles.found(connection, rules)


def _lock(connection: Connection, types: Collection[str]) -> set[str]:
    """Let nobody else decide about these types; what somebody holds is left to `look`."""
    rows = select(job_types.c.name).where(job_types.c.name.in_(sorted(types))).order_by(job_types.c.name)
    return set(connection.execute(rows.with_for_update(skip_locked=True)).scalars())


def _wake_lane(connection: Connection, dialect: Dialect, lane: Lane, places: int, without: Collection[int] = ()) -> int:
    """See to it that the best rows of a lane, so many, are pending."""
    in_lane = (jobs.c.type == lane[0], jobs.c.concurrency_key == lane[1], jobs.c.duplicate_of.is_(None))
    read = select(jobs.c.id, jobs.c.type, jobs.c.priority, jobs.c.created_at).order_by(*order(jobs)).limit(places)
    waiting = connection.execute(
        read.where(*in_lane, is_(Status.WAITING), waits_for_others()).with_for_update(skip_locked=True, of=jobs)
    ).all()
    if not waiting:
        return 0
    due = connection.execute(read.where(*in_lane, *is_due_without(without))).all()
    ahead = sorted([*waiting, *due], key=lambda row: (-row.priority, row.created_at, row.id))[:places]
    return _wake(connection, dialect, [row.id for row in waiting if row in ahead])


def _wake(connection: Connection, dialect: Dialect, ids: Sequence[int]) -> int:
    """Let locked rows that wait be claimed."""
    fresh = {"status": Status.PENDING.value, "reason": None, "duplicate_of": None}
    return states.move(connection, dialect, ids, fresh)


def _wake_found(connection: Connection, ids: Sequence[int], *, dialect: Dialect) -> int:
    """Let those of the rows be claimed that still wait."""
    if not ids:
        return 0
    those = (jobs.c.id.in_(ids), is_(Status.WAITING), waits_for_others())
    locked = select(jobs.c.id).where(*those).order_by(jobs.c.id).with_for_update()
    return _wake(connection, dialect, connection.execute(locked).scalars().all())


def _end_equals(
    connection: Connection, dialect: Dialect, rows: Sequence[Any], notified: Callable[[Any], bool]
) -> list[Reused]:
    """Complete what waited for originals that are completed."""
    reused: list[Reused] = []
    for told in (True, False):
        pairs = {row.id: row.duplicate_of for row in rows if notified(row) is told}
        reused += duplicates.reuse(connection, dialect, pairs, Reason.DUPLICATE, notified=told)
    return reused


def _open_lanes(database: Database, rules: Mapping[str, Rules], without: Collection[int]) -> list[Lane]:
    """Read the lanes in which somebody waits, nobody is due, and fewer run than may."""
    ahead = jobs.alias("ahead")
    due = (  # the first in order, though any would do: PostgreSQL would look for any in the whole table
        select(ahead.c.id)
        .where(
            ahead.c.type == jobs.c.type,
            ahead.c.concurrency_key == jobs.c.concurrency_key,
            ahead.c.status == literal_column(f"'{Status.PENDING.value}'"),
            *((ahead.c.id.not_in(sorted(without)),) if without else ()),
        )
        .order_by(*order(ahead))
        .limit(literal_column("1"))
        .scalar_subquery()
    )
    waiting = (
        select(jobs.c.type, jobs.c.concurrency_key)
        .where(is_(Status.WAITING), jobs.c.duplicate_of.is_(None), jobs.c.concurrency_key.is_not(None))
        .where(waits_for_others())
        .where(jobs.c.type.in_(sorted(rules)))
        .group_by(jobs.c.type, jobs.c.concurrency_key)
        .having(due.is_(None))
    )
    with database.read() as connection:
        lanes = [(type_, lane) for type_, lane in connection.execute(waiting)]
        if not lanes:
            return []
        count = running_in_lanes(connection)
    return [lane for lane in lanes if count[lane] < rules[lane[0]].max_per_lane][:MOST_LANES]


def running_in_lanes(connection: Connection, *only: Any) -> Counter[Lane]:
    """Count what runs in each lane."""
    rows = connection.execute(
        select(jobs.c.type, jobs.c.concurrency_key, func.count())
        .where(is_(Status.RUNNING), jobs.c.concurrency_key.is_not(None), *only)
        .group_by(jobs.c.type, jobs.c.concurrency_key)
    )
    return Counter({(type_, lane): count for type_, lane, count in rows})


def _wake_free(
    connection: Connection, lanes: Sequence[Lane], *, dialect: Dialect, rules: Rules, without: Collection[int]
) -> int:
    """Wake who may run in lanes of one type."""
    type_ = lanes[0][0]
    if type_ not in _lock(connection, [type_]):
        return 0
    runs = running_in_lanes(connection, jobs.c.type == type_)
    free = ((lane, max(0, rules.max_per_lane - runs[lane])) for lane in lanes)
    return sum(_wake_lane(connection, dialect, lane, places, without) for lane, places in free if places)


def _settled_originals(database: Database, rules: Mapping[str, Rules]) -> tuple[list[int], list[int]]:
    """Read which originals that somebody waits for are completed; which ended otherwise, or are gone."""
    waited_for = (
        select(jobs.c.duplicate_of, jobs.c.type)
        .where(is_(Status.WAITING), jobs.c.duplicate_of.is_not(None), jobs.c.type.in_(sorted(rules)))
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
        rows = connection.execute(over).all()
    completed = [row.duplicate_of for row in rows if row.status == Status.COMPLETED]
    return completed, [row.duplicate_of for row in rows if row.status != Status.COMPLETED]
