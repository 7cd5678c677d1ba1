"""Jobs: steer all that a filter finds, after counting them."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from fastapi import APIRouter

from processor.api import shapes
from processor.api.access import Caller
from processor.api.service import Guarded, Served, Service, Writer, check_scope
from processor.errors import Refused
from processor.lifecycle import MOVES, Status
from processor.queue import control, lookup
from processor.queue.lookup import Filter

router = APIRouter(prefix="/jobs", tags=["jobs"], route_class=Guarded)
LEAVES = {
    **{verb: MOVES[verb.replace("-", "_")][0] for verb in ("cancel", "pause", "resume", "retry", "run-now")},
    "delete": frozenset(Status) - {Status.RUNNING},
}
"""The states that each verb may leave."""


@router.post("/bulk", response_model=shapes.Steered)
def bulk(given: shapes.Bulk, service: Served, caller: Writer) -> Any:
    """Cancel, pause, resume, retry, run now or delete all jobs that a filter finds; `dry_run` counts only.

    Jobs in a state that does not allow it are left alone, and not counted.
    """
    if given.text is not None:  # a count of it would tell who may not read what is in errors
        check_scope(caller, service, "read", changes=False)
    which = _which(given, caller)
    if not which.statuses:
        return {"jobs": 0, "dry_run": given.dry_run}
    verb = lookup.count if given.dry_run else _verbs(service)[given.verb]
    return {"jobs": verb(service.database, which), "dry_run": given.dry_run}


def _which(given: shapes.Bulk, caller: Caller) -> Filter:
    """Give the filter for the jobs that the verb can change. Raises `Refused` where nothing narrows it."""
    which = Filter(
        statuses=tuple(map(Status, given.statuses)),
        types=tuple(given.types),
        owner=given.owner,
        subject=given.subject,
        key=given.key,
        text=given.text,
        parent_id=given.parent,
        created_after=given.created_after,
        created_before=given.created_before,
    )
    if which == Filter():
        raise Refused("No filter is given, which would mean every job. Nothing was changed.", "Give at least a state.")
    movable = LEAVES[given.verb] & frozenset(which.statuses or Status)
    if caller.owner is not None and given.owner not in (None, caller.owner):
        movable = frozenset()
    return replace(
        which,
        statuses=tuple(status for status in Status if status in movable),
        owner=given.owner if caller.owner is None else caller.owner,
        run_later=given.verb == "run-now",
    )


def _verbs(service: Service) -> dict[str, Callable[[Any, Filter], int]]:
    return {
        "cancel": lambda database, which: sum(control.cancel(database, which, service.notifies)),
        "pause": control.pause,
        "resume": control.resume,
        "retry": control.retry,
        "run-now": control.run_now,
        "delete": control.remove,
    }
