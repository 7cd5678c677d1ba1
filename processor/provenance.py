"""What was refused and what is in force, each with the place it was written in.

Both answer the operator's question "who says so?": a refusal names file, variable or flag, key, value and what would be
accepted; `explain` lists every setting with its origin. Secrets are masked in both.
"""

import difflib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from processor import layers
from processor.errors import SettingsError

MASK = "********"
_PASSWORD = re.compile(r"(?<=://)([^/@\s:]*):[^/\s]*(?=@)")
_SECRET_NAME = re.compile(r"secret|token|passw|pwd|key|credential|auth|dsn", re.IGNORECASE)
_TABLES = ("retry", "retention")
"""Tables of a type of which each key falls back to the same key of the global table."""
_WORDS = {
    "tuple_type": "expected a list",
    "dict_type": "expected a table",
    "model_type": "expected a table",
    "string_type": "expected a text",
    "int_from_float": "expected a whole number",
    "bool_parsing": "expected true or false",
    "bool_type": "expected true or false",
}


@dataclass(frozen=True, slots=True)
class Effective:
    """One setting in force: secrets are masked, `origin` says who set it."""

    key: str
    value: Any
    origin: str


# --- what is in force, and why -------------------------------------------------------------------------------------


def explain(settings: BaseModel, written: layers.Layer, inherited: frozenset[str]) -> list[Effective]:
    """List every setting; `inherited` are the keys of a type that fall back to [processor]."""
    found = {one.key: one for one in _walk(settings, (), written)}
    return [_from_above(one, found, inherited) for one in found.values()]


def _walk(section: BaseModel, above: layers.Path, written: layers.Layer) -> Iterator[Effective]:
    for name, field in type(section).model_fields.items():
        value, keys = getattr(section, name), (*above, field.alias or name)
        if isinstance(value, BaseModel):
            yield from _walk(value, keys, written)
        elif isinstance(value, dict) and layers.model_of(layers.item_of(field.annotation)) is not None:
            for item_name, item in value.items():
                yield from _walk(item, (*keys, item_name), written)
        else:
            yield Effective(_dotted(keys), _masked(keys, value), _origin(keys, written))


def _from_above(one: Effective, found: dict[str, Effective], inherited: frozenset[str]) -> Effective:
    """Show what a type inherits: the global value, and which key it comes from."""
    section, _, key = one.key.rpartition(".")
    if one.value is not None or not section.startswith("types."):
        return one
    table = next((table for table in _TABLES if section.endswith(f".{table}")), None)
    above = found.get(f"{table or 'processor'}.{key}")
    if above is None or not (table or key in inherited):
        return one
    return Effective(one.key, above.value, f"{above.key} ({above.origin})")


def _origin(keys: layers.Path, written: layers.Layer) -> str:
    parts = dict.fromkeys(setting.origin for path, setting in written.items() if path[: len(keys)] == keys)
    return ", ".join(parts) or "default"


def _dotted(keys: layers.Path) -> str:
    return ".".join(key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else json.dumps(key) for key in keys)


# --- what is wrong, in words ---------------------------------------------------------------------------------------


def refusal(error: ValidationError, written: layers.Layer, file: Path | None, model: type[BaseModel]) -> SettingsError:
    problems = list(dict.fromkeys(_problem(found, written, file, model) for found in error.errors()))
    if len(problems) == 1:
        what, remedy = problems[0]
        return SettingsError(f"{what}. Nothing was started.", remedy)
    lines = [f"{what}. {remedy}".rstrip() for what, remedy in problems]
    return SettingsError("\n  ".join([f"{len(lines)} settings are wrong. Nothing was started.", *lines]))


def _problem(
    found: Any, written: layers.Layer, file: Path | None, model: type[BaseModel]
) -> tuple[str, str]:  # what happened, what to do
    is_name = "[key]" in found["loc"]
    keys = tuple(str(part) for part in found["loc"] if part != "[key]")
    setting = _nearest(keys, written)
    place = setting.place if setting is not None else f"{file or 'settings'}: {layers.spell(keys)}"
    if found["type"] == "extra_forbidden":
        return f"{place} is not a known key", _suggestion(keys, model)
    value = f" = {_shown(keys, setting.value)}" if setting is not None and not is_name else ""
    return f"{place}{value}: {_wanted(found)}", ""


def _wanted(found: Any) -> str:
    if found["type"] in _WORDS:
        return _WORDS[found["type"]]
    message: str = found["msg"]
    if found["type"] == "value_error":
        return message.removeprefix("Value error, ")
    return f"expected {message.removeprefix('Input should be ').split(', unable to parse')[0]}"


def _nearest(keys: layers.Path, written: layers.Layer) -> layers.Setting | None:
    """Find what was written at a place or around it; pydantic's path may go deeper, into a list, than ours."""
    for length in range(len(keys), 0, -1):
        if keys[:length] in written:
            return written[keys[:length]]
    return None


def _suggestion(keys: layers.Path, model: type[BaseModel]) -> str:
    known = [path for path, _ in layers.fields(model)]
    parent = _generic(keys[:-1])
    depth = len(parent)
    siblings = sorted({path[depth] for path in known if path[:depth] == parent and len(path) > depth})
    if close := difflib.get_close_matches(keys[-1].lower(), siblings, 1, 0.6):
        return f"Did you mean {close[0]}?"
    if elsewhere := [path for path in known if path[-1] == keys[-1].lower()]:
        return f"Did you mean {layers.spell(elsewhere[0])}?"
    return f"Known here: {', '.join(siblings)}."


def _generic(keys: layers.Path) -> layers.Path:
    return (keys[0], "NAME", *keys[2:]) if keys[:1] in (("types",), ("schedules",)) and len(keys) > 1 else keys


# --- what must not be shown ----------------------------------------------------------------------------------------


def mask_text(text: str) -> str:
    """Hide the password in every address of a text."""
    return _PASSWORD.sub(rf"\1:{MASK}", text)


def _masked(keys: layers.Path, value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _masked((*keys, name), text) for name, text in value.items()}
    if isinstance(value, list | tuple):
        return [_masked(keys, item) for item in value]
    if value is not None and _is_secret(keys):
        return MASK
    return mask_text(str(value)) if isinstance(value, str | Path) else value


def _is_secret(keys: layers.Path) -> bool:
    """The keys named secret, every header, and those variables for handlers whose names sound like it."""
    table = next((key for key in keys[:-1] if key in ("headers", "environment")), "")
    return keys[-1] == "secret" or table == "headers" or bool(table and _SECRET_NAME.search(keys[-1]))


def _shown(keys: layers.Path, value: Any) -> str:
    shown = _masked(keys, value)
    text = json.dumps(shown, ensure_ascii=True, default=str)
    return text if len(text) <= 80 else f"{text[:77]}…"
