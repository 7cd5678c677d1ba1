"""The command line as a person has it: in a folder, with a database, in this process or as one of its own."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from processor.cli.root import root
from tests.cli.terminal import Terminal
from tests.conftest import migrate
from tests.databases import Database

CHECKOUT = Path(__file__).parents[2]


class Jobtable:
    """`jobtable` in `folder`, on the database at `url`."""

    def __init__(self, folder: Path, url: str) -> None:
        self.folder = folder
        self.url = url
        self._started: list[subprocess.Popen[str]] = []
        self._terminals: list[Terminal] = []

    def configure(self, text: str) -> None:
        (self.folder / "jobtable.toml").write_text(text, encoding="utf-8")

    def __call__(self, *arguments: object, input: str | None = None) -> Result:
        """Run a command in this process; a machine that stands still for some seconds is no database that is away."""
        environ: dict[str, str | None] = {name: None for name in os.environ if name.startswith("JOBTABLE_")}
        environ["JOBTABLE_DATABASE__CONNECT_TIMEOUT"] = "30"
        return CliRunner().invoke(root, self._arguments(arguments), input=input, env=environ, prog_name="jobtable")

    def json(self, *arguments: object) -> Any:
        result = self(*arguments, "--json")
        assert result.exit_code == 0, result.stderr
        return json.loads(result.stdout)

    def ids(self, *arguments: object) -> list[int]:
        return [row["id"] for row in self.json("list", *arguments)]

    def enqueue(self, *arguments: object) -> int:
        result = self("enqueue", *arguments)
        assert result.exit_code == 0, result.stderr
        return int(result.stdout)

    def start(self, *arguments: object, **more: Any) -> subprocess.Popen[str]:
        """Run a command as a process of its own; it is killed at the end of the test if it still lives."""
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "processor", *self._arguments(arguments)],
            cwd=self.folder,
            env={**environment(), **more.pop("environ", {})},
            text=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            **more,
        )
        self._started.append(process)
        return process

    def on_a_terminal(self, *arguments: object, columns: int = 80, lines: int = 24, **environ: str) -> Terminal:
        """Run a command in a terminal of its own; both are gone at the end of the test."""
        command = [sys.executable, "-P", "-m", "processor", *self._arguments(arguments)]
        place = {"columns": columns, "lines": lines, "cwd": str(self.folder)}
        terminal = Terminal(command, {**environment(), "TERM": "xterm-256color", **environ}, **place)
        self._terminals.append(terminal)
        return terminal

    def run(self, *arguments: object, seconds: float = 60) -> tuple[int, str, str]:
        process = self.start(*arguments)
        out, err = process.communicate(timeout=seconds)
        return process.returncode, out, err

    def work_until_final(self, job_id: int) -> None:
        """Run a processor until this job has ended, over all its tries."""
        processor = self.start("run")
        code, _, err = self.run("logs", job_id, "-f")
        assert code == 0, err
        processor.terminate()
        _, log = processor.communicate(timeout=20)
        assert processor.returncode == 0, log

    def close(self) -> None:
        for terminal in self._terminals:
            terminal.close()
        for process in self._started:
            if process.poll() is None:
                process.kill()
            process.communicate()

    def _arguments(self, arguments: tuple[object, ...]) -> list[str]:
        config = self.folder / "jobtable.toml"
        given = ["--config", str(config)] if config.exists() else []
        return [*given, "--database-url", self.url, *map(str, arguments)]


def environment() -> dict[str, str]:
    """This process's environment without settings of jobtable, and with the checkout where Python finds it."""
    kept = {name: text for name, text in os.environ.items() if not name.startswith("JOBTABLE_")}
    return {**kept, "PYTHONPATH": str(CHECKOUT)}


@pytest.fixture
def jobtable(db: Database, tmp_path: Path) -> Iterator[Jobtable]:
    """On each database."""
    command = Jobtable(tmp_path, db.url)
    yield command
    command.close()


@pytest.fixture
def on_sqlite(tmp_path: Path) -> Iterator[Jobtable]:
    """On SQLite alone, where the database cannot matter."""
    url = f"sqlite:///{tmp_path / 'jobs.db'}"
    migrate(url)
    command = Jobtable(tmp_path, url)
    yield command
    command.close()


WORKING = """
[processor]
poll_interval = 0.05
[retry]
delay = 0
[metrics]
listen = ""
[types.count]
command = ["{python}", "{folder}/count.py"]
max_attempts = 2
"""

COUNT = """
import json, os, pathlib, sys, time
payload = json.load(sys.stdin)
print("try", os.environ["JOB_ATTEMPT"], flush=True)
if os.environ["JOB_ATTEMPT"] == "1" and payload.get("fails"):
    sys.exit("not this time")
while payload.get("waits_for") and not pathlib.Path(payload["waits_for"]).exists():
    time.sleep(0.02)
os.write(3, json.dumps({"progress": 50, "message": "half", "result": {"done": True}}).encode())
"""


def give_work(jobtable: Jobtable) -> None:
    """Configure one type: a command that says its try, may fail the first time, and may wait for a file."""
    jobtable.configure(WORKING.format(python=sys.executable, folder=jobtable.folder))
    (jobtable.folder / "count.py").write_text(COUNT, encoding="utf-8")
