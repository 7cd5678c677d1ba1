"""Statistics: what became of the work lately."""

from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Query

from processor.api import shapes
from processor.api.access import Caller
from processor.api.routes.jobs import NameQuery, summary, words_for
from processor.api.service import Guarded, Reader, Served
from processor.queue.backlog import Group, backlog
from processor.queue.statistics import statistics

router = APIRouter(prefix="/statistics", tags=["statistics"], route_class=Guarded)


@router.get("", response_model=shapes.Statistics)
def over(
    service: Served,
    caller: Reader,
    seconds: Annotated[float, Query(ge=1, le=30 * 86400, description="the window, which ends now")] = 3600.0,
    type: NameQuery = None,
    owner: NameQuery = None,
) -> Any:
    """Give counts, success rate, percentiles of run time and waiting time, and the latest jobs with their durations."""
    found = statistics(
        service.database, seconds=seconds, owner=owner if caller.owner is None else caller.owner, type_=type
    )
    return {**asdict(found), "recent": [summary(service, row) for row in found.recent]}


@router.get("/waiting", response_model=shapes.Backlog)
def waiting(service: Served, caller: Reader) -> Any:
    """Give what waits by type, state and reason, and what keeps the oldest job of each from running."""
    found = backlog(service.database, owner=caller.owner, max_payload_bytes=service.max_payload_bytes)
    return {"items": [{**asdict(group), "why": _why(group, caller)} for group in found]}


def _why(group: Group, caller: Caller) -> list[str] | None:
    return None if group.why is None else [words_for(caller, one) for one in group.why if one.blocks]
