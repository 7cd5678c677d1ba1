"""Children of a job: rows whose `parent_id` is its id. When its own work is done, it waits for them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, select, true, update

from models import jobs
from processor.judge import Verdict
from processor.lifecycle import Reason, Status
from processor.outcome import Kind, Outcome
from processor.queue.settlement import Settlement

OWN_ANCESTOR = (Status.FAILED.value, Reason.MALFORMED.value)
"""The end of a job that would wait for itself."""


def awaiting(
    connection: Connection, ours: Sequence[Settlement], owned: Mapping[int, Any]
) -> tuple[list[Settlement], frozenset[int]]:
    """Let jobs wait for their children whose own work is done, or that are cancelled; name those that do.

    Also where all children have ended: what they come to is told, and judged, by `endings`.
    """
    waits = [one.job_id for one in ours if _has_to_wait(one, owned[one.job_id])]
    if not waits:
        return list(ours), frozenset()
    chains = own_ancestors(connection, waits)
    settled = [_waiting(one, chains.get(one.job_id)) if one.job_id in waits else one for one in ours]
    really = [one for one in settled if one.verdict.reason is Reason.CHILDREN]
    stopped = [one.job_id for one in really if one.verdict.outcome.kind is not Kind.RETURNED]
    if stopped:  # by a word of the handler's own, perhaps; the row is what tells the children
        connection.execute(update(jobs).where(jobs.c.id.in_(stopped)).values({jobs.c.cancel_requested: true()}))
    return settled, frozenset(one.job_id for one in really)


def _has_to_wait(one: Settlement, row: Any) -> bool:
    if one.verdict.status is Status.COMPLETED:
        wishes = one.verdict.outcome.enqueue
        return bool(row.has_children) or any(wish.get("parent_id") == one.job_id for wish in wishes)
    return one.verdict.status is Status.CANCELLED and bool(row.has_children)


def _waiting(one: Settlement, chain: str | None) -> Settlement:
    """Give what is written instead of its end; who would wait for itself fails."""
    if chain is None:
        return replace(one, verdict=replace(one.verdict, status=Status.WAITING, reason=Reason.CHILDREN, notify=False))
    notify = one.verdict.notify_failure
    outcome = waits_for_itself(chain, one.verdict.outcome.seconds)
    return replace(one, verdict=Verdict(Status.FAILED, Reason.MALFORMED, outcome, failed=True, notify=notify))


def waits_for_itself(chain: str, seconds: float = 0.0) -> Outcome:
    """Say that a job is its own ancestor."""
    message = f"Its parent_id makes it its own ancestor ({chain}), so it would wait for itself."
    return Outcome(Kind.MALFORMED, error_type="OwnAncestor", error_message=message, seconds=seconds)


def own_ancestors(connection: Connection, ids: Iterable[int]) -> dict[int, str]:
    """Find those of these jobs that are their own ancestors; give the chains that lead back, such as "1 → 2 → 1".

    All chains are walked together, a statement for each generation.
    """
    parent_of: dict[int, int | None] = {}
    ahead = set(ids)
    while ahead:
        rows = connection.execute(select(jobs.c.id, jobs.c.parent_id).where(jobs.c.id.in_(sorted(ahead)))).all()
        parent_of |= dict.fromkeys(ahead) | {row.id: row.parent_id for row in rows}
        ahead = {row.parent_id for row in rows if row.parent_id is not None} - parent_of.keys()
    chains = {id: _chain(parent_of, id) for id in ids}
    return {id: chain for id, chain in chains.items() if chain is not None}


NAMED = 10
"""Jobs of a long chain that are named."""


def _chain(parent_of: Mapping[int, int | None], job_id: int) -> str | None:
    chain, seen = [job_id], {job_id}
    while (parent := parent_of.get(chain[-1])) is not None:
        chain.append(parent)
        if parent == job_id:
            named = chain if len(chain) <= NAMED else [*chain[: NAMED - 1], "…", job_id]
            return " → ".join(map(str, named))
        if parent in seen:  # it hangs below a circle that it is not part of
            return None
        seen.add(parent)
    return None
