"""Put rows in, run a processor, and watch the table until everything has ended."""

import contextlib
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from processor.cli.demo.folder import DATABASE
from processor.cli.demo.plan import CANCELLED, CLOCK, Planned
from processor.db import Database
from processor.errors import StartRefused
from processor.lifecycle import FINAL, Status
from processor.queue import lookup

INSERT = (
    'INSERT INTO jobs (type, payload, priority, owner, subject, "key", concurrency_key, on_complete, parent_id)'
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
PAUSE = "UPDATE schedules SET paused = true"
CANCEL = f"UPDATE jobs SET cancel_requested = true WHERE type = '{CANCELLED}'"  # noqa: S608 - a word of ours
LOG = "processor.log"
LOOK_SECONDS = 0.2
LEAVE_SECONDS = 15.0
INTERRUPTS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@dataclass(frozen=True, slots=True)
class View:
    """What one look at the table shows."""

    total: int
    done: int
    running: list[lookup.Row]
    waiting: int | None = None


def insert(folder: Path, planned: Sequence[Planned]) -> None:
    """Put rows in as any program does: the database's own driver, one transaction."""
    with closing(sqlite3.connect(folder / DATABASE, timeout=10)) as connection, connection:
        connection.executemany(INSERT, [one.row() for one in planned])


def insert_batch(folder: Path, planned: Sequence[Planned]) -> None:
    """Put in a row and its children, in the same way."""
    with closing(sqlite3.connect(folder / DATABASE, timeout=10)) as connection, connection:
        parent = connection.execute(INSERT, planned[0].row()).lastrowid
        connection.executemany(INSERT, [one.row(parent) for one in planned[1:]])


def ask_to_cancel(folder: Path) -> None:
    """Ask a running job to stop, by plain SQL."""
    with closing(sqlite3.connect(folder / DATABASE, timeout=10)) as connection, connection:
        connection.execute(CANCEL)


def stop_clock(folder: Path) -> None:
    """Let the schedule make no more jobs, by plain SQL."""
    with closing(sqlite3.connect(folder / DATABASE, timeout=10)) as connection, connection:
        connection.execute(PAUSE)


def look(database: Database, *, clock: bool = False) -> View:
    """Count what was put in; `clock`: what the schedule made instead."""
    found = lookup.counts(database, lookup.Filter())
    counts = {key: count for key, count in found.items() if (key[0] == CLOCK) is clock}
    running = lookup.jobs_page(database, lookup.Filter(statuses=(Status.RUNNING,)), limit=20)
    done = sum(count for (_, status), count in counts.items() if status in FINAL)
    waiting = lookup.jobs_page(database, lookup.Filter(statuses=(Status.WAITING,)), limit=1)
    return View(sum(counts.values()), done, running, waiting[0]["id"] if waiting else None)


@contextmanager
def processor(folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run `jobtable run` in the folder as a process of its own, and end it in order."""
    environment = {name: text for name, text in os.environ.items() if not name.startswith("JOBTABLE_")}
    process: subprocess.Popen[bytes] | None = None
    try:
        with _undisturbed(), (folder / LOG).open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", "processor", "run"],
                cwd=folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # an interrupt of the terminal comes to us, and we end it in order
            )
        yield process
    except BaseException:
        if process is not None:
            process.send_signal(signal.SIGTERM)  # with the second one, below: give back what runs, at once
        raise
    finally:
        with _undisturbed():
            if process is not None:
                _end(process)


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Hold back what would interrupt us: between a process's start and its end, somebody must know of it."""
    held: list[int] = []
    before = {number: signal.signal(number, lambda came, frame: held.append(came)) for number in INTERRUPTS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if held:
        signal.raise_signal(held[0])


def _end(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(LEAVE_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()  # its supervisor sees that and kills what it runs
        process.wait()


def watch(
    database: Database, process: subprocess.Popen[bytes], folder: Path, show: Callable[[View], None], limit: float
) -> None:
    """Look until every job has ended, and cancel the one that waits for it.

    Raises `StartRefused` when the processor ends before, or when it takes too long.
    """
    deadline = time.monotonic() + limit
    while (view := look(database)).done < view.total:
        show(view)
        if any(row["type"] == CANCELLED for row in view.running):
            ask_to_cancel(folder)
        _must_go_on(process, folder, view, deadline)
        time.sleep(LOOK_SECONDS)
    show(view)


def watch_clock(database: Database, process: subprocess.Popen[bytes], folder: Path, limit: float) -> None:
    """Look until what the schedule made has ended, too."""
    deadline = time.monotonic() + limit
    while (view := look(database, clock=True)).done < view.total:
        _must_go_on(process, folder, view, deadline)
        time.sleep(LOOK_SECONDS)


def _must_go_on(process: subprocess.Popen[bytes], folder: Path, view: View, deadline: float) -> None:
    left = f"{view.total - view.done} of {view.total} jobs have not ended"
    if process.poll() is not None:
        why = f"The processor ended with code {process.returncode}, {left}: {last_line(folder)}"
        raise StartRefused(why, f"Its log is {folder / LOG}.")
    if time.monotonic() > deadline:
        raise StartRefused(f"The time is up, {left}.", f"See `jobtable list` in {folder}, and its {LOG}.")


def last_line(folder: Path) -> str:
    with contextlib.suppress(OSError):
        return ((folder / LOG).read_text("utf-8", errors="replace").strip().splitlines() or ["it said nothing"])[-1]
    return "it has no log"
