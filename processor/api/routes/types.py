"""Types: what limits them, and pausing one on all processors."""

from typing import Annotated, Any

from fastapi import APIRouter, Path

from processor.api import shapes
from processor.api.service import Admin, Guarded, Reader, Served, Service
from processor.errors import NotFound, Refused
from processor.queue import control, lookup
from processor.queue.living import known_types, live_types
from processor.queue.rules import UNLIMITED
from processor.rates import Rate

router = APIRouter(prefix="/types", tags=["types"], route_class=Guarded)
TypeName = Annotated[shapes.Name, Path(description="the type")]


@router.get("", response_model=shapes.Types)
def listing(service: Served, caller: Reader) -> Any:
    """List the types that are configured here, run by a living processor, or limited by people."""
    return {"items": _rows(service)}


@router.get("/{name}", response_model=shapes.Type)
def one(name: TypeName, service: Served, caller: Reader) -> Any:
    """Give one type."""
    return _one(service, name)


@router.patch("/{name}", response_model=shapes.Type)
def limit(name: TypeName, given: shapes.TypeChange, service: Served, caller: Admin) -> Any:
    """Set limits of a type for every processor; null leaves them to each configuration."""
    _one(service, name)
    values = given.model_dump(exclude_unset=True)
    if values.get("rate") not in (None, UNLIMITED):
        values["rate"] = _rate(values["rate"])
    if values:
        control.limit_type(service.database, name, **values)
    return _one(service, name)


def _rate(text: str) -> str:
    try:
        return str(Rate.parse(text))
    except ValueError as error:
        raise Refused(f"The rate {text!r} cannot be read: {error}. Nothing was changed.", "Such as 10/min.") from error


@router.post("/{name}/pause", response_model=shapes.Type)
def pause(name: TypeName, service: Served, caller: Admin, given: shapes.TypePause | None = None) -> Any:
    """Keep the jobs of a type from being started, on every processor; what runs goes on."""
    _one(service, name)
    control.pause_type(service.database, name, seconds=given.seconds if given else None)
    return _one(service, name)


@router.post("/{name}/resume", response_model=shapes.Type)
def resume(name: TypeName, service: Served, caller: Admin) -> Any:
    """Let the jobs of a type be started again."""
    _one(service, name)
    control.resume_type(service.database, name)
    return _one(service, name)


def _one(service: Service, name: str) -> lookup.Row:
    found = next((row for row in _rows(service) if row["name"] == name), None)
    if found is None:
        raise NotFound(f"There is no type {name!r}. Nothing was changed.", "See /api/v1/types.")
    return found


def _rows(service: Service) -> list[lookup.Row]:
    said = {row["name"]: row for row in lookup.types(service.database)}
    alive = live_types(service.database) or set()
    rows = []
    for name, rules in service.rules(known_types(service.database, service.types)).items():
        row = said.get(name)
        in_force = rules.in_force(row)
        rows.append(
            {
                "name": name,
                "configured": name in service.types,
                "handled": name in alive,
                "paused": bool(row and row["is_paused"]),
                "paused_until": row["paused_until"] if row else None,
                "max_concurrent": in_force.max_concurrent,
                "rate": in_force.rate,
                "queue_limit": rules.queue_limit,
            }
        )
    return rows
