"""PgQueuer beside us, in a virtual environment of its own (bench/.venv).

Its settings: uvloop, asyncpg with a pool, durable tables (its default), its own drain mode; batches of 100, as it was
measured before, and of 500, which is faster and no larger than ours. Its handler runs inside the process that talks to
the database; finished rows are moved to its log table.
"""

import subprocess
import sys
import venv
from collections.abc import Mapping, Sequence
from pathlib import Path

from bench.runs import Broken
from bench.server import make_even
from tests.databases import Server

FOLDER = Path(__file__).with_name(".venv")
PYTHON = FOLDER / "bin" / "python"
READY = FOLDER / "ready"
DRAIN = Path(__file__).with_name("peer_drain.py")
PACKAGES = ("pgqueuer==1.6.0", "asyncpg==0.32.0", "uvloop==0.23.0")
BATCHES = (100, 500)


class Missing(Exception):
    """The peer cannot be installed here; the message says why."""


def install() -> None:
    """Make the peer's environment, once. Raises `Missing`."""
    if READY.exists() and READY.read_text() == _wanted():
        return
    venv.create(FOLDER, clear=True, with_pip=True)
    pip = [str(PYTHON), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *PACKAGES]
    done = subprocess.run(pip, capture_output=True, text=True, check=False)  # noqa: S603 - our own list
    if done.returncode:
        raise Missing((done.stderr.strip().splitlines() or ["pip said nothing"])[-1])
    READY.write_text(_wanted())


def _wanted() -> str:
    return " ".join((sys.version.split()[0], *PACKAGES))


class PgQueuer:
    def __init__(self, server: Server, batch: int) -> None:
        self.name = f"PgQueuer {batch}"
        self._batch = batch
        self._database = server.create_database()
        self._call("install", self._database.url)

    def fill(self, jobs: int) -> None:
        self._database.rows("TRUNCATE pgqueuer, pgqueuer_log, pgqueuer_statistics")
        self._call("fill", self._database.url, str(jobs))
        make_even(self._database, "pgqueuer", "pgqueuer_log")

    def command(self) -> Sequence[str]:
        return [str(PYTHON), str(DRAIN), "drain", self._database.url, str(self._batch)]

    def environment(self) -> Mapping[str, str]:
        return {}

    def drained(self) -> tuple[int, float]:
        """Count what its log table says was done; its instants are those of its statements, as ours are."""
        [(done, seconds)] = self._database.rows(
            "SELECT count(*) FILTER (WHERE status = 'successful'),"
            " extract(epoch FROM max(created) FILTER (WHERE status = 'successful')"
            " - min(created) FILTER (WHERE status = 'picked'))::float FROM pgqueuer_log"
        )
        return done, seconds

    def _call(self, *arguments: str) -> None:
        command = [str(PYTHON), str(DRAIN), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - our own file
        if done.returncode:
            raise Broken(f"PgQueuer's {arguments[0]} failed: {done.stderr.strip()[-600:]}")
