"""What one type looks like at this moment, and what follows for its next rows.

`admission` reads it under a lock and acts on it; `explain` reads it and says it. Both decide by the same lines, so what
is explained is what is done.
"""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Select, case, cast, func, select

from models import job_types, jobs, now
from models.types import LongText
from processor.db.dialects import Dialect
from processor.lifecycle import Reason, Status
from processor.queue import duplicates
from processor.queue.circles import Waits
from processor.queue.duplicates import Equality, Original, Result, equality, fingerprint
from processor.queue.line import Line
from processor.queue.rules import Rules
from processor.queue.taking import order
from processor.queue.where import is_, is_due_without, is_held_back
from processor.rates import Rate, Starts
from processor.turns import Place, Turns

WINDOW = 1000
"""Rows that are looked at in one go; reading and parking them takes some 30 ms on PostgreSQL."""
FINGERPRINTED = 50
"""Rows whose payloads are read in one go, where those decide what is equal."""


@dataclass(slots=True)
class Decisions:
    """What becomes of the next rows, in their order, where so many more may run (`room`)."""

    room: int
    lanes: Counter[str | None]
    equals: dict[Equality, list[Original]]
    waits: Waits
    results: dict[Equality, Result]
    lent_since: datetime
    run: list[int] = field(default_factory=list)
    lane_full: list[int] = field(default_factory=list)
    wait_for: dict[int, int] = field(default_factory=dict)
    reuse: dict[int, int] = field(default_factory=dict)

    def about(self, row: Any, key: str | None, rules: Rules) -> None:
        """Decide about the next row: its equals, then its lane, then it runs.

        A result is for rows that were due before it was there, and for those that come within `reuse_result_for`.
        """
        lane = row.concurrency_key
        equal = None if key is None else equality(row, key, across_owners=rules.across_owners)
        original = self._original(row.id, equal) if equal is not None else None
        anew = row.reason == Reason.ASKED  # a person put it back
        result = self.results.get(equal) if equal is not None and original is None and not anew else None
        if equal is not None and original is not None and original != row.id:
            self._wait(row.id, equal, original)
        elif result is not None and result.finished_at > min(self.lent_since, due_at(row)):
            self.reuse[row.id] = result.job
        elif lane is not None and self.lanes[lane] >= rules.max_per_lane:
            self.lane_full.append(row.id)
        else:
            self._run(row.id, lane, equal)

    def _original(self, job: int, equal: Equality) -> int | None:
        """Give the best of its equals that does not wait for it; the job itself, where that is the best."""
        for one in self.equals.get(equal, ()):
            if one.id == job or not (one.waits and self.waits.lead_back(job, one.id)):
                return one.id
        return None

    def _wait(self, job: int, equal: Equality, original: int) -> None:
        self.wait_for[job] = original
        self.waits.add(original, job)
        self.equals[equal] = [one for one in self.equals[equal] if one.id != job]  # perhaps it was started once

    def _run(self, job: int, lane: str | None, equal: Equality | None) -> None:
        self.run.append(job)
        self.room -= 1
        if lane is not None:
            self.lanes[lane] += 1
        if equal is not None:
            self.equals.setdefault(equal, []).insert(0, Original(job))


def due_at(row: Any) -> datetime:
    """Give the instant from which on a row could have been claimed."""
    due: datetime = row.created_at if row.run_at is None else max(row.created_at, row.run_at)
    return due


def said_of(type_: str) -> Select[Any]:
    """Read what people, and the rate, say of a type."""
    told = (
        job_types.c.max_concurrent,
        job_types.c.rate,
        job_types.c.rate_log,
        job_types.c.turns,
        job_types.c.paused_until,
    )
    held_back = is_held_back(job_types).label("paused")
    return select(*told, held_back, now().label("instant")).where(job_types.c.name == type_)


class Situation:
    """The rules of a type that are in force, what runs, and how much more may.

    `said` is what a row of `said_of` says. Raises `ValueError` where the rate cannot be read.
    """

    def __init__(
        self,
        connection: Connection,
        dialect: Dialect,
        type_: str,
        rules: Rules,
        said: Mapping[str, Any],
        max_payload_bytes: int,
    ) -> None:
        self._connection = connection
        self._dialect = dialect
        self._type = type_
        self._max_payload_bytes = max_payload_bytes
        self.rules = rules.in_force(said)
        self.instant: datetime = said["instant"]
        self.rate: Rate | None = self.rules.parsed_rate()
        self.starts = Starts.read(said["rate_log"])
        self.turns = Turns.read(said["turns"])
        self._line = Line(connection, dialect, type_, self.rules, self.turns, self.instant)
        self._places: dict[int, Place] = {}
        self.lanes = self._running()
        self.running = self.lanes.total()

    def _running(self) -> Counter[str | None]:
        rows = self._connection.execute(
            select(jobs.c.concurrency_key, func.count())
            .where(is_(Status.RUNNING), jobs.c.type == self._type)
            .group_by(jobs.c.concurrency_key)
        )
        return Counter(dict(map(tuple, rows)))

    @property
    def window(self) -> int:
        """How many rows are looked at at most."""
        return FINGERPRINTED if self.rules.dedupe == "payload" else WINDOW

    def room(self, most: int) -> int:
        """Give how many more may run now, by the limit and the rate."""
        limit = self.rules.max_concurrent
        left = most if limit is None else limit - self.running
        free = self.starts.free(self.rate, self.instant.timestamp()) if self.rate else most
        return min(most, left, free)

    def next_rows(self, size: int, without: Collection[int] = (), *, locked: bool) -> Sequence[Any]:
        """Read those of the next rows that have to be decided about; `locked`: but for what others hold."""
        if self.rules.have_an_order:
            self._places = {place.id: place for place in self._line.first(size, without)}
            rows = self._in_order(list(self._places), locked)
            held = self._places.keys() - {row.id for row in rows}
            if not held or not locked:
                return rows
            self._places = {place.id: place for place in self._line.first(size, held.union(without))}
            return self._in_order(list(self._places), locked)
        ahead = self._connection.execute(
            select(jobs.c.id, jobs.c.concurrency_key, jobs.c.key)
            .where(jobs.c.type == self._type, *is_due_without(without))
            .order_by(*order(jobs))
            .limit(size)
        ).all()
        every = self.rules.concern_every_row
        ids = [row.id for row in ahead if every or row.concurrency_key is not None or row.key is not None]
        return self._in_order(ids, locked)

    def _in_order(self, ids: Sequence[int], locked: bool) -> Sequence[Any]:
        return sorted(self._read(ids, locked), key=lambda row: ids.index(row.id)) if ids else []

    def places(self, size: int) -> list[int]:
        """Give the ids of the next rows in the order of the type's own rules."""
        return [place.id for place in self._line.first(size)]

    def turns_after(self, started: Sequence[int]) -> Turns:
        """Give whose turn was the latest when these of the next rows have started, in this order."""
        return self.turns.plus(self._places[id] for id in started)

    def _read(self, ids: Sequence[int], locked: bool) -> Sequence[Any]:
        columns = (
            jobs.c.id,
            jobs.c.owner,
            jobs.c.key,
            jobs.c.concurrency_key,
            jobs.c.created_at,
            jobs.c.run_at,
            jobs.c.reason,
        )
        rows = select(*columns).where(jobs.c.id.in_(ids), is_(Status.PENDING), ~jobs.c.cancel_requested)
        return self._connection.execute(rows.with_for_update(skip_locked=True) if locked else rows).all()

    def decide(self, rows: Sequence[Any], keys: dict[int, str], room: int) -> Decisions:
        """Decide about rows in their order, until there is no room."""
        named, across = set(keys.values()), self.rules.across_owners
        equals = duplicates.originals(self._connection, self._type, named, across_owners=across)
        lent_since = self.instant - timedelta(seconds=self.rules.reuse_result_for)
        since = min([lent_since, *(due_at(row) for row in rows)])
        results = duplicates.results(self._connection, self._type, named, since, across_owners=across)
        decisions = Decisions(room, Counter(self.lanes), equals, self._waits(rows, keys, equals), results, lent_since)
        for row in rows:
            if decisions.room <= 0:
                break
            decisions.about(row, keys.get(row.id), self.rules)
        return decisions

    def _waits(self, rows: Sequence[Any], keys: dict[int, str], equals: Mapping[Equality, list[Original]]) -> Waits:
        """Read who waits for those of the rows whose originals wait themselves: perhaps for them."""
        waiting = {equal for equal, originals in equals.items() if any(one.waits for one in originals)}
        across = self.rules.across_owners
        equal = {row.id: equality(row, keys[row.id], across_owners=across) for row in rows if row.id in keys}
        return Waits(self._connection, [id for id in equal if equal[id] in waiting])

    def keys(self, rows: Sequence[Any]) -> dict[int, str]:
        """Give the key of each row by which it may be equal to another."""
        if self.rules.dedupe == "none":
            return {}
        keys = {row.id: row.key for row in rows if row.key is not None}
        if self.rules.dedupe == "payload":
            keys |= self._fingerprints([row.id for row in rows if row.key is None])
        return keys

    def _fingerprints(self, ids: Sequence[int]) -> dict[int, str]:
        if not ids:
            return {}
        small = self._dialect.bytes_of(jobs.c.payload) <= self._max_payload_bytes
        payload = case((small, cast(jobs.c.payload, LongText)))
        rows = self._connection.execute(select(jobs.c.id, payload).where(jobs.c.id.in_(ids))).all()
        found = {id: fingerprint(payload) for id, payload in rows if payload is not None}
        return {id: key for id, key in found.items() if key is not None}
