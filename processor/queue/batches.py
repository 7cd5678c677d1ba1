"""Put in a job and all its children: all or nothing, and no long transaction.

Parent and children are inserted as `paused`, reason `batch`, where nobody runs them. One UPDATE of the parent lets all
of them go; the children follow in portions. Who dies before that UPDATE leaves rows that never run: `jobtable cancel`
ends them with their parent.
"""

import contextlib
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import islice

from sqlalchemy import Connection, delete, select, update

from models import jobs
from processor.db.database import Database
from processor.errors import DatabaseError, Refused, ValuesRefused
from processor.lifecycle import Reason, Status
from processor.queue import states
from processor.queue.enqueue import NewJob, insert_jobs, insert_one
from processor.queue.parents import let_go
from processor.queue.where import is_

PORTION = 1000
"""Children of one transaction: some 30 ms."""
Line = tuple[int, NewJob]
"""Where a child was read, and what it is to be."""


def enqueue_batch(database: Database, parent: NewJob, children: Iterable[Line]) -> int:
    """Insert a job and its children; give the id of the parent.

    Raises `ValuesRefused`, naming the line where it is a child, `Refused` where somebody else changed the parent,
    `DatabaseUnreachable`. Nothing is there then, but what a lost connection left as `paused`.
    """
    parent_id = insert_one(database, parent, staged=True)
    try:
        for portion in _portions(children):
            _stage(database, [(line, replace(child, parent_id=parent_id)) for line, child in portion])
    except BaseException:  # also an interrupt: nothing of it may stay
        with contextlib.suppress(DatabaseError):
            _discard(database, parent_id)
        raise
    try:
        _release(database, parent_id)
    except Refused:
        _discard(database, parent_id, itself=False)
        raise
    while let_go(database, [parent_id]):
        pass
    return parent_id


def _portions(children: Iterable[Line]) -> Iterator[list[Line]]:
    iterator = iter(children)
    while portion := list(islice(iterator, PORTION)):
        yield portion


def _stage(database: Database, portion: list[Line]) -> None:
    try:
        _insert(database, portion)
    except ValuesRefused:
        for line in portion:  # all of them go again: the caller discards what is there
            try:
                _insert(database, [line])
            except ValuesRefused as error:
                raise error.at(f"Line {line[0]}") from error
        raise


def _insert(database: Database, portion: list[Line]) -> None:
    new = [child for _, child in portion]
    database.write(lambda connection: insert_jobs(connection, database.dialect, new, staged=True))


def _release(database: Database, parent_id: int) -> None:
    """Let a batch go; this is the moment in which all of it is enqueued."""
    staged = (jobs.c.id == parent_id, is_(Status.PAUSED), jobs.c.reason == Reason.BATCH.value)
    fresh = {"status": Status.PENDING.value, "reason": None, **states.NUMBERED}

    def verb(connection: Connection) -> bool:
        changed = connection.execute(update(jobs).where(*staged).values(fresh)).rowcount
        states.tell(connection, database.dialect, [parent_id] * changed)
        return bool(changed)

    if not database.write(verb):
        raise Refused(
            f"Job {parent_id} was changed by somebody else before all of its batch was there. No child was enqueued.",
            f"See `jobtable show {parent_id}`.",
        )


def _discard(database: Database, parent_id: int, *, itself: bool = True) -> None:
    staged = (is_(Status.PAUSED), jobs.c.reason == Reason.BATCH.value)
    children = select(jobs.c.id).where(jobs.c.parent_id == parent_id, *staged).limit(PORTION)

    def verb(connection: Connection) -> bool:
        ids = connection.execute(children).scalars().all()
        connection.execute(delete(jobs).where(jobs.c.id.in_(ids or ([parent_id] if itself else []))))
        return bool(ids)

    while database.write(verb):
        pass
