"""Children of a job: rows whose `parent_id` is its id. Whether one is open, and what a parent does then: it waits."""

from collections.abc import Collection, Sequence
from dataclasses import replace

from sqlalchemy import Connection, select, true, update

from models import jobs
from processor.judge import Verdict
from processor.lifecycle import Reason, Status
from processor.outcome import Kind, Outcome
from processor.queue.settlement import Settlement

DEEPEST = 100
"""Generations that are looked at to find a job among its own ancestors."""


def awaiting(
    connection: Connection, ours: Sequence[Settlement], with_open: Collection[int]
) -> tuple[list[Settlement], frozenset[int]]:
    """Let jobs wait whose own work is done, or that are cancelled, while children are open; name those that do."""
    settled = [_waiting(connection, one) if _has_to_wait(one, with_open) else one for one in ours]
    waits = [one for one in settled if one.verdict.reason is Reason.CHILDREN]
    stopped = [one.job_id for one in waits if one.verdict.outcome.kind is not Kind.RETURNED]
    if stopped:  # by a word of the handler's own, perhaps; the row is what tells the children
        connection.execute(update(jobs).where(jobs.c.id.in_(stopped)).values({jobs.c.cancel_requested: true()}))
    return settled, frozenset(one.job_id for one in waits)


def _has_to_wait(one: Settlement, with_open: Collection[int]) -> bool:
    if one.verdict.status is Status.COMPLETED:
        wishes = one.verdict.outcome.enqueue
        return one.job_id in with_open or any(wish.get("parent_id") == one.job_id for wish in wishes)
    return one.verdict.status is Status.CANCELLED and one.job_id in with_open


def _waiting(connection: Connection, one: Settlement) -> Settlement:
    """Give what is written instead of its end; who would wait for itself fails."""
    chain = _descent(connection, one.job_id)
    if chain is None:
        return replace(one, verdict=replace(one.verdict, status=Status.WAITING, reason=Reason.CHILDREN, notify=False))
    outcome = Outcome(
        Kind.MALFORMED,
        error_type="OwnAncestor",
        error_message=f"Its parent_id makes it its own ancestor ({chain}), so it would wait for itself.",
        seconds=one.verdict.outcome.seconds,
    )
    notify = one.verdict.notify_failure
    return replace(one, verdict=Verdict(Status.FAILED, Reason.MALFORMED, outcome, failed=True, notify=notify))


def _descent(connection: Connection, job_id: int) -> str | None:
    """Give the chain of parents that leads from a job back to it; None: there is none."""
    chain = [job_id]
    while len(chain) <= DEEPEST:
        parent = connection.execute(select(jobs.c.parent_id).where(jobs.c.id == chain[-1])).scalar()
        if parent is None:
            return None
        chain.append(parent)
        if parent == job_id:
            return " → ".join(map(str, chain))
    return None
