"""Tell systemd how we are: ready, reloading, stopping, still turning (sd_notify(3), one datagram each).

Outside systemd there is no NOTIFY_SOCKET and every call does nothing. A notification that cannot be delivered is not
our failure: systemd then acts on its own timeouts, which is what they are for.
"""

import contextlib
import os
import socket
import time
from collections.abc import Mapping


class Notifier:
    def __init__(self, environ: Mapping[str, str]) -> None:
        address = environ.get("NOTIFY_SOCKET", "")
        self._address = f"\0{address[1:]}" if address.startswith("@") else address  # @: abstract, has no file
        self._environ = environ

    @property
    def watchdog_seconds(self) -> float | None:
        """How long systemd waits for a `watchdog` call before it restarts us; None: it does not watch this process."""
        microseconds = self._environ.get("WATCHDOG_USEC", "")
        if not microseconds.isdecimal() or self._environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
            return None
        return int(microseconds) / 1_000_000

    def ready(self, status: str = "") -> None:
        """Say that jobs are being taken, at the start and again after `reloading`."""
        self._send("READY=1", *_status(status))

    def reloading(self) -> None:
        self._send("RELOADING=1", f"MONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}")

    def stopping(self, status: str = "") -> None:
        self._send("STOPPING=1", *_status(status))

    def watchdog(self) -> None:
        """Say that the loop turned. Call it at least twice in `watchdog_seconds`, and only from the loop itself."""
        self._send("WATCHDOG=1")

    def status(self, text: str) -> None:
        """Set the line that `systemctl status` shows."""
        self._send(*_status(text))

    def _send(self, *lines: str) -> None:
        if not self._address or not lines:
            return
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
            channel.setblocking(False)
            channel.sendto("\n".join(lines).encode("utf-8", "backslashreplace"), self._address)


def _status(text: str) -> list[str]:
    return [f"STATUS={' '.join(text.split())}"] if text else []
