"""A wire to a server that can go dead: nothing arrives any more, and nobody is told."""

import socket
import threading
from contextlib import suppress
from urllib.parse import urlsplit


class Wire:
    """Carries bytes between whoever connects and the server at a URL; `url` leads through it."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._to = (parts.hostname or "", parts.port or 0)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._ends: list[socket.socket] = [self._listener]
        self._works = threading.Event()
        self._works.set()
        there = f"{parts.hostname}:{parts.port}"
        self.url = url.replace(there, f"127.0.0.1:{self._listener.getsockname()[1]}")
        threading.Thread(target=self._accept, daemon=True).start()

    def go_dead(self) -> None:
        self._works.clear()

    def work_again(self) -> None:
        self._works.set()

    def close(self) -> None:
        for end in self._ends:
            end.close()
        self._works.set()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, far = self._listener.accept()[0], socket.create_connection(self._to)
                self._ends += (near, far)
                for one, other in ((near, far), (far, near)):
                    threading.Thread(target=self._carry, args=(one, other), daemon=True).start()

    def _carry(self, one: socket.socket, other: socket.socket) -> None:
        with suppress(OSError):
            while piece := one.recv(65536):
                self._works.wait()
                other.sendall(piece)
            other.shutdown(socket.SHUT_WR)
