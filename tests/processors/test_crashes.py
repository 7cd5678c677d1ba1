"""kill -9 of worker, supervisor and daemon, in each phase; and a daemon that only seems dead."""

import os
import signal
import sqlite3
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from tests.databases.machine import free_port
from tests.processors.running import Processor, Site, eventually, is_alive, scrape


def test_a_claim_whose_answer_is_lost_is_given_back_and_run(site: Site) -> None:
    """The claim was committed and its daemon lives: nothing was started, so the attempt does not count."""
    site.insert("quick")
    processor = site.start(program=["-m", "tests.processors.crashing", "processor.work.claiming:claim:lost"])
    processor.await_event("database_lost")
    assert processor.await_event("claims_released")["cause"] == "abandoned"
    assert site.await_status("completed")["attempt"] == 1
    assert site.starts() == [(1, 1)]
    assert not processor.events("processor_fenced")


def test_a_restart_after_kill_9_fails_the_stale_rows_within_two_seconds(site: Site, tmp_path: Path) -> None:
    site.insert("until", until=str(tmp_path / "never"))
    site.insert("until", {"max_attempts": 2}, until=str(tmp_path / "never"))
    first = site.start()
    eventually(lambda: len(site.starts()) == 2, "both handlers have started")
    first.kill()
    eventually(lambda: not any(is_alive(pid) for pid in site.handler_pids()), "the supervisor killed its workers")
    second = site.start()
    second.await_event("processor_started")
    started = time.monotonic()
    site.await_status("failed")
    eventually(lambda: len(site.starts()) == 3, "the other one is tried again")
    assert time.monotonic() - started < 2.0
    assert site.job()["reason"] == "lost"
    assert second.events("processor_declared_dead", proof="lock")
    locks = [file.stem for file in (site.folder / "run").iterdir()]
    assert locks == [second.await_event("processor_started")["processor"]], "the lock of the dead one is removed"


def test_a_killed_worker_is_one_failed_attempt(site: Site) -> None:
    site.insert("die", {"max_attempts": 2})
    site.insert("quick")
    site.start()
    job = site.await_status("failed")
    assert (job["reason"], job["attempt"]) == ("exit", 2)
    assert "SIGKILL" in job["error_message"]
    site.await_status("completed", 2)


def test_a_job_that_kills_its_worker_three_times_is_poison(site: Site) -> None:
    site.insert("die", {"max_attempts": 50})
    site.start()
    job = site.await_status("failed")
    assert (job["reason"], job["attempt"]) == ("poison", 3)


def test_a_killed_supervisor_is_replaced_and_its_jobs_are_lost(site: Site, tmp_path: Path) -> None:
    site.insert("until", until=str(tmp_path / "go"))
    site.insert("until", {"max_attempts": 2}, until=str(tmp_path / "go"))
    processor = site.start()
    eventually(lambda: len(site.starts()) == 2, "both handlers have started")
    [supervisor] = processor.children()
    workers = site.handler_pids()
    os.kill(supervisor, signal.SIGKILL)
    processor.await_event("supervisor_lost")
    assert site.await_status("failed")["reason"] == "lost"
    eventually(lambda: not any(is_alive(pid) for pid in workers), "the workers went with their supervisor")
    (tmp_path / "go").touch()
    assert site.await_status("completed", 2)["attempt"] == 2
    assert processor.children() != [supervisor]


def slow_python(site: Site) -> Path:
    """An interpreter that begins when `go` appears, so that a worker can be met while it starts."""
    slow = site.folder / "slow-python"
    waiting = f"while [ ! -e {site.folder}/go ]; do sleep 0.02; done"
    slow.write_text(f'#!/bin/sh\ncase "$*" in *--describe*) ;; *) {waiting};; esac\nexec {sys.executable} "$@"\n')
    slow.chmod(0o755)
    return slow


@pytest.mark.parametrize("victim", ["supervisor", "worker"])
def test_a_kill_while_the_worker_starts_is_one_attempt(site: Site, victim: str) -> None:
    site.write(types=f'[types.quick]\npython = "deeds:quick"\ninterpreter = "{slow_python(site)}"\nmax_attempts = 2')
    site.insert("quick")
    processor = site.start()
    [worker] = eventually(processor.workers, "a worker is starting")
    [supervisor] = processor.children()
    os.kill(supervisor if victim == "supervisor" else worker, signal.SIGKILL)
    (site.folder / "go").touch()
    assert site.await_status("completed")["attempt"] == 2
    [(reason,)] = site.db.rows("SELECT reason FROM job_errors")
    assert reason == ("lost" if victim == "supervisor" else "exit")
    assert site.starts() == [(1, 2)]


def test_a_supervisor_killed_while_nothing_runs_costs_nothing(site: Site) -> None:
    processor = site.start()
    processor.await_event("processor_started")
    [supervisor] = processor.children()
    os.kill(supervisor, signal.SIGKILL)
    processor.await_event("supervisor_lost", running=0)
    site.insert("quick")
    assert site.await_status("completed")["attempt"] == 1


def test_a_worker_killed_between_two_jobs_costs_nothing(site: Site) -> None:
    site.write(types='[types.quick]\npython = "deeds:quick"\njobs_per_worker = 5')
    site.insert("quick")
    processor = site.start()
    site.await_status("completed")
    [resting] = processor.workers()
    assert site.handler_pids() == [resting]
    os.kill(resting, signal.SIGKILL)
    eventually(lambda: not is_alive(resting), "it is gone")
    site.insert("quick")
    assert site.await_status("completed", 2)["attempt"] == 1


def test_a_daemon_stopped_past_its_lease_cannot_complete_the_job(site: Site, tmp_path: Path) -> None:
    site.write(processor="")
    site.insert("until", {"max_attempts": 2}, until=str(tmp_path / "go"))
    sleeper = site.start("--name", "sleeper")
    eventually(site.starts, "the handler has started")
    [old_worker] = site.handler_pids()
    stop(site, sleeper)
    rival = site.start("--name", "rival")
    rival.await_event("processor_declared_dead", proof="lease")
    eventually(lambda: len(site.starts()) == 2, "the rival runs the second attempt")
    assert not is_alive(old_worker), "the supervisor kept the deadline though its daemon was stopped"
    sleeper.signal(signal.SIGCONT)
    sleeper.await_event("stale_outcome_refused", job=1)
    sleeper.await_event("processor_fenced")
    eventually(lambda: len(sleeper.events("processor_started")) == 2, "it comes back as somebody new")
    assert site.job()["status"] == "running"
    (tmp_path / "go").touch()
    job = site.await_status("completed")
    assert job["attempt"] == 2
    assert job["processor_id"] == rival.await_event("processor_started")["processor"]
    assert site.db.rows("SELECT count(*) FROM notifications") == [(1,)]


def test_a_result_that_comes_after_the_lease_is_refused_and_counted(site: Site, tmp_path: Path) -> None:
    """The handler returns while its daemon is stopped; meanwhile a rival runs the second attempt."""
    go, listen = tmp_path / "go", f"127.0.0.1:{free_port()}"
    site.write(listen=listen)
    site.insert("until", {"max_attempts": 2}, until=str(go))
    sleeper = site.start("--name", "sleeper")
    eventually(site.starts, "the handler has started")
    [worker] = site.handler_pids()
    stop(site, sleeper)
    go.touch()
    eventually(lambda: not is_alive(worker), "the handler has returned")
    go.unlink()
    site.write()
    rival = site.start("--name", "rival")
    rival.await_event("processor_declared_dead", proof="lease")
    eventually(lambda: len(site.starts()) == 2, "the rival runs the second attempt")
    sleeper.signal(signal.SIGCONT)
    sleeper.await_event("stale_outcome_refused", job=1, attempt=1, outcome="returned")
    job = site.job()
    assert (job["status"], job["attempt"]) == ("running", 2)
    assert job["processor_id"] == rival.await_event("processor_started")["processor"]
    eventually(lambda: scrape(listen)['jobtable_stale_outcomes_total{type="until"}'] == 1, "it is counted")
    assert site.db.rows("SELECT count(*) FROM notifications") == [(0,)]


def test_an_incarnation_that_was_fenced_does_not_seem_alive(site: Site, tmp_path: Path) -> None:
    """It ran past its own deadline with nobody to declare it dead: it says itself that it is over."""
    site.insert("until", until=str(tmp_path / "never"))
    processor = site.start()
    eventually(site.starts, "the handler has started")
    stop(site, processor)
    worker = site.handler_pids()[0]
    eventually(lambda: not is_alive(worker), "the supervisor kept the deadline")
    processor.signal(signal.SIGCONT)
    eventually(lambda: len(processor.events("processor_started")) == 2, "it comes back as somebody new")
    first, second = [line["processor"] for line in processor.events("processor_started")]
    eventually(lambda: site.db.rows(f"SELECT status FROM processors WHERE id = '{first}'") == [("stopped",)], "over")
    assert site.db.rows(f"SELECT status FROM processors WHERE id = '{second}'") == [("live",)]
    assert site.await_status("failed")["reason"] in ("stopped", "lost")


def stop(site: Site, processor: Processor) -> None:
    """SIGSTOP; on SQLite not while it holds the one lock that everybody needs, which would stop everybody."""
    _stop(processor)
    if site.db.kind == "sqlite":
        while not _can_write(site):
            processor.signal(signal.SIGCONT)  # for as long as it needs: stopped again at once it would keep the lock
            eventually(lambda: _can_write(site), "it has let go of the lock")
            _stop(processor)


def _stop(processor: Processor) -> None:
    """Send SIGSTOP, and wait until every thread stands: one that still runs could take the lock after we looked."""
    processor.signal(signal.SIGSTOP)
    eventually(lambda: all(_stands(thread) for thread in Path(f"/proc/{processor.pid}/task").iterdir()), "all stand")


def _stands(thread: Path) -> bool:
    return (thread / "stat").read_text().rpartition(")")[2].split()[0] == "T"


def _can_write(site: Site) -> bool:
    with closing(site.db.server.connect(site.db.name, 0.2)) as connection:
        try:
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("ROLLBACK")
        except sqlite3.OperationalError:
            return False
    return True


def test_a_healthy_neighbour_is_never_declared_dead(site: Site, tmp_path: Path) -> None:
    site.insert("until", until=str(tmp_path / "go"))
    owner = site.start("--name", "same")
    eventually(site.starts, "the handler has started")
    neighbour = site.start("--name", "same")
    neighbour.await_event("processor_started")
    eventually(lambda: len(neighbour.events("heartbeat_sent")) >= 12, "longer than a lease")
    assert not neighbour.events("processor_declared_dead")
    (tmp_path / "go").touch()
    assert site.await_status("completed")["attempt"] == 1
    assert owner.running
