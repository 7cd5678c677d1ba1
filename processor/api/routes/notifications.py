"""Notifications: what an owner was told, and what of it is unread."""

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query

from processor.api import shapes
from processor.api.cursors import cursor_after, read_cursor
from processor.api.masking import masked_text
from processor.api.routes.jobs import Cursor, Limit
from processor.api.service import Guarded, Reader, Served, Writer
from processor.errors import NotFound
from processor.queue import control, lookup

router = APIRouter(prefix="/notifications", tags=["notifications"], route_class=Guarded)


@router.get("", response_model=shapes.Notifications)
def listing(
    service: Served,
    caller: Reader,
    unread: Annotated[bool, Query(description="only what nobody marked as read")] = False,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Any:
    """List notifications, newest first."""
    asked = ["notifications", unread, caller.owner]
    before = read_cursor(cursor, asked)
    rows = lookup.notifications_page(
        service.database, unread=unread, owner=caller.owner, limit=limit + 1, before_id=before
    )
    items = [{**row, "message": row["message"] and masked_text(row["message"], service.mask)} for row in rows[:limit]]
    return {"items": items, "next": cursor_after(items[-1]["id"], asked) if len(rows) > limit else None}


@router.post("/read", response_model=shapes.MarkedRead)
def read_all(service: Served, caller: Writer) -> Any:
    """Mark all notifications as read: those of the caller's owner."""
    return {"marked": control.mark_read(service.database, owner=caller.owner)}


@router.post("/{id:int}/read", response_model=shapes.MarkedRead)
def read_one(id: Annotated[int, Path(ge=1, le=shapes.LARGEST)], service: Served, caller: Writer) -> Any:
    """Mark one notification as read; once more changes nothing."""
    if not lookup.has_notification(service.database, id, owner=caller.owner):
        raise NotFound(f"There is no notification {id}.", "See /api/v1/notifications.")
    return {"marked": control.mark_read(service.database, (id,), owner=caller.owner)}
