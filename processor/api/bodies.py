"""JSON that clients send, read strictly: what two readers would read differently is refused before anything acts on it.

One reader takes the first of two members with the same name and another the last; some know no more than a hundred
levels, or no NaN. So nothing passes here that a proxy, a handler or the database might understand in another way.
"""

import json
from collections import Counter
from http import HTTPStatus
from typing import Any, NoReturn

from fastapi import Request
from fastapi.concurrency import run_in_threadpool

from processor.api.problems import Problem, short

LARGE = 64 * 1024
"""Bytes that are read beside the loop: a megabyte of small objects takes a tenth of a second."""


class StrictRequest(Request):
    """A request whose body is read so."""

    async def json(self) -> Any:
        body = await self.body()
        return await run_in_threadpool(read, body) if len(body) > LARGE else read(body)


def read(body: bytes | str) -> Any:
    """Read JSON. Raises `Problem`."""
    try:
        text = body.decode("utf-8-sig") if isinstance(body, bytes) else body
        return json.loads(text, object_pairs_hook=_object, parse_constant=_constant)
    except UnicodeDecodeError as error:
        raise _refused("it is not in UTF-8") from error
    except RecursionError as error:
        raise _refused("it has too many levels") from error
    except json.JSONDecodeError as error:
        raise _refused(f"it is no JSON: {error.msg} at letter {error.pos}") from error
    except ValueError as error:  # int() takes 4,300 digits
        raise _refused("it has a number with thousands of digits") from error


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        [(again, _)] = Counter(name for name, _ in pairs).most_common(1)
        raise _refused(f"an object in it has the name {short(repr(again))} twice")
    return found


def _constant(name: str) -> NoReturn:
    raise _refused(f"it has the number {name}, which JSON does not know")


def _refused(why: str) -> Problem:
    return Problem(
        HTTPStatus.UNPROCESSABLE_ENTITY,
        f"What was sent cannot be read: {why}. Nothing was changed.",
        "Send JSON in UTF-8: each name once in an object, finite numbers, few levels.",
    )
