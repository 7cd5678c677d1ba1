"""The WebSocket: subscribe to what is told, and steer, over one connection."""

from functools import partial
from http import HTTPStatus
from typing import Any

from fastapi import APIRouter, Response, WebSocket
from fastapi.concurrency import run_in_threadpool

from processor.api import problems
from processor.api.access import Caller
from processor.api.conversation import Conversation, Verb
from processor.api.routes import steering
from processor.api.service import Service, let_in_socket, service_of

router = APIRouter()
PROTOCOL = "jobtable.v1"
TICKET = "ticket."
"""Before a ticket, which is offered as a subprotocol: it is all that a page can send with a WebSocket."""
VERBS: dict[str, Verb] = {
    "cancel": steering.cancel,
    "pause": steering.pause,
    "resume": steering.resume,
    "retry": steering.retry,
    "run-now": steering.run_now,
}


@router.get("/ws", include_in_schema=False)
def no_socket() -> Response:
    """Refuse a request that opens no WebSocket."""
    return problems.answer(
        HTTPStatus.UPGRADE_REQUIRED,
        "This address is for WebSockets alone.",
        "Open one with the subprotocol jobtable.v1 (docs/api.md).",
        headers={"Upgrade": "websocket"},
    )


@router.websocket("/ws")
async def talk(socket: WebSocket) -> None:
    """Let who may in, and talk."""
    service = service_of(socket)
    problem = partial(problems.problem, method="GET", path=socket.scope["path"], tell=socket.app.state.tell)
    offered = socket.scope["subprotocols"]
    try:
        caller = await run_in_threadpool(_let_in, socket, service, offered)
        service.check_room(caller)
    except Exception as error:  # noqa: BLE001 - told, and answered
        await _refuse(socket, problem(error))
        return
    await socket.accept(PROTOCOL if PROTOCOL in offered else None)
    with service.place(caller):
        await Conversation(socket, service, caller, VERBS, problem).hold()


def _let_in(socket: WebSocket, service: Service, offered: list[str]) -> Caller:
    tickets = [name.removeprefix(TICKET) for name in offered if name.startswith(TICKET)]
    return let_in_socket(socket, service, tickets[0] if tickets else None)


async def _refuse(socket: WebSocket, answer: Any) -> None:
    if "websocket.http.response" in socket.scope.get("extensions", {}):
        await socket.send_denial_response(answer)
    else:  # the server of an application that mounted this one knows no other way
        await socket.close()
