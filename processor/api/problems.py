"""Errors as `application/problem+json` (RFC 9457): what happened, what follows, and what to do as `remedy`."""

import re
import traceback
import uuid
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException

from processor.errors import (
    DatabaseUnreachable,
    Forbidden,
    JobtableError,
    NotFound,
    QueueFull,
    Refused,
    SchemaError,
    TooMany,
    Unauthorized,
    ValuesRefused,
)
from processor.happenings import Listener, RequestFailed, RequestUnanswered

HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-frame-options", b"DENY"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cache-control", b"no-store"),
    (
        b"content-security-policy",
        b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self';"
        b" base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
)
"""What every answer tells browsers."""
MEDIA_TYPE = "application/problem+json"
RETRY_AFTER = {HTTPStatus.TOO_MANY_REQUESTS: "10", HTTPStatus.SERVICE_UNAVAILABLE: "5"}
"""Seconds."""
_STATUS: tuple[tuple[type[JobtableError], HTTPStatus], ...] = (
    (Unauthorized, HTTPStatus.UNAUTHORIZED),
    (Forbidden, HTTPStatus.FORBIDDEN),
    (NotFound, HTTPStatus.NOT_FOUND),
    (QueueFull, HTTPStatus.TOO_MANY_REQUESTS),
    (TooMany, HTTPStatus.TOO_MANY_REQUESTS),
    (ValuesRefused, HTTPStatus.UNPROCESSABLE_ENTITY),
    (Refused, HTTPStatus.CONFLICT),
    (DatabaseUnreachable, HTTPStatus.SERVICE_UNAVAILABLE),
    (SchemaError, HTTPStatus.SERVICE_UNAVAILABLE),
)
REQUESTS = {
    "`jobtable list`": "GET /api/v1/jobs",
    "`jobtable processors`": "GET /api/v1/processors",
    "`jobtable schedules`": "GET /api/v1/schedules",
    "`jobtable types`": "GET /api/v1/types",
    "`jobtable webhook list`": "GET /api/v1/webhooks",
}
"""What remedies tell people at a terminal, as it is told to who asks over HTTP."""
TRACE = 1800
"""Letters of a trace that are told: its end says where."""
NAMED = 5
"""Fields of a request that one answer names."""
LONGEST = 200
"""Letters of what was sent that an answer gives back at once."""
DESCRIBED = "See /api/v1/openapi.json for what can be given."
_OF_FRAMEWORK = {
    404: ("There is nothing at this address.", "See /api/v1/openapi.json for the addresses there are."),
    405: ("This address does not know the method.", "Use one of those that the header Allow names."),
}
"""What the framework refuses by itself, in words of ours."""


class Problem(HTTPException):
    """An answer that is no error of ours: the request itself is wrong. The framework lets it pass from a body."""

    def __init__(self, status: HTTPStatus, detail: str, remedy: str) -> None:
        super().__init__(status, detail)
        self.status = status
        self.remedy = remedy


def answer(status: int, detail: str, remedy: str, *, headers: Mapping[str, str] | None = None, **more: Any) -> Response:
    """Give the answer that says what is wrong."""
    known = HTTPStatus(status)
    told = {"type": "about:blank", "title": known.phrase, "status": int(status), "detail": detail, "remedy": remedy}
    waits = {"Retry-After": RETRY_AFTER[known]} if known in RETRY_AFTER else {}
    challenge = {"WWW-Authenticate": "Bearer"} if known is HTTPStatus.UNAUTHORIZED else {}
    return JSONResponse({**told, **more}, status, {**waits, **challenge, **(headers or {})}, MEDIA_TYPE)


def install(app: FastAPI, tell: Listener) -> None:
    """Let every error of an application be answered in this shape; `tell` hears of what an operator should know."""

    async def ours(request: Request, error: Exception) -> Response:
        return problem(error, request.method, request.scope["path"], tell)

    async def http(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        detail, remedy = _OF_FRAMEWORK.get(error.status_code, (str(error.detail), DESCRIBED))
        headers = dict(error.headers or {})
        if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:  # of what is not described, the framework names them
            headers["Allow"] = _allowed(request) or ", ".join(sorted(headers.get("Allow", "").split(", ")))
        return answer(error.status_code, detail, remedy, headers=headers)

    for kind in (JobtableError, Problem, RequestValidationError, Exception):
        app.add_exception_handler(kind, ours)
    app.add_exception_handler(HTTPException, http)


def problem(error: Exception, method: str, path: str, tell: Listener) -> Response:
    """Give the answer to a request that ended with an error."""
    match error:
        case Problem():
            return answer(error.status, error.detail, error.remedy)
        case RequestValidationError():
            named = "; ".join(_field(one) for one in error.errors()[:NAMED])
            return answer(422, f"The request is not valid: {named}. Nothing was changed.", DESCRIBED)
        case JobtableError():
            status = next((status for kind, status in _STATUS if isinstance(error, kind)), None)
            if status is HTTPStatus.SERVICE_UNAVAILABLE:  # its message names addresses
                tell(RequestUnanswered(method, path, str(error)))
                detail = "The database cannot be reached, has no room or is not migrated. Nothing was changed."
                return answer(status, detail, "Try again later.")
            if status is not None:
                waits = {"Retry-After": f"{error.seconds:.0f}"} if isinstance(error, TooMany) else None
                return answer(status, error.message, _as_requests(error.remedy) or DESCRIBED, headers=waits)
    number = report(tell, method, path, error)
    detail = "The server met an error of its own. What was asked for may have been done or not."
    headers = {name.decode(): value.decode() for name, value in HEADERS}  # the gate lies behind what answers bugs
    return answer(500, detail, f"Look for {number} in the server's log.", headers=headers, number=number)


def _as_requests(remedy: str) -> str:
    for command, request in REQUESTS.items():
        remedy = remedy.replace(command, request)
    return remedy


def report(tell: Listener, method: str, path: str, error: Exception) -> str:
    """Tell of a bug of ours, and give the number under which it stands in the log."""
    number = uuid.uuid4().hex[:12]
    trace = "".join(traceback.format_exception(error))[-TRACE:]
    tell(RequestFailed(number, method, path, f"{type(error).__name__}: {error}", trace))
    return number


def _allowed(request: Request) -> str:
    """Name the methods of all routes of an address; the framework names those of the first."""
    paths: dict[str, set[str]] = {}
    for path, operations in request.app.openapi()["paths"].items():
        paths.setdefault(re.sub(r"{[a-z_]+}", "[^/]+", path), set()).update(method.upper() for method in operations)
    address = request.scope["path"].removeprefix(request.scope.get("root_path", ""))
    exact = [methods for path, methods in paths.items() if path == address]
    found = exact or [methods for path, methods in paths.items() if re.fullmatch(path, address)]
    return ", ".join(sorted(set().union(*found)))


def _field(error: Any) -> str:
    place = short(".".join(str(part) for part in error["loc"] if part != "body"))
    return f"{place}: {short(error['msg'])}" if place else short(error["msg"])


def short(text: str) -> str:
    """Give a text that has something of the request in it, so far that one knows what is meant."""
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"
