"""Bare SQL on the same table with the same indexes: what a queue that does nothing else could do here.

One client claims with SKIP LOCKED and marks what it claimed as done; no handler, no fence, no notification, no lease.

    python -m bench.bare URL BATCH
"""

import sys
from collections.abc import Mapping, Sequence

import psycopg

from bench.runs import ROOT
from bench.server import make_even, with_tables
from tests.databases import Server

BATCH = 100
CLAIM = """
UPDATE jobs SET status = 'running', attempt = attempt + 1, processor_id = 'bare', claim_no = 1,
    started_at = statement_timestamp()
WHERE id IN (
    SELECT id FROM jobs WHERE status = 'pending' AND type = 'nothing'
    ORDER BY priority DESC, created_at, id LIMIT %s FOR UPDATE SKIP LOCKED
) RETURNING id
"""
DONE = "UPDATE jobs SET status = 'completed', finished_at = statement_timestamp() WHERE id = ANY(%s)"


class Bare:
    name = "bare SQL"

    def __init__(self, server: Server) -> None:
        self._database = with_tables(server)

    def fill(self, jobs: int) -> None:
        self._database.rows("TRUNCATE jobs, job_errors, job_events, notifications")
        self._database.rows(f"INSERT INTO jobs (type) SELECT 'nothing' FROM generate_series(1, {jobs})")
        make_even(self._database, "jobs")

    def command(self) -> Sequence[str]:
        return [sys.executable, "-m", "bench.bare", self._database.url, str(BATCH)]

    def environment(self) -> Mapping[str, str]:
        return {"PYTHONPATH": str(ROOT)}

    def drained(self) -> tuple[int, float]:
        [(done, seconds)] = self._database.rows(
            "SELECT count(*), extract(epoch FROM max(finished_at) - min(started_at))::float"
            " FROM jobs WHERE status = 'completed'"
        )
        return done, seconds


def drain(url: str, batch: int) -> None:
    """Claim and mark until nothing is left."""
    with psycopg.connect(url, autocommit=True) as connection:
        while claimed := connection.execute(CLAIM, [batch]).fetchall():
            connection.execute(DONE, [[job for (job,) in claimed]])


if __name__ == "__main__":
    drain(sys.argv[1], int(sys.argv[2]))
