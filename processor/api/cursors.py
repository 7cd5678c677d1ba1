"""Cursors of pages: where the next one goes on, and of which list. They hold no secret; a changed one is refused."""

import base64
import binascii
import hashlib
import json
from http import HTTPStatus
from typing import Any

from processor.api.problems import Problem


def cursor_after(before_id: int, which: Any) -> str:
    """Write where a list goes on; `which` is what the list was asked for."""
    text = f"{before_id}.{_mark(before_id, which)}"
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def read_cursor(cursor: str | None, which: Any) -> int | None:
    """Read where a list goes on. Raises `Problem` for what is no cursor of this list."""
    if cursor is None:
        return None
    try:
        text = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True).decode("ascii")
        number, _, mark = text.partition(".")
        before_id = int(number) if number.isdecimal() and len(number) <= len(str(2**63)) else None
    except (binascii.Error, ValueError):
        before_id, mark = None, ""
    if before_id is None or mark != _mark(before_id, which) or before_id >= 2**63:
        raise Problem(
            HTTPStatus.NOT_FOUND,
            "There is no such page: the cursor is not one that this list gave.",
            "Give the `next` of the page before, with the same filters.",
        )
    return before_id


def _mark(before_id: int, which: Any) -> str:
    text = json.dumps([before_id, which], sort_keys=True, default=str)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]
