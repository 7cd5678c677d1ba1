"""Write verdicts: fenced, in batches, one transaction with errors, notifications and enqueued jobs.

Every row is matched by its claim (job, processor, claim number, still `running`). A claim that owns nothing any more
is stale: an answer with a name, not an error, and never tried again. Sending a batch twice changes nothing: what the
first sending wrote is recognised by the claim that the row still carries.

Nothing holds up a batch. A row that somebody else holds locked (a person's open transaction, a stopped processor) is
left for the next time. A batch that the database refuses is halved until the one outcome it will not store stands
alone; that job fails as `unstorable`, its neighbours are settled. A row that nobody may change at all counts as held.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cache
from typing import Any

from sqlalchemy import Connection, and_, or_, select

from models import jobs
from processor.db.database import Database
from processor.db.dialects import INTEGER, TEXT, Dialect, document
from processor.errors import ValuesRefused
from processor.lifecycle import Reason, Status
from processor.queue import verdicts
from processor.queue.children import OWN_ANCESTOR, awaiting
from processor.queue.deliveries import announce
from processor.queue.followups import follow_up
from processor.queue.settlement import Settled, Settlement, unstorable
from processor.queue.waiting import GoneOn, go_on
from processor.queue.where import has_children, is_


def settle(database: Database, batch: Sequence[Settlement]) -> Settled:
    """Settle a batch; the slots of everything in the answer are free, but for what others hold.

    Raises `DatabaseUnreachable`; the batch may have been written then: send it again, marked `again`.
    """
    if not batch:
        return Settled()
    try:
        return database.write(lambda connection: _write(connection, database.dialect, batch))
    except ValuesRefused as refusal:
        if len(batch) > 1:
            middle = len(batch) // 2
            return settle(database, batch[:middle]) + settle(database, batch[middle:])
        return _settle_unstorable(database, batch[0], refusal)


def _settle_unstorable(database: Database, settlement: Settlement, refusal: ValuesRefused) -> Settled:
    if settlement.verdict.reason is Reason.UNSTORABLE:
        return Settled(held=(settlement,))  # by a trigger of the user's own, say: tried again until it may be
    settled = settle(database, [unstorable(settlement, refusal.message)])
    return settled + Settled(unstorable=((settlement, refusal.message),))


def _write(connection: Connection, dialect: Dialect, batch: Sequence[Settlement]) -> Settled:
    owned = _lock(connection, dialect, batch)
    ours = [_final_word(settlement, owned[settlement.job_id]) for settlement in batch if settlement.job_id in owned]
    ours, parents = awaiting(connection, ours, owned)
    gone_on = GoneOn()
    if ours:
        verdicts.write(connection, dialect, ours)
        gone_on = go_on(connection, dialect, ours)
        followed = [one.job_id for one in ours if one.verdict.final and owned[one.job_id].followed]
        ended = [one.job_id for one in ours if one.verdict.final]
        made = follow_up(connection, dialect, followed) + announce(connection, dialect, ended)
        gone_on.woken += made.count
        gone_on.refusals += made.refusals
    missing = [settlement for settlement in batch if settlement.job_id not in owned]
    settled = Settled(
        tuple(ours),
        reused=tuple(gone_on.reused),
        woken=gone_on.woken,
        unseen=gone_on.unseen,
        parents=parents | _parents_of(ours, owned),
        refusals=tuple(gone_on.refusals),
    )
    return settled + _explain(connection, dialect, missing)


def _parents_of(ours: Sequence[Settlement], owned: Mapping[int, Any]) -> frozenset[int]:
    """Give the parents of jobs that ended."""
    parents = {owned[one.job_id].parent_id for one in ours if one.verdict.final}
    return frozenset(parent for parent in parents if isinstance(parent, int))


def _explain(connection: Connection, dialect: Dialect, missing: Sequence[Settlement]) -> Settled:
    """Say why rows were not to be had: written before by this very claim, held by others, or not ours any more."""
    if not missing:
        return Settled()
    rows = connection.execute(_state_of(dialect), {"given": _claims(missing)}).all()
    claimed = {row.id: (row.status, row.reason) for row in rows}
    found = {row.id: row for row in rows}
    written = [_as_written(one, found[one.job_id]) for one in missing if one.again and _is_own_word(one, claimed)]
    parents = frozenset(found[one.job_id].parent_id for one in written) - {None}
    missing = [one for one in missing if not (one.again and _is_own_word(one, claimed))]
    held = [one for one in missing if claimed.get(one.job_id, ("", ""))[0] == Status.RUNNING]
    stale = [one for one in missing if one not in held]
    return Settled(tuple(written), tuple(stale), tuple(held), parents=parents)


def _is_own_word(settlement: Settlement, claimed: Mapping[int, tuple[str, str]]) -> bool:
    return claimed.get(settlement.job_id) in _own_words(settlement)


def _as_written(settlement: Settlement, row: Any) -> Settlement:
    """Give a settlement with what its row says: a parent may have had to wait for its children."""
    verdict = replace(settlement.verdict, status=Status(row.status), reason=Reason(row.reason))
    return replace(settlement, verdict=verdict)


def _own_words(settlement: Settlement) -> set[tuple[str, str]]:
    """What the row says if this settlement was written: its verdict, or that a cancel came before a further try."""
    verdict = settlement.verdict
    words = {(verdict.status.value, verdict.reason.value)}
    if not verdict.final:
        return words | {(Status.CANCELLED.value, Reason.ASKED.value)}
    if verdict.status is not Status.FAILED:  # it may have had to wait for its children, and may have ended with them
        with_them = {(status.value, Reason.CHILDREN.value) for status in (Status.WAITING, Status.FAILED)}
        words |= with_them | {(Status.CANCELLED.value, Reason.ASKED.value), OWN_ANCESTOR}
    return words


def _lock(connection: Connection, dialect: Dialect, batch: Sequence[Settlement]) -> dict[int, Any]:
    """Lock the rows that the claims still own and nobody else holds, and read what was written into them meanwhile."""
    ids = [settlement.job_id for settlement in batch]
    rows = connection.execute(_owned(dialect), {"given": _claims(batch), "ids": ids})
    return {row.id: row for row in rows}


def _claims(batch: Iterable[Settlement]) -> str:
    return document({"id": one.job_id, "processor_id": one.processor_id, "claim_no": one.claim_no} for one in batch)


_CLAIM = {"id": INTEGER, "processor_id": TEXT, "claim_no": INTEGER}


@cache
def _owned(dialect: Dialect) -> Any:
    given = dialect.table(_CLAIM)
    return (
        select(
            jobs.c.id,
            jobs.c.cancel_requested,
            jobs.c.parent_id,
            or_(jobs.c.on_complete.is_not(None), jobs.c.on_failure.is_not(None)).label("followed"),
            has_children().label("has_children"),
        )
        .join(given, _is_claimed_by(given))
        .where(is_(Status.RUNNING), dialect.among(jobs.c.id))
        .order_by(jobs.c.id)
        .with_for_update(of=jobs, skip_locked=True)
    )


@cache
def _state_of(dialect: Dialect) -> Any:
    given = dialect.table(_CLAIM)
    return select(jobs.c.id, jobs.c.status, jobs.c.reason, jobs.c.parent_id).join(given, _is_claimed_by(given))


def _is_claimed_by(given: Any) -> Any:
    return and_(
        jobs.c.id == given.c.id,
        jobs.c.processor_id == given.c.processor_id,
        jobs.c.claim_no == given.c.claim_no,
    )


def _final_word(settlement: Settlement, row: Any) -> Settlement:
    """A cancel that came in the meantime wins over any further try; work that is done stays done."""
    verdict = settlement.verdict
    if not row.cancel_requested or verdict.final:
        return settlement
    cancelled = replace(
        verdict, status=Status.CANCELLED, reason=Reason.ASKED, given_back=0, delay=None, notify=verdict.notify_failure
    )
    return replace(settlement, verdict=cancelled)
