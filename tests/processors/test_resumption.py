"""Streams cut off under load, from servers of which one is killed and started anew: nothing lost, nothing twice.

Everything is real and a process of its own: two processors that run jobs which never stop talking, two servers. What is
compared is what each client was told, and what is in the tables in the end.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from tests.databases.machine import free_port
from tests.patience import PATIENCE, eventually
from tests.processors.following import Follower
from tests.processors.running import ROOT, Site

RECITES, RELAYS = 2, 5
ENOUGH = 25
"""Events that each client has to hear before something is broken, and again after it."""


@dataclass(frozen=True)
class Stream:
    """What is followed, and what a client is to see of it; the first column is what it comes again with."""

    path: str
    columns: str
    rows: str
    enough: int = ENOUGH

    @property
    def has_end(self) -> bool:
        """Whether the stream itself says when it is over."""
        return "/jobs/" in self.path

    def stored(self, site: Site) -> list[tuple[Any, ...]]:
        return site.db.rows(f"SELECT {self.columns} FROM {self.rows} ORDER BY id")

    def told(self, follower: Follower) -> list[tuple[Any, ...]]:
        return [tuple(event[name] for name in self.columns.split(", ")) for event in follower.seen]


CHANGE = "id, job_id, number, kind, level, text"
STREAMS = [
    *(
        Stream(f"/api/v1/jobs/{id}/events", "number, kind, level, text", f"job_events WHERE job_id = {id}")
        for id in range(1, RECITES + 1)
    ),
    Stream("/api/v1/changes", CHANGE, "job_events"),
    Stream("/api/v1/changes?kind=state", CHANGE, "job_events WHERE kind = 'state'", ENOUGH // 5),
    Stream("/api/v1/notifications", "id, job_id, type, status, reason", "notifications", ENOUGH // 5),
]


class Server:
    """`jobtable serve` at an address that it has again when it is started anew."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._listen = f"127.0.0.1:{free_port()}"
        self.address = f"http://{self._listen}"
        self.log = site.folder / f"serve-{self._listen}.log"
        self.process = self.start()

    def start(self) -> subprocess.Popen[bytes]:
        before = self._starts()
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "processor", "--config", self._site.config, "serve", "--listen", self._listen],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=log,
                cwd=self._site.folder,
                env={**os.environ, "PYTHONPATH": str(ROOT)},
            )
        eventually(lambda: self._starts() > before or self.process.poll() is not None, self.log)
        assert self.process.poll() is None, self.log.read_text()
        return self.process

    def _starts(self) -> int:
        return self.log.read_text().count("server_started") if self.log.exists() else 0

    def end(self, how: signal.Signals) -> int:
        self.process.send_signal(how)
        return self.process.wait(PATIENCE)


@pytest.mark.timeout(400)
def test_a_client_sees_what_the_table_has_while_servers_are_killed_and_start_anew(site: Site) -> None:
    goals: dict[Stream, int] = {}
    with ExitStack() as stack:
        work = stack.enter_context(_load(site))
        servers = [stack.enter_context(_serving(site)) for _ in range(2)]
        addresses = [one.address for one in servers]
        following = {
            stream: Follower(addresses, stream.path, seed, _reached(goals, stream))
            for seed, stream in enumerate(STREAMS)
        }
        for one in following.values():
            one.start()
        _hear_more(following, *servers)
        for how, code in ((signal.SIGKILL, -signal.SIGKILL), (signal.SIGTERM, 0)):
            assert servers[0].end(how) == code
            _hear_more(following, servers[1])
            servers[0].start()
            _hear_more(following, *servers)
        work.end()
        goals.update({stream: stream.stored(site)[-1][0] for stream in STREAMS if not stream.has_end})
        for one in following.values():
            one.join(PATIENCE)
    for stream, one in following.items():
        assert (one.problem, one.is_alive()) == (None, False), stream.path
        assert stream.told(one) == stream.stored(site), stream.path
        assert one.places == [row[0] for row in stream.stored(site)], stream.path
    assert sum(one.cuts_within_a_frame for one in following.values()) > 10
    assert sum(one.refused for one in following.values()) > 0, "nobody met a server that was away"


class Load:
    """Jobs that talk in two processors until they are told to end."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._over = site.folder / "over"
        for type_ in ["recite"] * RECITES + ["relay"] * RELAYS:
            site.insert(type_, {"owner": "ann"}, until=str(self._over))

    def end(self) -> None:
        """Let all jobs end."""
        self._over.touch()
        states = "SELECT count(*), sum(CASE WHEN status = 'completed' THEN 1 ELSE 0 END) FROM jobs"
        eventually(lambda: len({int(number) for number in self._site.db.rows(states)[0]}) == 1, "all jobs completed")


@contextmanager
def _load(site: Site) -> Iterator[Load]:
    site.write(types='[types.recite]\npython = "deeds:recite"\n[types.relay]\npython = "deeds:relay"')
    load = Load(site)
    for processor in [site.start("--log-level", "info") for _ in range(2)]:
        processor.await_event("processor_started")
    running = f"SELECT count(*) FROM jobs WHERE status = 'running' AND id <= {RECITES}"
    eventually(lambda: site.db.rows(running) == [(RECITES,)])
    yield load


@contextmanager
def _serving(site: Site) -> Iterator[Server]:
    server = Server(site)
    try:
        yield server
    finally:
        server.process.kill()
        server.process.wait()


def _hear_more(following: dict[Stream, Follower], *servers: Server) -> None:
    """Wait until each client has heard more at each of these servers."""
    before = {stream: dict(one.heard_at) for stream, one in following.items()}

    def missing() -> list[str]:
        assert not (problems := [one.problem for one in following.values() if one.problem]), problems
        return [
            f"{stream.path} at {server.address}"
            for server in servers
            for stream, one in following.items()
            if one.heard_at[server.address] < before[stream][server.address] + stream.enough
        ]

    eventually(lambda: not missing(), "each client has heard more at each server")


def _reached(goals: dict[Stream, int], stream: Stream) -> Callable[[int], bool]:
    """Give what tells whether a place is the last one, as soon as that is known."""
    return lambda place: stream in goals and place >= goals[stream]
