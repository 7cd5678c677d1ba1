"""Take due jobs for one processor: `pending` becomes `running`, owned by (job_id, processor_id, claim_no).

Order: priority descending, then creation, then id, among the due rows of the types that are asked for. Two
processors never get the same row: the rows are locked where they are chosen, those that another claim holds are
skipped, and the status is checked once more where it is changed.

What nothing limits is taken by the first step. On PostgreSQL that is one statement: for each type the first rows from
the index (LATERAL, so that half a million rows of a paused type cost nothing: 0.9 ms against 60), merged. The common
table expressions are MATERIALIZED, because a subquery that locks can otherwise be run again for each row and take more
than was asked for. Elsewhere it is a short transaction: choose and lock, then update by primary key.

What has to be decided (a type with a limit or a rate, a row with a lane or a key) holds its place in the order in that
step and is left alone; `admission` decides about as many, type by type. The claim counts only when it is committed.
"""

from collections import Counter, deque
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC
from functools import lru_cache
from typing import Any

from sqlalchemy import Connection, bindparam, func, literal_column, select

from models import job_types, jobs, now
from models.types import Identity, Name
from processor.db.database import Database
from processor.db.dialects import NAME, Dialect, document
from processor.lifecycle import Status
from processor.queue import claim_statement
from processor.queue.admission import Ask, admit
from processor.queue.duplicates import Reused
from processor.queue.line import Standing, standings
from processor.queue.quarantine import Misfit, find_misfits
from processor.queue.rules import NO_RULES, Rules
from processor.queue.taking import ClaimedJob, alive, claimed, order, rank, take
from processor.queue.upkeep import Notifies
from processor.queue.where import is_, is_due_once_pending, is_due_without, is_held_back, is_paused

__all__ = ["ClaimedJob", "Slots", "Taken", "Wanted", "claim", "set_aside"]

MANY_TYPES = 20
"""With more types than this, only those with the best rows are asked: on PostgreSQL 200 took 6 ms."""
HELD = 50
"""Rows at the head of a type that others may hold locked, so that the claim went past them."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A type this processor can run.

    `process` says that each of its jobs needs a process of its own; `room` how many more of it this processor may run.
    """

    type: str
    process: bool = True
    rules: Rules = NO_RULES
    room: int | None = None


@dataclass(frozen=True, slots=True)
class Slots:
    """How many jobs may be taken; of these, how many that need a process of their own."""

    jobs: int
    processes: int


@dataclass(slots=True)
class Taken:
    """What a claim did: jobs that are ours, best first; rows put aside to wait; rows that got an older result.

    `decided` are the types about whose rows something was decided; `unreadable` says why a type's rules are not;
    `misfits` are rows that the database lets nobody change, with type and why; `free_in` are the seconds until a rate
    lets something start that was left; `held` says that another processor was deciding about a type just then.
    """

    jobs: list[ClaimedJob] = field(default_factory=list)
    waiting: int = 0
    reused: list[Reused] = field(default_factory=list)
    decided: set[str] = field(default_factory=set)
    unreadable: dict[str, str] = field(default_factory=dict)
    misfits: dict[int, tuple[str, str]] = field(default_factory=dict)
    free_in: float | None = None
    held: bool = False

    @property
    def moved_on(self) -> bool:
        """Tell whether another claim would find other rows in front."""
        return bool(self.waiting or self.reused or self.misfits)


def claim(
    database: Database,
    processor_id: str,
    claim_no: int,
    wanted: Sequence[Wanted],
    slots: Slots,
    *,
    max_payload_bytes: int,
    notifies: Notifies,
    without: Collection[int] = (),
) -> Taken:
    """Claim up to `slots.jobs` due jobs, best first; nothing unless the processor's lease is valid.

    Raises `DatabaseUnreachable`; the claim may have happened then, and `claim_no` must be released later. Raises
    `ValuesRefused` where a row breaks the claim: `set_aside` finds it. Rows in `without` are passed over.
    """
    if not wanted or slots.jobs <= 0:
        return Taken()
    bid = _Bid(database.dialect, tuple(wanted), slots, max_payload_bytes, frozenset(without), processor_id, claim_no)
    taken, rows = Taken(), list[Any]()
    while bid.wanted and bid.slots.jobs > 0:
        step = _first_step(database, bid)
        stuck = _admit_each(database, bid, step, taken, notifies)
        rows += step.rows
        if not stuck:
            break
        rest = [one.type for one in bid.wanted if one.type not in stuck]  # what is stuck kept others from their place
        bid = bid.without_what(_Step(step.rows), rest)
    taken.jobs = [claimed(row, claim_no) for row in sorted(rows, key=rank)]
    return taken


def _admit_each(database: Database, bid: "_Bid", step: "_Step", taken: Taken, notifies: Notifies) -> set[str]:
    """Let admission decide, type by type; give the types about which it could not."""
    stuck = set()
    for one in bid.wanted:
        if not step.undecided[one.type]:
            continue
        room = step.undecided[one.type]
        admitted = admit(
            database, Ask(one.type, one.rules, room, bid.claim, bid.max_payload_bytes, bid.without, notifies)
        )
        step.rows += admitted.rows
        taken.decided.add(one.type)
        taken.waiting += admitted.waiting
        taken.reused += admitted.reused
        taken.misfits |= {id: (one.type, error) for id, error in admitted.misfits.items()}
        if admitted.unreadable:
            taken.unreadable[one.type] = admitted.unreadable
        left = len(admitted.rows) < room and not (admitted.waiting or admitted.reused or admitted.misfits)
        if admitted.stuck or (left and one.rules.have_an_order):  # others hold its first rows: its places are free
            stuck.add(one.type)
        taken.held |= admitted.held
        if admitted.free_in is not None:
            taken.free_in = min(admitted.free_in, taken.free_in or admitted.free_in)
    return stuck


def _first_step(database: Database, bid: "_Bid") -> "_Step":
    if bid.has_orders:
        with database.read() as connection:
            bid = bid.with_standings(connection)
    best = _of_all if database.dialect.claims_in_one_statement else _in_steps
    step = best(database, bid)
    if len(bid.wanted) <= MANY_TYPES or bid.is_filled(step):
        return step
    with database.read() as connection:  # some of the best were held, paused or locked
        types = [head.type for head in bid.heads(connection, len(bid.wanted)) if not step.has(head.type)]
    for start in range(0, len(types), MANY_TYPES):
        step.add(best(database, bid.without_what(step, types[start : start + MANY_TYPES])))
        if bid.is_filled(step):
            break
    return step


def _of_all(database: Database, bid: "_Bid") -> "_Step":
    many = len(bid.wanted) > MANY_TYPES
    return database.single(lambda connection: bid.claim_at_once(connection, of_the_best=many))


def _in_steps(database: Database, bid: "_Bid") -> "_Step":
    with database.read() as connection:  # before locking: where a writer excludes all others, nobody idle must be one
        heads = bid.best_heads(connection)
    return database.write(lambda connection: bid.claim_in_steps(connection, heads)) if heads else _Step()


def set_aside(
    database: Database,
    wanted: Sequence[Wanted],
    slots: Slots,
    notifies: Notifies,
    without: Collection[int] = (),
) -> list[Misfit]:
    """Find the rows that broke a claim of so many slots, and fail them as `malformed` where that can be written."""
    heads = [_heads(one.type, slots.jobs + HELD, frozenset(without)) for one in wanted]
    with database.read() as connection:
        ids = [id for statement in heads for id in connection.execute(statement).scalars()]

    def try_one(connection: Connection, job_id: int) -> object:
        """Do to one row what a claim does, for somebody who takes it back."""
        return take(connection, database.dialect, [job_id], {"claimant": "", "number": 0}, 0)

    return find_misfits(database, ids, try_one, notifies)


def _heads(type_: str, limit: int, without: frozenset[int]) -> Any:
    """Read which rows of a type a claim would take first, and nothing else of them."""
    due = select(jobs.c.id).where(jobs.c.type == type_, *is_due_without(without), ~is_paused(type_))
    return due.order_by(*order(jobs)).limit(limit)


@dataclass(slots=True)
class _Step:
    """What the first step did: rows it took; by type, how many of the best rows have to be decided about."""

    rows: list[Any] = field(default_factory=list)
    undecided: Counter[str] = field(default_factory=Counter)

    def has(self, type_: str) -> bool:
        return type_ in self.undecided or any(row[1] == type_ for row in self.rows)

    def add(self, other: "_Step") -> None:
        self.rows += other.rows
        self.undecided += other.undecided


@dataclass(frozen=True, slots=True)
class _Bid:
    """What is claimed for."""

    dialect: Dialect
    wanted: tuple[Wanted, ...]
    slots: Slots
    max_payload_bytes: int
    without: frozenset[int]
    processor_id: str
    claim_no: int
    standings: dict[str, list[Standing]] = field(default_factory=dict)
    """The first rows of the types that have an order of their own."""

    @property
    def has_orders(self) -> bool:
        return any(one.rules.have_an_order for one in self.wanted)

    def with_standings(self, connection: Connection) -> "_Bid":
        """Read the first rows of the types that have an order of their own, without locking them."""
        if not self.has_orders:
            return self
        found = {one.type: list[Standing]() for one in self.wanted if one.rules.have_an_order}
        for one, room in self._rooms(connection, list(found)):
            found[one.type] = standings(connection, self.dialect, one.type, one.rules, room, self.without)
        return replace(self, standings=found)

    @property
    def claim(self) -> dict[str, Any]:
        return {"claimant": self.processor_id, "number": self.claim_no}

    def without_what(self, step: _Step, types: Collection[str]) -> "_Bid":
        """Give a bid for some of the types and what room a step has left."""
        needs_process = {one.type for one in self.wanted if one.process}
        used = Counter(row[1] for row in step.rows) + step.undecided
        processes = sum(count for type_, count in used.items() if type_ in needs_process)
        slots = Slots(self.slots.jobs - used.total(), self.slots.processes - processes)
        return replace(self, wanted=tuple(one for one in self.wanted if one.type in types), slots=slots)

    def is_filled(self, step: _Step) -> bool:
        return len(step.rows) + step.undecided.total() >= self.slots.jobs

    def claim_at_once(self, connection: Connection, *, of_the_best: bool = False) -> _Step:
        """Claim in one statement; of as many types as there are slots, those with the best rows, where told so."""
        standing = [row for one in self.wanted for row in self._standings_of(one)]
        statement = claim_statement.statement(
            self.dialect, self.max_payload_bytes, self.without, bool(standing), of_the_best
        )
        given = {
            "wanted": _written(tuple(claim_statement.ASKED), self._each(_asked)),
            "slots": self.slots.jobs,
            "processes": self.slots.processes,
            **({"standings": document(standing)} if standing else {}),
        }
        step = _Step()
        for *row, guarded in connection.execute(statement, {**self.claim, **given}):
            if guarded:
                step.undecided[row[1]] += 1
            else:
                step.rows.append(row)
        return step

    def _each(self, facts: Callable[[Wanted], tuple[Any, ...]]) -> tuple[tuple[Any, ...], ...]:
        """Give facts of each type whose rows come in the order of claims."""
        return tuple([facts(one) for one in self.wanted if one.type not in self.standings])

    def _standings_of(self, one: Wanted) -> Iterator[dict[str, Any]]:
        for standing in self.standings.get(one.type, []):
            created_at = standing.created_at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.%f")
            place = {"priority": standing.priority, "created_at": created_at}
            yield {"id": standing.id, "type": one.type, **place, "process": int(one.process)}

    def best_heads(self, connection: Connection) -> list[Any]:
        """Give the first due row of each type, the best first; of many types as many as are needed."""
        if len(self.wanted) <= MANY_TYPES:
            return self.heads(connection, MANY_TYPES)
        rooms = self._rooms(connection, [one.type for one in self.wanted])
        open_ = replace(self, wanted=tuple(one for one, _ in rooms if self.slots.processes > 0 or not one.process))
        all_alike = self.slots.processes >= self.slots.jobs or not any(one.process for one in open_.wanted)
        return open_.heads(connection, self.slots.jobs if all_alike else len(self.wanted))

    def heads(self, connection: Connection, most: int) -> list[Any]:
        """Give the first due row of each type that has one, the best first; `most` of them."""
        wanted = _written(("type", "status"), self._each(lambda one: (one.type, Status.PENDING.value)))
        given = {"wanted": wanted, "most": most}
        heads: list[Any] = list(connection.execute(_heads_of(self.dialect, self.without), given))
        standings = [self.standings[one.type] for one in self.wanted if self.standings.get(one.type)]
        heads += [rows[0] for rows in standings]
        return sorted(heads, key=rank)[:most]

    def claim_in_steps(self, connection: Connection, heads: Sequence[Any]) -> _Step:
        """Claim type by type, the one with the best head first, until what follows is worse than what is chosen."""
        if connection.execute(alive().with_for_update(read=True), self.claim).first() is None:
            return _Step()
        best = {head.type: rank(head) for head in heads}
        rooms = deque(self._rooms(connection, list(best)))
        chosen: list[tuple[Any, Wanted]] = []
        while rooms and len(chosen) < self.slots.jobs:
            for one, room in self._first_of(rooms):
                if len(chosen) >= self.slots.jobs and rank(chosen[-1][0]) < best[one.type]:
                    break
                chosen = self._choose([*chosen, *((row, one) for row in self._best(connection, one, room))])
        free = [row.id for row, one in chosen if not _must_be_decided(row, one)]
        undecided = Counter(one.type for row, one in chosen if _must_be_decided(row, one))
        return _Step(list(take(connection, self.dialect, free, self.claim, self.max_payload_bytes)), undecided)

    def _first_of(self, rooms: deque[tuple[Wanted, int]]) -> Iterator[tuple[Wanted, int]]:
        """Take the first types away whose first rows fill the slots: the best n rows are among those of n types."""
        slots, processes = self.slots.jobs, self.slots.processes
        while rooms and slots > 0:
            one, room = rooms.popleft()
            if one.process and processes <= 0:
                continue
            slots, processes = slots - 1, processes - one.process
            yield one, room

    def _rooms(self, connection: Connection, types: Sequence[str]) -> list[tuple[Wanted, int]]:
        """Give those of the types of which something may be taken now, by the rules in force, and how much at most."""
        said, wanted = self._said(connection, types), {one.type: one for one in self.wanted}
        found = [wanted[type_] for type_ in types if type_ in wanted]
        in_force = [
            replace(one, rules=one.rules.in_force(said[one.type])) if one.type in said else one for one in found
        ]
        count = _running_by_type(connection) if any(one.rules.max_concurrent is not None for one in in_force) else {}
        rooms = [(one, self._room(one, count.get(one.type, 0))) for one in in_force]
        return [(one, room) for one, room in rooms if room > 0 and not _closed(one, said.get(one.type))]

    def _said(self, connection: Connection, types: Sequence[str]) -> dict[str, Any]:
        """Read what people, and the rate, say of these types."""
        told = (job_types.c.max_concurrent, job_types.c.rate, job_types.c.rate_free_for)
        said = select(
            job_types.c.name,
            *told,
            is_held_back(job_types).label("paused"),
            (job_types.c.rate_free_at > now()).label("held"),
        )
        if len(types) <= MANY_TYPES:  # of more it is quicker to read what is said of any
            said = said.where(job_types.c.name.in_(types))
        return {row["name"]: row for row in connection.execute(said).mappings()}

    def _room(self, one: Wanted, running: int) -> int:
        limit = one.rules.max_concurrent
        rooms = (self.slots.jobs, one.room, None if limit is None else limit - running)
        return min(room for room in rooms if room is not None)

    def _best(self, connection: Connection, one: Wanted, room: int) -> Sequence[Any]:
        if one.type in self.standings:
            return self.standings[one.type][:room]
        return connection.execute(_best_of(self.without), {"wanted": one.type, "room": room}).all()

    def _choose(self, best: list[tuple[Any, Wanted]]) -> list[tuple[Any, Wanted]]:
        chosen: list[tuple[Any, Wanted]] = []
        room = self.slots.processes
        for row, one in sorted(best, key=lambda pair: rank(pair[0])):
            if len(chosen) < self.slots.jobs and not (one.process and room <= 0):
                chosen.append((row, one))
                room -= one.process
        return chosen


@lru_cache(maxsize=64)
def _best_of(without: frozenset[int]) -> Any:
    """Lock the first rows of the type `wanted`, as many as there is `room` for."""
    return (
        select(jobs.c.id, jobs.c.type, jobs.c.priority, jobs.c.created_at, jobs.c.concurrency_key, jobs.c.key)
        .where(jobs.c.type == bindparam("wanted", type_=Name), *is_due_without(without))
        .order_by(*order(jobs))
        .limit(bindparam("room", type_=Identity))
        .with_for_update(skip_locked=True, of=jobs)
    )


@lru_cache(maxsize=64)
def _heads_of(dialect: Dialect, without: frozenset[int]) -> Any:
    """Read the first due row of each of the `wanted` types, the best first, `most` of them.

    By id: not every database has a LATERAL. MariaDB alone would look twice for each type (hence a LIMIT, of any
    number), begin with all jobs (hence STRAIGHT_JOIN), or read all that is pending for each type where its statistics
    of the moment say so (hence an index by force, and a status for each, which leave it no other way): 200 types then
    took minutes, in one run of four.
    """
    most = bindparam("most", type_=Identity)
    wanted, first = dialect.table({"type": NAME, "status": NAME}, "wanted"), jobs.alias("first")
    pending = is_(Status.PENDING) if dialect.has_partial_indexes else jobs.c.status == wanted.c.status
    due = (pending, jobs.c.type == wanted.c.type, *is_due_once_pending(without))
    best = select(jobs.c.id).where(*due).order_by(*order(jobs)).limit(literal_column("1"))
    for name in ("mysql", "mariadb"):
        best = best.with_hint(jobs, "FORCE INDEX (jobs_due)", name)
    id = best.correlate(wanted).scalar_subquery().label("id")
    ids = select(id).select_from(wanted).limit(literal_column("1000000000")).subquery("heads")
    heads = select(first.c.id, first.c.type, first.c.priority, first.c.created_at)
    heads = heads.select_from(ids.join(first, first.c.id == ids.c.id)).order_by(*order(first)).limit(most)
    for name in ("mysql", "mariadb"):
        heads = heads.prefix_with("STRAIGHT_JOIN", dialect=name)
    return heads


def _must_be_decided(row: Any, one: Wanted) -> bool:
    keyed = row.key is not None and one.rules.dedupe != "none"
    return one.rules.concern_every_row or keyed or row.concurrency_key is not None


def _closed(one: Wanted, said: Any) -> bool:
    return said is not None and (said["paused"] or (said["held"] and said["rate_free_for"] == one.rules.rate))


def _running_by_type(connection: Connection) -> dict[str, int]:
    counted = select(jobs.c.type, func.count()).where(is_(Status.RUNNING)).group_by(jobs.c.type)
    return dict(map(tuple, connection.execute(counted)))


def _asked(one: Wanted) -> tuple[Any, ...]:
    """Give what the statement asks about a type, in the order of `claim_statement.ASKED`."""
    rules = one.rules
    payloads, keyed = rules.dedupe == "payload", rules.dedupe != "none"
    return (one.type, int(one.process), one.room, rules.max_concurrent, rules.rate, int(payloads), int(keyed))


@lru_cache(maxsize=16)
def _written(names: tuple[str, ...], rows: tuple[tuple[Any, ...], ...]) -> str:
    """Write a document down once for polls that ask the same: doing it each time took 0.2 ms for 200 types."""
    return document(dict(zip(names, row, strict=True)) for row in rows)
