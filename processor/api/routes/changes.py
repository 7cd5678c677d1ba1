"""What all jobs tell: live as server-sent events, or as pages."""

import asyncio
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request

from processor.api import frames, live, reader, shapes
from processor.api.service import Guarded, Reader, Served, Service
from processor.queue.lookup import Row
from processor.queue.news import Choice

router = APIRouter(tags=["jobs"], route_class=Guarded)
WAIT = 2 * reader.PAUSE
"""Seconds that a page waits for something to be there."""


@router.get(
    "/changes",
    response_model=shapes.Changes,
    responses={
        200: {
            "description": "a page, or live: `event: ready` first, then each event with its kind and a Change as"
            " `data`; its `id` is what to come again with; `event: dropped` for who has to come again",
            "content": {live.MEDIA_TYPE: {"schema": {"type": "string"}}},
        },
    },
)
async def changes(
    request: Request,
    service: Served,
    caller: Reader,
    type: Annotated[list[shapes.Name], Query()] = [],  # noqa: B006 - FastAPI copies it
    kind: Annotated[list[shapes.EventKind], Query()] = [],  # noqa: B006
    after: Annotated[int | None, Query(ge=0, le=shapes.LARGEST, description="id of the last event you have")] = None,
) -> Any:
    """Give what all jobs of the caller's owner tell, with `admin` those of everybody: states, progress, logs, output.

    Behind `after`, else from now on; with `Accept: text/event-stream` live, also behind the header `Last-Event-ID`.
    """
    choice = Choice.of(caller.owner, type, kind)
    if live.is_wanted(request):
        listening = service.changes.listening(choice, live.last_event(request, after))
        return live.respond(caller, service, listening, frames.change)
    service.check_room(caller)
    with service.place(caller):
        return await _page(service, choice, after)


async def _page(service: Service, choice: Choice, after: int | None) -> dict[str, Any]:
    """Give what is there; where it is nothing, wait for the reader's next look."""
    rows: list[Row] = []
    with service.changes.listening(choice, after) as listener:
        async for row in reader.told(listener, WAIT):
            if row is None:
                break
            if "job_id" in row:
                rows.append(row)
            if not listener.given and (rows or after is None or (listener.place or 0) < after):
                break
    reached = after if listener.was_dropped else listener.place  # what was not taken yet is to come again
    # beside the loop: 500 long texts would hold everybody else
    shown = await asyncio.to_thread(lambda: [frames.hidden(row, "text", service.mask) for row in rows])
    return {"items": shown, "next": reached}
