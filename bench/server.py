"""A private PostgreSQL as the tests start it, but as an operator would: durable, on a disk, with some memory."""

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from tests.conftest import migrate
from tests.databases import Choice, Database, Server, Unavailable, choices, postgresql

T = TypeVar("T")
SETTINGS = {"shared_buffers": "512MB", "fsync": "on", "synchronous_commit": "on", "full_page_writes": "on"}
SAID = ("server_version", *SETTINGS)
TICKS = os.sysconf("SC_CLK_TCK")


@contextmanager
def started() -> Iterator[Server]:
    """Start the server, end it afterwards. Raises `Unavailable` where none can be had."""
    lie_on_disk()
    postgresql.SETTINGS.update(SETTINGS)
    choice = Choice("postgresql", (postgresql.in_docker, postgresql.from_machine, postgresql.from_wheel))
    try:
        yield choice.need()
    finally:
        choice.close()


def lie_on_disk() -> None:
    """Let data lie where a commit waits for a disk; the tests prefer memory."""
    lasting = Path("/var/tmp")  # noqa: S108 - the folder that is no memory where the other one is
    os.environ.setdefault("TEST_DATA_DIR", str(lasting) if lasting.is_dir() else tempfile.gettempdir())


def described(server: Server) -> str:
    """Say which server this is, and whether it is durable."""
    facts = ", ".join(f"{name} {server.rows(f'SHOW {name}')[0][0]}" for name in SAID)
    folder = getattr(server.process, "folder", None)
    return f"{server.source}: {facts}" + (f"; data below {folder.parent}" if folder else "")


def with_tables(server: Server) -> Database:
    """Make a database with our tables."""
    return server.create_migrated_database(migrate)


def make_even(database: Database, *tables: str) -> None:
    """Let every run begin alike: known statistics, no dead rows, nothing left to write."""
    for table in tables:
        database.rows(f"VACUUM ANALYZE {table}")
    database.server.rows("CHECKPOINT")


def cpu_seconds(server: Server) -> float | None:
    """Read the CPU time of the server and everything it started; None where it is no child of ours, or not Linux."""
    leader = getattr(server.process, "pid", None)
    if leader is None:
        return None
    try:
        children = Path(f"/proc/{leader}/task/{leader}/children").read_text().split()
        return _ticks(leader, reaped=True) + sum(_ticks(int(child)) for child in children)
    except OSError:
        return None


def _ticks(pid: int, *, reaped: bool = False) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11 : 15 if reaped else 13])) / TICKS


def on_each(postgresql: Server, measure: Callable[[Server], Iterator[T]]) -> Iterator[T | str]:
    """Give what is measured on this PostgreSQL and one of each other database, or say why there is none."""
    for kind, choice in choices().items():
        try:
            yield from measure(postgresql if kind == "postgresql" else choice.need())
        except Unavailable as error:
            yield str(error)
        finally:
            choice.close()
