"""How a type is run, as the daemon defined it, checked once so that no run has to."""

from __future__ import annotations

import tempfile
from itertools import count
from typing import Any

KINDS = ("solo", "shared", "command")
GRACE = 10.0  # seconds between asking and killing, where the type names none
RESULT_CAP = 16 * 1024 * 1024  # where the type names no limit: a frame must hold it
FOR_WORKERS = ("kind", "handler", "name", "settings", "output_bytes", "result_bytes")

_numbers = count(1)


class Spec:
    """One definition; `error` is a sentence where its jobs cannot be started. A new definition makes a new Spec."""

    def __init__(self, message: dict[str, Any]) -> None:
        self.number = next(_numbers)  # what workers know it by: names are defined again, numbers are not
        self.kind = message.get("kind")
        self.handler = message.get("handler")
        self.interpreter = message.get("interpreter")
        self.pythonpath = message.get("pythonpath") or []
        self.command = message.get("command") or []
        self.environment = message.get("environment") or {}
        self.grace = GRACE if message.get("grace") is None else float(message["grace"])
        self.memory_bytes: int | None = message.get("memory_bytes")
        self.output_bytes = message.get("output_bytes")
        self.result_bytes = message.get("result_bytes") or RESULT_CAP
        self.workdir = message.get("workdir") or tempfile.gettempdir()
        self.workdir_bytes = message.get("workdir_bytes")
        self.jobs_per_worker = message.get("jobs_per_worker")
        self.for_workers = {"do": "define", "spec": self.number, **{key: message.get(key) for key in FOR_WORKERS}}
        self.for_workers["result_bytes"] = self.result_bytes
        self.error = self._error()
        surroundings = [self.interpreter, self.pythonpath, sorted(self.environment.items()), self.memory_bytes]
        self.group = repr(surroundings)  # specs with the same surroundings share a worker

    def _error(self) -> str | None:
        if self.kind not in KINDS:
            return f"the kind {self.kind!r} is none of {', '.join(KINDS)}"
        if self.kind == "command":
            if not self.command or not all(_passes(part) for part in self.command):
                return "the command is no list of strings (without NUL)"
        elif not _passes(self.handler) or not self.handler:
            return "it names no handler"
        if not all(_passes(key) and _passes(value) and "=" not in key for key, value in self.environment.items()):
            return "its environment holds something other than strings (without NUL)"
        return None


def _passes(value: Any) -> bool:
    return isinstance(value, str) and "\0" not in value
