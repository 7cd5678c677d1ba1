"""A processor as users run it: a process of its own, started by the command, watched through its log."""

import json
import os
import signal
import subprocess
import sys
import threading
import urllib.request
from pathlib import Path
from typing import Any

from tests.databases import Database
from tests.patience import PATIENCE, eventually

APP = Path(__file__).with_name("app")
ROOT = Path(__file__).parents[2]

SETTINGS = """
[database]
url = "{url}"
{database}
[processor]
max_concurrent = 4
poll_interval = 0.05
heartbeat_interval = 0.5
lease = 4
grace = 0.5
drain_timeout = 20
pythonpath = ["{app}"]
run_dir = "{folder}/run"
workdir = "{folder}/work"
sample_interval = 0.5
{processor}
[retry]
delay = 0.05
[metrics]
listen = "{listen}"
{types}
"""


class Site:
    """A folder with settings, a database, and the processors that a test starts there."""

    def __init__(self, db: Database, folder: Path) -> None:
        self.db = db
        self.folder = folder
        self.log = folder / "starts.log"
        self.processors: list[Processor] = []
        (folder / "work").mkdir()
        self.write()

    def write(self, types: str = "", processor: str = "", database: str = "", listen: str = "") -> None:
        """Write jobtable.toml; every function of the handlers' module is a type unless `types` is given."""
        known = "\n".join(
            f'[types.{name}]\npython = "deeds:{name}"'
            for name in (
                "quick quick_async nothing until deaf spin breed fail fail_once die talk flood environment "
                "spawn_more slow_async"
            ).split()
            if f"[types.{name}]" not in types
        )
        self.config = self.folder / "jobtable.toml"
        self.config.write_text(
            SETTINGS.format(
                url=self.db.url,
                app=APP,
                folder=self.folder,
                types=types + "\n" + known,
                processor=processor,
                database=database,
                listen=listen,
            )
        )

    def insert(self, type_: str, columns: dict[str, Any] | None = None, **payload: Any) -> int:
        """Insert a job by plain SQL; the payload names the file in which attempts are written down."""
        values = {"type": type_, "payload": json.dumps({"log": str(self.log), **payload}), **(columns or {})}
        names = ", ".join(f"`{name}`" if self.db.kind == "mariadb" else f'"{name}"' for name in values)
        quoted = ", ".join(_literal(value) for value in values.values())
        self.db.rows(f"INSERT INTO jobs ({names}) VALUES ({quoted})")
        return int(self.db.rows("SELECT max(id) FROM jobs")[0][0])

    def start(self, *arguments: str, program: list[str] | None = None) -> "Processor":
        processor = Processor(self, program or ["-m", "processor"], arguments)
        self.processors.append(processor)
        return processor

    def command(self, *arguments: str) -> str:
        """Run another command here and give what it prints."""
        finished = subprocess.run(
            [sys.executable, "-m", "processor", "--config", str(self.config), *arguments],
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            cwd=self.folder,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        assert finished.returncode == 0, finished.stderr
        return finished.stdout

    def drain(self) -> None:
        """Run a processor until nothing is left that it can run."""
        assert self.start("--drain").wait() == 0

    def job(self, job_id: int = 1) -> dict[str, Any]:
        names = "status reason attempt error_type error_message progress processor_id cancel_requested".split()
        [row] = self.db.rows(f"SELECT {', '.join(names)} FROM jobs WHERE id = {job_id}")
        return dict(zip(names, row, strict=True))

    def await_status(self, status: str, job_id: int = 1) -> dict[str, Any]:
        """Wait until the job is in this status; a final status that is another one fails at once."""

        def seen() -> dict[str, Any] | None:
            job = self.job(job_id)
            assert job["status"] in (status, "pending", "scheduled", "running", "waiting"), job
            return job if job["status"] == status else None

        return dict(eventually(seen, f"job {job_id} {status}; it is {self.job(job_id)}"))

    def starts(self) -> list[tuple[int, int]]:
        """The attempts that were really started, as (job, attempt)."""
        if not self.log.exists():
            return []
        return [(int(job), int(attempt)) for job, attempt, _ in map(str.split, self.log.read_text().splitlines())]

    def handler_pids(self) -> list[int]:
        return [int(line.split()[2]) for line in self.log.read_text().splitlines()] if self.log.exists() else []

    def close(self) -> None:
        for processor in self.processors:
            processor.end()


def _literal(value: Any) -> str:
    return str(value) if isinstance(value, int | float) else "'" + str(value).replace("'", "''") + "'"


class Processor:
    def __init__(self, site: Site, program: list[str], arguments: tuple[str, ...]) -> None:
        self.lines: list[dict[str, Any]] = []
        self.raw: list[str] = []
        self._process = subprocess.Popen(
            [
                sys.executable,
                *program,
                "--config",
                str(site.config),
                "run",
                "--log-format",
                "json",
                "--log-level",
                "debug",
                *arguments,
            ],
            stderr=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            text=True,
            cwd=site.folder,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        self.pid = self._process.pid
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stderr is not None
        for line in self._process.stderr:
            self.raw.append(line)
            if line.startswith("{"):
                self.lines.append(json.loads(line))

    def events(self, event: str, **fields: Any) -> list[dict[str, Any]]:
        wanted = {"event": event, **fields}.items()
        return [line for line in list(self.lines) if wanted <= {k: v for k, v in line.items() if _hashable(v)}.items()]

    def await_event(self, event: str, **fields: Any) -> dict[str, Any]:
        """Wait until the log says so."""

        def seen() -> list[dict[str, Any]]:
            found = self.events(event, **fields)
            assert found or self.running or self._reader.is_alive(), f"it ended before {event}: {self.tail()}"
            return found

        return dict(eventually(seen, f"{event} {fields}: {self.tail()}")[0])

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    def tail(self) -> str:
        return "".join(self.raw[-15:])

    def signal(self, number: int) -> None:
        self._process.send_signal(number)

    def wait(self) -> int:
        """Wait for the end and give the exit code."""
        try:
            code = self._process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"it did not end: {self.tail()}") from None
        self._reader.join(PATIENCE)
        return code

    def kill(self) -> None:
        self.signal(signal.SIGKILL)
        self.wait()

    def children(self) -> list[int]:
        """Whom the daemon has started: its supervisor, and for a moment what describes handlers."""
        return _children_of(self.pid)

    def workers(self) -> list[int]:
        """Whom its supervisor has started."""
        return [worker for child in self.children() for worker in _children_of(child)]

    def end(self) -> None:
        if self.running:
            self._process.send_signal(signal.SIGCONT)
            self._process.kill()
            self._process.wait()
        self._reader.join(5)
        if self._process.stderr is not None:
            self._process.stderr.close()


def scrape(listen: str) -> dict[str, float]:
    """Read the metrics of a processor as its scraper does: each series, with its labels, and its value."""
    with urllib.request.urlopen(f"http://{listen}/metrics", timeout=PATIENCE) as answer:
        lines = answer.read().decode().splitlines()
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines if line[:1] != "#")}


def _children_of(pid: int) -> list[int]:
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except (FileNotFoundError, ProcessLookupError):
        return []  # it has ended meanwhile


def resident(pid: int) -> int:
    """Bytes of a process that are in memory now."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def _hashable(value: Any) -> bool:
    return isinstance(value, str | int | float | bool | None)


def is_alive(pid: int) -> bool:
    """Tell whether a process runs; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in ("Z", "X")
    except (FileNotFoundError, ProcessLookupError):
        return False


def processes_with(mark: str) -> list[int]:
    """Find processes that carry a mark in their environment or arguments."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                told = (entry / "environ").read_bytes() + (entry / "cmdline").read_bytes()
            except (FileNotFoundError, ProcessLookupError, PermissionError):
                continue
            if mark.encode() in told and is_alive(int(entry.name)):
                found.append(int(entry.name))
    return found
