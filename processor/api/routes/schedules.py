"""Schedules: make, change, pause, fire, remove them."""

from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Path, Request, Response

from processor.api import shapes
from processor.api.service import Admin, Guarded, Served, Service, say_where
from processor.api.values import is_as_shown, json_text, shown
from processor.queue import firing, lookup
from processor.queue import schedules as queue

router = APIRouter(prefix="/schedules", tags=["schedules"], route_class=Guarded)
UPCOMING = 3
"""Firings that are told."""
ScheduleName = Annotated[shapes.PlainName, Path(description="the schedule")]


@router.get("", response_model=shapes.Schedules)
def listing(service: Served, caller: Admin) -> Any:
    """List schedules by name: when each fires next, its latest job, and what keeps it from firing."""
    return {"items": [_shown(service, row) for row in queue.page(service.database)]}


@router.get("/{name}", response_model=shapes.Schedule)
def one(name: ScheduleName, service: Served, caller: Admin) -> Any:
    """Give one schedule."""
    return _one(service, name)


@router.put(
    "/{name}",
    response_model=shapes.Schedule,
    responses={201: {"model": shapes.Schedule, "description": "the schedule is new"}},
)
def put(name: ScheduleName, given: shapes.ScheduleChange, response: Response, service: Served, caller: Admin) -> Any:
    """Make a schedule, or change what is given of one; processors follow within five seconds."""
    changes = given.model_dump(exclude_unset=True)
    if "payload" in changes:
        changes |= _payload(service, name, changes.pop("payload"))
    if queue.put(service.database, name, **changes):
        response.status_code = HTTPStatus.CREATED
    return _one(service, name)


def _payload(service: Service, name: str, given: Any) -> dict[str, str]:
    """Give the payload as it is to be written; nothing where it is sent back as it was shown, masks and all."""
    there = queue.page(service.database, name)
    if there and is_as_shown(given, there[0]["payload"], service.mask):
        return {}
    return {"payload": json_text(given, service.mask)}


@router.delete("/{name}", status_code=HTTPStatus.NO_CONTENT)
def delete(name: ScheduleName, service: Served, caller: Admin) -> None:
    """Delete a schedule; its jobs stay. One of a configuration comes back with the next start of its processor."""
    queue.remove(service.database, name)


@router.post("/{name}/pause", response_model=shapes.Schedule)
def pause(name: ScheduleName, service: Served, caller: Admin) -> Any:
    """Let a schedule fire no more until it is resumed."""
    queue.pause(service.database, name)
    return _one(service, name)


@router.post("/{name}/resume", response_model=shapes.Schedule)
def resume(name: ScheduleName, service: Served, caller: Admin) -> Any:
    """Let a schedule fire again, from now on."""
    queue.resume(service.database, name)
    return _one(service, name)


@router.post("/{name}/fire", status_code=HTTPStatus.ACCEPTED, response_model=shapes.Made)
def fire(name: ScheduleName, request: Request, response: Response, service: Served, caller: Admin) -> Any:
    """Make a job of a schedule now, beside its firings."""
    job_id = firing.fire_now(service.database, name)
    say_where(request, response, job_id)
    return {"id": job_id, "new": True}


def _one(service: Service, name: str) -> lookup.Row:
    found = queue.page(service.database, name)
    if not found:
        raise queue.not_found(name)
    return _shown(service, found[0])


def _shown(service: Service, row: lookup.Row) -> lookup.Row:
    return {**row, "payload": shown(row["payload"], service.mask), "upcoming": queue.upcoming(row, UPCOMING)}
