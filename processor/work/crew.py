"""The supervisor process, as the daemon holds it: one socket, frames both ways.

The supervisor is exec'd before anything else of ours runs in it: one thread, the standard library, no database. It
inherits the incarnation's lock file, so that nobody can prove this processor dead while a worker may still live.
"""

import contextlib
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from processor.work.messages import Broken, Channel, Message

SUPERVISOR = Path(__file__).with_name("supervisor.py")
LEAVE_SECONDS = 10.0
"""How long a supervisor may take to kill everything and go; it needs some 0.2 s."""


class Crew:
    """One supervisor and all that it runs. Messages may be sent from the heartbeat's thread too."""

    def __init__(self, lock_fd: int | None) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            kept = (theirs.fileno(), *([] if lock_fd is None else [lock_fd]))
            self._process = subprocess.Popen(  # noqa: S603 - our own file, our own interpreter
                [sys.executable, "-I", str(SUPERVISOR), *map(str, kept)],
                pass_fds=kept,
                stdin=subprocess.DEVNULL,
            )
        ours.setblocking(False)
        self._channel = Channel(ours)
        self._sending = threading.Lock()
        self._defined: dict[str, dict[str, Any]] = {}
        self.lost = False

    def fileno(self) -> int:
        return self._channel.fileno()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def has_unsent(self) -> bool:
        return self._channel.buffered > 0

    def run(self, run: int, spec: dict[str, Any], job: dict[str, Any], payload: str, timeout: float) -> None:
        """Post one job; `flush` sends it."""
        if self._defined.get(spec["spec"]) != spec:
            self._defined[spec["spec"]] = spec
            self._post({"do": "define", **spec})
        self._post({"do": "run", "run": run, "spec": spec["spec"], "job": job, "payload": payload, "timeout": timeout})

    def stop(self, run: int, why: str) -> None:
        self._post({"do": "stop", "run": run, "why": why})

    def kill(self) -> None:
        self._post({"do": "kill"})
        self.flush()

    def renew(self, seconds: float) -> None:
        """Let everything live for so many seconds more."""
        self._post({"do": "lease", "seconds": seconds})
        self.flush()

    def _post(self, message: Message) -> None:
        with self._sending:
            self._channel.post(message)

    def flush(self) -> None:
        with self._sending:
            try:
                self._channel.flush()
            except OSError:
                self.lost = True

    def receive(self) -> list[Message]:
        """Give what the supervisor told since the last time; `lost` is set when it is gone."""
        try:
            messages = self._channel.receive()
        except Broken:
            messages = None
        if messages is None:
            self.lost = True
            return []
        return messages

    def last_words(self) -> Iterator[Message]:
        """Give what a supervisor that is gone said before its end."""
        while True:
            try:
                messages = self._channel.receive()
            except (Broken, OSError):
                return
            if not messages:
                return
            yield from messages

    def dismiss(self) -> None:
        """Hang up: the supervisor kills what is left and goes; return when it is gone."""
        self._channel.close()
        try:
            self._process.wait(LEAVE_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def __enter__(self) -> "Crew":
        return self

    def __exit__(self, *raised: object) -> None:
        with contextlib.suppress(OSError):
            self.dismiss()
