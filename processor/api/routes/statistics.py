"""Statistics: what became of the work lately."""

from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Query

from processor.api import shapes
from processor.api.routes.jobs import NameQuery, summary
from processor.api.service import Guarded, Reader, Served
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
