"""Notifications: what an owner was told, and what of it is unread."""

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request

from processor.api import frames, live, shapes
from processor.api.cursors import cursor_after, read_cursor
from processor.api.routes.jobs import Cursor, Limit
from processor.api.service import Guarded, Reader, Served, Writer
from processor.errors import NotFound
from processor.queue import control, lookup
from processor.queue.news import Choice

router = APIRouter(prefix="/notifications", tags=["notifications"], route_class=Guarded)


@router.get(
    "",
    response_model=shapes.Notifications,
    responses={
        200: {
            "description": "a page, or live: `event: ready` first, then `event: notification` each time, with the `id`"
            " to come again with; `event: dropped` for who has to come again",
            "content": {live.MEDIA_TYPE: {"schema": {"type": "string"}}},
        }
    },
)
def listing(
    request: Request,
    service: Served,
    caller: Reader,
    unread: Annotated[bool, Query(description="only what nobody marked as read")] = False,
    limit: Limit = 50,
    cursor: Cursor = None,
    after: Annotated[
        int | None, Query(ge=0, le=shapes.LARGEST, description="live: id of the last one you have")
    ] = None,
) -> Any:
    """List notifications, newest first.

    With `Accept: text/event-stream` live, behind `after` or the header `Last-Event-ID`, else from now on.
    """
    if live.is_wanted(request):
        listening = service.bulletin.listening(Choice.of(caller.owner), live.last_event(request, after))
        return live.respond(caller, service, listening, frames.notification)
    asked = ["notifications", unread, caller.owner]
    before = read_cursor(cursor, asked)
    rows = lookup.notifications_page(
        service.database, unread=unread, owner=caller.owner, limit=limit + 1, before_id=before
    )
    items = [frames.hidden(row, "message", service.mask) for row in rows[:limit]]
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
