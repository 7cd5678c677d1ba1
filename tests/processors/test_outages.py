import json
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import migrate
from tests.databases import KINDS, Database, Server
from tests.databases.disks import SmallDisk, on_a_small_disk
from tests.processors.running import Site, eventually


@pytest.mark.parametrize("db", ["postgresql", "mariadb"], indirect=True)
def test_results_survive_a_database_restart_in_the_middle(site: Site, tmp_path: Path) -> None:
    site.config.write_text(site.config.read_text().replace("lease = 4", "lease = 60"))
    site.insert("until", until=str(tmp_path / "go"))
    processor = site.start()
    eventually(site.starts, "the handler has started")
    site.db.server.stop("kill")
    try:
        processor.await_event("database_lost")
        (tmp_path / "go").touch()
        eventually(lambda: not processor.workers(), "the handler has ended while the database is away")
    finally:
        site.db.server.start()
    processor.await_event("database_returned")
    assert site.await_status("completed")["attempt"] == 1
    assert site.starts() == [(1, 1)]
    assert site.db.rows("SELECT count(*) FROM notifications") == [(1,)]
    assert not processor.events("processor_fenced")


@pytest.mark.parametrize("db", ["sqlite"], indirect=True)
def test_results_survive_a_database_file_that_is_locked_by_somebody_else(site: Site, tmp_path: Path) -> None:
    site.config.write_text(site.config.read_text().replace("lease = 4", "lease = 60"))
    site.insert("until", until=str(tmp_path / "go"))
    processor = site.start()
    eventually(site.starts, "the handler has started")
    with site.db.held(begin="BEGIN EXCLUSIVE"):
        (tmp_path / "go").touch()
        processor.await_event("database_lost")
    assert site.await_status("completed")["attempt"] == 1
    assert site.db.rows("SELECT count(*) FROM notifications") == [(1,)]


@pytest.mark.parametrize("db", ["postgresql", "mariadb"], indirect=True)
def test_a_processor_waits_for_a_database_that_is_away_at_its_start(site: Site) -> None:
    site.insert("quick")
    site.db.server.stop()
    try:
        processor = site.start()
        assert "cannot be reached" in processor.await_event("database_lost")["error"]
    finally:
        site.db.server.start()
    site.await_status("completed")
    assert processor.running


@pytest.mark.parametrize("db", ["postgresql", "mariadb"], indirect=True)
def test_cut_connections_are_made_again(site: Site) -> None:
    processor = site.start()
    processor.await_event("processor_started")
    for number in range(1, 6):
        assert site.db.server.kill_backends(site.db.name) >= 1
        site.insert("quick")
        site.await_status("completed", number)
    processor.signal(signal.SIGTERM)
    assert processor.wait() == 0


def test_tables_that_are_missing_stop_the_start_with_the_command(empty_db: Database, tmp_path: Path) -> None:
    site = Site(empty_db, tmp_path)
    processor = site.start()
    assert processor.wait() == 1
    assert "jobtable migrate" in processor.tail()
    assert "Traceback" not in processor.tail()
    site.close()


def test_a_run_dir_that_cannot_be_written_stops_the_start(site: Site) -> None:
    (site.folder / "run").write_text("a file, no folder")
    processor = site.start()
    assert processor.wait() == 1
    assert "run_dir" in processor.tail()
    assert "Traceback" not in processor.tail()


def test_a_workdir_that_cannot_be_written_stops_the_start_and_fails_no_job(site: Site) -> None:
    (site.folder / "work").rmdir()
    (site.folder / "work").write_text("a file, no folder")
    site.insert("quick")
    processor = site.start()
    assert processor.wait() == 1
    assert "[processor] workdir" in processor.tail()
    assert "Traceback" not in processor.tail()
    assert site.job()["status"] == "pending"


def test_a_port_in_use_is_said_with_its_setting(site: Site) -> None:
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        processor = site.start("--metrics-listen", f"127.0.0.1:{taken.getsockname()[1]}")
        assert processor.wait() == 1
    assert "[metrics] listen" in processor.tail()


@pytest.mark.parametrize("db", ["postgresql", "mariadb"], indirect=True)
def test_a_wrong_password_is_said_without_showing_it_and_tried_again(site: Site) -> None:
    right = site.config.read_text()
    address, _, rest = site.db.url.partition("@")
    scheme, _, password = address.rpartition(":")
    assert password
    site.config.write_text(right.replace(site.db.url, f"{scheme}:swordfish@{rest}"))
    processor = site.start()
    error = processor.await_event("database_lost")["error"]
    assert "password" in error
    assert "swordfish" not in "".join(processor.raw)
    assert processor.running


@pytest.mark.parametrize("db", ["postgresql", "mariadb"], indirect=True)
def test_tables_in_a_schema_of_their_own_stand_beside_the_applications(site: Site) -> None:
    """The application has tables of our names already; ours are elsewhere, and its own are not touched."""
    schema = f"{site.db.name}_queue"
    site.db.rows(f"CREATE SCHEMA {schema}")
    site.write(database=f'schema = "{schema}"')
    site.command("migrate")
    try:
        site.db.rows(f"INSERT INTO {schema}.jobs (type, payload) VALUES ('quick', '{{\"log\": \"{site.log}\"}}')")
        site.db.rows(f"INSERT INTO {schema}.jobs (type, payload) VALUES ('fail', '{{\"log\": \"{site.log}\"}}')")
        site.insert("quick")
        site.drain()
        assert site.db.rows(f"SELECT status, reason FROM {schema}.jobs ORDER BY id") == [
            ("completed", "done"),
            ("failed", "error"),
        ]
        told = site.db.rows(f"SELECT count(*) FROM {schema}.notifications")
        assert (told, site.db.rows(f"SELECT count(*) FROM {schema}.job_errors")) == ([(2,)], [(1,)])
        assert site.job()["status"] == "pending"
        assert json.loads(site.command("list", "--json"))[0]["status"] == "failed"
    finally:
        site.close()
        site.db.rows(f"DROP SCHEMA {schema}" + (" CASCADE" if site.db.kind == "postgresql" else ""))


@pytest.fixture(params=KINDS)
def small(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Site, SmallDisk]]:
    """A place whose database has a disk of its own, of 24 MB."""
    with on_a_small_disk(request.getfixturevalue(request.param), 24, migrate) as (database, disk):
        site = Site(database, tmp_path)
        yield site, disk
        site.close()


def test_a_disk_that_is_really_full_keeps_the_results_until_there_is_room(small: tuple[Site, SmallDisk]) -> None:
    site, disk = small
    site.config.write_text(site.config.read_text().replace("lease = 4", "lease = 60"))
    go = site.folder / "go"
    site.insert("until", until=str(go), random_bytes=500_000)
    processor = site.start()
    eventually(site.starts, "the handler has started")
    disk.fill()
    go.touch()
    lost = processor.await_event("database_lost")["error"]
    assert "has no room to write" in lost
    assert site.job()["status"] == "running"
    disk.make_room()
    processor.await_event("database_returned")
    assert site.await_status("completed")["attempt"] == 1
    assert site.starts() == [(1, 1)]
    assert not processor.events("outcome_unstorable")


def test_a_write_that_fails_keeps_the_results_until_there_is_room(sqlite: Server, tmp_path: Path) -> None:
    """A limit on the size of files stands for the full disk: the write fails as it would, and can be lifted."""
    import resource

    given = sqlite.create_migrated_database(migrate)
    site = Site(given, tmp_path)
    site.insert("until", until=str(tmp_path / "go"), filler="x" * 1000)
    processor = site.start()
    eventually(site.starts, "the handler has started")
    unlimited = resource.prlimit(processor.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(processor.pid, resource.RLIMIT_FSIZE, (4096, unlimited[1]))
    (tmp_path / "go").touch()
    processor.await_event("database_lost")
    assert site.job()["status"] == "running"
    resource.prlimit(processor.pid, resource.RLIMIT_FSIZE, unlimited)
    processor.await_event("database_returned")
    assert site.await_status("completed")["attempt"] == 1
    site.close()
    given.drop()
