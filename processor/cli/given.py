"""Read what people type: durations, instants, payloads, and which jobs they mean."""

import difflib
import json
import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import click

from processor.lifecycle import Status

if TYPE_CHECKING:
    from processor.queue.lookup import Filter

F = TypeVar("F", bound=Callable[..., Any])

ID = click.IntRange(1, 2**63 - 1)
"""The number of a job or a notification."""


def duration(value: str) -> float:
    """Read seconds, or a number with a unit; the same words as in the configuration."""
    from pydantic import TypeAdapter, ValidationError

    from processor.quantities import Seconds

    try:
        return float(TypeAdapter(Seconds).validate_python(value))
    except ValidationError:
        raise click.BadParameter(f"{value!r} is no duration (at most 366d); write 90s, 10m, 2h or 7d") from None


def instant(value: str) -> datetime:
    """Read an ISO 8601 instant that says its time zone."""
    try:
        read = datetime.fromisoformat(value)
    except ValueError:
        raise click.BadParameter(f"{value!r} is no instant; write it like 2030-01-31T08:00Z") from None
    if read.tzinfo is None:
        raise click.BadParameter(f"{value!r} has no time zone; write {value}Z for UTC, or {value}+02:00")
    return read


def name(value: str) -> str:
    """Read a text that is not empty: an empty filter would mean every job."""
    if not value:
        raise click.BadParameter("it is empty")
    return value


def payload(value: str) -> str:
    """Read JSON text: written out, from a file (`@path`), or from the standard input (`-`)."""
    text = _payload_text(value)
    try:
        json.loads(text, parse_constant=_refuse_constant)
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        raise _unfit(f"it is no JSON: {error.msg} at {place}") from error
    except RecursionError as error:
        raise _unfit("it is nested too deeply for this program") from error
    except ValueError as error:
        raise _unfit(f"it is no JSON: {error}") from error
    return text


def _payload_text(value: str) -> str:
    try:
        if value == "-":
            return sys.stdin.read()
        return Path(value[1:]).read_text(encoding="utf-8") if value.startswith("@") else value
    except OSError as error:
        raise _unfit(f"{value[1:]} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise _unfit(f"it is no UTF-8 text (byte {error.start})") from error


def _unfit(why: str) -> click.BadParameter:
    return click.BadParameter(f"{why}. Nothing was enqueued or run")


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")


class OneOf(click.Choice[str]):
    """One of some words; of one that is nearly right it says which may be meant."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        try:
            return super().convert(value, param, ctx)
        except click.BadParameter as error:
            close = difflib.get_close_matches(str(value).lower(), list(self.choices), 1)
            hint = f" Did you mean {close[0]}?" if close else ""
            raise click.BadParameter(f"{error.message}{hint}", ctx, param) from None


as_json = click.option("--json", "as_json", is_flag=True, help="Write JSON with stable keys.")


def filtered(command: F) -> F:
    """Let a command take the options that say which jobs; it gets them as keywords for `chosen`."""
    statuses = OneOf([status.value for status in Status])
    for option in (
        click.option("--created-before", type=instant, metavar="INSTANT", help="Inserted before this instant."),
        click.option("--created-after", type=instant, metavar="INSTANT", help="Inserted at this instant or later."),
        click.option("--newer-than", type=duration, metavar="DURATION", help="Inserted at most so long ago (2h, 7d)."),
        click.option("--older-than", type=duration, metavar="DURATION", help="Inserted longer ago than this (2h, 7d)."),
        click.option("--parent", "parent_id", type=ID, metavar="ID", help="Children of this job."),
        click.option(
            "--text", type=name, metavar="TEXT", help="This is a part of the type, subject, key, owner or error."
        ),
        click.option("--key", type=name, metavar="TEXT", help="With this key."),
        click.option("--subject", type=name, metavar="TEXT", help="About this subject."),
        click.option("--owner", type=name, metavar="TEXT", help="Of this owner."),
        click.option(
            "--type", "types", type=name, multiple=True, metavar="NAME", help="Of this type; may be repeated."
        ),
        click.option("--status", "statuses", type=statuses, multiple=True, help="In this state; repeatable."),
    ):
        command = option(command)
    return command


def chosen(narrowed: dict[str, Any]) -> "Filter":
    """Make a filter of what `filtered` gave."""
    from processor.queue.lookup import Filter

    statuses = tuple(Status(status) for status in narrowed["statuses"])
    return Filter(**{**narrowed, "statuses": statuses, "types": tuple(narrowed["types"])})
