"""Let those of a type's next rows run that may, where its limit, its rate, their lanes or their equals decide.

One processor decides at a time, because it holds the type's row in `job_types`; what it counts are the running rows
themselves. Rows that must wait leave the due index at once, as many as it looked at, so that they stand in nobody's
way. A processor that finds the row held leaves the type to the one that holds it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, insert, select, update
from sqlalchemy.exc import DBAPIError

from models import job_types, jobs, now
from processor.db.database import Database, is_refusal, one_line
from processor.db.dialects import Dialect
from processor.errors import ValuesRefused
from processor.lifecycle import Reason, Status
from processor.queue import duplicates, states
from processor.queue.duplicates import Reused
from processor.queue.rules import Rules
from processor.queue.situation import Decisions, Situation, said_of
from processor.queue.taking import alive, take
from processor.queue.upkeep import Notifies
from processor.rates import Rate

Verb = Callable[[list[int]], Sequence[Any]]
"""Changes rows by their ids, and gives something for each."""
Keep = Callable[[int, str], None]
"""Writes the key of a row down."""
SPARE = 20
"""Rows that are looked at beside those there is room for, before the whole window is."""


@dataclass(frozen=True, slots=True)
class Ask:
    """What is asked for: up to `room` rows of one type, for a claim (`claimant` and `number`)."""

    type: str
    rules: Rules
    room: int
    claim: dict[str, Any]
    max_payload_bytes: int
    without: frozenset[int]
    notifies: Notifies


@dataclass(slots=True)
class Admitted:
    """Rows that run now, as `taking.columns` reads them; how many wait from now on; who got an older result.

    `stuck`: nothing could be decided, because somebody holds the type's row (`held`), or its rate cannot be read
    (`unreadable`).
    `misfits` are rows that the database lets nobody change, and why. `free_in` are the seconds until the rate lets
    another start.
    """

    rows: list[Any] = field(default_factory=list)
    waiting: int = 0
    reused: list[Reused] = field(default_factory=list)
    stuck: bool = False
    held: bool = False
    unreadable: str | None = None
    misfits: dict[int, str] = field(default_factory=dict)
    free_in: float | None = None


def admit(database: Database, ask: Ask) -> Admitted:
    """Take what may run; where the database refuses to change a row, all but that one. Raises `DatabaseUnreachable`."""
    ensure(database, ask.type)
    try:
        return database.write(lambda connection: _admit(connection, database.dialect, ask, _AtOnce()))
    except ValuesRefused:
        return database.write(lambda connection: _admit(connection, database.dialect, ask, _OneByOne()))


def ensure(database: Database, type_: str) -> None:
    """Make the row that is locked to decide about a type."""
    there = select(job_types.c.name).where(job_types.c.name == type_)
    with database.read() as connection:
        if connection.execute(there).first() is not None:
            return
    try:
        database.write(lambda connection: connection.execute(insert(job_types).values(name=type_)))
    except ValuesRefused:  # another processor was faster
        with database.read() as connection:
            if connection.execute(there).first() is None:
                raise


def _admit(connection: Connection, dialect: Dialect, ask: Ask, way: "_AtOnce") -> Admitted:
    if connection.execute(alive().with_for_update(read=True), ask.claim).first() is None:
        return Admitted()
    said = connection.execute(said_of(ask.type).with_for_update(skip_locked=True)).first()
    if said is None or said.paused:
        return Admitted(stuck=True, held=said is None)
    try:
        situation = Situation(connection, dialect, ask.type, ask.rules, dict(said._mapping), ask.max_payload_bytes)
    except ValueError as error:  # a rate written by hand that is none: to start everything would be worse than nothing
        return Admitted(stuck=True, unreadable=f"job_types.rate: {error}")
    room = situation.room(ask.room)
    decisions = situation.decide((), {}, 0)
    if room > 0:
        decisions = _decide(situation, ask, room, _keeping(connection, dialect, way))
    admitted = _carry_out(connection, dialect, ask, decisions, way)
    if situation.rules.fair != "none" and admitted.rows:
        _write_turns(connection, ask.type, situation, decisions.run, admitted.rows)
    if situation.rate:
        admitted.free_in = _write_starts(connection, dialect, ask.type, situation, situation.rate, len(admitted.rows))
    return admitted


class _AtOnce:
    """Change many rows with one statement."""

    def __init__(self) -> None:
        self.misfits: dict[int, str] = {}

    def change(self, connection: Connection, dialect: Dialect, ids: Sequence[int], verb: Verb) -> list[Any]:
        return list(verb(list(ids))) if ids else []


class _OneByOne(_AtOnce):
    """Change row by row, past those that the database lets nobody change."""

    def change(self, connection: Connection, dialect: Dialect, ids: Sequence[int], verb: Verb) -> list[Any]:
        changed: list[Any] = []
        for id in ids:
            try:
                with connection.begin_nested():
                    changed += verb([id])
            except DBAPIError as error:
                if not is_refusal(dialect, error):
                    raise
                self.misfits[id] = one_line(error)
        return changed


def _decide(situation: Situation, ask: Ask, room: int, keep: Keep) -> Decisions:
    """Decide about the next rows: first about a few, then, where too many of them must wait, about many."""
    few = _decide_about(situation, ask, room, keep, min(room + SPARE, situation.window))
    return few if few.room <= 0 else _decide_about(situation, ask, room, keep, situation.window)


def _decide_about(situation: Situation, ask: Ask, room: int, keep: Keep, size: int) -> Decisions:
    rows = situation.next_rows(size, ask.without, locked=True)
    keys = situation.keys(rows)
    for row in rows:
        if row.key is None and row.id in keys:
            keep(row.id, keys[row.id])
    return situation.decide(rows, keys, room)


def _keeping(connection: Connection, dialect: Dialect, way: _AtOnce) -> Keep:
    """Give what writes fingerprints of payloads down, so that equals which come later find them."""

    def keep(id: int, key: str) -> None:
        write = update(jobs).where(jobs.c.id == id).values({jobs.c.key: key})
        way.change(connection, dialect, [id], lambda ids: [connection.execute(write)])

    return keep


def _carry_out(connection: Connection, dialect: Dialect, ask: Ask, decisions: Decisions, way: _AtOnce) -> Admitted:
    told = ask.notifies(ask.type, Status.COMPLETED)

    def wait_for_lane(ids: list[int]) -> list[int]:
        waiting = {"status": Status.WAITING.value, "reason": Reason.LANE.value}
        states.move(connection, dialect, ids, waiting)
        return ids

    def wait_for_equal(ids: list[int]) -> list[int]:
        duplicates.wait(connection, dialect, {id: decisions.wait_for[id] for id in ids})
        return ids

    def reuse(ids: list[int]) -> list[Reused]:
        pairs = {id: decisions.reuse[id] for id in ids}
        return duplicates.reuse(connection, dialect, pairs, Reason.CACHED, notified=told)

    def run(ids: list[int]) -> Sequence[Any]:
        return take(connection, dialect, ids, ask.claim, ask.max_payload_bytes)

    rows = way.change(connection, dialect, decisions.run, run)
    waiting = way.change(connection, dialect, decisions.lane_full, wait_for_lane)
    waiting += way.change(connection, dialect, list(decisions.wait_for), wait_for_equal)
    reused = way.change(connection, dialect, list(decisions.reuse), reuse)
    return Admitted(rows, len(waiting), reused, misfits=way.misfits)


def _write_turns(
    connection: Connection, type_: str, situation: Situation, order: Sequence[int], rows: Sequence[Any]
) -> None:
    """Write down whose turn was the latest."""
    started = {row.id for row in rows}
    turns = situation.turns_after([id for id in order if id in started])
    connection.execute(update(job_types).where(job_types.c.name == type_).values(turns=turns.written()))


def _write_starts(
    connection: Connection, dialect: Dialect, type_: str, situation: Situation, rate: Rate, count: int
) -> float | None:
    """Write starts down as of now: later than the rows say they started, so that no window is overdrawn.

    Gives the seconds until the next may start, where none may now.
    """
    instant = connection.execute(select(now())).scalar_one().timestamp()
    starts = situation.starts.plus(rate, instant, count)
    wait = starts.next_free(rate, instant) - instant
    connection.execute(
        update(job_types)
        .where(job_types.c.name == type_)
        .values(
            rate_log=starts.written(),
            rate_free_at=dialect.after(wait) if wait > 0 else None,
            rate_free_for=situation.rules.rate,
        )
    )
    return wait if wait > 0 else None
