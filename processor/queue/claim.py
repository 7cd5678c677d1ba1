"""Take due jobs for one processor: `pending` becomes `running`, owned by (job_id, processor_id, claim_no).

Order: priority descending, then creation, then id, among the due rows of the types that are asked for. Two
processors never get the same row: the rows are locked where they are chosen, those that another claim holds are
skipped, and the status is checked once more where it is changed.

On PostgreSQL a claim is one statement: for each type the first rows from the index (LATERAL, so that half a million
rows of a paused type cost nothing: 0.9 ms against 60), merged. The common table expressions are MATERIALIZED, because
a subquery that locks can otherwise be run again for each row and take more than was asked for. Elsewhere a claim is a
short transaction: choose and lock, then update by primary key. The claim counts only when it is committed.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    case,
    cast,
    func,
    literal,
    or_,
    select,
    true,
    update,
)

from models import jobs, now, processors
from models.types import LongText
from processor.db.database import Database
from processor.db.dialects import INTEGER, TEXT, Dialect, document
from processor.lifecycle import Status
from processor.queue.quarantine import Misfit, find_misfits
from processor.queue.upkeep import Notifies
from processor.queue.where import is_, is_due, is_paused

HELD = 50
"""Rows at the head of a type that others may hold locked, so that the claim went past them."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A type this processor can run; `process` says that each of its jobs needs a process of its own."""

    type: str
    process: bool = True


@dataclass(frozen=True, slots=True)
class Slots:
    """How many jobs may be taken; of these, how many that need a process of their own."""

    jobs: int
    processes: int


@dataclass(frozen=True, slots=True)
class ClaimedJob:
    """A job that is ours. `payload` is JSON text, None where it is larger than allowed (`payload_bytes` says it)."""

    id: int
    claim_no: int
    type: str
    attempt: int
    payload: str | None
    payload_bytes: int
    max_attempts: int | None
    timeout_seconds: float | None
    owner: str | None
    key: str | None
    subject: str | None
    crashes: int
    expired: bool
    wait_seconds: float


def claim(
    database: Database,
    processor_id: str,
    claim_no: int,
    wanted: Sequence[Wanted],
    slots: Slots,
    *,
    max_payload_bytes: int,
    without: Collection[int] = (),
) -> list[ClaimedJob]:
    """Claim up to `slots.jobs` due jobs, best first; nothing unless the processor's lease is valid.

    Raises `DatabaseUnreachable`; the claim may have happened then, and `claim_no` must be released later. Raises
    `ValuesRefused` where a row breaks the claim: `set_aside` finds it. Rows in `without` are passed over.
    """
    if not wanted or slots.jobs <= 0:
        return []
    bid = _Bid(database.dialect, processor_id, tuple(wanted), slots, max_payload_bytes, frozenset(without))
    if database.dialect.claims_in_one_statement:
        rows = database.single(lambda connection: bid.claim_at_once(connection, claim_no))
    elif _look(database, bid):
        rows = database.write(lambda connection: bid.claim_in_steps(connection, claim_no))
    else:
        rows = []
    return [_claimed(row, claim_no) for row in sorted(rows, key=_rank)]


def set_aside(
    database: Database,
    processor_id: str,
    wanted: Sequence[Wanted],
    slots: Slots,
    notifies: Notifies,
    without: Collection[int] = (),
) -> list[Misfit]:
    """Find the rows that broke a claim of so many slots, and fail them as `malformed` where that can be written."""
    bid = _Bid(database.dialect, processor_id, tuple(wanted), slots, 0, frozenset(without))
    with database.read() as connection:
        ids = [id for wanted_ in wanted for id in connection.execute(bid.heads(wanted_.type)).scalars()]
    return find_misfits(database, ids, bid.try_one, notifies)


def _look(database: Database, bid: "_Bid") -> bool:
    with database.read() as connection:
        return bid.is_worth_a_transaction(connection)


def _rank(row: Any) -> tuple[int, datetime, int]:
    return (-row.priority, row.created_at, row.id)


def _claimed(row: Any, claim_no: int) -> ClaimedJob:
    """Take a row of `_columns` apart at once: fifteen look-ups by name would cost more than the rest of a claim."""
    id, type, _, _, attempt, *facts, expired, wait_seconds = row
    facts += [bool(expired), max(0.0, float(wait_seconds))]
    return ClaimedJob(id, claim_no, type, attempt, *facts)


@dataclass(frozen=True, slots=True)
class _Bid:
    """What is claimed for; equal bids are the same statement, whatever the number of the claim."""

    dialect: Dialect
    processor_id: str
    wanted: tuple[Wanted, ...]
    slots: Slots
    max_payload_bytes: int
    without: frozenset[int] = frozenset()

    def claim_at_once(self, connection: Connection, claim_no: int) -> Sequence[Any]:
        wanted = [{"type": wanted.type, "process": int(wanted.process)} for wanted in self.wanted]
        return connection.execute(_statement(self), {"claim_no": claim_no, "wanted": document(wanted)}).all()

    def statement(self) -> Any:
        alive = (
            self._alive().with_for_update(read=True, key_share=True).cte("me").prefix_with("MATERIALIZED", dialect="*")
        )
        wanted = self.dialect.table({"type": TEXT, "process": INTEGER}, "wanted")
        best = (
            select(jobs.c.id, jobs.c.priority, jobs.c.created_at)
            .where(jobs.c.type == wanted.c.type, *self._is_due())
            .order_by(*_order(jobs))
            .limit(self.slots.jobs)
            .with_for_update(skip_locked=True)
            .correlate(wanted)
            .lateral("best")
        )
        due = (
            select(best.c.id, best.c.priority, best.c.created_at, wanted.c.process)
            .select_from(alive.join(wanted, true()).join(best, true()))
            .where(~is_paused(wanted.c.type))
            .cte("due")
            .prefix_with("MATERIALIZED", dialect="*")
        )
        ranked = select(
            due,
            func.sum(due.c.process).over(order_by=_order(due)).label("processes"),
        ).subquery("ranked")
        chosen = (
            select(ranked.c.id)
            .where(or_(ranked.c.process == 0, ranked.c.processes <= self.slots.processes))
            .order_by(*_order(ranked))
            .limit(self.slots.jobs)
            .cte("chosen")
        )
        return (
            update(jobs)
            .where(jobs.c.id == chosen.c.id, is_(Status.PENDING))
            .values(self._running())
            .returning(*self._columns())
        )

    def is_worth_a_transaction(self, connection: Connection) -> bool:
        """Look before locking: where a writer excludes all others, an idle processor must not be one."""
        types = [wanted.type for wanted in self.wanted]
        due = select(jobs.c.id).where(jobs.c.type.in_(types), *self._is_due()).limit(1)
        return connection.execute(due).first() is not None

    def claim_in_steps(self, connection: Connection, claim_no: int) -> Sequence[Any]:
        if connection.execute(self._alive().with_for_update(read=True)).first() is None:
            return []
        chosen = self._choose([row for wanted in self.wanted for row in self._best(connection, wanted.type)])
        if chosen:
            mine = jobs.c.id.in_([row.id for row in chosen])
            taken = update(jobs).where(mine, is_(Status.PENDING)).values(self._running())
            connection.execute(taken, {"claim_no": claim_no})
            return connection.execute(select(*self._columns()).where(mine)).all()
        return []

    def _best(self, connection: Connection, type_: str) -> Sequence[Any]:
        return connection.execute(
            select(jobs.c.id, jobs.c.type, jobs.c.priority, jobs.c.created_at)
            .where(jobs.c.type == type_, *self._is_due(), ~is_paused(literal(type_)))
            .order_by(*_order(jobs))
            .limit(self.slots.jobs)
            .with_for_update(skip_locked=True, of=jobs)
        ).all()

    def heads(self, type_: str) -> Select[Any]:
        """Read which rows of a type a claim would take first, and nothing else of them."""
        due = select(jobs.c.id).where(jobs.c.type == type_, *self._is_due(), ~is_paused(literal(type_)))
        return due.order_by(*_order(jobs)).limit(self.slots.jobs + HELD)

    def try_one(self, connection: Connection, job_id: int) -> object:
        """Do to one row what a claim does, for somebody who takes it back."""
        one = jobs.c.id == job_id
        connection.execute(update(jobs).where(one, is_(Status.PENDING)).values(self._running()), {"claim_no": 0})
        return connection.execute(select(*self._columns()).where(one)).all()

    def _is_due(self) -> tuple[ColumnElement[bool], ...]:
        return (*is_due(), jobs.c.id.not_in(sorted(self.without))) if self.without else is_due()

    def _choose(self, rows: list[Any]) -> list[Any]:
        processes = {wanted.type for wanted in self.wanted if wanted.process}
        chosen: list[Any] = []
        room = self.slots.processes
        for row in sorted(rows, key=_rank):
            needs_process = row.type in processes
            if len(chosen) < self.slots.jobs and not (needs_process and room <= 0):
                chosen.append(row)
                room -= needs_process
        return chosen

    def _alive(self) -> Select[Any]:
        return select(processors.c.id).where(
            processors.c.id == self.processor_id,
            processors.c.status == "live",
            processors.c.lease_until > now(),
        )

    def _running(self) -> dict[Any, Any]:
        """What a claim writes besides its number, which is given when it is sent."""
        return {
            jobs.c.status: Status.RUNNING.value,
            jobs.c.reason: None,
            jobs.c.attempt: jobs.c.attempt + 1,
            jobs.c.processor_id: self.processor_id,
            jobs.c.started_at: now(),
            jobs.c.progress: None,
            jobs.c.progress_message: None,
        }

    def _columns(self) -> tuple[Any, ...]:
        """What is read of a claimed row: after the order of claims, the fields of `ClaimedJob` in their order."""
        size = self.dialect.bytes_of(jobs.c.payload)
        return (
            jobs.c.id,
            jobs.c.type,
            jobs.c.priority,
            jobs.c.created_at,
            jobs.c.attempt,
            case((size <= self.max_payload_bytes, cast(jobs.c.payload, LongText))).label("payload"),
            size.label("payload_bytes"),
            jobs.c.max_attempts,
            jobs.c.timeout_seconds,
            jobs.c.owner,
            jobs.c.key,
            jobs.c.subject,
            jobs.c.crashes,
            func.coalesce(jobs.c.expires_at <= now(), False).label("expired"),
            self.dialect.seconds_since(func.coalesce(jobs.c.run_at, jobs.c.created_at)).label("wait_seconds"),
        )


@lru_cache(maxsize=64)
def _statement(bid: _Bid) -> Any:
    """Put a claim together once: doing it each time took 4 of the 8 ms of a small claim."""
    return bid.statement()


def _order(rows: Any) -> tuple[Any, ...]:
    return (rows.c.priority.desc(), rows.c.created_at, rows.c.id)
