"""Each thing that can be wrong is made so, and found; and a healthy queue is called healthy."""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, make_url, text

from processor.db import Database
from processor.db.dialects import mariadb, postgresql, sqlite
from processor.diagnosis import Diagnosis, Level
from processor.queue import control, doctor, leases
from processor.queue.keeping import Keeps
from processor.queue.rules import Rules
from tests.databases.server import Borrowed
from tests.db.test_database import stranger
from tests.queue.conftest import Queue
from tests.queue.test_purge import ago, ended


def here() -> datetime:
    return datetime.now(UTC)


def tell(queue: Queue, processor: str = "p1", **types: dict[str, Any]) -> None:
    """Let a living processor say that it runs these types, with these rules."""
    facts = {name: Rules(**rules).facts() for name, rules in types.items()}
    leases.describe(queue.database, processor, json.dumps(facts), 3)


def looked(queue: Queue, database: Database | None = None, **rules: Rules) -> list[Diagnosis]:
    return list(doctor.look(database or queue.database, Keeps(), rules, here))


def wrong(queue: Queue, database: Database | None = None, **rules: Rules) -> dict[str, tuple[str, str]]:
    """Everything that is not ok: level and text by the name of the check."""
    found = [one for one in looked(queue, database, **rules) if one.level is not Level.OK]
    assert all(one.remedy for one in found), "it says what is wrong and not what to do"
    return {one.check: (one.level.value, one.text) for one in found}


def found(queue: Queue, check: str, **rules: Rules) -> tuple[str, str]:
    """The one thing that is wrong."""
    everything = wrong(queue, **rules)
    assert set(everything) == {check}
    return everything[check]


def test_a_healthy_queue_is_all_ok_and_nothing_is_changed(queue: Queue) -> None:
    tell(queue, a={"queue_limit": 10}, b={"rate": "5/min"})
    queue.insert("type", "'a'", "'b'")
    queue.insert("type, status, run_at", "'unknown', 'scheduled', '2040-01-01 00:00:00'")
    ended(queue, 100, days=1)
    queue.claim(jobs=1)
    control.pause_type(queue.database, "resting")
    before = [queue.rows(f"SELECT * FROM {table}") for table in ("jobs", "processors", "job_types")]
    assert wrong(queue) == {}
    checks = [one.check for one in looked(queue)]
    assert checks[:4] == ["database", "tables", "clock", "rights"]
    assert len(checks) == len(set(checks)) > 12
    assert [queue.rows(f"SELECT * FROM {table}") for table in ("jobs", "processors", "job_types")] == before


def test_no_processor_is_alive(queue: Queue) -> None:
    leases.leave(queue.database, "p1")
    assert found(queue, "processors") == ("warning", "No processor is alive. Not ended: 0 jobs.")
    queue.insert("type", "'a'")
    assert found(queue, "processors") == ("problem", "No processor is alive. Not ended: 1 job.")


def test_all_processors_are_about_to_stop(queue: Queue) -> None:
    leases.drain(queue.database, "p1")
    assert found(queue, "processors")[0] == "warning"


def test_a_processor_whose_lease_is_over(queue: Queue) -> None:
    queue.register("late", lease=-60.0)
    queue.rows(f"UPDATE processors SET beat_at = {ago(queue, 1)} WHERE id = 'late'")
    level, said = found(queue, "processors")
    assert level == "warning"
    assert re.match(r"The processor test on here has not beaten for \d+ h, longer than its lease", said)


def test_jobs_that_run_under_a_dead_processor(queue: Queue) -> None:
    tell(queue, a={})
    queue.insert("type", "'a'", "'a'")
    queue.register("p2")
    queue.claim("p2")
    assert wrong(queue) == {}
    leases.leave(queue.database, "p2")
    assert found(queue, "orphans") == ("warning", "Running by the table, though their processor has ended: 2 jobs.")
    leases.leave(queue.database, "p1")
    assert wrong(queue)["orphans"][0] == "problem"


def test_due_jobs_of_a_type_that_no_living_processor_runs(queue: Queue) -> None:
    tell(queue, a={})
    queue.register("gone")
    tell(queue, "gone", strange={})
    queue.insert("type", "'a'", "'strange'", "'strange'")
    assert wrong(queue) == {}
    leases.leave(queue.database, "gone")
    said = "No living processor runs the type 'strange'; due: 2 jobs."
    assert found(queue, "types") == ("problem", said)


def test_a_type_that_is_paused_while_jobs_wait(queue: Queue) -> None:
    tell(queue, a={})
    queue.insert("type, created_at", f"'a', {ago(queue, 1)}")
    control.pause_type(queue.database, "a", until=datetime(2040, 1, 31, 8, tzinfo=UTC))
    said = "The type 'a' is paused until 2040-01-31 08:00:00 UTC; waiting: 1 job."
    assert found(queue, "paused") == ("warning", said)
    control.resume_type(queue.database, "a")
    control.limit_type(queue.database, "a", max_concurrent=0)
    assert found(queue, "paused")[1] == "None of the type 'a' may start (max_concurrent 0); waiting: 1 job."


def test_a_rate_that_nobody_can_read(queue: Queue) -> None:
    queue.rows("INSERT INTO job_types (name, rate) VALUES ('a', 'often'), ('b', 'unlimited'), ('c', '5/min')")
    level, said = found(queue, "rules")
    assert level == "problem"
    assert said.startswith("Nothing of the type 'a' starts: its rate in job_types cannot be read; expected starts in")


def test_a_queue_that_is_full_by_this_configuration_or_as_a_processor_tells(queue: Queue) -> None:
    tell(queue, a={"queue_limit": 3}, b={})
    queue.insert("type, status", "'a', 'pending'", "'a', 'paused'", "'b', 'pending'")
    assert wrong(queue) == {}
    queue.insert("type, status, run_at", "'a', 'scheduled', '2040-01-01 00:00:00'")
    level, said = found(queue, "queues")
    assert (level, said[:62]) == ("warning", "The queue of the type 'a' is full: 3 wait, and queue_limit is ")
    assert wrong(queue, a=Rules(queue_limit=4)) == {}
    assert found(queue, "queues", a=Rules(queue_limit=4), b=Rules(queue_limit=1))[1].startswith(
        "The queue of the type 'b'"
    )


def test_due_jobs_that_have_waited_for_long(queue: Queue) -> None:
    tell(queue, a={})
    queue.insert("type, created_at", f"'a', {ago(queue, 1)}", f"'a', {ago(queue, 0.5)}")
    said = "The oldest due job of the type 'a' has waited for 24 h; 2 are due."
    assert found(queue, "backlog") == ("warning", said)


def test_rows_that_should_have_been_deleted(queue: Queue) -> None:
    ended(queue, 1, days=7.5)
    ended(queue, 2, "failed", days=30.5)
    queue.rows("UPDATE processors SET types = '{\"theirs\": {}}'")
    ended(queue, 3, days=100, type_="theirs")
    assert wrong(queue) == {}
    ended(queue, 4, days=9)
    assert found(queue, "retention") == ("warning", "Should have been deleted a day ago: completed jobs, 1.")


def test_rows_that_somebody_ended_without_an_instant(queue: Queue) -> None:
    queue.insert("type, status", "'a', 'failed'")
    assert found(queue, "retention")[1] == "Ended by hand without finished_at, and so never deleted: 1 job."
    [remedy] = [one.remedy for one in looked(queue) if one.check == "retention"]
    queue.rows(remedy)
    assert wrong(queue) == {}


def test_a_clock_that_differs(queue: Queue) -> None:
    for ahead, said in ((60, "60.0 s ahead of"), (-10_800, "3 h behind")):
        behind = list(doctor.look(queue.database, Keeps(), {}, lambda ahead=ahead: here() + timedelta(seconds=ahead)))  # type: ignore[misc]
        [clock] = [one for one in behind if one.check == "clock"]
        assert clock.level is Level.WARNING
        assert said in clock.text


def test_tables_that_are_missing_or_from_the_future(queue: Queue) -> None:
    queue.rows("UPDATE jobtable_version SET version_num = '9999'")
    level, said = found(queue, "tables")
    assert (level, "revision 9999" in said) == ("problem", True)
    queue.rows("DROP TABLE jobtable_version")
    assert "has no jobtable tables yet" in found(queue, "tables")[1]


def test_a_database_that_does_not_answer(queue: Queue) -> None:
    url = make_url(queue.given.url).set(database="/nowhere/x.db" if queue.kind == "sqlite" else "nowhere")
    with Database(url.render_as_string(hide_password=False), connect_timeout=2) as database:
        assert wrong(queue, database).keys() == {"database"}


@pytest.mark.parametrize("db", ["postgresql", "mariadb"], indirect=True)
def test_rights_that_are_missing(queue: Queue) -> None:
    with stranger(queue.given) as url:
        tables = (
            "jobs job_events job_errors notifications processors job_types schedules webhooks jobtable_version wakeups"
        ).split()
        for table in tables:
            rights = "SELECT, INSERT, UPDATE" if table == "jobs" else "SELECT, INSERT, UPDATE, DELETE"
            grant(queue, url, f"{rights} ON {{}}{table}")
        with Database(url) as database:
            level, said = wrong(queue, database)["rights"]
        if queue.kind == "postgresql":
            queue.rows(f"REVOKE ALL ON {', '.join(tables)} FROM {make_url(url).username}")
    assert level == "problem"
    assert said.startswith("This user may not do what a processor does: DELETE on jobs.")


@pytest.mark.parametrize("db", ["sqlite"], indirect=True)
def test_a_file_that_cannot_be_written(queue: Queue) -> None:
    path = Path(str(make_url(queue.given.url).database))
    queue.database.close()
    url = f"sqlite:///file:{path}?mode=ro&uri=true"
    with Database(url) as database:
        level, said = wrong(queue, database)["rights"]
    assert (level, "INSERT on jobs" in said) == ("problem", True)


@pytest.mark.parametrize("db", ["sqlite"], indirect=True)
def test_a_disk_with_little_room_and_a_long_log(queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite, "LITTLE_ROOM", 2**60)
    assert found(queue, "file")[0] == "warning"
    monkeypatch.setattr(sqlite, "NO_ROOM", 2**60)
    assert found(queue, "file")[0] == "problem"
    monkeypatch.setattr(sqlite, "LITTLE_ROOM", 0)
    monkeypatch.setattr(sqlite, "LONG_LOG", 0)
    assert "somebody keeps a transaction open" in found(queue, "file")[1]


def grant(queue: Queue, url: str, rights: str) -> None:
    """Let a stranger have some rights; `{}` in them stands for what goes before the name of a table."""
    name = make_url(url).username
    if queue.kind == "mariadb":
        queue.given.server.rows(f"GRANT {rights.format(f'{queue.given.name}.')} TO {name}@'%'")
    else:
        queue.rows(f"GRANT {rights.format('')} TO {name}")


@contextmanager
def open_transaction(queue: Queue) -> Iterator[None]:
    dialect = queue.database.dialect
    engine = create_engine(dialect.address(queue.database.url))
    with engine.begin() as connection:
        connection.execute(text("SELECT id FROM jobs FOR UPDATE"))
        yield
    engine.dispose()


@pytest.mark.parametrize("db", ["postgresql", "mariadb"], indirect=True)
def test_a_transaction_that_stays_open(queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    queue.insert("type, status, finished_at", f"'a', 'completed', {ago(queue, 1)}")
    for dialect in (postgresql, mariadb):
        monkeypatch.setattr(dialect, "LONG_OPEN", -1)
    assert "transactions" not in wrong(queue)
    with stranger(queue.given) as url, Database(url if queue.kind == "mariadb" else queue.given.url) as database:
        if queue.kind == "mariadb":
            grant(queue, url, "ALL ON {}*")
            queue.given.server.rows(f"GRANT PROCESS ON *.* TO {make_url(url).username}@'%'")
        with open_transaction(queue):
            level, said = wrong(queue, database)["transactions"]
    assert level == "warning"
    assert re.match(r"The session \d+ .*has been in a transaction for \d+ s\.", said)


@pytest.mark.parametrize("db", ["postgresql"], indirect=True)
def test_a_table_full_of_dead_rows(queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgresql, "MANY_DEAD", 100)
    queue.rows("ALTER TABLE jobs SET (autovacuum_enabled = off)")
    queue.rows("INSERT INTO jobs (type, status, finished_at) SELECT 'a', 'failed', now() FROM generate_series(1, 500)")
    queue.rows("DELETE FROM jobs; SELECT pg_stat_force_next_flush()")
    queue.rows("SELECT 1")
    assert "jobs has 500 dead rows and 0 living; vacuumed by itself: never" in found(queue, "vacuum")[1]


@pytest.mark.parametrize("db", ["postgresql"], indirect=True)
def test_commits_that_may_be_lost(queue: Queue) -> None:
    queue.given.server.rows(f"ALTER DATABASE {queue.given.name} SET synchronous_commit = off")
    queue.database.close()
    assert found(queue, "commits")[0] == "warning"


@pytest.mark.parametrize("db", ["mariadb"], indirect=True)
def test_a_server_that_may_lose_commits(queue: Queue) -> None:
    if isinstance(queue.given.server.process, Borrowed):
        pytest.skip("sets a server's variable, which is possible only where the tests started the server themselves")
    queue.given.server.rows("SET GLOBAL innodb_flush_log_at_trx_commit = 2")
    try:
        level, said = found(queue, "server")
    finally:
        queue.given.server.rows("SET GLOBAL innodb_flush_log_at_trx_commit = 1")
    assert (level, said[:40]) == ("warning", "innodb_flush_log_at_trx_commit is not 1:")
