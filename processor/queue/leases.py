"""Who is alive, who is proved dead, and what becomes of the jobs of the dead.

A processor is one incarnation: a new id at each start, a lease that its heartbeat renews. Its jobs may be taken by
others only after its death is proved:

* at once, where its lock file can be locked on this machine: daemon and supervisor are both gone, so the supervisor
  has killed (or never had) the workers;
* otherwise when the database's clock says that the lease is over *and* the observer saw the same heartbeat number for
  a whole lease of its own monotonic time while it could read the database. After an outage of the database every
  lease is over; nobody may conclude anything from that alone.

Never by the age of a job. Declaring death and settling what the dead had claimed are two steps: who dies between them
leaves running rows without a living processor, and the second step looks for exactly those.
"""

import json
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, and_, exists, func, insert, or_, select, update

from models import jobs, now, processors
from processor.db.database import Database
from processor.errors import ValuesRefused
from processor.lifecycle import Reason, Status
from processor.queue import states
from processor.queue.where import is_

ALIVE = ("live", "draining")


@dataclass(frozen=True, slots=True)
class Registration:
    id: str
    name: str
    host: str
    pid: int
    version: str
    types: str
    max_concurrent: int
    lock_file: str | None


def register(database: Database, registration: Registration, lease: float) -> None:
    """Make the row of a new incarnation, with a lease of so many seconds; again where the answer was lost."""
    values = {name: getattr(registration, name) for name in registration.__slots__}
    try:
        database.write(
            lambda connection: connection.execute(
                insert(processors).values({**values, "lease_until": database.dialect.after(lease)})
            )
        )
    except ValuesRefused:
        if not beat(database, registration.id, lease):  # it is not there, so something else was refused
            raise


def describe(database: Database, processor_id: str, types: str, max_concurrent: int) -> None:
    """Tell what a processor can run since its settings changed."""
    database.write(
        lambda connection: connection.execute(
            update(processors).where(processors.c.id == processor_id).values(types=types, max_concurrent=max_concurrent)
        )
    )


def beat(database: Database, processor_id: str, lease: float) -> bool:
    """Renew the lease; False means fenced: others may have taken over what this incarnation ran."""

    def verb(connection: Connection) -> bool:
        renewed = connection.execute(
            update(processors)
            .where(processors.c.id == processor_id, processors.c.status.in_(ALIVE))
            .values(beat_no=processors.c.beat_no + 1, beat_at=now(), lease_until=database.dialect.after(lease))
        )
        return renewed.rowcount == 1

    return database.single(verb)


def is_asked_to_drain(database: Database, processor_id: str) -> bool:
    """Tell whether somebody asked this incarnation to end in order."""
    asked = select(processors.c.id).where(processors.c.id == processor_id, processors.c.drain_requested)
    with database.read() as connection:
        return connection.execute(asked).first() is not None


def drain(database: Database, processor_id: str) -> None:
    """Say that this incarnation claims no more."""
    _mark(database, processor_id, "draining", ("live",))


def leave(database: Database, processor_id: str) -> None:
    """Say that this incarnation has ended in order."""
    _mark(database, processor_id, "stopped", ALIVE, ended_at=now(), ended_by=processor_id)


def _mark(database: Database, processor_id: str, status: str, before: Sequence[str], **values: Any) -> None:
    database.write(
        lambda connection: connection.execute(
            update(processors)
            .where(processors.c.id == processor_id, processors.c.status.in_(before))
            .values(status=status, **values)
        )
    )


def release(database: Database, processor_id: str, claim_nos: Sequence[int]) -> int:
    """Give back claims whose answer never arrived: nothing of them was started, so the attempt does not count."""
    if not claim_nos:
        return 0
    return _release(database, and_(jobs.c.processor_id == processor_id, jobs.c.claim_no.in_(claim_nos)))


def audit(
    database: Database,
    processor_id: str,
    known: Sequence[tuple[int, int]],
    newest_claim: int,
    abandoned: Sequence[int] = (),
) -> "Audit":
    """Compare what the database says this processor runs with what it knows, as (job, claim) pairs.

    `newest_claim` is the newest claim number when `known` was put together: what was claimed since is not judged.
    Rows of `abandoned` claims are left to `release`: nothing of them was started.
    """
    columns = [jobs.c[name] for name in Orphan.__slots__ if name != "seconds"]
    with database.read() as connection:
        rows = connection.execute(
            select(*columns, _ran_for(database)).where(
                is_(Status.RUNNING), jobs.c.processor_id == processor_id, jobs.c.claim_no <= newest_claim
            )
        ).all()
    ours, given_up, theirs = set(known), set(abandoned), {(row.id, row.claim_no) for row in rows}
    return Audit(
        unknown=tuple(
            Orphan(**row._mapping)
            for row in rows
            if (row.id, row.claim_no) not in ours and row.claim_no not in given_up
        ),
        taken=tuple(pair for pair in ours - theirs if pair[1] <= newest_claim),
    )


def _release(database: Database, which: Any) -> int:
    held = select(jobs.c.id).where(is_(Status.RUNNING), which).order_by(jobs.c.id)
    back = {"status": Status.PENDING.value, "reason": Reason.RELEASE.value, "attempt": jobs.c.attempt - 1}

    def verb(connection: Connection) -> int:
        ids = connection.execute(held.with_for_update()).scalars().all()
        return states.move(connection, database.dialect, ids, back)

    return database.write(verb)


def cancelled(database: Database, processor_id: str) -> list[tuple[int, int]]:
    """Read the (job, claim) pairs of a processor that somebody asked to stop."""
    with database.read() as connection:
        rows = connection.execute(
            select(jobs.c.id, jobs.c.claim_no).where(
                is_(Status.RUNNING), jobs.c.processor_id == processor_id, jobs.c.cancel_requested
            )
        ).all()
    return [(row.id, row.claim_no) for row in rows]


@dataclass(frozen=True, slots=True)
class Peer:
    """Another incarnation that the database believes alive."""

    id: str
    name: str
    lock_file: str | None
    beat_no: int
    lease_over: bool


def peers(database: Database, processor_id: str) -> list[Peer]:
    """Read the other incarnations that count as alive."""
    with database.read() as connection:
        rows = connection.execute(
            select(
                processors.c.id,
                processors.c.name,
                processors.c.lock_file,
                processors.c.beat_no,
                (processors.c.lease_until < now()).label("lease_over"),
            ).where(processors.c.status.in_(ALIVE), processors.c.id != processor_id)
        ).all()
    return [Peer(row.id, row.name, row.lock_file, row.beat_no, bool(row.lease_over)) for row in rows]


def declare_dead(database: Database, peer: Peer, by: str, *, proved: bool) -> bool:
    """Fence an incarnation; its heartbeat and its claims find nothing from now on.

    Without proof of death the row must still have the same heartbeat and a lease that is over.
    """
    unchanged = [processors.c.id == peer.id, processors.c.status.in_(ALIVE)]
    if not proved:
        unchanged += [processors.c.beat_no == peer.beat_no, processors.c.lease_until < now()]

    def verb(connection: Connection) -> bool:
        locked = connection.execute(select(processors.c.id).where(*unchanged).with_for_update()).first()
        if locked is None:
            return False
        connection.execute(
            update(processors).where(processors.c.id == peer.id).values(status="dead", ended_at=now(), ended_by=by)
        )
        return True

    return database.write(verb)


@dataclass(slots=True)
class Observer:
    """Remember since when each peer shows the same heartbeat, by this process's own monotonic clock.

    `lease` in seconds; `clock` gives monotonic seconds. A failed reading starts the observation anew.
    """

    lease: float
    clock: Callable[[], float]
    _seen: dict[str, tuple[int, float]] = field(default_factory=dict)
    _read_at: float | None = None

    def forget(self) -> None:
        self._seen.clear()

    def silent(self, found: Sequence[Peer]) -> list[Peer]:
        """Give the peers whose lease is over and who were silent for a whole lease under our eyes."""
        instant = self.clock()
        if self._read_at is not None and instant - self._read_at > self.lease / 2:
            self.forget()  # we were away ourselves
        self._read_at = instant
        self._seen = {peer.id: self._since(peer, instant) for peer in found}
        return [peer for peer in found if peer.lease_over and instant - self._seen[peer.id][1] >= self.lease]

    def _since(self, peer: Peer, instant: float) -> tuple[int, float]:
        before = self._seen.get(peer.id)
        return before if before is not None and before[0] == peer.beat_no else (peer.beat_no, instant)


@dataclass(frozen=True, slots=True)
class Orphan:
    """A running row whose processor is not alive."""

    id: int
    processor_id: str
    claim_no: int
    type: str
    attempt: int
    max_attempts: int | None
    crashes: int
    owner: str | None
    subject: str | None
    key: str | None
    concurrency_key: str | None
    cancel_requested: bool
    seconds: float


def orphans(database: Database, limit: int = 500, left_out: Collection[str] = ()) -> list[Orphan]:
    """Read running rows whose processor is dead, ended or unknown, but for some types."""
    alive = exists(
        select(processors.c.id).where(processors.c.id == jobs.c.processor_id, processors.c.status.in_(ALIVE))
    )
    lost = (is_(Status.RUNNING), ~alive, jobs.c.type.not_in(sorted(left_out)))
    columns = [jobs.c[name] for name in Orphan.__slots__ if name != "seconds"]
    with database.read() as connection:
        rows = connection.execute(select(*columns, _ran_for(database)).where(*lost).limit(limit)).all()
    return sorted((Orphan(**row._mapping) for row in rows), key=lambda orphan: orphan.id)


def spoken_for(database: Database, processor_id: str, lease: float) -> set[str]:
    """Read which types other living processors can run, or such as ended less than a lease ago and may be back."""
    recent = processors.c.ended_at > database.dialect.after(-lease)
    with database.read() as connection:
        listed = connection.execute(
            select(processors.c.types).where(
                or_(processors.c.status.in_(ALIVE), recent), processors.c.id != processor_id
            )
        )
        return {name for types in listed.scalars() for name in json.loads(types)}


def _ran_for(database: Database) -> Any:
    return func.coalesce(database.dialect.seconds_since(jobs.c.started_at), 0.0).label("seconds")


@dataclass(frozen=True, slots=True)
class Audit:
    """Rows that we are said to run and do not know; claims that we hold and the database gave away."""

    unknown: tuple[Orphan, ...]
    taken: tuple[tuple[int, int], ...]

    def __bool__(self) -> bool:
        return bool(self.unknown or self.taken)
