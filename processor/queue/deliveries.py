"""Tell webhooks that jobs ended: a job of a type of our own for each, in the transaction that ends them.

    settle, cancel, reuse, … ─► announce ─► one look at `webhooks`, and nothing more where there are none
                                        └─► a row in `jobs` for each webhook and job that go together

The payload is the body that is sent, letter by letter. `concurrency_key` is the webhook, so that a webhook is told one
thing after the other and one that hangs holds one slot; `subject` is `webhook:ID`; `key` is the id of the message, made
of the webhook, the job and the number of the event that told its end, so each end has one and every try has the same.
The owner is the webhook's: an owner sees what is sent to it, and who is told of all owners' jobs is an operator.
"""

import json
import secrets
from collections.abc import Collection, Iterator, Sequence
from datetime import datetime, timedelta
from functools import cache
from typing import Any

from sqlalchemy import Connection, Row, case, cast, func, literal_column, or_, select, update

from models import jobs, now, webhooks
from models.types import LongText
from processor.db.database import Database
from processor.db.dialects import Dialect
from processor.errors import NotFound, QueueFull
from processor.queue.enqueue import NewJob, insert_job
from processor.queue.followups import Made, insert_or_refuse
from processor.queue.where import is_final

TYPE = "jobtable.webhook"
"""The type of deliveries: every processor knows it."""
TOLD_BYTES = 64 * 1024
"""A result that is larger is not told."""
TOLD_LETTERS = 1000
"""Of an error message."""
BITE_LETTERS = 2 * 1024**2
"""Of the payloads of one statement; MariaDB takes 16 MiB unless told otherwise."""
ANY = "any"
KEPT = timedelta(days=3)
"""After so long a delivery is given up, also where an address that is dead was never asked about it."""
MOST_TESTS = 10
"""Of one webhook, that were not taken yet: each takes the hold from its address."""


def subject_of(webhook: str) -> str:
    """Give what the deliveries of a webhook are about."""
    return f"webhook:{webhook}"


def announce(connection: Connection, dialect: Dialect, ended: Collection[int]) -> Made:
    """Make deliveries for jobs that ended in the caller's transaction; of deliveries nothing is told.

    What the database refuses must not cost the end itself: it is left out and said.
    """
    made = Made()
    if not ended or connection.execute(_ANY_LISTENS).first() is None:
        return made
    ids = sorted(ended)
    listening = connection.execute(_listening(dialect), {"ids": ids}).all()
    if not listening:
        return made
    with_results = any(webhook.with_result for webhook in listening)
    rows = connection.execute(_ended(dialect, with_results), {"ids": ids}).all()
    for bite in _bites(_new(rows, listening)):
        refusal = insert_or_refuse(connection, dialect, bite)
        if refusal is None:
            made.count += len(bite)
        else:
            made.refusals.append(f"{len(bite)} webhooks are not told of ends: {refusal}")
    return made


_GOES_ON = webhooks.c.paused_at.is_(None)
_ANY_LISTENS = select(webhooks.c.id).where(_GOES_ON).limit(literal_column("1"))


@cache
def _listening(dialect: Dialect) -> Any:
    """Read the webhooks that these jobs may concern, by their owners."""
    owners = select(jobs.c.owner).where(dialect.among(jobs.c.id), jobs.c.owner.is_not(None))
    named = [webhooks.c[name] for name in ("id", "owner", "type", "outcome", "with_result")]
    whose = or_(webhooks.c.owner.is_(None), webhooks.c.owner.in_(owners))
    return select(*named).where(_GOES_ON, whose).order_by(webhooks.c.id)


_TOLD = ("id", "type", "status", "reason", "owner", "subject", "key", "attempt", "error_message")
_WHEN = ("created_at", "started_at", "finished_at")


@cache
def _ended(dialect: Dialect, with_results: bool) -> Any:
    size = dialect.bytes_of(jobs.c.result)
    results = (case((size <= TOLD_BYTES, cast(jobs.c.result, LongText))).label("result"), size.label("result_bytes"))
    columns = [jobs.c[name] for name in (*_TOLD, *_WHEN, "event_no", "priority", "trace_parent")]
    wanted = select(*columns, *(results if with_results else ()))
    return wanted.where(dialect.among(jobs.c.id), is_final(), jobs.c.type != TYPE)


def _new(rows: Sequence[Row[Any]], listening: Sequence[Row[Any]]) -> Iterator[NewJob]:
    for row in sorted(rows, key=lambda row: int(row.id)):
        concerned = [webhook for webhook in listening if _concerns(webhook, row)]
        bodies = {told: _body(row, with_result=told) for told in {bool(webhook.with_result) for webhook in concerned}}
        for webhook in concerned:
            body = bodies[bool(webhook.with_result)]
            yield _delivery(webhook, f"{row.id}_{row.event_no}", body, row.finished_at, row.priority, row.trace_parent)


def _concerns(webhook: Row[Any], row: Row[Any]) -> bool:
    return (
        webhook.owner in (None, row.owner) and webhook.type in (None, row.type) and webhook.outcome in (ANY, row.status)
    )


def _delivery(
    webhook: Any, event: str, body: str, instant: datetime, priority: int = 5, trace_parent: str | None = None
) -> NewJob:
    return NewJob(
        TYPE,
        body,
        priority,
        owner=webhook.owner,
        key=f"msg_{webhook.id}_{event}",
        subject=subject_of(webhook.id),
        concurrency_key=webhook.id,
        trace_parent=trace_parent,
        expires_at=instant + KEPT,
    )


def _body(row: Row[Any], *, with_result: bool) -> str:
    """Put together what is sent; the result goes in as it is written, letter by letter."""
    told = {name: getattr(row, name) for name in _TOLD}
    if told["error_message"] is not None:
        told["error_message"] = str(told["error_message"])[:TOLD_LETTERS]
    told |= {name: _written(getattr(row, name)) for name in _WHEN}
    data = json.dumps(told)
    if with_result:
        result = row.result or "null"
        if row.result is None and row.result_bytes:
            result = f'null, "result_bytes": {row.result_bytes}'
        data = f'{data[:-1]}, "result": {result}}}'
    return _message(f"job.{row.status}", row.finished_at, data)


def _message(type_: str, instant: datetime | None, data: str) -> str:
    return f'{{"type": {json.dumps(type_)}, "timestamp": {json.dumps(_written(instant))}, "data": {data}}}'


def _written(instant: datetime | None) -> str | None:
    return None if instant is None else instant.isoformat().replace("+00:00", "Z")


def _bites(new: Iterator[NewJob]) -> Iterator[list[NewJob]]:
    bite: list[NewJob] = []
    letters = 0
    for one in new:
        bite.append(one)
        letters += len(one.payload)
        if letters >= BITE_LETTERS:
            yield bite
            bite, letters = [], 0
    if bite:
        yield bite


def make_test(database: Database, id: str) -> int:
    """Make a delivery that tells of no job, so that its way can be tried; give its number.

    Raises `NotFound`, and `QueueFull` where that many of its tests wait already.
    """

    def verb(connection: Connection) -> int | None:
        there = select(webhooks.c.id, webhooks.c.owner, now().label("instant")).where(webhooks.c.id == id)
        row = connection.execute(there.with_for_update()).one_or_none()
        if row is None:
            return None
        _refuse_if_tested(connection, id, row.owner)
        connection.execute(update(webhooks).where(webhooks.c.id == id).values(held_until=None))  # it is to go now
        body = _message("webhook.test", row.instant, json.dumps({"webhook": row.id}))
        return insert_job(
            connection, database.dialect, _delivery(row, f"test_{secrets.token_hex(8)}", body, row.instant)
        )

    made = database.write(verb)
    if made is None:
        raise NotFound(f"There is no webhook {id!r}. Nothing was sent.", "See `jobtable webhook list`.")
    return made


def _refuse_if_tested(connection: Connection, id: str, owner: str | None) -> None:
    """Refuse another test where so many wait; they are found by their keys, in an index."""
    begins = f"msg_{id}_test_"
    tests = (jobs.c.type == TYPE, jobs.c.key > begins, jobs.c.key < f"{begins}g")  # hexadecimal digits follow
    mine = jobs.c.owner.is_not_distinct_from(owner)  # anybody may write a key
    some = select(jobs.c.id).where(*tests, mine, ~is_final()).limit(MOST_TESTS).subquery()
    if connection.execute(select(func.count()).select_from(some)).scalar_one() >= MOST_TESTS:
        raise QueueFull(
            f"{MOST_TESTS} tests of the webhook {id!r} were not taken yet. Nothing was sent.",
            f"Wait, or cancel them: `jobtable list --type {TYPE} --subject {subject_of(id)}` has them.",
        )
