"""Let those of a type's next rows run that may, where its limit, its rate, their lanes or their equals decide.

One processor decides at a time, because it holds the type's row in `job_types`; what it counts are the running rows
themselves. Rows that must wait leave the due index at once, as many as it looked at, so that they stand in nobody's
way. A processor that finds the row held leaves the type to the one that holds it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, insert, select, update

from models import job_types, jobs, now
from processor.db.database import Database
from processor.db.dialects import Dialect
from processor.errors import ValuesRefused
from processor.lifecycle import Reason, Status
from processor.queue import duplicates
from processor.queue.duplicates import Reused
from processor.queue.rules import Rules
from processor.queue.situation import Decisions, Situation, said_of
from processor.queue.taking import alive, take
from processor.queue.upkeep import Notifies
from processor.rates import Rate

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
    """Rows that run now, as `taking.columns` reads them; how many wait from now on; who got an older result."""

    rows: list[Any] = field(default_factory=list)
    waiting: int = 0
    reused: list[Reused] = field(default_factory=list)
    unreadable: str | None = None


def admit(database: Database, ask: Ask) -> Admitted:
    """Take what may run. Raises `DatabaseUnreachable`, `ValuesRefused`, as a claim does."""
    ensure(database, ask.type)
    return database.write(lambda connection: _admit(connection, database.dialect, ask))


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


def _admit(connection: Connection, dialect: Dialect, ask: Ask) -> Admitted:
    if connection.execute(alive().with_for_update(read=True), ask.claim).first() is None:
        return Admitted()
    said = connection.execute(said_of(ask.type).with_for_update(skip_locked=True)).first()
    if said is None or said.paused:
        return Admitted()
    try:
        situation = Situation(connection, dialect, ask.type, ask.rules, dict(said._mapping), ask.max_payload_bytes)
    except ValueError as error:  # a rate written by hand that is none: to start everything would be worse than nothing
        return Admitted(unreadable=f"job_types.rate: {error}")
    room = situation.room(ask.room)
    decisions = (
        _decide(connection, situation, ask, room)
        if room > 0
        else Decisions(0, situation.lanes, {}, {}, situation.instant)
    )
    admitted = _carry_out(connection, dialect, ask, decisions)
    if situation.rate:
        _write_starts(connection, dialect, ask.type, situation, situation.rate, len(admitted.rows))
    return admitted


def _decide(connection: Connection, situation: Situation, ask: Ask, room: int) -> Decisions:
    """Decide about the next rows: first about a few, then, where too many of them must wait, about many."""
    few = _decide_about(connection, situation, ask, room, min(room + SPARE, situation.window))
    return few if few.room <= 0 else _decide_about(connection, situation, ask, room, situation.window)


def _decide_about(connection: Connection, situation: Situation, ask: Ask, room: int, size: int) -> Decisions:
    rows = situation.next_rows(size, ask.without, locked=True)
    keys = situation.keys(rows)
    _keep(connection, rows, keys)
    return situation.decide(rows, keys, room)


def _keep(connection: Connection, rows: Sequence[Any], keys: dict[int, str]) -> None:
    """Write fingerprints of payloads down, so that equals which come later find them."""
    for row in rows:
        if row.key is None and row.id in keys:
            connection.execute(update(jobs).where(jobs.c.id == row.id).values({jobs.c.key: keys[row.id]}))


def _carry_out(connection: Connection, dialect: Dialect, ask: Ask, decisions: Decisions) -> Admitted:
    if decisions.lane_full:
        waiting = {"status": Status.WAITING.value, "reason": Reason.LANE.value}
        connection.execute(update(jobs).where(jobs.c.id.in_(decisions.lane_full)).values(waiting))
    duplicates.wait(connection, dialect, decisions.wait_for)
    told = ask.notifies(ask.type, Status.COMPLETED)
    reused = duplicates.reuse(connection, dialect, decisions.reuse, Reason.CACHED, notified=told)
    rows = take(connection, dialect, decisions.run, ask.claim, ask.max_payload_bytes)
    return Admitted(list(rows), len(decisions.lane_full) + len(decisions.wait_for), reused)


def _write_starts(
    connection: Connection, dialect: Dialect, type_: str, situation: Situation, rate: Rate, count: int
) -> None:
    """Write starts down as of now: later than the rows say they started, so that no window is overdrawn."""
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
