"""Server-sent events: what somebody is told, written as it comes, for as long as they may hear it and take it."""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractContextManager
from typing import Any, TypeVar

from fastapi import Request, Response
from fastapi.responses import StreamingResponse
from starlette.types import Message, Send

from processor.api import shapes
from processor.api.access import Caller
from processor.api.reader import Listener, told
from processor.api.service import Service
from processor.errors import DatabaseError, TooMany
from processor.queue import lookup

MEDIA_TYPE = "text/event-stream"
KEEP_ALIVE = 5.0
"""Seconds between two signs of life, and between two looks whether the token is still valid."""
PATIENCE = 60.0
"""Seconds in which somebody has to take what is sent."""
LONG = 10_000
"""Letters of a text that is masked beside the loop: a million take half a second."""
MOST_LISTENERS = 5_000
"""Streams of one server; some 30 KB each."""
L = TypeVar("L", bound=Listener)


def is_wanted(request: Request) -> bool:
    """Tell whether a request asks for a stream."""
    return MEDIA_TYPE in request.headers.get("accept", "")


def last_event(request: Request, otherwise: int | None) -> int | None:
    """Read where a client that comes again stopped; what is no number of ours is none."""
    text = request.headers.get("last-event-id", "")
    return int(text) if text.isdecimal() and text.isascii() and int(text) <= shapes.LARGEST else otherwise


def frame(kind: str, data: dict[str, Any], number: int | None = None) -> str:
    """Write one event."""
    identity = "" if number is None else f"id: {number}\n"
    return f"{identity}event: {kind}\ndata: {json.dumps(data)}\n\n"


def respond(
    caller: Caller,
    service: Service,
    listening: AbstractContextManager[L],
    written: Callable[[lookup.Row], str],
    last: Callable[[L], str],
) -> Response:
    """Answer with a stream: `written` writes what is told, `last` the end. Raises `TooMany`."""
    if service.streams >= MOST_LISTENERS:
        raise TooMany(f"{MOST_LISTENERS:,} streams are open on this server, which is as many as it has.", "Come again.")
    return _Live(_stream(caller, service, listening, written, last), media_type=MEDIA_TYPE)


def dropped() -> str:
    """Write the end of a stream whose server ends."""
    return frame("dropped", {"why": "the server ends, or met an error of its own; come again"})


class _Live(StreamingResponse):
    """A stream that ends where nobody takes it: a connection that stands still keeps its place for a minute only."""

    async def stream_response(self, send: Send) -> None:
        async def in_time(message: Message) -> None:
            async with asyncio.timeout(PATIENCE):
                await send(message)

        async with contextlib.aclosing(self.body_iterator):  # type: ignore[type-var]  # it is our generator
            with contextlib.suppress(TimeoutError):
                await super().stream_response(in_time)


async def _stream(
    caller: Caller,
    service: Service,
    listening: AbstractContextManager[L],
    written: Callable[[lookup.Row], str],
    last: Callable[[L], str],
) -> AsyncGenerator[str]:
    checked_at = time.monotonic()
    with listening as listener:
        async for row in told(listener, KEEP_ALIVE):
            if time.monotonic() - checked_at >= KEEP_ALIVE:
                checked_at = time.monotonic()
                if not await asyncio.to_thread(is_let_in, caller, service):
                    yield frame("dropped", {"why": "the token is no longer valid"})
                    return
            if row is None:
                yield ": nothing new\n\n"
            elif len(row.get("text") or row.get("message") or "") > LONG:
                yield await asyncio.to_thread(written, row)
            else:
                yield written(row)
        yield last(listener)


def is_let_in(caller: Caller, service: Service) -> bool:
    """Tell whether who listens may go on."""
    try:
        return service.doorkeeper.is_still(caller)
    except DatabaseError:  # it is away, and nothing is told meanwhile: the next look will say
        return True
