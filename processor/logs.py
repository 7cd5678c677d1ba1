"""Turn happenings into log lines: one line each, JSON for machines or text for a terminal.

Levels and names are one table. What is filtered out costs a look-up and nothing more, because the hot happenings come
thousands of times a second. Texts in a line may come from rows and handlers, so nothing in them can begin a line, move
a cursor or show a password.
"""

import json
import os
import threading
from collections.abc import MutableMapping
from typing import Any, TextIO

import structlog

from processor import happenings as h
from processor.happenings import Listener
from processor.provenance import mask_text
from processor.sections import Log

LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}
MAX_TEXT = 2000
"""Letters of one value; the whole of an error is in `job_errors`."""

LINES: dict[type, tuple[str, str]] = {
    h.ProcessorStarted: ("info", "processor_started"),
    h.DrainStarted: ("info", "drain_started"),
    h.ProcessorStopped: ("info", "processor_stopped"),
    h.ProcessorFenced: ("error", "processor_fenced"),
    h.SettingsReloaded: ("info", "settings_reloaded"),
    h.SettingsRefused: ("error", "settings_refused"),
    h.ClaimFinished: ("debug", "claim_finished"),
    h.JobStarted: ("debug", "job_started"),
    h.JobSettled: ("info", "job_settled"),
    h.JobReused: ("info", "job_reused"),
    h.ParentEnded: ("info", "parent_ended"),
    h.TypeHeld: ("warning", "type_held"),
    h.RuleUnusable: ("error", "rule_refused"),
    h.SettleFinished: ("debug", "settle_finished"),
    h.OutcomeStale: ("warning", "stale_outcome_refused"),
    h.OutcomeUnstorable: ("error", "unstorable_outcome_replaced"),
    h.RowRefused: ("error", "row_refused"),
    h.JobRescued: ("warning", "job_rescued"),
    h.ProcessorDeclaredDead: ("warning", "processor_declared_dead"),
    h.ClaimsReleased: ("warning", "claims_released"),
    h.JobStopping: ("info", "job_stop_requested"),
    h.TypeUnknown: ("warning", "unknown_type_found"),
    h.HandlerUnusable: ("error", "handler_refused"),
    h.DatabaseLost: ("error", "database_lost"),
    h.DatabaseReturned: ("info", "database_returned"),
    h.SupervisorLost: ("error", "supervisor_lost"),
    h.MachineRefused: ("error", "machine_refused"),
    h.SupervisorNotice: ("warning", "supervisor_noticed"),
    h.EventsRefused: ("error", "events_refused"),
    h.MoveRefused: ("error", "move_refused"),
    h.HeartbeatSent: ("debug", "heartbeat_sent"),
    h.HeartbeatMissed: ("warning", "heartbeat_missed"),
    h.TraceParentIgnored: ("warning", "trace_parent_ignored"),
    h.SpansRefused: ("warning", "spans_refused"),
    h.ScheduleFired: ("info", "schedule_fired"),
    h.ScheduleSkipped: ("info", "schedule_skipped"),
    h.ScheduleUnusable: ("error", "schedule_refused"),
    h.SchedulesSeen: ("debug", "schedules_seen"),
    h.Sampled: ("debug", "rows_sampled"),
    h.SlotsUsed: ("debug", "slots_counted"),
    h.WebhookGone: ("warning", "webhook_gone"),
    h.RowsDeleted: ("debug", "rows_deleted"),
    h.DeletionRefused: ("error", "deletion_refused"),
    h.ServerStarted: ("info", "server_started"),
    h.ServerStopped: ("info", "server_stopped"),
    h.ServerLost: ("error", "server_lost"),
    h.KeysUnreadable: ("warning", "keys_unreadable"),
    h.RequestUnanswered: ("warning", "request_unanswered"),
    h.RequestFailed: ("error", "request_failed"),
}
"""Level and event of each happening. A job that failed for good is a warning, whatever the table says."""


def configure(log: Log, stream: TextIO) -> Listener:
    """Make the listener that writes to `stream`: JSON unless it is a terminal, or as `log.format` says."""
    as_text = log.format == "text" or (log.format == "auto" and stream.isatty())
    sink = _Sink(stream)
    logger = structlog.wrap_logger(
        sink,
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True, key="timestamp"),
            _TextRenderer(stream) if as_text else structlog.processors.JSONRenderer(_json),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS[log.level]),
    ).bind()
    return _Lines(logger, sink, LEVELS[log.level])


class _Lines:
    """The listener. After `ProcessorStarted` every line carries the processor's id and name."""

    def __init__(self, logger: Any, sink: "_Sink", threshold: int) -> None:
        self._logger = logger
        self._sink = sink
        self._threshold = threshold
        self._said: dict[type, tuple[str, str]] = {
            kind: line for kind, line in LINES.items() if LEVELS[line[0]] >= threshold
        }
        self._said.setdefault(h.JobSettled, ("info", "job_settled"))  # decided line by line
        self._bound: dict[str, str] = {}

    def __call__(self, happening: object) -> None:
        if type(happening) is h.ProcessorStarted:
            self._bound = {"processor": happening.processor, "processor_name": clean(happening.name)}
        line = self._said.get(type(happening))
        if line is None:
            return
        level, event = line
        if type(happening) is h.JobSettled and happening.status == "failed":
            level = "warning"
        if LEVELS[level] >= self._threshold:
            self._write(level, event, happening)

    def _write(self, level: str, event: str, happening: object) -> None:
        fields = {**self._bound, **_fields(happening)}
        if dropped := self._sink.dropped:
            fields["dropped_lines"] = dropped
        if getattr(self._logger, level)(event, **fields) and dropped:
            self._sink.told(dropped)


def _fields(happening: object) -> dict[str, Any]:
    if type(happening) is h.Sampled:
        return {"rows": sum(happening.rows.values()), "unhandled": sum(happening.unhandled.values())}
    fields = {}
    for name in type(happening).__slots__:  # type: ignore[attr-defined]  # every happening is a dataclass with slots
        value = getattr(happening, name)
        if value is not None:
            fields[_KEYS.get(name, name)] = value if type(value) is int else _value(value)
    return fields


_KEYS = {"name": "processor_name"}


def _value(value: Any) -> Any:
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, float):
        return round(value, 6)
    return [_value(item) for item in value] if isinstance(value, tuple) else value


def clean(text: str) -> str:
    """Mask passwords and cut what is long."""
    if "://" in text:
        text = mask_text(text)
    return text if len(text) <= MAX_TEXT else f"{text[:MAX_TEXT]}… ({len(text)} letters)"


_encode = json.JSONEncoder(default=str).encode


def _json(line: dict[str, Any], **_: Any) -> str:
    """Write the keys an operator looks for first: when, how bad, what."""
    head = {"timestamp": line.pop("timestamp"), "level": line.pop("level"), "event": line.pop("event")}
    return _encode({**head, **line})


class _TextRenderer:
    """Write `when level event key=value …`; on a terminal, bad levels are coloured."""

    def __init__(self, stream: TextIO) -> None:
        self._coloured = stream.isatty() and not os.environ.get("NO_COLOR")

    def __call__(self, logger: Any, name: str, line: MutableMapping[str, Any]) -> str:
        when, level, event = line.pop("timestamp"), line.pop("level"), line.pop("event")
        shown = f"{level:<7}"
        if self._coloured and level in _COLOURS:
            shown = f"\x1b[{_COLOURS[level]}m{shown}\x1b[0m"
        return " ".join([when, shown, event, *(f"{key}={_visible(value)}" for key, value in line.items())])


_COLOURS = {"warning": 33, "error": 31}


def _visible(value: Any) -> str:
    """Escape what is no visible letter (line ends, ANSI sequences, turned writing) and quote what has spaces."""
    text = ",".join(map(str, value)) if isinstance(value, list) else str(value)
    if not text.isprintable():
        text = "".join(letter if letter.isprintable() else _escaped(letter) for letter in text)
    return '"{}"'.format(text.replace('"', '\\"')) if " " in text or '"' in text or not text else text


def _escaped(letter: str) -> str:
    return letter.encode("unicode_escape").decode("ascii")


class _Sink:
    """Write whole lines, one thread at a time.

    A line that cannot be written (a full disk, a closed pipe) is counted and the next one that can says how many were
    dropped: the work goes on without its log.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._lock = threading.Lock()
        self.dropped = 0
        self._encoding = getattr(stream, "encoding", None) or "utf-8"

    def msg(self, line: str) -> bool:
        """Tell whether the line was written."""
        if not line.isascii():
            line = line.encode(self._encoding, "backslashreplace").decode(self._encoding)
        with self._lock:
            try:
                self._stream.write(f"{line}\n")
                self._stream.flush()
            except (OSError, ValueError):  # ValueError: the stream was closed
                self.dropped += 1
                return False
        return True

    debug = info = warning = error = msg

    def told(self, dropped: int) -> None:
        with self._lock:
            self.dropped = max(0, self.dropped - dropped)
