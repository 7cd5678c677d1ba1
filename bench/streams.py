"""What 1,000 who listen cost one server: memory, CPU, statements, and how long an event takes to reach all of them.

The server is `jobtable serve` in a process of its own, who listens is another one, and what they hear is stored by the
verbs of the queue. An event's time begins before the transaction that stores it, so its commit is counted in.
"""

import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from statistics import quantiles
from typing import Any

from bench.runs import ROOT, Broken
from bench.server import TICKS, on_each, with_tables
from processor import db
from processor.judge import Policy
from processor.outcome import Kind
from processor.queue import leases, tokens
from processor.queue.claim import ClaimedJob, Slots, Wanted, claim
from processor.queue.events import Event, Told, store
from processor.queue.rules import Rules
from processor.queue.settle import settle
from tests.databases import Database, Server
from tests.queue.conftest import verdict_of

LISTENERS = 1000
ROUNDS = 20
IDLE = 10.0
"""Seconds in which nothing is told."""
PATIENCE = 60.0
FILES = LISTENERS + 200
PROCESSOR = "bench"
OWNER = "ann"
SETTINGS = '[database]\nurl = "{url}"\n[serve]\nlisten = "127.0.0.1:0"\n[log]\nformat = "json"\n'
STATEMENTS = {
    "postgresql": "SELECT sum(xact_commit + xact_rollback) FROM pg_stat_database",
    "mariadb": "SHOW GLOBAL STATUS LIKE 'Questions'",
}
"""How many statements a server has run, by its own count; on PostgreSQL each of ours is a transaction of its own."""


@dataclass(frozen=True, slots=True)
class Figure:
    """MiB of the server's process, milliseconds until an event came to who listens, CPU in percent of one core.

    `statements` are those in a second while nothing is told; None: the database does not count them.
    """

    database: str
    listening: str
    before: float
    open: float
    peak: float
    median: float
    p95: float
    worst: float
    cpu_idle: float
    cpu_busy: float
    statements: float | None


def allow_files() -> None:
    """Ask for as many open files as this takes. Raises `Broken` where they are not to be had."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < FILES:
        raise Broken(f"{LISTENERS:,} streams take {FILES:,} open files, and {hard:,} are allowed (see ulimit -Hn)")
    if soft < FILES:
        resource.setrlimit(resource.RLIMIT_NOFILE, (FILES, hard))


def measured(postgresql: Server) -> Iterator[Figure | str]:
    """Give a figure for each database and thing to listen to, or say why there is none."""
    allow_files()
    return on_each(postgresql, _on)


def _on(server: Server) -> Iterator[Figure]:
    for name, scene in SCENES.items():
        given = with_tables(server)
        with db.Database(given.url) as database:
            yield _figure(given, name, scene(given, database), database)
        given.drop()


class Scene:
    """Jobs that run. `paths` is what is listened to, with so many `tokens`; `tell` stores what each hears once."""

    jobs = ROUNDS + 1
    tokens = 1
    paths = ("/api/v1/notifications",) * LISTENERS

    def __init__(self, given: Database, database: db.Database) -> None:
        self._database = database
        registration = leases.Registration(PROCESSOR, PROCESSOR, "here", 1, "0", "{}", self.jobs, None)
        leases.register(database, registration, 3600.0)
        rows = ", ".join(f"('nothing', '{OWNER}')" for _ in range(self.jobs))
        given.rows(f"INSERT INTO jobs (type, owner) VALUES {rows}")
        self._running = self._claimed()

    def _claimed(self) -> list[ClaimedJob]:
        wanted, slots = [Wanted("nothing", False, Rules())], Slots(self.jobs, self.jobs)
        taken = claim(
            self._database, PROCESSOR, 1, wanted, slots, max_payload_bytes=1000, notifies=lambda type_, status: True
        )
        assert len(taken.jobs) == self.jobs, f"{len(taken.jobs)} of {self.jobs} jobs were claimed"
        return taken.jobs

    def tell(self) -> None:
        """Let a job end."""
        job = self._running.pop()
        settle(self._database, [verdict_of(job, Kind.RETURNED, PROCESSOR, Policy(notify="both"), result="1")])


class ManyJobs(Scene):
    """Each listens to a job of its own; all jobs say something in one transaction."""

    jobs = LISTENERS
    paths = tuple(f"/api/v1/jobs/{id}/events" for id in range(1, LISTENERS + 1))

    def tell(self) -> None:
        """Let all jobs log a line."""
        said = (Event("log", "info", None, "something happened"),)
        told = [Told(job.id, PROCESSOR, job.claim_no, job.attempt, said) for job in self._running]
        assert not store(self._database, told), "a job was locked"


class ManyTokens(ManyJobs):
    """As many who were let in by tokens of their own."""

    tokens = LISTENERS


class OneJob(ManyJobs):
    """All listen to the same job."""

    jobs = 1
    paths = ("/api/v1/jobs/1/events",) * LISTENERS


class Changes(OneJob):
    """All listen to all jobs; the ends of jobs are no log lines, so these are what is counted."""

    paths = ("/api/v1/changes",) * LISTENERS


SCENES: dict[str, type[Scene]] = {
    "1,000 jobs, one each": ManyJobs,
    "the same, with 1,000 tokens": ManyTokens,
    "the same job": OneJob,
    "all changes": Changes,
    "notifications": Scene,
}


def _figure(given: Database, name: str, scene: Scene, database: db.Database) -> Figure:
    texts = [tokens.create(database, owner=OWNER, scopes=("read",))[1] for _ in range(scene.tokens)]
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="jobtable-bench-")))
        server, port = stack.enter_context(_serving(given, folder))
        before = _memory(server, "VmRSS")
        crowd = stack.enter_context(_crowd(port, zip(scene.paths, cycle(texts), strict=False)))
        _hear(crowd, "open")
        cpu_idle, statements = _idle(given, server)
        opened = _memory(server, "VmRSS")
        busy = _Cpu(server)
        times = sorted(one for _ in range(ROUNDS) for one in _round(crowd, scene.tell))
        cpu_busy, peak = busy.percent(), _memory(server, "VmHWM")
    return Figure(
        f"{given.kind} {given.server.version}",
        name,
        before,
        opened,
        peak,
        quantiles(times, n=2)[0],
        quantiles(times, n=20)[-1],
        times[-1],
        cpu_idle,
        cpu_busy,
        statements,
    )


def _round(crowd: subprocess.Popen[str], tell: Callable[[], None]) -> list[float]:
    """Tell all of them something; give the milliseconds that it took to each."""
    begin = time.monotonic()
    tell()
    heard: list[float] = _hear(crowd, "heard")
    return [(instant - begin) * 1000 for instant in heard]


def _idle(given: Database, server: subprocess.Popen[str]) -> tuple[float, float | None]:
    """Let nothing happen for a while; give CPU, and statements in a second."""
    cpu, before, begin = _Cpu(server), _statements(given), time.monotonic()
    time.sleep(IDLE)
    after = _statements(given)
    percent = cpu.percent()
    rate = None if before is None or after is None else (after - before) / (time.monotonic() - begin)
    return percent, rate


def _statements(given: Database) -> float | None:
    if given.kind not in STATEMENTS:
        return None
    return float(given.rows(STATEMENTS[given.kind])[0][-1])


class _Cpu:
    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._pid = process.pid
        self._begin, self._before = time.monotonic(), self._seconds()

    def _seconds(self) -> float:
        fields = Path(f"/proc/{self._pid}/stat").read_text().rpartition(")")[2].split()
        return sum(map(int, fields[11:13])) / TICKS

    def percent(self) -> float:
        return 100 * (self._seconds() - self._before) / (time.monotonic() - self._begin)


def _memory(process: subprocess.Popen[str], name: str) -> float:
    """Read MiB of a process: VmRSS what it has now, VmHWM the most that it ever had."""
    lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
    [found] = [line.split()[1] for line in lines if line.startswith(f"{name}:")]
    return int(found) / 1024


@contextmanager
def _serving(given: Database, folder: Path) -> Iterator[tuple[subprocess.Popen[str], int]]:
    settings = folder / "jobtable.toml"
    settings.write_text(SETTINGS.format(url=given.url))
    with (
        (folder / "log").open("w") as log,
        _running(["-m", "processor", "--config", str(settings), "serve"], log) as it,
    ):
        address = _await_address(it, folder / "log")
        yield it, int(address.rpartition(":")[2])


def _await_address(process: subprocess.Popen[str], log: Path) -> str:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline and process.poll() is None:
        for line in log.read_text().splitlines():
            if '"server_started"' in line:
                return str(json.loads(line)["address"])
        time.sleep(0.05)
    raise Broken(f"the server did not start: {log.read_text()[-500:]}")


@contextmanager
def _crowd(port: int, asked: Iterable[tuple[str, str]]) -> Iterator[subprocess.Popen[str]]:
    with _running(["-m", "bench.listening", str(port)], None) as crowd:
        assert crowd.stdin is not None
        crowd.stdin.writelines(f"{path} {token}\n" for path, token in asked)
        crowd.stdin.close()
        yield crowd


@contextmanager
def _running(arguments: list[str], log: Any) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(  # noqa: S603 - our own commands
        [sys.executable, *arguments],
        cwd=ROOT,
        text=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE if log is None else subprocess.DEVNULL,
        stderr=log,
    )
    try:
        yield process
    finally:
        process.terminate()
        process.wait(PATIENCE)


def _hear(crowd: subprocess.Popen[str], what: str) -> Any:
    """Read what the crowd tells next. Raises `Broken` where it is something else, or nothing."""
    assert crowd.stdout is not None
    line = crowd.stdout.readline()
    told = json.loads(line) if line else {}
    if what not in told:
        raise Broken(f"who listens should have told {what!r}, and told {line.strip() or 'nothing'!r}")
    return told[what]
