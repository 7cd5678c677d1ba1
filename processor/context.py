"""What a handler is given and what it may raise.

A handler sees one `Job`: the row's facts, ways to report, a private folder, and the question "was I asked to stop?".
Whatever it reports leaves through a `Line`, which the worker provides; without one (in a unit test of a handler) the
reports are kept in `job.told`, so that a handler can be tried as a plain function:

    job = Job(7, "chapter.analyse", {"chapter": 3})
    analyse(job)
    assert job.told[0]["percent"] == 50

Standard library only, Python 3.9 and later: this module is imported inside the interpreter of the user.
"""

from __future__ import annotations

import json
import math
import pathlib
from typing import TYPE_CHECKING, Any

from processor import traceparent

if TYPE_CHECKING:
    import datetime

LEVELS = ("debug", "info", "warning", "error")

COLUMNS = frozenset(
    "priority run_at owner key subject concurrency_key max_attempts timeout_seconds expires_at parent_id"
    " fail_on on_complete on_failure trace_parent".split()
)


class Control(Exception):
    """The handler decides how this attempt ends; not an error of its own."""


class Retry(Control):
    """Ask for another attempt, `in_` seconds (or a timedelta) from now; None leaves the delay to the type."""

    def __init__(self, in_: float | datetime.timedelta | None = None, message: str | None = None) -> None:
        super().__init__(message or "the handler asked for another attempt")
        self.delay = None if in_ is None else _seconds(in_)


class Snooze(Control):
    """Ask to be started again after so many seconds; this attempt does not count."""

    def __init__(self, seconds: float | datetime.timedelta) -> None:
        super().__init__("the handler asked to be started later")
        self.delay = _seconds(seconds)


class Cancel(Control):
    """End the job as cancelled."""

    def __init__(self, why: str = "the handler cancelled the job") -> None:
        super().__init__(why)


class Fail(Control):
    """End the job as failed, without another attempt."""

    def __init__(self, why: str = "the handler refused the job") -> None:
        super().__init__(why)


class Line:
    """The way from a job to whoever runs it. This one belongs to nobody: it keeps what is told."""

    def __init__(self) -> None:
        self.told: list[dict[str, Any]] = []

    def tell(self, event: dict[str, Any]) -> None:
        self.told.append(event)

    def stop_asked(self) -> str | None:
        return None

    def workdir(self) -> str:
        import tempfile  # here, as datetime below: together a third of the time a worker needs to be ready

        return tempfile.mkdtemp(prefix="job-")


class Job:
    """One attempt of one job, as its handler sees it.

    `payload` is the decoded JSON, `fence` the claim this attempt works under (send it along where a stale attempt must
    be refused), `trace_parent` the W3C traceparent under which spans of its own belong.
    `progress`, `log`, `output`, `hold_type` and `enqueue` may be called from any thread.
    """

    __slots__ = (
        "id", "type", "payload", "payload_text", "attempt", "owner", "key", "subject", "fence", "trace_parent",
        "enqueued", "_line", "_workdir", "_progress",
    )  # fmt: skip

    def __init__(
        self,
        id: int,
        type: str,
        payload: Any = None,
        *,
        attempt: int = 1,
        owner: str | None = None,
        key: str | None = None,
        subject: str | None = None,
        fence: Any = None,
        trace_parent: str | None = None,
        payload_text: str | None = None,
        line: Line | None = None,
    ) -> None:
        self.id = id
        self.type = type
        self.payload = payload
        self.payload_text = payload_text
        self.attempt = attempt
        self.owner = owner
        self.key = key
        self.subject = subject
        self.fence = fence
        self.trace_parent = trace_parent
        self.enqueued: list[dict[str, Any]] = []
        self._line = line or Line()
        self._workdir: pathlib.Path | None = None
        self._progress: tuple[float, str | None] | None = None

    def __repr__(self) -> str:
        return f"<Job {self.id} {self.type} attempt {self.attempt}>"

    @property
    def told(self) -> list[dict[str, Any]]:
        """What was reported, where no worker listens (unit tests); otherwise empty."""
        return getattr(self._line, "told", [])

    @property
    def workdir(self) -> pathlib.Path:
        """The private folder of this attempt, made when first asked for and removed after the end."""
        if self._workdir is None:
            self._workdir = pathlib.Path(self._line.workdir())
        return self._workdir

    @property
    def cancelled_why(self) -> str | None:
        """Say why this attempt shall stop: `cancel`, `release`, `timeout`, `workdir`; None while it shall not."""
        return self._line.stop_asked()

    @property
    def cancelled(self) -> bool:
        """Was this attempt asked to stop? After the grace period it is killed."""
        return self.cancelled_why is not None

    def progress(self, percent: float, message: str | None = None) -> None:
        """Report progress, 0 to 100. Repeating what was last said costs nothing."""
        if math.isnan(percent):
            raise ValueError("progress is a number from 0 to 100, not NaN")
        percent = round(min(100.0, max(0.0, float(percent))), 1)
        if (percent, message) == self._progress:
            return
        self._progress = (percent, message)
        event = {"kind": "progress", "percent": percent}
        if message is not None:
            event["text"] = str(message)
        self._line.tell(event)

    def log(self, text: Any, level: str = "info") -> None:
        """Record a line of the job's log; `level` is debug, info, warning or error."""
        if level not in LEVELS:
            raise ValueError(f"{level!r} is no log level; use one of {', '.join(LEVELS)}")
        self._line.tell({"kind": "log", "level": level, "text": str(text)})

    def output(self, text: Any) -> None:
        """Record a piece of the job's output, for clients that follow it while it runs."""
        self._line.tell({"kind": "output", "text": str(text)})

    def hold_type(self, seconds: float | datetime.timedelta) -> None:
        """Keep every job of this type from starting for so long, on all processors: a service asked for a rest."""
        self._line.tell({"kind": "hold", "seconds": _seconds(seconds)})

    def enqueue(self, type: str, payload: Any = None, **columns: Any) -> None:
        """Have a job inserted together with the completion of this one; dropped if this one does not complete.

        `columns` are columns a producer may write (`priority`, `run_at`, `key`, …); instants are aware datetimes. With
        `parent_id=job.id` it is a child: this job completes when all its children have ended.
        """
        unknown = sorted(set(columns) - COLUMNS)
        if unknown:
            raise TypeError(f"enqueue() does not know the column {unknown[0]!r}; it takes {', '.join(sorted(COLUMNS))}")
        row = {"type": str(type), "payload": {} if payload is None else payload}
        row.update((name, _plain(name, value)) for name, value in columns.items())
        if "trace_parent" not in row and (active := traceparent.current()) is not None:
            row["trace_parent"] = active
        json.dumps(row, allow_nan=False)  # a payload that is no JSON shall be refused here, in the line that made it
        self.enqueued.append(row)


def _plain(name: str, value: Any) -> Any:
    import datetime

    if isinstance(value, datetime.datetime):
        if value.tzinfo is None:
            raise ValueError(f"{name} has no time zone; give an aware datetime, such as datetime.now(timezone.utc)")
        return value.isoformat()
    return value


def _seconds(value: float | datetime.timedelta) -> float:
    seconds = value.total_seconds() if hasattr(value, "total_seconds") else float(value)
    if not 0 <= seconds < math.inf:
        raise ValueError(f"a delay is a number of seconds from 0 on, not {value!r}")
    return seconds
