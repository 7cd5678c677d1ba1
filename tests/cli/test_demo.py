"""`jobtable demo`, really run."""

import fcntl
import json
import os
import pty
import re
import signal
import sqlite3
import struct
import subprocess
import sys
import termios
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from processor.cli.demo.plan import POEM
from tests.cli.conftest import Jobtable, environment

Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start the demo with these arguments, in an environment whose settings are not meant for it."""
    started: list[subprocess.Popen[str]] = []

    def begin(*arguments: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "processor", "demo", *arguments],
            cwd=tmp_path,
            env={**environment(), "JOBTABLE_DATABASE__URL": "postgresql://nobody@127.0.0.1:1/elsewhere"},
            text=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        started.append(process)
        return process

    yield begin
    for process in started:
        process.terminate()
        process.communicate(timeout=30)


MOST_SECONDS = 60
"""What the README promises of the demo; a laptop needs a quarter of it."""


@pytest.mark.timeout(120)
def test_the_demo_does_real_work_and_every_job_ends_as_planned(start: Start, tmp_path: Path) -> None:
    process = start()
    out, err = process.communicate(timeout=MOST_SECONDS)
    assert (process.returncode, err) == (0, "")
    folder = tmp_path / "jobtable-demo"
    with closing(sqlite3.connect(folder / "jobtable.db")) as connection:
        ends = connection.execute(
            "SELECT type, status, reason, max(attempt), count(*) FROM jobs GROUP BY 1, 2, 3"
        ).fetchall()
        pages = connection.execute(
            "SELECT json_extract(payload, '$.package') FROM jobs WHERE type = 'pages.write'"
        ).fetchall()
        told = connection.execute("SELECT count(*) FROM notifications").fetchone()[0]
        [hooked] = connection.execute("SELECT result FROM jobs WHERE type = 'demo.call'").fetchone()
    [clock] = [end for end in ends if end[0] == "demo.clock"]
    assert clock[1:4] == ("completed", "done", 1)
    assert [end for end in ends if end[0].startswith("demo.") and end[0] not in ("demo.same_work", "demo.clock")] == [
        ("demo.call", "completed", "done", 1, 1),
        ("demo.cancelled", "cancelled", "asked", 1, 1),
        ("demo.fail_once", "completed", "done", 2, 1),
        ("demo.in_turn", "completed", "done", 1, 3),
        ("demo.overrun", "failed", "timeout", 1, 1),
    ]
    same_work = [end for end in ends if end[0] == "demo.same_work"]
    assert [sum(end[4] for end in same_work if end[3] == attempts) for attempts in (1, 0)] == [1, 2]
    assert {end[1] for end in same_work} == {"completed"}
    assert {end[:4] for end in ends if end[0].startswith("pages.")} == {
        (f"pages.{name}", "completed", "done", 1) for name in ("index", "measure", "write")
    }
    assert [end[1:] for end in ends if end[0] == "batch"] == [("completed", "done", 1, 1)]
    assert (folder / "pages" / "poem.txt").read_text().splitlines() == list(POEM)
    assert told == sum(end[4] for end in ends)
    assert json.loads(hooked)["from"] == "the demo's own server"
    assert 150 <= len(pages) <= 300
    assert all((folder / "pages" / f"{name}.html").stat().st_size > 500 for (name,) in pages)
    assert (folder / "pages" / "json.decoder.html.gz").is_file()
    assert "json.decoder" in (folder / "pages" / "index.html").read_text()
    for words in (
        "the table is the queue",
        "INSERT INTO jobs",
        str(folder),
        "completed (done)",
        "notifications",
        "` said:",
        "Next:",
        "serve    # the page: open http://127.0.0.1:9760",
    ):
        assert words in out
    _goes_on(folder)


@pytest.mark.timeout(120)
def test_the_demo_on_a_terminal_shows_a_bar_that_grows(tmp_path: Path) -> None:
    master, terminal = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
    command = [sys.executable, "-P", "-m", "processor", "demo"]
    terminal_environment = {**environment(), "TERM": "xterm"}
    with subprocess.Popen(command, cwd=tmp_path, env=terminal_environment, stdin=terminal, stdout=terminal) as process:
        os.close(terminal)
        shown = _read_terminal(master, process)
    assert process.returncode == 0
    counts = [(int(done), int(total)) for done, total in re.findall(r"(\d+)/(\d+)", shown)]
    done, totals = [done for done, _ in counts], {total for _, total in counts}
    assert len(totals) == 1, "the bar has one end"
    assert done == sorted(done)
    assert len(set(done)) > 5, "it was seen while it grew"
    assert done[-1] in totals
    assert "━" in shown
    assert "Next:" in shown.rpartition("completed (done)")[2]


def _read_terminal(master: int, process: subprocess.Popen[bytes]) -> str:
    """Read what is shown until the process leaves the terminal; kill it when its time is up."""
    shown = b""
    clock = threading.Timer(MOST_SECONDS, process.kill)
    clock.start()
    try:
        while piece := os.read(master, 4096):
            shown += piece
    except OSError:  # nobody has the terminal open any more
        os.close(master)
    finally:
        clock.cancel()
    return shown.decode()


def _goes_on(folder: Path) -> None:
    """What the demo leaves is a working place."""
    jobtable = Jobtable(folder, f"sqlite:///{folder / 'jobtable.db'}")
    job = jobtable.enqueue("pages.write", "--payload", '{"package": "json"}')
    assert jobtable.run("run", "--drain")[0] == 0
    assert jobtable.json("show", job)["status"] == "completed"


@pytest.mark.parametrize("moment", ["This bar only reads the table", " done, "])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_demo_leaves_no_process(
    start: Start, tmp_path: Path, number: signal.Signals, moment: str
) -> None:
    process = start("--keep", str(tmp_path / "here"))
    assert process.stdout is not None
    while moment not in (line := process.stdout.readline()):
        assert line, "it ended before it began"
    process.send_signal(number)
    process.communicate(timeout=40)
    assert process.returncode == 130
    assert _working_in(tmp_path / "here") == []


def _working_in(folder: Path) -> list[str]:
    """Name the processes that stand in this folder."""
    found = []
    for link in Path("/proc").glob("[0-9]*/cwd"):
        try:
            if link.readlink() == folder:
                found.append(link.parent.name)
        except OSError:  # gone, or not ours
            continue
    return found


def test_a_folder_with_something_else_in_it_is_left_alone(start: Start, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "novel.txt").write_text("once upon a time")
    process = start("--keep", str(tmp_path / "mine"))
    _, err = process.communicate(timeout=20)
    assert process.returncode == 1
    assert "holds something else. Nothing was started. Name another with --keep." in err
    assert [file.name for file in (tmp_path / "mine").iterdir()] == ["novel.txt"]


def test_the_demo_takes_no_database_of_others(on_sqlite: Jobtable) -> None:
    assert on_sqlite("demo").exit_code == 2
