"""Text that any database stores: no NUL, no lone surrogates, no more than so many bytes.

Used on both sides of a worker's channel, so standard library only.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any

EVENT_BYTES = 100  # what an event costs beside its text: a million empty lines are a million rows
ENQUEUE_BYTES = 4 * 1024 * 1024  # one transaction inserts them, and MariaDB takes 16 MiB in a statement, quotes escaped
ENQUEUE_DEPTH = 100  # what every JSON reader on the way can follow

_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


class NotStorable(Exception):
    """A result cannot be kept; the message says what to return instead."""


def clean(text: str) -> str:
    """Strip NUL and put U+FFFD for lone surrogates: PostgreSQL takes neither (22P05, 22P02)."""
    return _UNSTORABLE.sub(lambda found: "" if found[0] == "\0" else "\ufffd", text)


def capped(text: str, limit: int) -> str:
    """Clean a text and keep its head and tail where it is longer than `limit` bytes."""
    raw = clean(text).encode()
    if len(raw) <= limit:
        return raw.decode()
    half = (limit - 64) // 2
    cut = f"\n… {len(raw) - 2 * half} bytes left out …\n"
    return raw[:half].decode("utf-8", "ignore") + cut + raw[-half:].decode("utf-8", "ignore")


def json_text(value: Any, limit: int | None = None) -> str:
    """Encode a result. Raises NotStorable where it is no JSON or longer than `limit` bytes."""
    text = _encoded(value)
    if "\\u0000" in text or (not text.isascii() and _UNSTORABLE.search(text)):
        text = _encoded(_cleaned(value))
    if limit is not None and len(text) > limit // 4 and len(text.encode()) > limit:
        raise NotStorable(
            f"the result has {len(text.encode())} bytes, at most {limit} are kept; store the data elsewhere and return"
            " where it is"
        )
    return text


def storable_rows(rows: list[Any]) -> list[Any]:
    """Give back the jobs that a job enqueued. Raises NotStorable where they are too large, too deep, or no JSON."""
    size = len(json_text(rows))
    if size > ENQUEUE_BYTES:
        raise NotStorable(
            f"the jobs it enqueued have {size} bytes together, at most {ENQUEUE_BYTES} are taken; enqueue a job that"
            " enqueues them in parts"
        )
    level, depth = rows, 0
    while level:
        depth += 1
        if depth > ENQUEUE_DEPTH:
            raise NotStorable(f"a job it enqueued is nested deeper than {ENQUEUE_DEPTH} levels; make it flatter")
        level = [inner for item in level for inner in _inside(item)]
    return rows


def _inside(value: Any) -> Iterable[Any]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, (list, tuple)) else ()


def _encoded(value: Any) -> str:
    try:
        return json.dumps(value, allow_nan=False, ensure_ascii=False, separators=(",", ":"))
    except (TypeError, ValueError, RecursionError) as error:
        raise NotStorable(
            f"the result, of type {type(value).__qualname__}, is no JSON ({error}); return a dict with string keys,"
            " list, string, finite number, bool or None"
        ) from error


def _cleaned(value: Any) -> Any:
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, dict):
        return {_cleaned(key): _cleaned(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_cleaned(item) for item in value]
    return value
