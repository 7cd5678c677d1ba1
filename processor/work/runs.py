"""One run: a claimed job between "start it" and "this is what became of it".

The first to speak decides. What the handler says, what the supervisor asked for, and what the exit status shows,
all want to be the ending; `end` keeps the first and drops the rest. So a limit that strikes while the handler is
about to return, or a return after the limit, has one answer, and only one place gives it. The ending is told to the
daemon when no process of the run is left.

    dispatched -> [asked to stop -> grace over: killed] -> ending known -> its processes are gone -> told
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from processor.work.messages import Message
from processor.work.texts import EVENT_BYTES, NotStorable, capped, clean, storable_rows

if TYPE_CHECKING:
    from processor.work.loop import Supervisor
    from processor.work.specs import Spec
    from processor.work.timers import Timer

MESSAGE_BYTES = 8 * 1024
DETAIL_BYTES = 16 * 1024
LEVELS = frozenset(("debug", "info", "warning", "error", "stdout", "stderr"))
LONGEST_HOLD = 366 * 86_400.0  # seconds
SAYABLE = frozenset("returned raised retry snooze refused cancelled memory unusable protocol malformed".split())
PROGRESS_PAUSE = 0.1  # seconds between two reports of a run whose output was cut


class Run:
    __slots__ = (
        "supervisor", "number", "spec", "message", "job", "home", "began", "ending", "ended_at", "timeout", "limit",
        "deadline", "told", "cut", "progress_at", "started", "killed",
    )  # fmt: skip

    def __init__(self, supervisor: Supervisor, spec: Spec, message: Message) -> None:
        self.supervisor = supervisor
        self.number = message["run"]
        self.spec = spec
        self.message = message
        self.job = message["job"]
        self.home: Any = None  # the process that runs it
        self.began = time.monotonic()
        self.ending: Message | None = None  # fields of `ended`, and `asked` where it was asked to stop
        self.ended_at = 0.0
        self.deadline: Timer | None = None  # kill when it strikes
        self.told = 0  # bytes of event text
        self.cut = False
        self.progress_at = 0.0
        self.started = False
        self.killed = False
        self.timeout = message.pop("timeout", None)
        self.limit = supervisor.timers.after(self.timeout, self._over_time) if self.timeout else None

    # What became of it

    def end(self, outcome: str, message: str | None = None, **fields: Any) -> bool:
        """Let this be the ending, unless there is one; says whether it is."""
        if message is not None:
            fields["error_message"] = message
        return self._settle_on({"outcome": outcome, **fields})

    def said(self, message: Message) -> bool:
        """Take what a worker says became of it, as far as it makes sense. Says whether it does."""
        outcome = message.get("outcome")
        if not isinstance(outcome, str) or outcome not in SAYABLE:
            return False
        fields: Message = {name: READERS[name](value) for name, value in message.items() if name in READERS}
        fields["outcome"] = outcome
        result = fields.get("result")
        if isinstance(result, str) and len(result) > self.spec.result_bytes:
            fields = {"outcome": "protocol", "error_message": "the worker sent a result over the limit of its type"}
        try:
            storable_rows(fields.get("enqueue") or [])
        except NotStorable as error:
            fields = {"outcome": "protocol", "error_message": str(error)}
        self._settle_on({name: value for name, value in fields.items() if value is not None})
        return True

    def _settle_on(self, ending: Message) -> bool:
        if self.ending is not None:
            return False
        self.ending = ending
        self.ended_at = time.monotonic()
        self.supervisor.timers.cancel(self.limit)
        return True

    @property
    def outcome(self) -> str:
        return str(self.ending["outcome"]) if self.ending else ""

    @property
    def was_asked(self) -> bool:
        return self.ending is not None and "asked" in self.ending

    def finish(self, **measured: Any) -> None:
        """Tell the daemon; nothing of this run is left."""
        self.supervisor.timers.cancel(self.deadline)
        ending = self.ending or {"outcome": "lost", "error_message": "nobody saw how it ended"}
        if self.killed and ending.get("asked"):
            ending["error_message"] += f"; it did not end within {self.spec.grace:g} s of being asked and was killed"
        ending.pop("asked", None)
        ending.update(measured)
        if not self.started and (self.home is None or not self.home.may_have_entered(self)):
            ending["started"] = False
        ending["tell"] = "ended"
        ending["run"] = self.number
        ending["seconds"] = self.ended_at - self.began
        self.supervisor.forget(self)
        self.supervisor.tell(ending)

    # Stopping it

    def ask(self, outcome: str, why: str, message: str) -> None:
        """Ask it to stop, and kill it when the grace is over. Nothing happens where its ending is known."""
        if self.end(outcome, message, asked=True):
            self.home.ask(self, why)
            self.kill_after(self.spec.grace)

    def kill_after(self, seconds: float) -> None:
        self.supervisor.timers.cancel(self.deadline)
        self.deadline = self.supervisor.timers.after(seconds, self._grace_over)

    def _grace_over(self) -> None:
        self.killed = True
        self.home.force(self)

    def _over_time(self) -> None:
        self.home.catch_up()  # what it said before the limit counts, even if we had no time to read it
        self.ask("timed_out", "timeout", f"it ran longer than its time limit of {self.timeout:g} s and was stopped")

    # What it reports

    def start(self, pid: int) -> None:
        if not self.started:
            self.started = True
            self.supervisor.tell({"tell": "started", "run": self.number, "pid": pid})

    def log(self, level: str, text: str) -> None:
        self._tell_text({"kind": "log", "level": level}, text)

    def event(self, message: Message) -> None:
        """Pass on an event of the handler; what makes no sense is made into something that does."""
        kind, text = message.get("kind"), message.get("text")
        text = clean(text) if isinstance(text, str) else ""
        if kind == "progress":
            self._progress(message.get("percent"), text)
        elif kind == "hold":
            self.hold(message.get("seconds"))
        elif kind == "output":
            self._tell_text({"kind": "output"}, text)
        else:
            level = message.get("level")
            known = isinstance(level, str) and level in LEVELS
            self._tell_text({"kind": "log", "level": level if known else "info"}, text)

    def hold(self, seconds: Any) -> None:
        """Ask the daemon to keep the whole type from starting for so long."""
        amount = _amount(seconds)
        if amount is not None:
            self.supervisor.tell({"tell": "hold", "run": self.number, "seconds": min(float(amount), LONGEST_HOLD)})

    def _tell_text(self, event: Message, text: str) -> None:
        if self._has_room(text):
            self._tell({**event, "text": text})

    def _progress(self, percent: Any, text: str) -> None:
        if isinstance(percent, bool) or not isinstance(percent, (int, float)) or percent != percent:
            return
        now = time.monotonic()
        if self.cut and now - self.progress_at < PROGRESS_PAUSE:
            return
        self.progress_at = now
        event = {"kind": "progress", "percent": float(min(100, max(0, percent)))}
        if text and self._has_room(text):
            event["text"] = text
        self._tell(event)

    def _has_room(self, text: str) -> bool:
        if self.cut:
            return False
        self.told += EVENT_BYTES + (len(text) if text.isascii() else len(text.encode()))
        limit = self.spec.output_bytes
        if limit is None or self.told <= limit:
            return True
        self.cut = True
        text = f"the output was cut at {limit} bytes; what follows is thrown away"
        self._tell({"kind": "log", "level": "warning", "text": text})
        return False

    def _tell(self, event: Message) -> None:
        self.supervisor.tell({"tell": "event", "run": self.number, **event})


def _short_text(value: Any) -> str | None:
    return capped(value, MESSAGE_BYTES) if isinstance(value, str) else None


def _long_text(value: Any) -> str | None:
    return capped(value, DETAIL_BYTES) if isinstance(value, str) else None


def _amount(value: Any) -> float | None:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return value if is_number and 0 <= value < 2**62 else None


def _names(value: Any) -> list[str] | None:
    return [clean(name)[:200] for name in value[:50] if isinstance(name, str)] if isinstance(value, list) else None


def _rows(value: Any) -> list[Message] | None:
    return [row for row in value if isinstance(row, dict)] if isinstance(value, list) else None


def _clean_text(value: Any) -> str | None:
    return clean(value) if isinstance(value, str) else None


READERS = {
    "result": _clean_text,
    "delay": _amount,
    "error_type": _short_text,
    "error_message": _short_text,
    "error_detail": _long_text,
    "error_kinds": _names,
    "enqueue": _rows,
    "cpu_seconds": _amount,
    "max_rss_bytes": _amount,
}
