"""Hide secrets in what is shown: in JSON by the names of keys, in texts by what looks like a secret.

A pattern is found anywhere in a key, whatever its letters' case and without `_`, `-` and the like: `api_key` finds
`X-Api-Key` and `openaiApiKey`. In JSON this is exact. In texts it is a good guess that hides rather too much, in time
that grows with the length of the text alone.
"""

import re
from collections.abc import Iterable, Iterator
from typing import Any

from processor.provenance import mask_text

MASK = "***"


def masked(value: Any, patterns: Iterable[str]) -> Any:
    """Give a JSON value with everything under keys that match hidden, at any depth; the given one stays as it is."""
    plain = _plain_all(patterns)
    top = [value]
    ahead: list[Any] = [top]  # copies of which the items are still the given ones; no recursion, whatever the depth
    while ahead:
        copy = ahead.pop()
        for place, item in _items(copy):
            if isinstance(copy, dict) and _is_secret(place, plain):
                copy[place] = MASK
            elif isinstance(item, dict | list):
                copy[place] = item.copy()
                ahead.append(copy[place])
    return top[0]


def masked_body(body: Any, patterns: Iterable[str]) -> Any:
    """Give what a webhook is told with secrets of its job's result and error hidden, as the API hides them."""
    data = body.get("data") if isinstance(body, dict) else None
    if not isinstance(data, dict):
        return body
    patterns = tuple(patterns)
    told = {"result": masked(data["result"], patterns)} if "result" in data else {}
    if isinstance(data.get("error_message"), str):
        told["error_message"] = masked_text(data["error_message"], patterns)
    return {**body, "data": {**data, **told}}


def masked_name(value: Any, patterns: Iterable[str]) -> str | None:
    """Name a key of a JSON value that holds the mask instead of a secret; None: there is none."""
    plain = _plain_all(patterns)
    ahead = [value]
    while ahead:
        for place, item in _items(ahead.pop()):
            if item == MASK and isinstance(place, str) and _is_secret(place, plain):
                return place
            if isinstance(item, dict | list):
                ahead.append(item)
    return None


def _items(container: Any) -> Iterable[tuple[Any, Any]]:
    if isinstance(container, dict):
        return list(container.items())
    return enumerate(container) if isinstance(container, list) else ()


def masked_text(text: str, patterns: Iterable[str]) -> str:
    """Give a log line or an error with what looks like a secret hidden.

    Hidden are `password=…`, `"token": "…"`, `Authorization: Bearer …`, `--secret …` by the names before them; passwords
    in addresses, and tokens, in any place.
    """
    named = "".join(_parts(text, _plain_all(patterns)))
    return _TOKEN.sub(rf"\1{MASK}", mask_text(named))


def _parts(text: str, plain: tuple[str, ...]) -> Iterator[str]:
    """Cut a text into what is shown and the masks between."""
    done = 0
    for name in _NAME.finditer(text):
        if name.start() < done or not _is_secret(name[0], plain):
            continue
        value = (_IN_JSON if name["closing"] else _ELSEWHERE).match(text, name.end())
        if value is not None:
            quote = value["quote"] or value["escaped"] or ""
            yield f"{text[done : name.end()]}{quote}{MASK}{quote}"
            done = value.end()
    yield text[done:]


_NAME = re.compile(
    r"""
    (?<![\w.-])
    (?: --[\w.-]++ [ \t]++ (?![:=])
      | [\w.-]++ (?P<closing> \\*+["'] )? [ \t]*+ (?: => | := | [:=] ) [ \t]*+ )
    """,
    re.VERBOSE,
)
"""A flag, or a name that may be in quotes, with what stands between it and its value."""
_VALUE = r"""
    (?P<quote> ["'] ) (?: [^"'\\\n] | \\. | (?! (?P=quote) ) ["'] )*+ (?: (?P=quote) | (?=\n) | \Z )
  | (?P<escaped> \\++["'] ) (?: (?! (?P=escaped) ) . )*+ (?: (?P=escaped) )?+
  | (?: (?: bearer | basic | digest | token | negotiate ) [ \t]++ )?+
"""
_IN_JSON = re.compile(rf"{_VALUE} [^\s,}}\]]++", re.VERBOSE | re.IGNORECASE)
_ELSEWHERE = re.compile(rf"{_VALUE} [^\s&]++", re.VERBOSE | re.IGNORECASE)
"""A value: in quotes, in escaped quotes (JSON inside JSON), or up to the next space."""
_TOKEN = re.compile(r"(\bbearer[ \t]++)[\w.~+/=-]{16,}+|\bj[ts]_[0-9a-f]{8,16}_[\w-]++", re.IGNORECASE)


def _plain_all(patterns: Iterable[str]) -> tuple[str, ...]:
    return tuple(plain for pattern in patterns if (plain := _plain(pattern)))


def _is_secret(key: str, plain: tuple[str, ...]) -> bool:
    name = _plain(key)
    return any(pattern in name for pattern in plain)


def _plain(text: str) -> str:
    """Give the letters and digits of a name alone, in one case."""
    return re.sub(r"[\W_]+", "", text).casefold()
