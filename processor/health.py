"""Answer three questions over HTTP: is it alive, is it ready, what are the numbers.

    GET /healthz   200 while the main loop turns; 503 when it has not for too long: restart me
    GET /readyz    200 while jobs are being taken; 503 with the reason otherwise: wait, do not restart me
    GET /metrics   Prometheus text, or OpenMetrics for who asks

Answers come from values that happenings left here, never from the database, so a probe cannot hang on what it probes.
"""

import json
import socket
import socketserver
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from processor import happenings as h
from processor.errors import StartRefused

STUCK_AFTER = 60.0
"""Seconds without a turn of the loop until it counts as stuck; a turn waits for one statement at most."""
AT_ONCE = 16
"""Requests answered at the same time; more are closed, since a probe comes again."""


class Pulse:
    """The main loop's sign of life."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._beaten_at = clock()

    def beat(self) -> None:
        self._beaten_at = self._clock()

    def age(self) -> float:
        return self._clock() - self._beaten_at


class Health:
    """The listener that remembers what readiness depends on."""

    def __init__(self, pulse: Pulse, stuck_after: float = STUCK_AFTER) -> None:
        self._pulse = pulse
        self._stuck_after = stuck_after
        self._registered = False
        self._draining = False
        self._database = True

    def __call__(self, happening: object) -> None:
        match happening:
            case h.ProcessorStarted():
                self._registered, self._database, self._draining = True, True, False
            case h.ProcessorFenced() | h.ProcessorStopped():
                self._registered = False
            case h.DrainStarted():
                self._draining = True
            case h.DatabaseLost():
                self._database = False
            case h.DatabaseReturned():
                self._database = True

    def not_alive(self) -> str | None:
        """Say why this process should be restarted; None: it should not."""
        age = self._pulse.age()
        return f"the main loop has not turned for {age:.0f} s" if age > self._stuck_after else None

    def not_ready(self) -> str | None:
        """Say why no jobs are being taken; None: they are."""
        if self._draining:
            return "draining"
        if not self._database:
            return "the database cannot be reached"
        return self.not_alive() if self._registered else "not registered yet"


class Endpoint:
    """The HTTP server, answering from construction to `stop`."""

    def __init__(self, address: tuple[str, int], registry: CollectorRegistry, health: Health) -> None:
        """Bind and start. Raises StartRefused when the address cannot be had."""
        try:
            self._server = _Server(address, registry, health)
        except OSError as error:
            raise StartRefused(
                f"Metrics cannot be served on {_spelled(address)}: {error.strerror or error}. Nothing was started.",
                "Set [metrics] listen (or JOBTABLE_METRICS__LISTEN) to a free address, or to an empty text for none.",
            ) from error
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.1,), name="metrics", daemon=True)
        self._thread.start()

    @property
    def address(self) -> tuple[str, int]:
        """Where it listens; with port 0 asked for, the port that was given."""
        host, port, *_ = self._server.server_address
        return str(host), int(port)

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def _spelled(address: tuple[str, int]) -> str:
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False

    def __init__(self, address: tuple[str, int], registry: CollectorRegistry, health: Health) -> None:
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        self.registry = registry
        self.health = health
        self._places = threading.BoundedSemaphore(AT_ONCE)
        super().__init__(address, _Request)

    def process_request(self, request: Any, client_address: Any) -> None:
        if self._places.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._places.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up in the middle is its own affair."""


class _Request(BaseHTTPRequestHandler):
    server: _Server
    timeout = 5.0  # a client that says nothing does not keep its place
    server_version = "jobtable"
    sys_version = ""

    def do_GET(self) -> None:
        match self.path.partition("?")[0]:
            case "/metrics":
                encode, content_type = choose_encoder(self.headers.get("Accept", ""))
                self._answer(200, content_type, encode(self.server.registry))
            case "/healthz":
                self._say(self.server.health.not_alive())
            case "/readyz":
                self._say(self.server.health.not_ready())
            case _:
                self._answer(404, "text/plain; charset=utf-8", b"here are /metrics, /healthz and /readyz\n")

    def do_HEAD(self) -> None:
        self.do_GET()

    def _say(self, problem: str | None) -> None:
        body = {"status": "ok"} if problem is None else {"status": "unavailable", "reason": problem}
        self._answer(200 if problem is None else 503, "application/json", json.dumps(body).encode() + b"\n")

    def _answer(self, status: int, content_type: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Scrapes are no happenings."""
