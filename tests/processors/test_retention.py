"""Old rows are deleted by processors while they work."""

import signal

import pytest
from sqlalchemy import create_engine, text

from processor.db import Database
from tests.databases.machine import free_port
from tests.processors.running import Site, eventually, scrape

OLD = "2026-01-01 00:00:00"
TYPES = """
[types.quick]
python = "deeds:quick"
[types.quick.retention]
failed = "never"
"""


def ended(site: Site, type_: str, status: str, count: int = 1) -> list[int]:
    """Insert jobs that ended long ago; give their ids."""
    before = len(left(site))
    rows = ", ".join([f"('{type_}', '{status}', '{OLD}', '{OLD}')"] * count)
    site.db.rows(f"INSERT INTO jobs (type, status, created_at, finished_at) VALUES {rows}")
    return left(site)[before:]


def left(site: Site) -> list[int]:
    return [row[0] for row in site.db.rows("SELECT id FROM jobs ORDER BY id")]


def test_processors_delete_what_is_old_and_leave_what_is_not_theirs(site: Site) -> None:
    listen = f"127.0.0.1:{free_port()}"
    site.write(types=TYPES, listen=listen)
    names = "id, name, host, pid, version, types, max_concurrent, lease_until, status"
    site.db.rows(
        f"INSERT INTO processors ({names})"
        f""" VALUES ('p', 'p', 'h', 1, '1', '{{"theirs": {{}}}}', 1, '{OLD}', 'stopped')"""
    )
    gone = ended(site, "quick", "completed", 300) + ended(site, "nobodys", "completed", 300)
    stays = ended(site, "quick", "failed") + ended(site, "theirs", "completed")
    for name in ("p1", "p2"):
        site.start("--name", name, *(["--metrics-listen", ""] if name == "p2" else []))
    eventually(lambda: left(site) == stays, f"the {len(gone)} old ones are gone")
    counted = eventually(lambda: {k: v for k, v in scrape(listen).items() if "rows_deleted_total{" in k})
    assert set(counted) == {'jobtable_rows_deleted_total{kind="completed"}'}
    told = sum(line["count"] for one in site.processors for line in one.events("rows_deleted", kind="completed"))
    assert told == len(gone)


@pytest.mark.parametrize("db", ["postgresql", "mariadb"], indirect=True)  # on SQLite one writer stops all others
def test_a_deletion_that_has_to_wait_delays_no_job(site: Site) -> None:
    """Somebody reads notifications in a transaction that stays open: their jobs cannot be deleted meanwhile."""
    [old] = ended(site, "quick", "completed")
    site.db.rows(f"INSERT INTO notifications (job_id, type, status, read_at) VALUES ({old}, 'quick', 'x', '{OLD}')")
    opened = Database(site.db.url)
    engine = create_engine(opened.dialect.address(opened.url), isolation_level="READ COMMITTED")
    with engine.begin() as connection:
        connection.execute(text(f"SELECT id FROM notifications WHERE job_id = {old} FOR UPDATE"))
        processor = site.start()
        for _ in range(20):
            site.await_status("completed", site.insert("quick"))
        assert old in left(site)
        assert processor.running
    eventually(lambda: old not in left(site), "it goes once nobody holds it")
    engine.dispose()
    opened.close()


def test_what_the_database_refuses_to_delete_is_said_and_stops_nothing(site: Site) -> None:
    number = "integer" if site.db.kind == "sqlite" else "bigint"
    site.db.rows(f"CREATE TABLE orders (job {number}, FOREIGN KEY (job) REFERENCES jobs (id))")
    kept = ended(site, "quick", "completed", 30)
    site.db.rows(f"INSERT INTO orders VALUES ({kept[3]}), ({kept[20]})")
    processor = site.start()
    eventually(lambda: left(site) == [kept[3], kept[20]], "the others are gone")
    assert "foreign key" in processor.await_event("deletion_refused", kind="completed")["error"].lower()
    site.await_status("completed", site.insert("quick"))


def test_settings_that_keep_rows_are_obeyed_at_once(site: Site) -> None:
    site.write(types='[types.quick]\npython = "deeds:quick"\n[retention]\ncompleted = "never"')
    old = ended(site, "quick", "completed", 5)
    site.start().await_event("processor_started")
    site.await_status("completed", site.insert("quick"))
    assert left(site)[:5] == old


@pytest.mark.parametrize(
    "point",
    [
        "processor.queue.purge:_delete:before",
        "processor.queue.purge:_delete:after",
        "processor.queue.purge:bite:after",
        "processor.queue.purge:_thin_out:after",
    ],
)
def test_a_daemon_killed_while_it_deletes_leaves_whole_jobs_to_the_next(site: Site, point: str) -> None:
    """One has more events than go with one bite, so they are deleted before it, in several transactions."""
    jobs = ended(site, "quick", "completed", 5)
    most = 5_000
    numbers = ", ".join(f"({jobs[0]}, {number}, 1, 'log')" for number in range(1, most + 20))
    site.db.rows(f"INSERT INTO job_events (job_id, number, attempt, kind) VALUES {numbers}")
    site.db.rows(f"UPDATE jobs SET event_no = {most + 19} WHERE id = {jobs[0]}")
    processor = site.start(program=["-m", "tests.processors.crashing", point])
    assert processor.wait() == -signal.SIGKILL, f"it did not come to {point}: {processor.tail()}"
    assert site.db.rows("SELECT count(*) FROM job_events WHERE job_id NOT IN (SELECT id FROM jobs)") == [(0,)]
    site.start()
    eventually(lambda: left(site) == [], "the next one deletes them")
    assert site.db.rows("SELECT count(*) FROM job_events") == [(0,)]
