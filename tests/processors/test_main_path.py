import json
import signal
import subprocess
from pathlib import Path

import pytest

from tests.processors.running import Site, eventually


def test_a_row_goes_in_the_work_is_done_the_row_says_so(site: Site) -> None:
    site.db.rows("INSERT INTO jobs (type) VALUES ('nothing')")
    site.drain()
    assert site.db.rows("SELECT status, reason, attempt, progress FROM jobs") == [("completed", "done", 1, 100.0)]
    assert site.db.rows("SELECT job_id, status FROM notifications") == [(1, "completed")]


def test_a_row_from_the_databases_own_client_is_run(site: Site) -> None:
    command = site.db.server.client_command(site.db.url)
    if command is None:
        pytest.skip(f"the command-line client of {site.db.kind} is not on this machine; install it to run this test")
    subprocess.run(command, input=b"INSERT INTO jobs (type) VALUES ('nothing');", check=True, timeout=30)
    site.drain()
    assert site.job()["status"] == "completed"


def test_jobs_run_by_priority_then_creation(site: Site) -> None:
    site.write(processor="max_processes = 1")
    for created, priority in ((3, 5), (2, 5), (4, 9), (1, 1), (1, 5)):
        site.insert("quick", {"priority": priority, "created_at": f"2026-01-0{created} 00:00:00"})
    site.drain()
    assert [job for job, _ in site.starts()] == [3, 5, 2, 1, 4]


def test_a_running_processor_finds_new_rows(site: Site) -> None:
    processor = site.start()
    processor.await_event("processor_started")
    site.insert("quick")
    site.await_status("completed")
    site.insert("quick_async")
    site.await_status("completed", 2)
    processor.signal(signal.SIGTERM)
    assert processor.wait() == 0


@pytest.mark.parametrize("db", ["postgresql"], indirect=True)
def test_a_wake_up_shortens_the_poll(site: Site) -> None:
    site.write(database="wakeup = true", processor="")
    told = site.command("migrate")
    assert "installed the wake-up trigger" in told
    site.config.write_text(site.config.read_text().replace("poll_interval = 0.05", "poll_interval = 3600"))
    processor = site.start()
    processor.await_event("claim_finished")
    eventually(lambda: site.db.rows("SELECT 1 FROM wakeups WHERE asleep"), "the processor says it is asleep")
    eventually(lambda: site.db.rows("SELECT 1 FROM pg_stat_activity WHERE query = 'LISTEN jobtable'"), "it listens")
    site.insert("quick")
    site.await_status("completed")


def test_what_a_job_tells_can_be_read_while_and_after_it_runs(site: Site, tmp_path: Path) -> None:
    site.insert("until", until=str(tmp_path / "go"))
    site.insert("talk")
    processor = site.start()
    eventually(lambda: site.job()["progress"] == 10.0, "progress while it runs")
    assert site.job()["status"] == "running"
    (tmp_path / "go").touch()
    site.await_status("completed")
    site.await_status("completed", 2)
    told = site.db.rows("SELECT kind, level, text FROM job_events WHERE job_id = 2 ORDER BY number")
    assert ("log", "info", "line 4") in told
    assert ("log", "stdout", "printed 4") in told
    assert ("output", None, "all of it") in told
    numbers = [n for (n,) in site.db.rows("SELECT number FROM job_events WHERE job_id = 2 ORDER BY number")]
    assert numbers == list(range(1, len(numbers) + 1))
    assert processor.running


def test_a_failed_job_is_retried_and_its_history_kept(site: Site) -> None:
    site.insert("fail_once", {"max_attempts": 3})
    site.start()
    site.await_status("completed")
    assert site.starts() == [(1, 1), (1, 2)]
    assert site.db.rows("SELECT attempt, reason, error_message FROM job_errors") == [(1, "error", "busy")]


def test_only_chosen_exceptions_are_retried(site: Site) -> None:
    site.write(types='[types.fail]\npython = "deeds:fail"\nretry_on = ["OSError"]\nmax_attempts = 5')
    site.insert("fail")
    site.drain()
    assert site.starts() == [(1, 1)]
    assert site.job()["error_message"] == "no good"


def test_jobs_that_a_job_enqueued_run_after_it(site: Site) -> None:
    site.insert("spawn_more")
    site.drain()
    assert site.db.rows("SELECT type, status FROM jobs WHERE id > 1") == [("quick", "completed")] * 3


def test_a_handler_inherits_no_secret_of_the_daemon(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JOBTABLE_DATABASE__URL", site.db.url)
    monkeypatch.setenv("PGPASSWORD", "secret")
    site.insert("environment")
    site.drain()
    [(result,)] = site.db.rows("SELECT result FROM jobs")
    names = set(result if isinstance(result, dict) else json.loads(result))
    assert "PATH" in names
    assert not [name for name in names if name.startswith(("PG", "JOBTABLE_DATABASE"))]


def test_an_unknown_type_stays_pending_and_is_said_once(site: Site) -> None:
    site.insert("nobody")
    processor = site.start()
    processor.await_event("unknown_type_found", type="nobody", jobs=1)
    eventually(lambda: len(processor.events("rows_sampled")) >= 3, "three samples")
    assert len(processor.events("unknown_type_found")) == 1
    assert site.job()["status"] == "pending"


def test_a_payload_over_the_limit_fails_as_malformed_and_delays_nobody(site: Site) -> None:
    site.write(processor="max_payload_bytes = 2000")
    site.insert("quick", {"priority": 9}, filler="x" * 5000)
    site.insert("quick")
    site.drain()
    job = site.job()
    assert (job["status"], job["reason"]) == ("failed", "malformed")
    assert "max_payload_bytes" in job["error_message"]
    assert site.job(2)["status"] == "completed"
