"""The server process: refuses what is not safe, listens, and ends when it is told to."""

import logging
import signal
import socket
import sys
from collections.abc import Callable

import uvicorn

from processor import logs
from processor.api.address import is_open, listening
from processor.api.app import application
from processor.api.messages import MOST_LETTERS
from processor.happenings import ServerStarted, ServerStopped
from processor.settings import Settings

__all__ = ["is_open", "listening", "run"]

DRAIN = 5
"""Seconds that requests have to end in."""


def run(settings: Settings, *, is_open: bool) -> None:
    """Serve until a signal ends it. Raises `StartRefused` where the address cannot be had."""
    tell = logs.configure(settings.log, sys.stderr)
    logging.getLogger("uvicorn").setLevel(logging.CRITICAL)  # what it would say of a bug is in our own line
    app = application(settings, is_loopback=settings.serve.is_loopback, tell=tell)
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=True,
        proxy_headers=False,
        timeout_graceful_shutdown=DRAIN,
        h11_max_incomplete_event_size=64 * 1024,
        ws_max_size=MOST_LETTERS,
        ws_per_message_deflate=False,  # some 40 KB for each
        lifespan="on",
    )
    with listening(settings.serve.address) as listener:
        host, port = listener.getsockname()[:2]
        address = f"http://{f'[{host}]' if ':' in host else host}:{port}"
        server = _Server(config, lambda: tell(ServerStarted(address, is_open)), app.state.service.end_streams)
        for ends in (signal.SIGTERM, signal.SIGINT):  # before it hears them itself; it also repeats them at its end
            signal.signal(ends, lambda number, frame: server.end())
        server.run(sockets=[listener])
        tell(ServerStopped(address))


class _Server(uvicorn.Server):
    """A server that says when it answers, and does not wait for streams that would never end."""

    def __init__(self, config: uvicorn.Config, started: Callable[[], None], ends: Callable[[], None]) -> None:
        super().__init__(config)
        self._says_started = started
        self._says_it_ends = ends

    def end(self) -> None:
        self.should_exit = True

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        self._says_started()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._says_it_ends()
        await super().shutdown(sockets=sockets)
