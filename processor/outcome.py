"""What became of one attempt: the facts, before anybody decides about them.

An outcome comes from the supervisor as a message, or is made by the processor itself when there was nothing to run
(a malformed row, a lost processor). `judge` turns it into a verdict.
"""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Self


class Kind(StrEnum):
    RETURNED = "returned"  # the handler came back with a result
    RAISED = "raised"  # the handler raised, or a command ended with a code that is not 0
    RETRY = "retry"  # the handler asked for another attempt (`Retry`, exit 75, HTTP 429/503)
    SNOOZE = "snooze"  # the handler asked to be started later; the attempt is given back
    REFUSED = "refused"  # the handler asked never to be tried again (`Fail`, exit 65, HTTP 4xx)
    CANCELLED = "cancelled"  # the handler raised `Cancel`, or was stopped because a person asked
    STOPPED = "stopped"  # stopped because the processor drains or was fenced
    TIMED_OUT = "timed_out"
    MEMORY = "memory"
    WORKDIR = "workdir"  # its workdir grew past the limit
    EXITED = "exited"  # the process ended without an outcome, by a code or a signal
    NOT_STARTED = "not_started"  # this machine could not start anything: no folder, no process, no descriptor
    UNUSABLE = "unusable"  # the handler cannot be started: not importable, wrong signature, no such executable
    PROTOCOL = "protocol"  # the handler broke its channel, or its result is no JSON or too large
    LOST = "lost"  # nobody can say: the process that ran it is gone
    MALFORMED = "malformed"  # the row itself cannot be run
    EXPIRED = "expired"  # too late to start
    CHILDREN = "children"  # its own work was done, and too many of its children were not


@dataclass(frozen=True, slots=True)
class Outcome:
    """The facts about one ended attempt.

    `result` is JSON text. `delay` is in seconds and belongs to `RETRY` and `SNOOZE`. `error_kinds` are the qualified
    names of the raised class and its bases, nearest first, as `retry_on` names them. `started` is
    false where the handler was certainly never entered.
    """

    kind: Kind
    result: str | None = None
    delay: float | None = None
    error_type: str | None = None
    error_message: str | None = None
    error_detail: str | None = None
    error_kinds: tuple[str, ...] = ()
    exit_code: int | None = None
    signal: int | None = None
    started: bool = True
    seconds: float = 0.0
    cpu_seconds: float | None = None
    max_rss_bytes: int | None = None
    enqueue: tuple[dict[str, Any], ...] = field(default=())

    @classmethod
    def from_message(cls, message: dict[str, Any]) -> Self:
        """Read the supervisor's `ended` message; keys this class does not know are ignored."""
        known = {name: message[name] for name in cls.__slots__ if message.get(name) is not None}
        known["kind"] = Kind(message["outcome"])
        for name in ("error_kinds", "enqueue"):
            known[name] = tuple(known.get(name, ()))
        return cls(**known)
