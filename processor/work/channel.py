"""The worker's end of its channel.

It is moved to a high number, is closed in whatever a handler starts, and is the worker's only tie to the
supervisor: when it is gone, or a handler has broken it, nobody will ever read an outcome from here, and the process
ends."""

from __future__ import annotations

import fcntl
import os
import select
import socket
import threading
from collections import deque
from typing import NoReturn

from processor.work.messages import Broken, Channel, Message

HIGH = 100  # first number tried for the descriptor: out of the way of handlers that count theirs
CHANNEL_LOST = 76  # exit code; the supervisor reads it (EX_PROTOCOL of sysexits.h)
FULL = 8 * 1024 * 1024  # bytes that may wait before the worker itself has to


class WorkerChannel:
    """Frames with a lock, for reports may come from any thread of a handler."""

    def __init__(self, descriptor: int) -> None:
        high = fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, HIGH)
        os.close(descriptor)
        self._channel = Channel(socket.socket(fileno=high))
        self._arrived: deque[Message] = deque()
        self._lock = threading.RLock()
        os.register_at_fork(after_in_child=self._leave_to_parent)

    def fileno(self) -> int:
        return self._channel.fileno()

    def next(self) -> Message | None:
        """Wait for a message; None when the supervisor is gone."""
        while not self._arrived:
            if not self._take(wait=True):
                return None
        return self._arrived.popleft()

    def waiting(self) -> list[Message]:
        """Give the messages that are there, without waiting."""
        while select.select([self], [], [], 0)[0] and self._take(wait=False):
            pass
        arrived = list(self._arrived)
        self._arrived.clear()
        return arrived

    def put_back(self, messages: list[Message]) -> None:
        self._arrived.extend(messages)

    def post(self, message: Message) -> None:
        self._channel.post(message)

    def send(self, message: Message | None = None) -> None:
        """Write everything posted, waiting until it is written."""
        with self._lock:
            if message is not None:
                self._channel.post(message)
            try:
                while not self._channel.flush():
                    select.select([], [self], [])
            except (OSError, ValueError):
                leave()

    def flush(self) -> bool:
        """Write what the socket takes; waits only where too much has gathered."""
        if self._channel.buffered > FULL:
            self.send()
        try:
            return self._channel.flush()
        except (OSError, ValueError):
            leave()

    def nonblocking(self) -> None:
        self._channel.sock.setblocking(False)

    def receive(self) -> list[Message]:
        """Read once. The worker ends with its channel."""
        try:
            messages = self._channel.receive()
        except Broken:
            messages = None
        if messages is None:
            leave()
        return messages

    def _take(self, wait: bool) -> bool:
        try:
            messages = self._channel.receive()
        except Broken:
            leave()
        if messages is None:
            return False
        self._arrived.extend(messages)
        return True

    def _leave_to_parent(self) -> None:
        """In a forked child of a handler: only one process may speak for this worker."""
        self._lock = threading.RLock()
        self._channel.close()


def leave() -> NoReturn:
    """End at once: a handler closed or broke the channel, or the supervisor is gone."""
    os._exit(CHANNEL_LOST)
