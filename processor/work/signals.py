"""Signals as flags: a handler only notes what came and wakes the loop; nothing is raised into running code."""

import os
import signal
from types import FrameType


class Signals:
    """SIGTERM and SIGINT count as wishes to stop, SIGHUP as a wish to read the settings again.

    A file descriptor that becomes readable, so that the one place that waits is woken; also by `wake`.
    """

    def __init__(self) -> None:
        self.stops = 0
        self.reload = False
        self._read, self._write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC) if hasattr(os, "pipe2") else _pipe()

    def install(self, *, reloads: bool = True) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)
        if reloads:
            signal.signal(signal.SIGHUP, self._reload)

    def _stop(self, number: int, frame: FrameType | None) -> None:
        self.stops += 1
        self.wake()

    def _reload(self, number: int, frame: FrameType | None) -> None:
        self.reload = True
        self.wake()

    def wake(self) -> None:
        try:
            os.write(self._write, b"\0")
        except BlockingIOError:
            return  # it is full of wake-ups already

    def fileno(self) -> int:
        return self._read

    def hush(self) -> None:
        """Forget the wake-ups so far; call it before looking at what they were for."""
        try:
            while os.read(self._read, 4096):
                pass
        except BlockingIOError:
            return

    def close(self) -> None:
        os.close(self._read)
        os.close(self._write)


def _pipe() -> tuple[int, int]:
    read, write = os.pipe()
    for end in (read, write):
        os.set_blocking(end, False)
    return read, write
