"""What a job tells: as pages, or live as server-sent events."""

import asyncio
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from processor.api import frames, live, shapes
from processor.api.access import Caller
from processor.api.service import Guarded, Reader, Served, Service
from processor.lifecycle import FINAL, Status
from processor.queue import lookup

router = APIRouter(prefix="/jobs", tags=["jobs"], route_class=Guarded)
AFTER = Query(ge=0, le=shapes.LARGEST, description="number of the last event you have")


@router.get(
    "/{job_id:int}/events",
    response_model=shapes.JobEvents,
    responses={
        200: {
            "description": "events as a page, or live: `id` is the number, `event` the kind, `data` a JobEvent; at the"
            " end `event: end` with the status, or `event: dropped` for who has to come again",
            "content": {live.MEDIA_TYPE: {"schema": {"type": "string"}}},
        },
        204: {"description": "live: the job has ended, and you have all of it"},
    },
)
async def events(
    request: Request,
    job_id: shapes.JobId,
    service: Served,
    caller: Reader,
    after: Annotated[int, AFTER] = 0,
    limit: Annotated[int, Query(ge=1, le=1000)] = 200,
) -> Any:
    """Give what the job told, in order: states, progress, log lines, output.

    With `Accept: text/event-stream` live, from `after` or the header `Last-Event-ID` on.
    """
    row = await asyncio.to_thread(lookup.job, service.database, job_id, owner=caller.owner)
    if live.is_wanted(request):
        return _live(caller, service, row, live.last_event(request, after) or 0)
    return await asyncio.to_thread(_page, service, job_id, after, limit)


def _page(service: Service, job_id: int, after: int, limit: int) -> dict[str, Any]:
    rows = lookup.events(service.database, job_id, after=after, limit=limit + 1)
    items = [frames.hidden(row, "text", service.mask) for row in rows[:limit]]
    return {"items": items, "next": items[-1]["number"] if len(rows) > limit else None}


def _live(caller: Caller, service: Service, row: lookup.Row, after: int) -> Response:
    if Status(row["status"]) in FINAL and after >= row["event_no"]:
        return Response(status_code=204)
    return live.respond(caller, service, service.feed.listening(row["id"], after), frames.job_event, frames.job_end)
