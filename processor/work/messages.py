"""Frames: how daemon, supervisor and workers talk.

A frame is a 4-byte big-endian length and that many bytes of JSON: an array of messages, each an object. Many
messages share a frame because a system call per job would cost more than a job: whoever posts, flushes once per
turn of its loop.

Promises: a frame over the cap or that is no array of objects is `Broken`, never half used; a `Channel` never
blocks on a non-blocking socket and keeps order; nothing posted is dropped while the other side lives.
"""

from __future__ import annotations

import json
import socket
import struct
from collections import deque
from typing import Any

HEADER = struct.Struct(">I")
MAX_FRAME = 64 * 1024 * 1024
COMFORTABLE_FRAME = 4 * 1024 * 1024  # more than this is cut into several frames where it can be
READ_SIZE = 64 * 1024

Message = dict[str, Any]


class Broken(Exception):
    """The other side does not speak frames; the message says how, `before` is what it still said well."""

    def __init__(self, text: str, before: list[Message] | None = None) -> None:
        super().__init__(text)
        self.before = before or []


_dumps = json.JSONEncoder(separators=(",", ":"), check_circular=False).encode


def encode(messages: list[Message]) -> bytes:
    """Encode messages as frames. Raises ValueError where a single message is over the cap."""
    body = _dumps(messages).encode()
    if len(body) > COMFORTABLE_FRAME and len(messages) > 1:
        half = len(messages) // 2
        return encode(messages[:half]) + encode(messages[half:])
    if len(body) > MAX_FRAME:
        raise ValueError(f"a message of {len(body)} bytes does not fit a frame of at most {MAX_FRAME}")
    return HEADER.pack(len(body)) + body


class Decoder:
    """Turn bytes, however they were cut, into messages."""

    def __init__(self, cap: int = MAX_FRAME) -> None:
        self._cap = cap
        self._bytes = bytearray()

    def feed(self, data: bytes) -> list[Message]:
        """Take bytes and give the messages they complete. Raises Broken."""
        self._bytes += data
        messages: list[Message] = []
        start = 0
        try:
            while (end := self._end(start)) is not None:
                messages += _messages(self._bytes[start + HEADER.size : end])
                start = end
        except Broken as error:
            error.before = messages
            raise
        del self._bytes[:start]
        return messages

    def _end(self, start: int) -> int | None:
        if len(self._bytes) - start < HEADER.size:
            return None
        (length,) = HEADER.unpack_from(self._bytes, start)
        if length > self._cap:
            raise Broken(f"a frame of {length} bytes was announced, at most {self._cap} are allowed")
        end = start + HEADER.size + length
        return end if end <= len(self._bytes) else None


def _messages(body: bytearray) -> list[Message]:
    try:
        messages = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise Broken(f"a frame is no JSON: {error}") from error
    if not isinstance(messages, list) or not set(map(type, messages)) <= {dict}:
        raise Broken("a frame is no array of objects")
    return messages


class Channel:
    """One end of a socket that carries frames. Post as often as you like, flush once."""

    def __init__(self, sock: socket.socket, cap: int = MAX_FRAME) -> None:
        self.sock = sock
        self.buffered = 0  # bytes that are encoded and not yet written
        self._decoder = Decoder(cap)
        self._posted: deque[Message] = deque()
        self._written: deque[memoryview] = deque()

    def fileno(self) -> int:
        return self.sock.fileno()

    def post(self, message: Message) -> None:
        self._posted.append(message)

    def send(self, *messages: Message) -> bool:
        self._posted += messages
        return self.flush()

    def flush(self) -> bool:
        """Write what the socket takes; True when nothing is left. Raises OSError when the other side is gone."""
        posted = self._take_posted()
        if posted:
            frames = memoryview(encode(posted))
            self._written.append(frames)
            self.buffered += len(frames)
        while self._written:
            if not self._write(self._written[0]):
                return False
        return True

    def _take_posted(self) -> list[Message]:
        """One by one, because handlers' threads post while we take."""
        return [self._posted.popleft() for _ in range(len(self._posted))]

    def _write(self, frames: memoryview) -> bool:
        try:
            count = self.sock.send(frames)
        except (BlockingIOError, InterruptedError):
            return False
        self.buffered -= count
        if count == len(frames):
            self._written.popleft()
        else:
            self._written[0] = frames[count:]
        return True

    def receive(self) -> list[Message] | None:
        """Give what has arrived, [] for nothing yet, None at the end of the line. Raises Broken."""
        try:
            data = self.sock.recv(READ_SIZE)
        except (BlockingIOError, InterruptedError):
            return []
        except OSError:
            return None
        return self._decoder.feed(data) if data else None

    def close(self) -> None:
        self.sock.close()
