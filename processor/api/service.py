"""What every request is answered from: the database, the settings that matter, and who may do what."""

import contextlib
from collections import Counter
from collections.abc import Callable, Collection, Coroutine, Iterator, Mapping
from dataclasses import dataclass, field
from hmac import compare_digest
from http import HTTPStatus
from typing import TYPE_CHECKING, Annotated, Any, Protocol

from fastapi import Depends, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.requests import HTTPConnection
from fastapi.routing import APIRoute

from processor.addresses import Network
from processor.api.access import Caller, Doorkeeper
from processor.api.bodies import StrictRequest
from processor.api.failures import SECONDS
from processor.api.feed import Feed
from processor.api.problems import Problem
from processor.api.standing import Standing
from processor.api.tails import TailReader
from processor.db.database import Database
from processor.errors import Forbidden, TooMany, Unauthorized
from processor.judge import Policy
from processor.lifecycle import Status
from processor.queue.living import rules_of_all
from processor.queue.lookup import Filter
from processor.queue.rules import Rules
from processor.queue.sessions import csrf_of

if TYPE_CHECKING:
    from processor.sections import Type


MOST_STREAMS = 5_000
"""Streams and WebSockets of one server; some 30 KB each."""
MOST_OF_ONE = 2_000
"""Of these, those of one owner, however many tokens it has: the others are to find room."""


class Conversation(Protocol):
    """An open WebSocket."""

    def end(self) -> None:
        """Close it, because the server ends."""


@dataclass(frozen=True, slots=True)
class Service:
    """`types` are those of this server's configuration; of others, living processors tell.

    `networks` are those that are not public and to which webhooks may be sent.
    """

    database: Database
    doorkeeper: Doorkeeper
    standing: Standing
    feed: Feed
    changes: TailReader
    bulletin: TailReader
    types: Mapping[str, "Type"] = field(default_factory=dict)
    mask: tuple[str, ...] = ()
    read_only: bool = False
    max_payload_bytes: int = 1024**2
    networks: tuple[Network, ...] = ()
    conversations: set[Conversation] = field(default_factory=set)
    places: Counter[str] = field(default_factory=Counter)

    @contextlib.contextmanager
    def place(self, caller: Caller) -> Iterator[None]:
        """Let a caller listen to one thing more."""
        if caller.owner is None:
            yield
            return
        self.places[caller.owner] += 1
        try:
            yield
        finally:
            self.places[caller.owner] -= 1
            if not self.places[caller.owner]:
                del self.places[caller.owner]

    def check_room(self, caller: Caller) -> None:
        """Raises `TooMany` where no more can listen, or no more of this owner."""
        if caller.owner is not None and self.places[caller.owner] >= MOST_OF_ONE:
            message = f"{MOST_OF_ONE:,} streams of one owner are open on this server, which is as many as it may have."
            raise TooMany(message, "End some.")
        if len(self.feed) + len(self.changes) + len(self.bulletin) + len(self.conversations) >= MOST_STREAMS:
            message = f"{MOST_STREAMS:,} streams are open on this server, which is as many as it has."
            raise TooMany(message, "Come again.")

    def end_streams(self) -> None:
        """Let everybody go who listens."""
        for reader in (self.feed, self.changes, self.bulletin):
            reader.end()
        for conversation in tuple(self.conversations):
            conversation.end()

    def rules(self, types: Collection[str]) -> dict[str, Rules]:
        return rules_of_all(self.database, self.types, types)

    def notifies(self, type_: str, status: Status) -> bool:
        """Tell whether the end of a job is told to its owner, as its type is configured here."""
        configured = self.types.get(type_)
        return Policy(notify=configured.notify if configured else "both").notifies(status)


def service_of(request: HTTPConnection) -> Service:
    """Give what a request, or a WebSocket, is answered from."""
    service: Service = request.app.state.service
    return service


Served = Annotated[Service, Depends(service_of)]


class Guarded(APIRoute):
    """A route that finds out who asks before it reads a body: what strangers send is not kept and not parsed."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def guarded(request: Request) -> Response:
            request.state.caller = await run_in_threadpool(_let_in, request, service_of(request))
            return await handle(StrictRequest(request.scope, request.receive))

        return guarded


def caller_of(request: Request) -> Caller:
    caller: Caller = request.state.caller
    return caller


COOKIE = "jobtable_session"
CSRF = "X-CSRF-Token"
READS = ("GET", "HEAD")
"""Methods that change nothing."""


def _let_in(request: Request, service: Service) -> Caller:
    """Find out who asks. Raises `Unauthorized`, `TooMany`, `Problem` where a page elsewhere may have sent it."""
    caller = _who_asks(request, service)
    if caller.session_id is not None and request.method not in READS:
        shown = request.headers.get(CSRF, "")
        if not compare_digest(shown.encode(), csrf_of(request.cookies[COOKIE]).encode()):
            message = f"The request carries a cookie, but not the right {CSRF}. Nothing was changed."
            raise Problem(HTTPStatus.FORBIDDEN, message, "Send what GET /api/v1/session gives as `csrf`.")
    return caller


def let_in_socket(socket: HTTPConnection, service: Service, ticket: str | None) -> Caller:
    """Find out who opens a WebSocket. Raises `Unauthorized`, `TooMany`, `Forbidden`, `Problem`.

    A cookie alone opens one for pages of this server only: a WebSocket carries no CSRF value.
    """
    caller = _who_asks(socket, service, ticket)
    if ticket is None and caller.session_id is not None:
        origin = socket.headers.get("origin", "").partition("://")[2]
        if origin.lower() != socket.headers.get("host", "").lower():
            message = "A cookie opens a WebSocket for a page of this server alone."
            raise Problem(HTTPStatus.FORBIDDEN, message, "Ask for a ticket (POST /api/v1/ws-tickets).")
    check_scope(caller, service, "read", changes=False)
    return caller


def _who_asks(request: HTTPConnection, service: Service, ticket: str | None = None) -> Caller:
    """Find out who asks. Raises `Unauthorized`, `TooMany`."""
    address = request.client.host if request.client else ""
    authorization = request.headers.get("authorization")
    try:
        if ticket is not None:
            return service.doorkeeper.holder(ticket)
        return service.doorkeeper.caller(authorization, request.cookies.get(COOKIE))
    except Unauthorized as error:
        if authorization is None and ticket is None:  # who shows nothing guesses nothing
            raise
        if service.doorkeeper.is_blocked(address):  # who has a valid token is let in, whoever else comes from there
            message = "Too many requests with a wrong token came from this address."
            raise TooMany(message, "Wait a minute.", seconds=SECONDS) from error
        service.doorkeeper.failed(address)
        raise


def check_scope(caller: Caller, service: Service, scope: str, *, changes: bool) -> None:
    """Raises `Forbidden` where a caller lacks a scope, `Problem` where this server changes nothing."""
    if not caller.may(scope):
        raise Forbidden(scope)
    if service.read_only and changes:
        raise Problem(HTTPStatus.FORBIDDEN, "This server only reads. Nothing was changed.", "Ask another server.")


def _who_may(*scopes: str) -> object:
    def who(request: Request, service: Served, caller: Annotated[Caller, Depends(caller_of)]) -> Caller:
        for scope in scopes:
            check_scope(caller, service, scope, changes=request.method not in READS)
        return caller

    return Depends(who)


Reader = Annotated[Caller, _who_may("read")]
Writer = Annotated[Caller, _who_may("write")]
ReaderAndWriter = Annotated[Caller, _who_may("read", "write")]
Admin = Annotated[Caller, _who_may("admin")]
Scraper = Annotated[Caller, _who_may("metrics")]


def say_where(request: Request, response: Response, job_id: int) -> None:
    """Tell in the headers of an answer which job it is about, and where that is, also where this is mounted."""
    root = request.scope.get("root_path", "")
    response.headers.update({"Location": f"{root}/api/v1/jobs/{job_id}", "X-Job-ID": str(job_id)})


def one_job(caller: Caller, job_id: int) -> Filter:
    """Give the filter for one job as far as it exists for the caller."""
    return Filter(ids=(job_id,), owner=caller.owner)
