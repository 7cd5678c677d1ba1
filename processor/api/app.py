"""The ASGI application: `jobtable serve` runs it, and any other application can mount it (docs/api.md)."""

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

from fastapi import APIRouter, FastAPI, Request
from fastapi.middleware.cors import CORSMiddleware
from fastapi.responses import JSONResponse

from processor import logs
from processor.api import jwts, problems, tails
from processor.api.access import Doorkeeper
from processor.api.feed import Feed
from processor.api.gate import Gate
from processor.api.numbers import Counted, Numbers
from processor.api.routes import (
    bulk,
    changes,
    events,
    health,
    jobs,
    making,
    metrics,
    notifications,
    page,
    processors,
    schedules,
    session,
    socket,
    statistics,
    steering,
    types,
    webhooks,
)
from processor.api.service import COOKIE, Served, Service
from processor.api.standing import Standing
from processor.db.database import Database
from processor.happenings import Listener
from processor.settings import Settings
from processor.version import our_version

PREFIX = "/api/v1"
CONNECTIONS = 10
"""Connections of a server to its database, at most; who has to wait for one waits."""
LOOPBACK = ("localhost", "127.0.0.1", "[::1]")
_ABOUT = "The table is the queue: every path does what a command of `jobtable` does, by the same verbs."
_PROBLEM = {
    "description": "what is wrong, and what to do",
    "content": {problems.MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
}
_SCHEMA = {
    "type": "object",
    "required": ["type", "title", "status", "detail", "remedy"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "what happened, and what follows"},
        "remedy": {"type": "string", "description": "what to do"},
        "number": {"type": "string", "description": "under which the server's log has more"},
    },
    "examples": [
        {
            "type": "about:blank",
            "title": "Conflict",
            "status": 409,
            "detail": "Job 17 is completed, so it cannot be cancelled.",
            "remedy": "See /api/v1/jobs/17.",
        }
    ],
}


def application(
    settings: Settings,
    database: Database | None = None,
    *,
    is_loopback: bool = False,
    tell: Listener | None = None,
) -> FastAPI:
    """Make the application. Without a `database` it opens the one of the settings, and closes it at its end.

    Mounted in another one it has no end of its own: its lifespan is for the lifespan of the other one to enter.
    `is_loopback` says that only this machine reaches it, which lets everybody in as long as there is no token. `tell`
    hears of what an operator should know; without it lines are written to the standard error.
    """
    opened = database or _open(settings)
    app = FastAPI(
        title="jobtable",
        version=our_version(),
        description=_ABOUT,
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        lifespan=_closing(opened if database is None else None),
        redirect_slashes=False,
    )
    tell = tell or logs.configure(settings.log, sys.stderr)
    failed = partial(problems.report, tell, "GET", "the streams")
    doorkeeper = Doorkeeper(
        opened, is_loopback, writes=not settings.serve.read_only, jwts=jwts.configured(settings.jwt, tell)
    )
    app.state.service = Service(
        opened,
        doorkeeper,
        Standing(doorkeeper, failed),
        Feed(opened, failed),
        tails.changes(opened, failed),
        tails.bulletin(opened, failed),
        settings.types,
        settings.serve.mask,
        settings.serve.read_only,
        settings.processor.max_payload_bytes,
        settings.webhooks.networks,
    )
    app.state.numbers = Numbers(opened, settings.types, settings.processor.sample_interval)
    app.state.tell = tell
    problems.install(app, tell)
    api = APIRouter(prefix=PREFIX, responses={"4XX": _PROBLEM, "5XX": _PROBLEM})
    jobs_rooms = (making, bulk, jobs, steering, events, changes, statistics, notifications)
    for routes in (*jobs_rooms, types, schedules, processors, webhooks, session, socket):
        api.include_router(routes.router)
    app.include_router(api)
    app.include_router(health.router)
    app.include_router(metrics.router)
    app.include_router(page.router)
    if settings.serve.origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=list(settings.serve.origins),
            allow_methods=["GET", "POST", "PUT", "PATCH", "DELETE"],
            allow_headers=["Authorization", "Content-Type", "Last-Event-ID"],
            expose_headers=["Location", "X-Job-ID", "Retry-After"],
        )
    host = settings.serve.address[0]
    named = f"[{host}]" if ":" in host else host
    app.add_middleware(Gate, hosts=(*LOOPBACK, named, *settings.serve.hosts), origins=settings.serve.origins)
    app.add_middleware(Counted, numbers=app.state.numbers, prefix=PREFIX)
    _describe(app)
    return app


def _open(settings: Settings) -> Database:
    section = settings.database
    return Database(
        section.url, schema=section.schema_name, connect_timeout=section.connect_timeout, connections=CONNECTIONS
    )


def _closing(database: Database | None) -> Any:
    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        yield
        app.state.service.end_streams()
        if database is not None:
            database.close()

    return lifespan


def _describe(app: FastAPI) -> None:
    """Add to the description what the framework does not know: the shape of problems, and tokens."""
    made = app.openapi

    def described() -> dict[str, Any]:
        schema = made()
        components = schema.setdefault("components", {})
        components.setdefault("schemas", {})["Problem"] = _SCHEMA
        components["securitySchemes"] = {
            "token": {"type": "http", "scheme": "bearer"},
            "session": {"type": "apiKey", "in": "cookie", "name": COOKIE},
        }
        for operations in schema["paths"].values():
            for operation in operations.values():
                if "422" in operation["responses"]:
                    operation["responses"]["422"] = _PROBLEM
        for name in ("HTTPValidationError", "ValidationError"):
            components["schemas"].pop(name, None)
        return schema

    app.openapi = described  # type: ignore[method-assign]

    @app.get(f"{PREFIX}/openapi.json", include_in_schema=False)
    def description(request: Request, service: Served) -> JSONResponse:  # in a thread: it asks the database
        ways: list[dict[str, list[str]]] = [{"token": []}, {"session": []}]
        security = [{}, *ways] if service.doorkeeper.is_open else ways
        root = request.scope.get("root_path", "")
        servers = {"servers": [{"url": root}]} if root else {}
        return JSONResponse({**app.openapi(), **servers, "security": security})
