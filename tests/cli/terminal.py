"""A real pseudo-terminal with a program in it, and what a person would see on its screen."""

import fcntl
import os
import pty
import struct
import subprocess
import termios
import threading
from collections.abc import Mapping

import pyte

from tests.patience import eventually


class Terminal:
    """Runs a command in a terminal of this size. `screen` emulates it; `raw` is all that came."""

    def __init__(
        self, command: list[str], environ: Mapping[str, str], *, columns: int = 80, lines: int = 24, cwd: str = "."
    ) -> None:
        self.screen = pyte.Screen(columns, lines)
        self.raw = b""
        self._stream = pyte.ByteStream(self.screen)
        self._lock = threading.Lock()
        self._master, side = pty.openpty()
        fcntl.ioctl(side, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
        self.modes = termios.tcgetattr(side)
        self.process = subprocess.Popen(
            command,
            stdin=side,
            stdout=side,
            stderr=side,
            cwd=cwd,
            env=environ,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # noqa: PLW1509 - one call, so that Ctrl-C interrupts
        )
        self._side = side
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        while True:
            try:
                piece = os.read(self._master, 65536)
            except OSError:
                return
            with self._lock:
                self.raw += piece
                self._stream.feed(piece)

    def text(self) -> str:
        """Give what the screen shows."""
        with self._lock:
            return "\n".join(line.rstrip() for line in self.screen.display).rstrip()

    def press(self, keys: str) -> None:
        os.write(self._master, keys.encode())

    def see(self, *words: str) -> str:
        """Wait until the screen shows all of this; give the screen."""

        def seen() -> str:
            text = self.text()
            return text if all(word in text for word in words) else ""

        try:
            return eventually(seen, words)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.text()}") from None

    def see_no(self, *words: str) -> str:
        """Wait until the screen shows none of this; give the screen."""

        def gone() -> str:
            text = self.text()
            return "" if any(word in text for word in words) else text or " "

        try:
            return eventually(gone, words)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.text()}") from None

    def see_selected(self, *words: str) -> str:
        """Wait until a line that is shown in reverse has all of this; give it."""

        def seen() -> str:
            lines = [line for line in self._reversed() if all(word in line for word in words)]
            return lines[0] if lines else ""

        try:
            return eventually(seen, words)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.text()}") from None

    def _reversed(self) -> list[str]:
        with self._lock:
            rows = [self.screen.buffer[y] for y in range(self.screen.lines)]
            return [
                "".join(row[x].data for x in range(self.screen.columns))
                for row in rows
                if any(row[x].reverse for x in range(self.screen.columns))
            ]

    def wait(self, seconds: float = 30) -> int:
        return self.process.wait(seconds)

    def modes_now(self) -> list[object]:
        """Give how the terminal is set at this moment, to compare with `modes`."""
        return list(termios.tcgetattr(self._side))

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self._side)
        self._reader.join(5)
        os.close(self._master)
