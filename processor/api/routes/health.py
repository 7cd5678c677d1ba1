"""Alive and ready, for who starts and watches the server."""

from fastapi import APIRouter
from fastapi.responses import PlainTextResponse, Response

from processor.api.service import Served
from processor.db import schema

router = APIRouter(include_in_schema=False)


@router.api_route("/healthz", methods=["GET", "HEAD"])
async def alive() -> Response:
    """Say that the server answers."""
    return PlainTextResponse("ok\n")


@router.api_route("/readyz", methods=["GET", "HEAD"])
def ready(service: Served) -> Response:
    """Say that the database answers and has the tables of this version."""
    schema.check(service.database)
    return PlainTextResponse("ok\n")
