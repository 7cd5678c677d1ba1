"""What streams say, one frame at a time: the same over server-sent events and over a WebSocket."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel

from processor.api import shapes
from processor.api.feed import JobListener
from processor.api.reader import Listener, told
from processor.masking import masked_text
from processor.queue.lookup import Row

KEEP_ALIVE = 5.0
"""Seconds between two signs of life."""
LONG = 10_000
"""Letters of a text that is masked beside the loop: a million take half a second."""
Mask = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Frame:
    """One thing that a stream says; who comes again with its `id` goes on behind it."""

    event: str
    data: dict[str, Any] = field(default_factory=dict)
    id: int | None = None


Framed = Callable[[Row, Mask], Frame]
"""Make the frame of a row that somebody was given, with secrets hidden."""


async def said(listener: Listener, framed: Framed, mask: Mask) -> AsyncGenerator[Frame | None]:
    """Give frames until the end; None each time there was nothing to say for a while."""
    async for row in told(listener, KEEP_ALIVE):
        if row is not None and len(row.get("text") or row.get("message") or "") > LONG:
            yield await asyncio.to_thread(framed, row, mask)
        else:
            yield None if row is None else framed(row, mask)


def job_event(row: Row, mask: Mask) -> Frame:
    """Say what a job told: the id is its number within the job."""
    return Frame(row["kind"], _json(shapes.JobEvent, row, "text", mask), row["number"])


def job_end(listener: JobListener) -> Frame:
    """Say that a job has ended, or is gone."""
    row = listener.end or {"status": "deleted", "reason": None}
    return Frame("end", {"status": row["status"], "reason": row["reason"]})


def change(row: Row, mask: Mask) -> Frame:
    """Say what one of all jobs told: the id is its number among all."""
    return Frame(row["kind"], _json(shapes.Change, row, "text", mask), row["id"]) if "job_id" in row else _ready(row)


def notification(row: Row, mask: Mask) -> Frame:
    """Say what an owner is told."""
    if "job_id" not in row:
        return _ready(row)
    return Frame("notification", _json(shapes.Notification, row, "message", mask), row["id"])


def dropped(why: str = "the server ends, or met an error of its own; come again") -> Frame:
    """Say that a stream ends before its time."""
    return Frame("dropped", {"why": why})


def _ready(row: Row) -> Frame:
    return Frame("ready", id=row["id"])


def _json(shape: type[BaseModel], row: Row, text: str, mask: Mask) -> dict[str, Any]:
    shown: dict[str, Any] = shape.model_validate(hidden(row, text, mask)).model_dump(mode="json")
    return shown


def hidden(row: Row, text: str, mask: Mask) -> Row:
    """Give a row with what looks like a secret in its text hidden."""
    return {**row, text: row[text] and masked_text(row[text], mask)}
