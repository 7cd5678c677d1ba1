"""JSON that lies in the table as JSON in an answer: masked, and never deeper than every reader can read."""

import json
import math
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

from processor.api.problems import Problem, short
from processor.masking import MASK, masked, masked_name, masked_text
from processor.queue.fitness import no_letter

DEEPEST = 100
"""Levels of a value that is shown as JSON; parsers of others give up between 128 and 1,000."""


def json_text(value: Any, mask: Sequence[str]) -> str:
    """Write a payload of a request as JSON text for the table. Raises `Problem` for what could not be run, or shown."""
    if _is_deep(value):
        raise _refused(f"has more than {DEEPEST} levels", "Put the data elsewhere, and where it is into the payload.")
    try:
        text = json.dumps(value, allow_nan=False)
    except ValueError as error:  # 1e999
        raise _refused("has a number that is not finite", "JSON knows finite numbers only.") from error
    name = masked_name(value, mask)
    if name is not None:  # a job that was made of what was shown would run without its secret
        raise _refused(
            f"has {MASK} under {short(repr(name))}, which is how a secret is shown", "Give the secret itself."
        )
    letter = no_letter(text)
    if letter is not None:
        raise _refused(f"has {letter} in a text, which is no letter", "Leave it out, or encode the text.")
    return text


def _refused(why: str, remedy: str) -> Problem:
    return Problem(HTTPStatus.UNPROCESSABLE_ENTITY, f"The payload {why}. Nothing was changed.", remedy)


def shown(text: str | None, mask: Sequence[str]) -> Any:
    """Read JSON text of the table; what cannot be shown as JSON is given as `{"unreadable": text}`."""
    if text is None:
        return None
    try:
        value = json.loads(text, parse_float=_finite, parse_constant=str)
    except (ValueError, RecursionError):
        return {"unreadable": masked_text(text, mask)}
    if _is_deep(value) or not _is_whole(text, value):
        return {"unreadable": masked_text(text, mask)}
    return masked(value, mask)


def is_as_shown(value: Any, text: str, mask: Sequence[str]) -> bool:
    """Tell whether a value of a request is what is shown of JSON text of the table: `1` and `true` are not the same."""
    return not _is_deep(value) and json.dumps(value, sort_keys=True) == json.dumps(shown(text, mask), sort_keys=True)


def _finite(number: str) -> float | str:
    value = float(number)
    return value if math.isfinite(value) else number


def _is_whole(text: str, value: Any) -> bool:
    """Tell whether every letter can be sent: JSON may escape half of a surrogate."""
    if "\\ud" not in text.lower():
        return True
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True


def _is_deep(value: Any) -> bool:
    level: list[Any] = [value]
    for _ in range(DEEPEST):
        level = [child for one in level for child in _children(one)]
        if not level:
            return False
    return True


def _children(value: Any) -> Sequence[Any]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else ()
