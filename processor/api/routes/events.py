"""What a job tells: as pages, or live as server-sent events."""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncGenerator
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import StreamingResponse
from starlette.types import Message, Send

from processor.api import shapes
from processor.api.access import Caller
from processor.api.feed import Listener, told
from processor.api.masking import masked_text
from processor.api.service import Guarded, Reader, Served, Service
from processor.errors import DatabaseError, TooMany
from processor.lifecycle import FINAL, Status
from processor.queue import lookup

router = APIRouter(prefix="/jobs", tags=["jobs"], route_class=Guarded)
LIVE = "text/event-stream"
KEEP_ALIVE = 5.0
"""Seconds between two signs of life, and between two looks whether the token is still valid."""
PATIENCE = 60.0
"""Seconds in which somebody has to take what is sent."""
LONG = 10_000
"""Letters of a text that is masked beside the loop: a million take half a second."""
MOST_LISTENERS = 5_000
"""Streams of one server; some 30 KB each."""
AFTER = Query(ge=0, le=shapes.LARGEST, description="number of the last event you have")


@router.get(
    "/{job_id:int}/events",
    response_model=shapes.JobEvents,
    responses={
        200: {
            "description": "events as a page, or live: `id` is the number, `event` the kind, `data` a JobEvent; at the"
            " end `event: end` with the status, or `event: dropped` for who has to come again",
            "content": {LIVE: {"schema": {"type": "string"}}},
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
    if LIVE in request.headers.get("accept", ""):
        return _live(caller, service, row, _last_event(request, after))
    return await asyncio.to_thread(_page, service, job_id, after, limit)


def _page(service: Service, job_id: int, after: int, limit: int) -> dict[str, Any]:
    rows = lookup.events(service.database, job_id, after=after, limit=limit + 1)
    items = [_shown(service, row) for row in rows[:limit]]
    return {"items": items, "next": items[-1]["number"] if len(rows) > limit else None}


def _shown(service: Service, row: lookup.Row) -> lookup.Row:
    return {**row, "text": row["text"] and masked_text(row["text"], service.mask)}


def _last_event(request: Request, after: int) -> int:
    """Read where a client that comes again stopped; what is no number of ours is none."""
    text = request.headers.get("last-event-id", "")
    return int(text) if text.isdecimal() and text.isascii() and int(text) <= shapes.LARGEST else after


def _live(caller: Caller, service: Service, row: lookup.Row, after: int) -> Response:
    if Status(row["status"]) in FINAL and after >= row["event_no"]:
        return Response(status_code=204)
    if len(service.feed) >= MOST_LISTENERS:
        raise TooMany(f"{MOST_LISTENERS:,} streams are open on this server, which is as many as it has.", "Come again.")
    return _Live(_stream(caller, service, row["id"], after), media_type=LIVE)


class _Live(StreamingResponse):
    """A stream that ends where nobody takes it: a connection that stands still keeps its place for a minute only."""

    async def stream_response(self, send: Send) -> None:
        async def in_time(message: Message) -> None:
            async with asyncio.timeout(PATIENCE):
                await send(message)

        async with contextlib.aclosing(self.body_iterator):  # type: ignore[type-var]  # it is our generator
            with contextlib.suppress(TimeoutError):
                await super().stream_response(in_time)


async def _stream(caller: Caller, service: Service, job_id: int, after: int) -> AsyncGenerator[str]:
    """Write what the job tells until it ends, or the token is no longer valid."""
    checked_at = time.monotonic()
    with service.feed.listening(job_id, after) as listener:
        async for row in told(listener, KEEP_ALIVE):
            if time.monotonic() - checked_at >= KEEP_ALIVE:
                checked_at = time.monotonic()
                if not await asyncio.to_thread(_is_let_in, caller, service):
                    yield _frame("dropped", {"why": "the token is no longer valid"})
                    return
            if row is None:
                yield ": nothing new\n\n"
            elif len(row["text"] or "") > LONG:
                yield await asyncio.to_thread(_told, service, row)
            else:
                yield _told(service, row)
        yield _last(listener)


def _told(service: Service, row: lookup.Row) -> str:
    event = shapes.JobEvent.model_validate(_shown(service, row)).model_dump(mode="json")
    return _frame(row["kind"], event, row["number"])


def _is_let_in(caller: Caller, service: Service) -> bool:
    try:
        return service.doorkeeper.is_still(caller)
    except DatabaseError:  # it is away, and nothing is told meanwhile: the next look will say
        return True


def _last(listener: Listener) -> str:
    if listener.was_dropped:
        return _frame("dropped", {"why": "the server ends, or met an error of its own; come again"})
    if listener.end is None:
        return _frame("end", {"status": "deleted", "reason": None})
    return _frame("end", {"status": listener.end["status"], "reason": listener.end["reason"]})


def _frame(kind: str, data: dict[str, Any], number: int | None = None) -> str:
    identity = "" if number is None else f"id: {number}\n"
    return f"{identity}event: {kind}\ndata: {json.dumps(data)}\n\n"
