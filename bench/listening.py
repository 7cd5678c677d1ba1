"""Many who listen to server-sent events, in a process of their own: light, so that what is measured is the server.

Standard input has a path for each. Told on standard output, as JSON lines: when all of them hear, and when all of
them heard what came next. Instants are of the monotonic clock, which all processes of a machine share.
"""

import asyncio
import json
import sys
import time
from collections import defaultdict

BEGINNINGS = (b"event: state", b"event: ready")
NEWS = (b"event: log", b"event: notification")
AT_ONCE = 50
"""Connections that are being opened at a time."""


class Crowd:
    """Counts what each of them hears. `heard` has, for the n-th thing that was told, when it came to whom."""

    def __init__(self, port: int, token: str, paths: list[str]) -> None:
        self._port = port
        self._token = token
        self._paths = paths
        self._opening = asyncio.Semaphore(AT_ONCE)
        self._open = 0
        self._heard: defaultdict[int, list[float]] = defaultdict(list)

    async def listen(self) -> None:
        """Listen until the server ends."""
        await asyncio.gather(*(self._one(path) for path in self._paths))

    async def _one(self, path: str) -> None:
        async with self._opening:
            reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
            writer.write(self._request(path))
            await _until(reader, BEGINNINGS)
        self._open += 1
        if self._open == len(self._paths):
            say({"open": self._open})
        number = 0
        while await _until(reader, NEWS):
            self._count(number)
            number += 1

    def _request(self, path: str) -> bytes:
        return (
            f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: text/event-stream\r\n"
            f"Authorization: Bearer {self._token}\r\n\r\n"
        ).encode()

    def _count(self, number: int) -> None:
        instants = self._heard[number]
        instants.append(time.monotonic())
        if len(instants) == len(self._paths):
            say({"heard": self._heard.pop(number)})


async def _until(reader: asyncio.StreamReader, beginnings: tuple[bytes, ...]) -> bool:
    """Read on to a line that begins like this; tell whether there was one before the end."""
    async for line in reader:
        if line.startswith(beginnings):
            return True
        if line.startswith((b"HTTP/1.1 4", b"HTTP/1.1 5", b"event: dropped")):
            say({"refused": line.decode().strip()})
    return False


def say(what: object) -> None:
    """Tell who measures."""
    print(json.dumps(what), flush=True)


if __name__ == "__main__":
    asyncio.run(Crowd(int(sys.argv[1]), sys.argv[2], sys.stdin.read().split()).listen())
