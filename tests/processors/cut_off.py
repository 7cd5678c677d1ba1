"""Clients that are cut off, at random and in the middle of what is said, and come again wherever somebody answers."""

import json
import random
import threading
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from typing import Any

from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidMessage
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Subprotocol

from tests.databases import Database

PIECE = 300
"""Bytes that are read at a time, at most: about one frame."""
QUIET = 15.0
"""Seconds without a sign of life after which a server counts as lost; it gives one every five."""


@dataclass
class Stream:
    """What can be listened to, and the rows that it should tell; `cut`: how likely one is cut off after a piece."""

    path: str
    subscription: dict[str, Any]
    rows: str
    names: Sequence[str]
    cut: float

    def stored(self, db: Database) -> list[tuple[Any, ...]]:
        return [tuple(row) for row in db.rows(f"SELECT {', '.join(self.names)} FROM {self.rows}")]


CHANGES = Stream(
    "/api/v1/changes", {"to": "changes"}, "job_events ORDER BY id", ("id", "job_id", "number", "kind", "text"), 0.008
)
NOTIFICATIONS = Stream(
    "/api/v1/notifications", {"to": "notifications"}, "notifications ORDER BY id", ("id", "job_id", "status"), 0.08
)


def events_of(job: int) -> Stream:
    rows = f"job_events WHERE job_id = {job} ORDER BY number"
    return Stream(f"/api/v1/jobs/{job}/events", {"to": "job", "job": job}, rows, ("number", "kind", "text"), 0.04)


@dataclass
class Heard:
    """What a client saw of a stream, cuts or not, and the id from where it goes on."""

    stream: Stream
    place: int = 0
    seen: list[tuple[Any, ...]] = field(default_factory=list)

    def take(self, event: str, id: int | None, data: dict[str, Any]) -> None:
        if id is not None:
            self.place = id
            if event not in ("ready", "alive"):
                self.seen.append(tuple(data[name] for name in self.stream.names))


class Client(ABC, threading.Thread):
    """It goes on until it is told that it has heard enough.

    `cuts` counts the times it was cut off, `torn` those in the middle of a frame, `lost` the times a server did it.
    """

    def __init__(self, ports: Sequence[int], streams: Sequence[Stream], seed: int) -> None:
        super().__init__(daemon=True)
        self.heard = [Heard(stream) for stream in streams]
        self.cuts = self.torn = self.lost = 0
        self.failure: BaseException | None = None
        self.chance = random.Random(seed)
        self.enough = threading.Event()
        self._ports = ports

    def run(self) -> None:
        try:
            while not self.enough.is_set():
                self._try(self.chance.choice(self._ports))
        except BaseException as failure:  # noqa: BLE001 - the test raises it
            self.failure = failure

    def _try(self, port: int) -> None:
        try:
            self.listen(port)
        except (OSError, HTTPException, ConnectionClosed, InvalidHandshake, InvalidMessage):
            self.lost += 1

    def is_cut(self) -> bool:
        cut = self.chance.random() < min(one.stream.cut for one in self.heard)
        self.cuts += cut
        return cut

    @abstractmethod
    def listen(self, port: int) -> None:
        """Go on at this server until it is cut off."""


class Events(Client):
    """One stream by server-sent events."""

    def listen(self, port: int) -> None:
        [heard] = self.heard
        headers = {"Accept": "text/event-stream", "Last-Event-ID": str(heard.place)}
        with closing(HTTPConnection("127.0.0.1", port, timeout=QUIET)) as connection:
            connection.request("GET", heard.stream.path, headers=headers)
            with closing(connection.getresponse()) as answer:
                if answer.status == 204:  # it has all: a browser would ask no more
                    self.enough.wait()
                    return
                assert answer.status == 200, answer.read()
                self._read(heard, answer)

    def _read(self, heard: Heard, answer: Any) -> None:
        part = b""
        while not self.enough.is_set() and (piece := answer.read1(self.chance.randint(1, PIECE))):
            *frames, part = (part + piece).split(b"\n\n")
            for frame in frames:
                _take_frame(heard, frame.decode())
            if self.is_cut():
                self.torn += bool(part)
                return


def _take_frame(heard: Heard, frame: str) -> None:
    said = dict(line.split(": ", 1) for line in frame.splitlines() if not line.startswith(":"))
    id = int(said["id"]) if "id" in said else None
    heard.take(said.get("event", "alive"), id, json.loads(said.get("data", "{}")))


class Socket(Client):
    """Several streams over one WebSocket; `ref` is which."""

    def listen(self, port: int) -> None:
        address = f"ws://127.0.0.1:{port}/api/v1/ws"
        protocol = [Subprotocol("jobtable.v1")]
        with connect(address, subprotocols=protocol, close_timeout=0, proxy=None) as connection:
            for ref, heard in enumerate(self.heard):
                asked = {"do": "subscribe", "ref": ref, "after": heard.place, **heard.stream.subscription}
                connection.send(json.dumps(asked))
            self._read(connection)

    def _read(self, connection: ClientConnection) -> None:
        while not self.enough.is_set() and not self.is_cut():
            said = json.loads(connection.recv(timeout=QUIET))
            assert said["event"] != "problem", said
            self.heard[said["ref"]].take(said["event"], said.get("id"), said.get("data", {}))
