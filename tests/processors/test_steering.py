import signal
import sys
from pathlib import Path

import pytest

from tests.processors.running import Site, eventually, is_alive


def test_a_plain_update_cancels_a_waiting_job_at_once(site: Site) -> None:
    site.write(processor="")
    site.insert("quick", {"status": "paused"})
    processor = site.start()
    processor.await_event("processor_started")
    site.db.rows("UPDATE jobs SET cancel_requested = true")
    assert eventually(lambda: site.job()["status"] == "cancelled" and site.job(), "cancelled")["reason"] == "asked"
    assert site.starts() == []


@pytest.mark.parametrize("type_", ["until", "deaf", "slow_async"])
def test_a_plain_update_stops_a_running_job_whether_it_answers_or_not(site: Site, tmp_path: Path, type_: str) -> None:
    site.insert(type_, {"max_attempts": 5}, until=str(tmp_path / "never"))
    processor = site.start()
    eventually(site.starts, "the handler has started")
    site.db.rows("UPDATE jobs SET cancel_requested = true")
    assert site.await_status("cancelled")["reason"] == "asked"
    assert site.starts() == [(1, 1)]
    assert site.db.rows("SELECT status FROM notifications") == [("cancelled",)]
    if type_ != "slow_async":  # a shared worker lives on
        assert not is_alive(site.handler_pids()[0])
    assert processor.running


def test_sigterm_lets_running_jobs_finish_and_claims_no_more(site: Site, tmp_path: Path) -> None:
    site.insert("until", until=str(tmp_path / "go"))
    processor = site.start()
    eventually(site.starts, "the handler has started")
    processor.signal(signal.SIGTERM)
    processor.await_event("drain_started")
    site.insert("quick")
    beats = len(processor.events("heartbeat_sent"))
    eventually(lambda: len(processor.events("heartbeat_sent")) > beats + 2, "heartbeats while it drains")
    assert site.job()["status"] == "running"
    (tmp_path / "go").touch()
    assert processor.wait() == 0
    assert site.job()["status"] == "completed"
    assert site.job(2)["status"] == "pending"
    assert site.db.rows("SELECT status FROM processors") == [("stopped",)]


def test_a_processor_that_is_asked_to_drain_in_the_database_ends_as_on_sigterm(site: Site, tmp_path: Path) -> None:
    site.insert("until", until=str(tmp_path / "go"))
    processor, other = site.start(), site.start()
    eventually(site.starts, "the handler has started")
    holder = site.job()["processor_id"]
    for one in (processor, other):
        one.await_event("processor_started")
    if not processor.events("processor_started", processor=holder):
        processor, other = other, processor
    assert site.command("processors", "drain", holder).startswith(f"asked to drain: {holder}.")
    processor.await_event("drain_started", processor=holder, running=1)
    assert site.db.rows(f"SELECT status FROM processors WHERE id = '{holder}'") == [("draining",)]
    site.insert("quick")
    site.await_status("completed", 2)
    assert site.job(2)["processor_id"] != holder
    (tmp_path / "go").touch()
    assert processor.wait() == 0
    assert site.job()["status"] == "completed"
    assert site.db.rows(f"SELECT status FROM processors WHERE id = '{holder}'") == [("stopped",)]
    assert other.running
    assert not other.events("drain_started")


@pytest.mark.parametrize("second_signal", [True, False])
def test_the_deadline_or_a_second_signal_releases_what_is_left(site: Site, tmp_path: Path, second_signal: bool) -> None:
    if not second_signal:
        site.config.write_text(site.config.read_text().replace("drain_timeout = 20", "drain_timeout = 0.2"))
    site.insert("deaf", {"max_attempts": 3}, until=str(tmp_path / "never"))
    site.insert("deaf", until=str(tmp_path / "never"))
    processor = site.start()
    eventually(lambda: len(site.starts()) == 2, "both handlers have started")
    processor.signal(signal.SIGTERM)
    if second_signal:
        processor.await_event("drain_started")
        processor.signal(signal.SIGTERM)
    assert processor.wait() == 0
    released, once_only = site.job(1), site.job(2)
    assert (released["status"], released["reason"], released["attempt"]) == ("pending", "release", 0)
    assert (once_only["status"], once_only["reason"]) == ("failed", "stopped")
    assert not any(is_alive(pid) for pid in site.handler_pids())


def test_a_job_that_was_given_back_before_it_began_is_not_lost(site: Site, tmp_path: Path) -> None:
    """`max_attempts = 1` promises one start at most, so what never started waits for the next processor."""
    slow = tmp_path / "slow-python"
    slow.write_text(f'#!/bin/sh\ncase "$*" in *--describe*) exec {sys.executable} "$@";; esac\nexec sleep 1000\n')
    slow.chmod(0o755)
    site.write(types=f'[types.quick]\npython = "deeds:quick"\ninterpreter = "{slow}"')
    site.insert("quick")
    processor = site.start()
    site.await_status("running")
    processor.signal(signal.SIGTERM)
    processor.await_event("drain_started")
    processor.signal(signal.SIGTERM)
    assert processor.wait() == 0
    job = site.job()
    assert (job["status"], job["reason"], job["attempt"]) == ("pending", "release", 0)


def test_sighup_reads_the_settings_again(site: Site) -> None:
    site.insert("newcomer")
    processor = site.start()
    processor.await_event("unknown_type_found")
    site.write(types='[types.newcomer]\npython = "deeds:quick"')
    processor.signal(signal.SIGHUP)
    processor.await_event("settings_reloaded")
    site.await_status("completed")


def test_jobs_end_while_the_settings_are_read(site: Site, tmp_path: Path) -> None:
    """A user's module may take long to say what it is; nothing waits for it."""
    slow, go = tmp_path / "slow-python", tmp_path / "go"
    slow.write_text(f'#!/bin/sh\nwhile [ ! -e {go} ]; do sleep 0.05; done\nexec {sys.executable} "$@"\n')
    slow.chmod(0o755)
    processor = site.start()
    processor.await_event("processor_started")
    site.write(types=f'[types.newcomer]\npython = "deeds:quick"\ninterpreter = "{slow}"')
    processor.signal(signal.SIGHUP)
    site.insert("quick")
    site.await_status("completed")
    assert not processor.events("settings_reloaded")
    go.touch()
    processor.await_event("settings_reloaded")
    site.insert("newcomer")
    site.await_status("completed", 2)


def test_settings_that_cannot_be_used_change_nothing(site: Site) -> None:
    processor = site.start()
    processor.await_event("processor_started")
    site.config.write_text("[processor]\nmax_concurrrent = 1")
    processor.signal(signal.SIGHUP)
    assert "max_concurrent" in processor.await_event("settings_refused")["error"]
    site.insert("quick")
    site.await_status("completed")


def test_a_paused_type_waits_until_it_is_resumed(site: Site) -> None:
    site.db.rows("INSERT INTO job_types (name, paused) VALUES ('quick', true)")
    site.insert("quick")
    site.insert("nothing")
    site.start()
    site.await_status("completed", 2)
    assert site.job()["status"] == "pending"
    site.db.rows("UPDATE job_types SET paused = false")
    site.await_status("completed")
