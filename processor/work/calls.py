"""From a `run` message to a call, and from what the call did to the words about it.

Every way a handler can end has one sentence here, and the fields of `ended` are made nowhere else in a worker.
"""

from __future__ import annotations

import json
import resource
from typing import Any

from processor.context import Cancel, Control, Fail, Job, Line, Retry, Snooze
from processor.handlers import Entry, Mismatch, Unusable, resolve
from processor.work.messages import Message
from processor.work.texts import EVENT_BYTES, NotStorable, capped, clean, json_text, storable_rows

MESSAGE_BYTES = 8 * 1024
DETAIL_BYTES = 16 * 1024
JOB_FIELDS = ("attempt", "owner", "key", "subject", "fence")


class Definition:
    """What a worker knows of a spec; the handler is found when first needed."""

    def __init__(self, message: Message) -> None:
        self.handler = message["handler"]
        self.name = message.get("name")
        self.settings = message.get("settings")
        self.output_bytes = message.get("output_bytes")
        self.result_bytes = message.get("result_bytes")
        self._entry: Entry | None = None

    def entry(self) -> Entry:
        if self._entry is None:  # a failed import is tried again by the next job: the file may have been corrected
            self._entry = resolve(self.handler, self.name)
        return self._entry


def make_job(message: Message, line: Line) -> Job:
    """Decode the payload. Raises Mismatch where the row cannot be run."""
    facts = message["job"]
    text = message.get("payload", "{}")
    job = Job(facts.get("id"), facts.get("type"), None, payload_text=text, line=line)
    job.attempt = facts.get("attempt")
    job.owner = facts.get("owner")
    job.key = facts.get("key")
    job.subject = facts.get("subject")
    job.fence = facts.get("fence")
    job.trace_parent = facts.get("trace_parent")
    if text != "{}":
        job.payload = _decoded(text)
    else:
        job.payload = {}
    return job


def _decoded(text: str) -> Any:
    try:
        return json.loads(text)
    except RecursionError:
        raise Mismatch("the payload is nested too deeply to be read; the job cannot start; insert it flatter") from None
    except (ValueError, TypeError) as error:
        raise Mismatch(f"the payload is no JSON ({error}); the job cannot start; insert it with valid JSON") from None


def call(definition: Definition, job: Job) -> Any:
    """Call the handler, or make its coroutine."""
    entry = definition.entry()
    if definition.settings is not None:
        return entry.function(job, definition.settings)
    return entry.call(job, job.payload)


def ended_with(run: int, value: Any, job: Job, definition: Definition) -> Message:
    """The words for a handler that came back."""
    ended = {"tell": "ended", "run": run, "outcome": "returned", "result": "null"}
    try:
        if value is not None:
            ended["result"] = json_text(value, definition.result_bytes)
        if job.enqueued:
            ended["enqueue"] = storable_rows(job.enqueued)
    except NotStorable as error:
        return {"tell": "ended", "run": run, "outcome": "protocol", "error_message": str(error)}
    return ended


def ended_by(run: int, error: BaseException) -> Message:
    """The words for a handler that raised, or that could not be called."""
    if isinstance(error, MemoryError):
        _make_room_to_report()
    ended = {"tell": "ended", "run": run, **_outcome_of(error)}
    if ended["outcome"] in ("unusable", "malformed"):
        ended["error_message"] = capped(str(error), MESSAGE_BYTES)
        if isinstance(error, Unusable) and error.__cause__ is not None:
            ended["error_detail"] = _detail(error.__cause__)
        return ended
    ended["error_type"] = qualified(type(error))
    ended["error_message"] = capped(_message(error), MESSAGE_BYTES)
    if not isinstance(error, Control) or error.__cause__ is not None:
        ended["error_detail"] = _detail(error)
        ended["error_kinds"] = kinds(type(error))
    return ended


def _outcome_of(error: BaseException) -> Message:
    if isinstance(error, Mismatch):
        return {"outcome": "malformed"}
    if isinstance(error, Unusable):
        return {"outcome": "unusable"}
    if isinstance(error, Retry):
        return {"outcome": "retry", "delay": error.delay}
    if isinstance(error, Snooze):
        return {"outcome": "snooze", "delay": error.delay}
    if isinstance(error, Cancel):
        return {"outcome": "cancelled"}
    if isinstance(error, Fail):
        return {"outcome": "refused"}
    if isinstance(error, MemoryError) and _has_memory_limit():
        return {"outcome": "memory"}
    return {"outcome": "raised"}


def _message(error: BaseException) -> str:
    if isinstance(error, SystemExit):
        return f"the handler called sys.exit({error.code!r}); return, or raise what went wrong"
    if type(error).__name__ == "CancelledError":
        return str(error) or "the handler let itself be cancelled, though nobody asked"
    if isinstance(error, MemoryError):
        return str(error) or "there was no more memory"
    try:
        return str(error)
    except Exception as second:  # noqa: BLE001 - a broken __str__ of the user's
        return f"({type(second).__name__} when its message was asked for)"


def _detail(error: BaseException) -> str:
    """Format a traceback, without the frames of the worker at its head."""
    import traceback  # here: it costs milliseconds, and most jobs end well

    try:
        frames = error.__traceback__
        while frames is not None and frames.tb_frame.f_globals.get("__name__", "").startswith("processor."):
            frames = frames.tb_next
        return capped("".join(traceback.format_exception(type(error), error, frames)), DETAIL_BYTES)
    except Exception as second:  # noqa: BLE001 - a broken __str__ or __repr__ of the user's
        return f"the traceback cannot be shown: {type(second).__name__}"


def kinds(error: type[BaseException]) -> list[str]:
    """Name a class and its bases, nearest first, as `retry_on` may name them; built-in ones also without module."""
    names: list[str] = []
    for kind in error.__mro__[:-1]:
        names.append(clean(f"{kind.__module__}.{kind.__qualname__}"))
        if kind.__module__ == "builtins":
            names.append(kind.__qualname__)
    return names


def qualified(kind: type[BaseException]) -> str:
    return clean(kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}")


def _has_memory_limit() -> bool:
    return resource.getrlimit(resource.RLIMIT_DATA)[1] != resource.RLIM_INFINITY


def _make_room_to_report() -> None:
    """Lift the soft memory limit to the hard one, which leaves room for words about a MemoryError."""
    hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
    resource.setrlimit(resource.RLIMIT_DATA, (hard, hard))


class Allowance:
    """Bytes of event text a run may still send. The supervisor counts, too, and tells of the cut."""

    __slots__ = ("left",)

    def __init__(self, limit: int | None) -> None:
        self.left = limit

    def allows(self, event: Message) -> bool:
        if self.left is None or event.get("kind") == "hold":
            return True
        if self.left < 0:
            return "percent" in event
        self.left -= EVENT_BYTES + len(event.get("text") or "")
        return True
