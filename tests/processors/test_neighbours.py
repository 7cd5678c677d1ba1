"""Trouble of one processor or one machine, and what the others may and may not conclude from it."""

import shutil
import signal
from pathlib import Path

import pytest

from tests.databases.server import Borrowed
from tests.processors.running import Site, eventually, is_alive
from tests.queue.test_quarantine import REFUSES_ROW_1


def set_in(site: Site, **values: object) -> None:
    """Change settings that are in the file already."""
    text = site.config.read_text()
    for name, value in values.items():
        lines = [f"{name} = {value}" if line.startswith(f"{name} = ") else line for line in text.splitlines()]
        text = "\n".join(lines)
    site.config.write_text(text)


def test_a_machine_that_can_start_nothing_gives_its_jobs_back(site: Site) -> None:
    """Where no private folder can be made, claiming on would fail every job there is."""
    work = site.folder / "work"
    processor = site.start()
    processor.await_event("processor_started")
    shutil.rmtree(work)
    work.write_text("a file where the folder was")
    for _ in range(6):
        site.insert("quick")
    refused = processor.await_event("machine_refused")
    assert str(work) in refused["error"] and refused["seconds"] > 0
    assert site.db.rows("SELECT count(*) FROM jobs WHERE status IN ('completed', 'failed')") == [(0,)]
    work.unlink()
    work.mkdir()
    for job in range(1, 7):
        assert site.await_status("completed", job)["attempt"] == 1
    assert sorted(site.starts()) == [(job, 1) for job in range(1, 7)]


def test_settings_with_a_folder_that_cannot_be_written_are_refused(site: Site) -> None:
    processor = site.start()
    processor.await_event("processor_started")
    blocked = site.folder / "blocked"
    blocked.write_text("a file")
    set_in(site, workdir=f'"{blocked}"')
    processor.signal(signal.SIGHUP)
    assert str(blocked) in processor.await_event("settings_refused")["error"]
    site.insert("quick")
    site.await_status("completed")


@pytest.mark.parametrize("db", ["postgresql"], indirect=True)
def test_a_table_that_somebody_locks_for_longer_than_a_lease_costs_no_job(site: Site, tmp_path: Path) -> None:
    """An ALTER TABLE waits for nobody and everybody waits for it; the heartbeat must not."""
    set_in(site, lease=20, heartbeat_interval=1)  # a look at the jobs gives up after 5 s
    site.insert("until", until=str(tmp_path / "go"))
    processor = site.start()
    eventually(site.starts, "the handler has started")
    with site.db.held("LOCK TABLE jobs IN ACCESS EXCLUSIVE MODE"):
        [(lease_until,)] = site.db.rows("SELECT lease_until FROM processors")
        passed = f"SELECT lease_until > '{lease_until}' FROM processors WHERE clock_timestamp() > '{lease_until}'"
        [(renewed,)] = eventually(lambda: site.db.rows(passed), "a lease has passed", patience=60)
        assert renewed
        assert processor.events("heartbeat_missed"), "the look at the jobs waited for the lock"
    (tmp_path / "go").touch()
    assert site.await_status("completed")["attempt"] == 1
    assert not processor.events("processor_fenced")


def test_the_dead_are_found_though_the_poll_is_longer_than_a_lease(site: Site, tmp_path: Path) -> None:
    site.insert("until", {"max_attempts": 1}, until=str(tmp_path / "never"))
    first = site.start()
    eventually(site.starts, "the handler has started")
    first.kill()
    for lock in (site.folder / "run").iterdir():
        lock.unlink()  # as if it had been another machine: only the lease can prove the death
    set_in(site, poll_interval=3600)
    second = site.start()
    second.await_event("processor_declared_dead", proof="lease")
    assert site.await_status("failed")["reason"] == "lost"


def test_a_neighbour_that_does_not_know_the_type_leaves_its_jobs_to_those_who_do(site: Site, tmp_path: Path) -> None:
    """Only who knows the type knows how often it may be tried."""
    site.write(types='[types.until]\npython = "deeds:until"\nmax_attempts = 3')
    set_in(site, lease=20)
    site.insert("until", until=str(tmp_path / "go"))
    first = site.start()
    eventually(site.starts, "the handler has started")
    first.kill()
    eventually(lambda: not any(is_alive(pid) for pid in site.handler_pids()), "the supervisor killed its workers")
    known = site.config.read_text()
    site.config.write_text(known.replace("[types.until]", "[types.other]"))
    stranger = site.start("--name", "stranger")
    stranger.await_event("processor_declared_dead", proof="lock")
    site.insert("quick")
    site.await_status("completed", 2)
    assert site.job()["status"] == "running"
    site.config.write_text(known)
    (tmp_path / "go").touch()
    site.start("--name", "knows it")
    assert site.await_status("completed")["attempt"] == 2


@pytest.mark.parametrize("db", ["mariadb"], indirect=True)
def test_a_result_at_which_the_server_hangs_up_fails_alone(site: Site) -> None:
    """It looks like a database that went away, again and again, while everything else is answered."""
    if isinstance(site.db.server.process, Borrowed):
        pytest.skip("changes a setting of the whole server, which must be one that the tests started themselves")
    [(before,)] = site.db.server.rows("SELECT @@global.max_allowed_packet")
    site.db.server.rows("SET GLOBAL max_allowed_packet = 1048576")
    try:
        site.write(types='[types.large]\npython = "deeds:large"\nmax_result_bytes = "4MiB"')
        site.insert("large", letters=2_000_000)
        site.insert("quick")
        site.start()
        site.await_status("completed", 2)
        assert site.await_status("failed")["reason"] == "unstorable"
    finally:
        site.db.server.rows(f"SET GLOBAL max_allowed_packet = {before}")


def test_a_row_that_nobody_may_change_delays_nobody_and_is_said_once(site: Site) -> None:
    for _ in range(3):
        site.insert("quick")
    for statement in REFUSES_ROW_1[site.db.kind]:
        site.db.rows(statement)
    processor = site.start("--drain")
    assert processor.wait() == 0
    assert [row[0] for row in site.db.rows("SELECT status FROM jobs ORDER BY id")] == ["pending", *["completed"] * 2]
    [line] = processor.events("row_refused")
    assert (line["job"], line["failed"]) == (1, False) and "row 1 is mine" in line["error"]
