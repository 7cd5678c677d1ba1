"""Server-sent events: what somebody is told, written as it comes, for as long as they may hear it and take it."""

import asyncio
import contextlib
import json
import re
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractContextManager
from typing import TypeVar

from fastapi import Request, Response
from fastapi.responses import StreamingResponse
from starlette.types import Message, Send

from processor.api import frames, shapes
from processor.api.access import Caller
from processor.api.frames import Frame, Framed
from processor.api.reader import Listener
from processor.api.service import Service

MEDIA_TYPE = "text/event-stream"
PATIENCE = 60.0
"""Seconds in which somebody has to take what is sent."""
L = TypeVar("L", bound=Listener)


def is_wanted(request: Request) -> bool:
    """Tell whether a request asks for a stream."""
    return MEDIA_TYPE in request.headers.get("accept", "")


def last_event(request: Request, otherwise: int | None) -> int | None:
    """Read where a client that comes again stopped; what is no number of ours is none."""
    text = request.headers.get("last-event-id", "")
    is_number = re.fullmatch(r"[0-9]{1,16}", text) is not None  # int() itself refuses more than 4,300 digits
    return int(text) if is_number and int(text) <= shapes.LARGEST else otherwise


def respond(
    caller: Caller,
    service: Service,
    listening: AbstractContextManager[L],
    framed: Framed,
    last: Callable[[L], Frame] = lambda listener: frames.dropped(),
) -> Response:
    """Answer with a stream: `framed` makes frames of what is told, `last` the one at the end. Raises `TooMany`."""
    service.check_room(caller)
    return _Live(_stream(caller, service, listening, framed, last), media_type=MEDIA_TYPE)


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
    framed: Framed,
    last: Callable[[L], Frame],
) -> AsyncGenerator[str]:
    watching = service.standing.watching
    with service.place(caller), listening as listener, watching(caller, listener.let_go) as watch:
        async for frame in frames.said(listener, framed, service.mask):
            yield _nothing(listener) if frame is None else _written(frame)
        if watch.is_over:
            yield _written(frames.dropped("the token is no longer valid"))
        else:
            yield _written(frames.dropped() if listener.was_dropped else last(listener))


def _written(frame: Frame) -> str:
    identity = "" if frame.id is None else f"id: {frame.id}\n"
    return f"{identity}event: {frame.event}\ndata: {json.dumps(frame.data)}\n\n"


def _nothing(listener: Listener) -> str:
    """Write a sign of life; where nothing of what was read is for this listener, it says from where to go on."""
    place = listener.place_without_news
    return ": nothing new\n\n" if place is None else f": nothing new\nid: {place}\n\n"
