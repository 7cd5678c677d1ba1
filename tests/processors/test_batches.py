"""Parents and children, on real processors."""

import json
import os
import signal
import subprocess
import sys
from typing import Any

import pytest

from tests.processors.running import PATIENCE, ROOT, Site, eventually

SPLIT = """
[types.split]
python = "deeds:split"
[types.shell]
command = ["{folder}/split.sh"]
"""


def result(site: Site, job: int) -> Any:
    written = "CAST(result AS text)" if site.db.kind == "postgresql" else "result"
    return json.loads(site.db.rows(f"SELECT {written} FROM jobs WHERE id = {job}")[0][0])


def slow_poll(site: Site, types: str = "") -> None:
    """Let nothing wait for a poll that is not seen to come."""
    site.write(types=types, processor="poll_interval = 300")
    site.config.write_text(site.config.read_text().replace("poll_interval = 0.05\n", "", 1))


def test_a_handler_splits_its_work_and_nothing_waits_for_a_poll(site: Site) -> None:
    slow_poll(site, SPLIT)
    site.insert("split", {"on_complete": "nothing"}, parts=5)
    site.start()
    site.await_status("completed")
    found = result(site, 1)
    assert (found["completed"], found["returned"]) == (5, "split")
    assert [child["result"] for child in found["children"]] == [{"attempt": 1}] * 5
    eventually(lambda: site.db.rows("SELECT count(*) FROM jobs WHERE status = 'completed'") == [(7,)], "what follows")


def test_a_command_splits_its_work_on_fd_3(site: Site) -> None:
    script = site.folder / "split.sh"
    script.write_text(
        "#!/bin/sh\n"
        """for n in 1 2; do printf '{"enqueue": {"type": "nothing", "parent_id": %s}}\\n' "$JOB_ID" >&3; done\n"""
    )
    script.chmod(0o755)
    site.write(types=SPLIT.format(folder=site.folder))
    site.insert("shell")
    site.start()
    site.await_status("completed")
    assert result(site, 1)["completed"] == 2


def test_a_batch_needs_no_handler_and_no_configuration(site: Site) -> None:
    slow_poll(site)
    site.db.rows("INSERT INTO jobs (type) VALUES ('batch')")
    for _ in range(3):
        site.insert("nothing", {"parent_id": 1})
    site.start()
    assert site.await_status("completed")["progress"] == 100
    assert result(site, 1)["completed"] == 3


def test_children_of_children_end_their_parents_in_turn(site: Site) -> None:
    slow_poll(site)
    site.db.rows("INSERT INTO jobs (type) VALUES ('batch')")
    for generation in range(1, 15):
        site.db.rows(f"INSERT INTO jobs (type, parent_id) VALUES ('batch', {generation})")
    site.insert("nothing", {"parent_id": 15})
    site.drain()
    assert site.db.rows("SELECT DISTINCT status FROM jobs") == [("completed",)]


def test_a_cancelled_batch_stops_what_runs(site: Site) -> None:
    site.db.rows("INSERT INTO jobs (type) VALUES ('batch')")
    for _ in range(6):
        site.insert("until", {"parent_id": 1}, until=str(site.folder / "never"))
    site.start()
    eventually(lambda: len(site.starts()) == 4, "four children run")
    site.await_status("waiting")
    site.db.rows("UPDATE jobs SET cancel_requested = true WHERE id = 1")
    eventually(lambda: site.job(1)["status"] == "cancelled", "the parent is cancelled")
    assert site.db.rows("SELECT DISTINCT status FROM jobs") == [("cancelled",)]
    assert len(site.starts()) == 4


def test_a_failed_child_fails_its_parent_with_its_words(site: Site) -> None:
    site.db.rows("INSERT INTO jobs (type, on_failure) VALUES ('batch', 'nothing')")
    site.insert("fail", {"parent_id": 1})
    site.insert("nothing", {"parent_id": 1})
    site.start()
    job = eventually(lambda: site.job(1) if site.job(1)["status"] == "failed" else None, "it fails")
    assert (job["reason"], job["error_type"]) == ("children", "ChildrenFailed")
    assert "Of 2 children 1 failed" in job["error_message"]
    eventually(lambda: site.db.rows("SELECT status FROM jobs WHERE id = 4") == [("completed",)], "what follows")


POINTS = [
    "processor.work.settling:settle:before",
    "processor.work.settling:settle:after",
    "processor.queue.endings:end:before",
    "processor.queue.endings:_write:before",
    "processor.queue.endings:_write:after",
    "processor.queue.parents:let_go:before",
]


@pytest.mark.parametrize("point", POINTS)
def test_a_daemon_killed_at_any_point_ends_each_parent_once(site: Site, point: str) -> None:
    site.write(types=SPLIT)
    site.insert("split", {"on_complete": "nothing", "max_attempts": 3}, parts=3, max_attempts=3)
    processor = site.start("--drain", program=["-m", "tests.processors.crashing", point])
    assert processor.wait() == -signal.SIGKILL
    site.start()
    eventually(lambda: site.job(1)["status"] == "completed", "the parent has ended")
    children = len(result(site, 1)["children"])
    assert children == result(site, 1)["completed"] == 3
    eventually(lambda: site.db.rows("SELECT count(*) FROM jobs WHERE status = 'completed'") == [(5,)], "all have ended")
    assert site.db.rows("SELECT count(*) FROM notifications WHERE job_id = 1") == [(1,)]


@pytest.mark.parametrize("point", ["insert_jobs:before", "_release:before", "_release:after"])
def test_an_enqueue_that_is_killed_puts_in_all_or_nothing_that_runs(site: Site, point: str) -> None:
    (site.folder / "lines").write_text('{"type": "nothing"}\n' * 2500)
    program = ["-m", "tests.processors.crashing", f"processor.queue.batches:{point}"]
    finished = subprocess.run(
        [sys.executable, *program, "--config", str(site.config), "enqueue", "--batch", "lines"],
        cwd=site.folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        timeout=PATIENCE,
    )
    assert finished.returncode == -signal.SIGKILL
    site.drain()
    done = site.db.rows("SELECT count(*) FROM jobs WHERE type = 'nothing' AND status = 'completed'")
    assert done == [(2500 if point.endswith("after") else 0,)]
    if not point.endswith("after"):
        assert site.job(1)["status"] == "paused"
        site.command("cancel", "1")
        site.drain()
        assert site.db.rows("SELECT count(*) FROM jobs WHERE status <> 'cancelled'") == [(0,)]
