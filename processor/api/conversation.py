"""One WebSocket: what its client asks for, and what it is told, side by side.

Every subscription is a task that writes what its listener is given; messages are answered one after the other. All of
them end with the first that cannot go on, with a code that says why.
"""

import asyncio
import contextlib
import json
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import TypeVar

from fastapi import Response, WebSocket, WebSocketDisconnect
from fastapi.concurrency import run_in_threadpool

from processor.api import bodies, frames, messages, shapes
from processor.api.access import Caller
from processor.api.frames import Frame, Framed
from processor.api.messages import (
    MOST_LETTERS,
    Message,
    Steer,
    SubscribeChanges,
    SubscribeJob,
    SubscribeNotifications,
    Unsubscribe,
)
from processor.api.reader import Listener
from processor.api.service import Service, check_scope
from processor.errors import NotFound, Refused, TooMany
from processor.queue import lookup
from processor.queue.news import Choice

PATIENCE = 15.0
"""Seconds in which a client has to take what is sent."""
MOST_SUBSCRIPTIONS = 100
"""Of one WebSocket."""
TOO_LARGE, BUG, SERVER_ENDS = 1009, 1011, 1012
NOT_LET_IN, SLOW = 4401, 4408
"""Codes of our own, after those of HTTP."""
Ref = int | str | None
Verb = Callable[[int, Service, Caller], lookup.Row]
L = TypeVar("L", bound=Listener)


class _Over(Exception):
    """The end of a conversation, and why."""

    def __init__(self, code: int, why: str) -> None:
        super().__init__(why)
        self.code = code
        self.why = why


class Conversation:
    """What goes to and fro over one WebSocket that was accepted."""

    def __init__(
        self,
        socket: WebSocket,
        service: Service,
        caller: Caller,
        verbs: Mapping[str, Verb],
        problem: Callable[[Exception], Response],
    ) -> None:
        """`verbs` change a job, by the word that asks for it; `problem` gives what is answered to an error."""
        self._socket = socket
        self._service = service
        self._caller = caller
        self._verbs = verbs
        self._problem = problem
        self._ends = asyncio.Event()
        self._turn = asyncio.Lock()
        self._subscriptions: dict[Ref, asyncio.Task[None]] = {}
        self._group = asyncio.TaskGroup()

    def end(self) -> None:
        """Close it, because the server ends."""
        self._ends.set()

    async def hold(self) -> None:
        """Talk until one side ends it."""
        self._service.conversations.add(self)
        over: list[Exception] = []
        try:
            async with self._group:
                self._group.create_task(self._watch())
                self._group.create_task(self._hear())
        except* Exception as group:  # noqa: BLE001 - told, and the client hears a code
            over.extend(group.exceptions)
        finally:
            self._service.conversations.discard(self)
        await self._close(over[0])

    async def _close(self, error: Exception) -> None:
        if isinstance(error, WebSocketDisconnect):
            return
        if not isinstance(error, _Over):
            self._problem(error)
            error = _Over(BUG, "the server met an error of its own; come again")
        with contextlib.suppress(TimeoutError, WebSocketDisconnect, RuntimeError):
            async with asyncio.timeout(PATIENCE):
                await self._socket.close(error.code, error.why)

    async def _watch(self) -> None:
        """Wait for the end of the server, or of the right to be told."""
        with self._service.standing.watching(self._caller, self._ends.set) as watch:
            await self._ends.wait()
        self._check(not watch.is_over)
        raise _Over(SERVER_ENDS, "the server ends, or met an error of its own; come again")

    def _check(self, holds: bool) -> None:
        if not holds:
            raise _Over(NOT_LET_IN, "the token is no longer valid")

    async def _hear(self) -> None:
        """Answer what the client says, one after the other."""
        while True:
            message = await self._socket.receive()
            if message["type"] == "websocket.disconnect":
                raise WebSocketDisconnect(message.get("code", 1005))
            text = message.get("text") or ""
            if len(text) > MOST_LETTERS:
                raise _Over(TOO_LARGE, f"a message has at most {MOST_LETTERS:,} letters")
            await self._answer(text)

    async def _answer(self, text: str) -> None:
        self._check(await self._service.standing.holds_now(self._caller))  # revoked means revoked, as for any request
        ref: Ref = None
        try:
            given = bodies.read(text)
            ref = messages.ref_of(given)
            await self._do(messages.read(given))
        except (_Over, WebSocketDisconnect):
            raise
        except Exception as error:  # noqa: BLE001 - told, and answered
            await self._say(ref, Frame("problem", json.loads(bytes(self._problem(error).body))))

    async def _do(self, message: Message) -> None:
        service, owner = self._service, self._caller.owner
        match message:
            case SubscribeJob():
                self._check_room(message.ref)
                await asyncio.to_thread(lookup.job, service.database, message.job, owner=owner)
                await self._say(message.ref, Frame("ready", id=message.after))
                listening = service.feed.listening(message.job, message.after)
                self._subscribe(message.ref, listening, frames.job_event, frames.job_end)
            case SubscribeChanges():
                self._check_room(message.ref)
                choice = Choice.of(owner, message.types, message.kinds)
                self._subscribe(message.ref, service.changes.listening(choice, message.after), frames.change)
            case SubscribeNotifications():
                self._check_room(message.ref)
                waiting = service.bulletin.listening(Choice.of(owner), message.after)
                self._subscribe(message.ref, waiting, frames.notification)
            case Unsubscribe():
                await self._unsubscribe(message.ref)
            case Steer():
                check_scope(self._caller, service, "write", changes=True)
                row = await run_in_threadpool(self._verbs[message.do], message.job, service, self._caller)
                await self._say(message.ref, Frame("done", shapes.Job.model_validate(row).model_dump(mode="json")))

    def _check_room(self, ref: Ref) -> None:
        if ref in self._subscriptions:
            raise Refused(f"There is a subscription {ref!r} already. Nothing was changed.", "Choose another ref.")
        if len(self._subscriptions) >= MOST_SUBSCRIPTIONS:
            raise TooMany(f"A WebSocket has at most {MOST_SUBSCRIPTIONS} subscriptions.", "End one, or open another.")
        self._service.check_room(self._caller)

    def _subscribe(
        self,
        ref: Ref,
        listening: AbstractContextManager[L],
        framed: Framed,
        last: Callable[[L], Frame] = lambda listener: frames.dropped(),
    ) -> None:
        self._subscriptions[ref] = self._group.create_task(self._tell(ref, listening, framed, last))

    async def _tell(
        self, ref: Ref, listening: AbstractContextManager[L], framed: Framed, last: Callable[[L], Frame]
    ) -> None:
        """Say what a listener is given, until its end."""
        with self._service.place(self._caller), listening as listener:
            async for frame in frames.said(listener, framed, self._service.mask):
                await self._say(ref, frame or Frame("alive", id=listener.place_without_news))
            if listener.was_dropped:
                raise _Over(SERVER_ENDS, "the server ends, or met an error of its own; come again")
            del self._subscriptions[ref]
            await self._say(ref, last(listener))

    async def _unsubscribe(self, ref: Ref) -> None:
        task = self._subscriptions.pop(ref, None)
        if task is None:
            raise NotFound(f"There is no subscription {ref!r}.", "It may have ended.")
        task.cancel()
        await asyncio.wait((task,))
        await self._say(ref, Frame("end", {"status": "unsubscribed", "reason": None}))

    async def _say(self, ref: Ref, frame: Frame) -> None:
        identity = {} if frame.id is None else {"id": frame.id}
        text = json.dumps({"ref": ref, "event": frame.event, **identity, "data": frame.data})
        try:
            async with asyncio.timeout(PATIENCE), self._turn:
                await self._socket.send_text(text)
        except TimeoutError as error:
            raise _Over(SLOW, "what was sent was not taken; come again") from error
