"""Many who listen to server-sent events, in a process of their own: light, so that what is measured is the server.

Standard input has a line for each: a path and a token. Told on standard output, as JSON lines: when all of them hear,
and when all of them heard what came next. Instants are of the monotonic clock, which all processes of a machine share.
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

    def __init__(self, port: int, asked: list[tuple[str, str]]) -> None:
        """`asked` are the path and the token of each."""
        self._port = port
        self._asked = asked
        self._opening = asyncio.Semaphore(AT_ONCE)
        self._open = 0
        self._heard: defaultdict[int, list[float]] = defaultdict(list)

    async def listen(self) -> None:
        """Listen until the server ends."""
        await asyncio.gather(*(self._one(path, token) for path, token in self._asked))

    async def _one(self, path: str, token: str) -> None:
        async with self._opening:
            reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
            writer.write(_request(path, token))
            await _until(reader, BEGINNINGS)
        self._open += 1
        if self._open == len(self._asked):
            say({"open": self._open})
        number = 0
        while await _until(reader, NEWS):
            self._count(number)
            number += 1

    def _count(self, number: int) -> None:
        instants = self._heard[number]
        instants.append(time.monotonic())
        if len(instants) == len(self._asked):
            say({"heard": self._heard.pop(number)})


def _request(path: str, token: str) -> bytes:
    return (
        f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: text/event-stream\r\nAuthorization: Bearer {token}\r\n\r\n"
    ).encode()


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
    asked = [(path, token) for path, token in (line.split() for line in sys.stdin)]
    asyncio.run(Crowd(int(sys.argv[1]), asked).listen())
