"""The server's own numbers for Prometheus, and those of the table, which are there while no processor runs.

A label is a word we know: the route as it is written in the code, never a path that somebody asked for.
"""

import sys
import threading
import time
from collections.abc import Callable, Iterable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from prometheus_client.exposition import choose_encoder
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from processor.db.database import Database
from processor.depth import OTHER, Depth
from processor.errors import DatabaseError
from processor.happenings import Sampled
from processor.queue import lookup
from processor.version import our_version

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
REFUSALS = ("401", "403", "421", "429")
SECONDS = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10)
SHARE = 20
"""Counting rows takes at most a twentieth of the time."""
SSE = "sse"
WEBSOCKET = "websocket"
_LIVE = b"text/event-stream"


class Numbers:
    """What `/metrics` of a server shows. `types` are those of its configuration; rows are counted every `interval`."""

    def __init__(
        self,
        database: Database,
        types: Iterable[str],
        interval: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.registry = CollectorRegistry()
        self._database = database
        self._interval = interval
        self._clock = clock
        self._counting = threading.Lock()
        self._count_again_at = float("-inf")
        known = frozenset(types)
        self._depth = Depth(lambda: known)
        self.registry.register(self._depth)
        ProcessCollector(registry=self.registry)
        self._make()

    def _make(self) -> None:
        mine = self.registry
        self.requests = Counter(
            "jobtable_server_requests",
            "Requests that were answered, by the class of the status.",
            ("method", "route", "status"),
            registry=mine,
        )
        self.seconds = Histogram(
            "jobtable_server_request_seconds",
            "From a request to the beginning of its answer.",
            ("method", "route"),
            buckets=SECONDS,
            registry=mine,
        )
        self.streams = Gauge("jobtable_server_streams", "Streams that are open.", ("kind",), registry=mine)
        self.refused = Counter("jobtable_server_refused", "Requests that were refused.", ("status",), registry=mine)
        self.database_up = Gauge(
            "jobtable_server_database_up", "1 if the database answered the last time.", registry=mine
        )
        build = Gauge("jobtable_server_build_info", "Versions, as labels.", ("version", "python"), registry=mine)
        build.labels(our_version(), ".".join(map(str, sys.version_info[:3]))).set(1)
        for kind in (SSE, WEBSOCKET):
            self.streams.labels(kind)
        for status in REFUSALS:
            self.refused.labels(status)

    def answered(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count an answer."""
        method = method if method in METHODS else OTHER
        self.requests.labels(method, route, f"{status // 100}xx").inc()
        self.seconds.labels(method, route).observe(seconds)
        if str(status) in REFUSALS:
            self.refused.labels(str(status)).inc()

    def page(self, accept: str) -> tuple[str, bytes]:
        """Give the numbers, and as what: Prometheus text, or OpenMetrics for who asks."""
        self._count_rows()
        encode, content_type = choose_encoder(accept)
        return content_type, encode(self.registry)

    def _count_rows(self) -> None:
        """Count the rows of the table, unless that was done a moment ago, or is being done."""
        if not self._counting.acquire(blocking=False):
            return
        try:
            begun = self._clock()
            if begun >= self._count_again_at:
                self._take()
                ended = self._clock()
                self._count_again_at = ended + max(self._interval, SHARE * (ended - begun))
        finally:
            self._counting.release()

    def _take(self) -> None:
        try:
            self._depth.take(Sampled(lookup.active(self._database), lookup.oldest_due(self._database), {}))
            self.database_up.set(1)
        except DatabaseError:  # what was counted before is not told as if it were so now
            self._depth.take(None)
            self.database_up.set(0)


class Counted:
    """Count what an application answers, also what is refused before it gets there; routes go without `prefix`."""

    def __init__(self, app: ASGIApp, numbers: Numbers, prefix: str) -> None:
        self._app = app
        self._numbers = numbers
        self._prefix = prefix

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        answer = _Answer(self._numbers, self._prefix, scope, send)
        try:
            await self._app(scope, receive, answer.send)
        finally:
            answer.is_over()


class _Answer:
    """One answer on its way."""

    def __init__(self, numbers: Numbers, prefix: str, scope: Scope, send: Send) -> None:
        self._numbers = numbers
        self._prefix = prefix
        self._scope = scope
        self._send = send
        self._begun = time.monotonic()
        self._stream: str | None = None

    async def send(self, message: Message) -> None:
        match message["type"]:
            case "http.response.start" | "websocket.http.response.start":
                self._has_begun(message["status"])
                if any(name == b"content-type" and text.startswith(_LIVE) for name, text in message["headers"]):
                    self._opened(SSE)
            case "websocket.accept":
                self._has_begun(101)
                self._opened(WEBSOCKET)
            case "websocket.close" if self._stream is None:
                self._has_begun(403)
        await self._send(message)

    def _has_begun(self, status: int) -> None:
        template: str = getattr(self._scope.get("route"), "path_format", OTHER)
        route = template.removeprefix(self._prefix)  # of an included router some versions tell it, some do not
        seconds = time.monotonic() - self._begun
        self._numbers.answered(self._scope.get("method", "GET"), route, status, seconds)

    def _opened(self, kind: str) -> None:
        self._stream = kind
        self._numbers.streams.labels(kind).inc()

    def is_over(self) -> None:
        if self._stream is not None:
            self._numbers.streams.labels(self._stream).dec()
            self._stream = None
