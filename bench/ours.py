"""jobtable as users run it: a processor of its own process with everything on, ended by `--drain`."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from bench.runs import ROOT
from bench.server import make_even, with_tables
from tests.databases import Server
from tests.databases.machine import free_port

MAX_CONCURRENT = 1000
SETTINGS = """
[database]
url = "{url}"
[processor]
max_concurrent = {slots}
pythonpath = ["{root}"]
run_dir = "{folder}/run"
[metrics]
listen = "127.0.0.1:{port}"
[log]
level = "info"
format = "json"
[types.nothing]
python = "bench.handlers:nothing"
notify = "both"
"""


class Jobtable:
    name = "jobtable"

    def __init__(self, server: Server, folder: Path) -> None:
        self._database = with_tables(server)
        self._settings = folder / "jobtable.toml"
        self._settings.write_text(
            SETTINGS.format(url=self._database.url, slots=MAX_CONCURRENT, root=ROOT, folder=folder, port=free_port())
        )

    def fill(self, jobs: int) -> None:
        self._database.rows("TRUNCATE jobs, job_errors, job_events, notifications, processors")
        self._database.rows(f"INSERT INTO jobs (type) SELECT 'nothing' FROM generate_series(1, {jobs})")
        make_even(self._database, "jobs")

    def command(self) -> Sequence[str]:
        return [sys.executable, "-m", "processor", "--config", str(self._settings), "run", "--drain"]

    def environment(self) -> Mapping[str, str]:
        return {"PYTHONPATH": str(ROOT)}

    def drained(self) -> tuple[int, float]:
        """Count what is done and told: a job whose notification is missing is not done."""
        [(done, seconds)] = self._database.rows(
            "SELECT count(*), extract(epoch FROM max(jobs.finished_at) - min(jobs.started_at))::float"
            " FROM jobs JOIN notifications ON notifications.job_id = jobs.id WHERE jobs.status = 'completed'"
        )
        return done, seconds
