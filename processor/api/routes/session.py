"""The session of a browser: opened with a token, kept in a cookie that no script reads; and tickets for WebSockets."""

from http import HTTPStatus
from typing import Any

from fastapi import APIRouter, Depends, Request, Response

from processor.api import shapes
from processor.api.access import Caller
from processor.api.service import COOKIE, Guarded, Served, Service, caller_of
from processor.errors import Refused, Unauthorized
from processor.queue import sessions
from processor.queue.sessions import BROWSER, TICKET
from processor.queue.tokens import SCOPES

router = APIRouter(tags=["session"], route_class=Guarded)
Anybody: Any = Depends(caller_of)


@router.post("/session", status_code=HTTPStatus.CREATED, response_model=shapes.Session)
def log_in(request: Request, response: Response, service: Served, caller: Caller = Anybody) -> Any:
    """Open a session with the token in the header `Authorization`; its cookie is sent by a browser from now on."""
    if _is_anybody(caller):
        raise Refused("There is no token yet, so nobody has to log in here.", "Ask without one.")
    if caller.session_id is not None:
        raise Unauthorized("A session is opened with a token, not with another session.", "Send a token.")
    opened, text = sessions.create(
        service.database,
        BROWSER,
        owner=caller.owner,
        scopes=caller.scopes,
        token_id=caller.token_id,
        until=caller.expires_at,
    )
    response.set_cookie(COOKIE, text, **_cookie(request))
    return _shown(service, caller, text, opened)


@router.get("/session", response_model=shapes.Session)
def session(request: Request, service: Served, caller: Caller = Anybody) -> Any:
    """Say who asks, and what they may."""
    text = request.cookies.get(COOKIE) if caller.session_id else None
    opened = sessions.find(service.database, text) if text else None
    return _shown(service, caller, text, opened)


@router.delete("/session", status_code=HTTPStatus.NO_CONTENT)
def log_out(request: Request, response: Response, service: Served, caller: Caller = Anybody) -> None:
    """End the session of the cookie, with all that it opened."""
    if caller.session_id is not None:
        sessions.close(service.database, caller.session_id)
    response.delete_cookie(COOKIE, **_cookie(request))


@router.post("/ws-tickets", status_code=HTTPStatus.CREATED, response_model=shapes.Ticket)
def ticket(service: Served, caller: Caller = Anybody) -> Any:
    """Give what opens one WebSocket within half a minute, for pages that can send no header with it."""
    session_id = caller.session_id
    if caller.expires_at is not None:  # what it opens ends when that does
        held, _ = sessions.create(
            service.database, BROWSER, owner=caller.owner, scopes=caller.scopes, until=caller.expires_at
        )
        session_id = held.id
    opened, text = sessions.create(
        service.database,
        TICKET,
        owner=caller.owner,
        scopes=caller.scopes,
        token_id=caller.token_id,
        session_id=session_id,
    )
    return {"ticket": text, "expires_at": opened.expires_at}


def _is_anybody(caller: Caller) -> bool:
    return caller.token_id is None and caller.session_id is None and caller.expires_at is None


def _shown(service: Service, caller: Caller, text: str | None, opened: sessions.Session | None) -> dict[str, Any]:
    return {
        "owner": caller.owner,
        "all_owners": caller.reaches_all,
        "scopes": [scope for scope in SCOPES if caller.may(scope)],
        "csrf": text and sessions.csrf_of(text),
        "is_open": _is_anybody(caller),
        "read_only": service.read_only,
        "expires_at": opened and opened.expires_at,
    }


def _cookie(request: Request) -> dict[str, Any]:
    """Say to whom a browser gives the cookie: this server alone, for no page elsewhere, and by TLS where it came so."""
    is_secure = request.headers.get("origin", str(request.url)).startswith("https:")
    path = f"{request.scope.get('root_path', '')}/"
    return {"path": path, "httponly": True, "samesite": "strict", "secure": is_secure}
