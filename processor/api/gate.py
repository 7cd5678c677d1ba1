"""What every request passes before anything else: the Host header, its size, and what browsers are told."""

import re
from collections.abc import Collection
from http import HTTPStatus

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from processor.api import problems
from processor.api.problems import HEADERS, Problem

_HOST = re.compile(r"(\[[0-9a-f:.%]+\]|[^:\[\]]+)(?::[0-9]*)?")
MOST_BYTES = 16 * 1024**2
"""Of a request's body: a thousand jobs with 16 KiB of payload each."""
LONGEST_PATH = 2_000
"""Letters; int() itself refuses more than 4,300 digits, as a number of a job would be."""


class Gate:
    """Let in only who names this server by one of its own names: a page elsewhere may point its name at loopback."""

    def __init__(self, app: ASGIApp, hosts: Collection[str], origins: Collection[str] = ()) -> None:
        self._app = app
        self._hosts = frozenset(host.lower() for host in hosts)
        self._origins = frozenset(origin.lower() for origin in origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
        elif not self._knows(scope):
            detail = "The Host header names another server."
            answer = problems.answer(
                421, detail, "Use an address that the server has, or add the name to [serve] hosts."
            )
            await answer(scope, receive, send)
        elif not self._is_of_ours(scope):
            detail = "A page of another origin sent the request. Nothing was changed."
            await problems.answer(403, detail, "Add it to [serve] origins.")(scope, receive, send)
        elif len(scope["path"]) > LONGEST_PATH:
            remedy = f"An address has at most {LONGEST_PATH:,} letters."
            await problems.answer(414, "The address is too long.", remedy)(scope, receive, send)
        else:
            await self._app(scope, _at_most(receive, MOST_BYTES), _with_headers(send))

    def _knows(self, scope: Scope) -> bool:
        named = [value for name, value in scope["headers"] if name == b"host"]
        if len(named) != 1:
            return False
        host = _HOST.fullmatch(named[0].decode("latin-1").strip().lower())
        return host is not None and host[1] in self._hosts

    def _is_of_ours(self, scope: Scope) -> bool:
        """Tell whether no browser sends it for a page elsewhere, which it would do unasked, as a form does.

        A link elsewhere may be followed to here: that reads, and the page elsewhere sees nothing of it.
        """
        headers = dict(scope["headers"])
        given = [value.decode("latin-1").lower() for name, value in scope["headers"] if name == b"origin"]
        if not given:
            is_followed = scope.get("method") == "GET" and headers.get(b"sec-fetch-mode") == b"navigate"
            return is_followed or headers.get(b"sec-fetch-site", b"none") in (b"none", b"same-origin")
        host = headers[b"host"].decode("latin-1").lower()
        ours = {*self._origins, f"http://{host}", f"https://{host}"}
        return len(given) == 1 and given[0] in ours


def _at_most(receive: Receive, most: int) -> Receive:
    size = 0

    async def counting() -> Message:
        nonlocal size
        message = await receive()
        size += len(message.get("body", b""))
        if size > most:
            detail = f"The body has more than {most:,} bytes. Nothing was changed."
            raise Problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, detail, "Send less at once.")
        return message

    return counting


def _with_headers(send: Send) -> Send:
    async def telling(message: Message) -> None:
        if message["type"] == "http.response.start":
            there = {name.lower() for name, _ in message["headers"]}
            message["headers"] = [*message["headers"], *(pair for pair in HEADERS if pair[0] not in there)]
        await send(message)

    return telling
