"""The hot statements as each database really gets them, kept as text so that a change is read as SQL in the diff.

After a change that is meant: `JOBTABLE_WRITE_STATEMENTS=1 make test ARGS="-k statements"`, and read the diff.
"""

import os
import re
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event

from processor.outcome import Kind
from processor.queue import leases, upkeep
from processor.queue.events import Event, Told, store
from processor.queue.settle import settle
from tests.queue.conftest import Queue, verdict_of

KEPT = Path(__file__).with_name("statements")


def hear(queue: Queue) -> list[str]:
    heard: list[str] = []

    def note(connection: Any, cursor: Any, statement: str, *rest: Any) -> None:
        heard.append(re.sub(r"[ \t]*\n[ \t]*", "\n", statement).strip())

    event.listen(queue.database._engine, "before_cursor_execute", note)
    return heard


def verbs(queue: Queue) -> dict[str, list[str]]:
    """Run each hot verb once and give the statements it sent."""
    said: dict[str, list[str]] = {}
    heard = hear(queue)

    def keep(name: str) -> None:
        said[name] = list(heard)
        heard.clear()

    [job] = queue.claim(types="a B", jobs=10, processes=5)
    keep("claim")
    queue.claim(types=" ".join(f"t{n}" for n in range(25)), jobs=10, processes=5)
    keep("claim of many types, none of them due")
    store(queue.database, [Told(job.id, "p1", job.claim_no, 1, (Event("log", "info", None, "hello"),))])
    keep("store events")
    settle(queue.database, [verdict_of(job, Kind.RAISED, error_message="no")])
    keep("settle")
    leases.beat(queue.database, "p1", 60)
    keep("heartbeat")
    for move in (upkeep.park, upkeep.promote):
        move(queue.database)
    upkeep.cancel_asked(queue.database, lambda type_, status: True)
    keep("upkeep with nothing to do")
    return said


def test_the_hot_statements_are_those_that_were_reviewed(queue: Queue) -> None:
    queue.insert("type", "'a'")
    text = "\n".join(f"-- {verb}\n\n" + "\n\n".join(sent) + "\n" for verb, sent in verbs(queue).items())
    kept = KEPT / f"{queue.kind}.sql"
    if os.environ.get("JOBTABLE_WRITE_STATEMENTS"):
        kept.parent.mkdir(exist_ok=True)
        kept.write_text(text)
    assert text == kept.read_text()


@pytest.mark.parametrize("rows", [20_000])
def test_the_claim_reads_its_order_from_the_index(queue: Queue, rows: int) -> None:
    """No sort of all rows, no scan of all rows, with most of them of a type that is paused."""
    queue.rows("INSERT INTO job_types (name, paused) VALUES ('b', true)")
    for _ in range(rows // 2000):
        queue.insert("type", *["'b'"] * 1000, *["'a'"] * 1000)
    analyze = {"postgresql": "ANALYZE jobs", "mariadb": "ANALYZE TABLE jobs", "sqlite": "ANALYZE"}
    queue.rows(analyze[queue.kind])
    plan = "\n".join(str(row) for row in queue.rows(_explain(queue)))
    assert "jobs_due" in plan, plan
    for bad in ("Seq Scan on jobs", "Sort Key: jobs", "filesort", "USE TEMP B-TREE", "SCAN jobs"):
        assert bad not in plan, plan


def _explain(queue: Queue) -> str:
    word = "EXPLAIN QUERY PLAN" if queue.kind == "sqlite" else "EXPLAIN"
    lock = "" if queue.kind == "sqlite" else " FOR UPDATE SKIP LOCKED"
    return (
        f"{word} SELECT id FROM jobs WHERE status = 'pending' AND type = 'a'"
        " AND (run_at IS NULL OR run_at <= created_at) AND NOT cancel_requested"
        f" ORDER BY priority DESC, created_at, id LIMIT 100{lock}"
    )
