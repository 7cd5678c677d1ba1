"""A queue to work on: an opened database of each kind, and a few words to say what a test needs."""

import re
from collections.abc import Iterator
from typing import Any

import pytest

from processor.db import Database
from processor.judge import Policy, judge
from processor.outcome import Kind, Outcome
from processor.queue import leases
from processor.queue.claim import ClaimedJob, Slots, Taken, Wanted, claim
from processor.queue.rules import Rules
from processor.queue.settlement import Settlement
from tests.databases import Database as Given


class Queue:
    """One database as the verbs see it (`database`) and as a stranger sees it (`rows`)."""

    def __init__(self, given: Given) -> None:
        self.given = given
        self.kind = given.kind
        self.database = Database(given.url)
        self._claim_no = 0

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        return self.given.rows(sql)

    def insert(self, columns: str, *values: str) -> None:
        """Insert jobs as any program would: a plain INSERT."""
        quoted = re.sub(r"\bkey\b", "`key`", columns) if self.kind == "mariadb" else columns
        self.rows(f"INSERT INTO jobs ({quoted}) VALUES {', '.join(f'({value})' for value in values)}")

    def status(self, job_id: int) -> tuple[Any, ...]:
        return self.rows(f"SELECT status, reason FROM jobs WHERE id = {job_id}")[0]

    def register(self, processor_id: str, lease: float = 60.0, lock_file: str | None = None, types: str = "{}") -> None:
        leases.register(
            self.database, leases.Registration(processor_id, "test", "here", 1, "0", types, 3, lock_file), lease
        )

    def claim(
        self,
        processor_id: str = "p1",
        types: str = "a",
        jobs: int = 100,
        processes: int = 100,
        **rules: Any,
    ) -> list[ClaimedJob]:
        """Claim by the next claim number; a type in capitals needs no process of its own."""
        return self.take(processor_id, types, jobs, processes, **rules).jobs

    def take(
        self,
        processor_id: str = "p1",
        types: str = "a",
        jobs: int = 100,
        processes: int = 100,
        limits: dict[str, dict[str, Any]] | None = None,
        **rules: Any,
    ) -> Taken:
        """Claim, and give all that the claim did; `limits` are the rules of single types, `rules` those of all."""
        self._claim_no += 1
        wanted = [Wanted(name, not name.isupper(), Rules(**(limits or {}).get(name, rules))) for name in types.split()]
        return claim(
            self.database,
            processor_id,
            self._claim_no,
            wanted,
            Slots(jobs, processes),
            max_payload_bytes=1000,
            notifies=lambda type_, status: True,
        )


def verdict_of(
    job: ClaimedJob, kind: Kind, processor_id: str = "p1", policy: Policy | None = None, **facts: Any
) -> Settlement:
    """Judge an outcome of a claimed job, with chance in the middle."""
    verdict = judge(
        Outcome(kind, **facts),
        attempt=job.attempt,
        crashes=job.crashes,
        cancelled=False,
        policy=policy or Policy(),
        chance=0.5,
    )
    return Settlement.of(job, processor_id, job.claim_no, verdict)


@pytest.fixture
def queue(db: Given) -> Iterator[Queue]:
    queue = Queue(db)
    queue.register("p1")
    yield queue
    queue.database.close()
