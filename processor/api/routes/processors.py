"""Processors: who is alive and what it runs; let one stop when its jobs are done."""

import json
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query

from processor.api import shapes
from processor.api.service import Admin, Guarded, Served
from processor.queue import control, lookup

router = APIRouter(prefix="/processors", tags=["processors"], route_class=Guarded)


@router.get("", response_model=shapes.Processors)
def listing(
    service: Served, caller: Admin, everyone: Annotated[bool, Query(description="also those that ended")] = False
) -> Any:
    """List processors, newest first."""
    rows = lookup.processors_page(service.database, everyone=everyone, limit=200)
    return {"items": [{**row, "types": sorted(json.loads(row["types"]))} for row in rows]}


@router.post("/{id}/drain", status_code=HTTPStatus.ACCEPTED)
def drain(id: Annotated[shapes.Name, Path(description="its id")], service: Served, caller: Admin) -> None:
    """Ask a processor to take no more jobs, to end those that run, and to stop."""
    control.drain_processor(service.database, id)
