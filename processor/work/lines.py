"""Bytes of a pipe in, whole lines out, with a bound on what is kept."""

from __future__ import annotations

LINE_BYTES = 8 * 1024


class Lines:
    """Cut bytes into lines; a line longer than `cap` bytes is given in pieces, never inside a character."""

    def __init__(self, cap: int = LINE_BYTES) -> None:
        self._cap = cap
        self._rest = b""

    def feed(self, data: bytes) -> list[bytes]:
        pieces = (self._rest + data).split(b"\n")
        self._rest = pieces.pop()
        lines: list[bytes] = []
        for piece in pieces:
            lines += self._short(piece)
        *long, self._rest = self._short(self._rest)
        return lines + long

    def rest(self) -> list[bytes]:
        """Give the last line, which nothing ended."""
        rest, self._rest = self._rest, b""
        return [rest] if rest else []

    def _short(self, line: bytes) -> list[bytes]:
        pieces = []
        while len(line) > self._cap:
            cut = self._cap
            while line[cut] & 0xC0 == 0x80 and cut > self._cap - 3:  # inside a UTF-8 character
                cut -= 1
            pieces.append(line[:cut])
            line = line[cut:]
        return [*pieces, line]


def text_of(line: bytes) -> str:
    return line.decode("utf-8", "replace").replace("\0", "").rstrip("\r")
