"""How each database goes about the hot statements, with 200,000 rows: by an index, whatever else lies in the table."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import event

from processor.outcome import Kind
from processor.queue import endings, firing, leases, news, parents, purge, turns_index, upkeep, waiting
from processor.queue.events import Event, Told, store
from processor.queue.keeping import Keep, Keeps
from processor.queue.news import Choice
from processor.queue.rules import Rules
from processor.queue.settle import settle
from processor.queue.statistics import statistics
from processor.queue.upcoming import running, upcoming
from tests.queue.conftest import Queue, verdict_of
from tests.queue.test_firing import let_pass, put

SEQUENCE = {
    "postgresql": "SELECT n FROM generate_series(1, {}) AS s (n)",
    "mariadb": "SELECT seq AS n FROM seq_1_to_{}",
    "sqlite": "WITH RECURSIVE s (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < {}) SELECT n FROM s",
}
ANALYZE = {"postgresql": "ANALYZE jobs", "mariadb": "ANALYZE TABLE jobs", "sqlite": "ANALYZE"}
EXPLAIN = {"postgresql": "EXPLAIN", "mariadb": "EXPLAIN", "sqlite": "EXPLAIN QUERY PLAN"}
BAD = {
    "postgresql": r"Seq Scan on jobs",
    "mariadb": r"'jobs', 'ALL'|'child', '(ALL|index)'|'any_child', '(ALL|index)'",
    "sqlite": r"SCAN jobs(?! USING (COVERING )?INDEX)|SCAN (runs|first|original)\b",
}
SORTS = {"postgresql": "Sort Key", "mariadb": "filesort", "sqlite": "TEMP B-TREE"}

SCANS = {
    "postgresql": r"Seq Scan on (jobs|notifications|job_events)|Hash",
    "mariadb": r"'(jobs|other|notifications|job_events)', 'ALL'",
    "sqlite": r"SCAN (jobs|other)(?! USING (COVERING )?INDEX)",
}
"""The same of the statements of retention, which ask for other rows of the same table, and for the first notifications
by their ids: to SQLite that is the table itself."""


@pytest.fixture
def full(queue: Queue) -> Queue:
    """A table of 200,000 rows: of a paused type, in one lane, finished with keys, and some that are due."""
    queue.rows("INSERT INTO job_types (name, paused) VALUES ('b', true)")
    key = "`key`" if queue.kind == "mariadb" else '"key"'
    for count, columns, values in (
        (80_000, "type, priority", "'b', 9"),
        (20_000, "type, status, parent_id", "'a', 'completed', 1000001"),
        (60_000, "type, priority, status, reason, concurrency_key", "'a', 9, 'waiting', 'lane', 'x'"),
        (30_000, f"type, status, {key}", "'a', 'completed', 'k'"),
        (9_900, "type", "'a'"),
        (100, f"type, priority, {key}", "'a', 8, 'k'"),
        (100, "type, priority, concurrency_key", "'a', 7, 'y'"),
    ):
        numbers = SEQUENCE[queue.kind].format(count)
        queue.rows(f"INSERT INTO jobs ({columns}) SELECT {values} FROM ({numbers}) AS numbers")
    for row in (
        "1000001, 'parent', 'waiting', 'children', NULL, false",
        "1000002, 'parent', 'waiting', 'children', NULL, true",
        "1000003, 'a', 'paused', 'batch', 1000001, false",
        "1000004, 'a', 'scheduled', NULL, 1000002, false",
        "1000005, 'parent', 'waiting', 'children', NULL, false",
        "1000006, 'a', 'completed', NULL, 1000005, false",
    ):
        queue.rows(f"INSERT INTO jobs (id, type, status, reason, parent_id, cancel_requested) VALUES ({row})")
    queue.rows(ANALYZE[queue.kind])
    return queue


@contextmanager
def heard(queue: Queue) -> Iterator[list[tuple[str, Any]]]:
    """Collect the statements that are sent, with their parameters."""
    sent: list[tuple[str, Any]] = []

    def note(connection: Any, cursor: Any, statement: str, parameters: Any, *rest: Any) -> None:
        sent.append((statement, parameters))

    event.listen(queue.database._engine, "before_cursor_execute", note)
    yield sent
    event.remove(queue.database._engine, "before_cursor_execute", note)


def test_a_claim_of_many_types_looks_once_for_each(queue: Queue) -> None:
    """With the same number of rows for each: the case in which MariaDB at times read them all, for each type."""
    name = "concat('t', n % 200)" if queue.kind == "mariadb" else "'t' || (n % 200)"
    queue.rows(f"INSERT INTO jobs (type) SELECT {name} FROM ({SEQUENCE[queue.kind].format(100_000)}) AS numbers")
    queue.rows(ANALYZE[queue.kind])
    with heard(queue) as sent:
        assert len(queue.claim(types=" ".join(f"t{n}" for n in range(200)), jobs=10)) == 10
    statement, parameters = next(one for one in sent if "ORDER BY" in one[0] and "wanted" in one[0])
    plan = _plan(queue, statement, parameters)
    assert not re.search(BAD[queue.kind], plan), plan
    by_type = {
        "postgresql": r"jobs_due on jobs .*\n.*Index Cond: \(type = ",
        "mariadb": r"'jobs', 'ref', [^)]*'jobs_due', '1604'",
        "sqlite": r"SEARCH jobs USING INDEX jobs_due \(type=\?\)",
    }
    assert re.search(by_type[queue.kind], plan), plan


@pytest.mark.parametrize("types", ["a b c", " ".join(["a b c", *(f"t{n}" for n in range(30))])])
def test_a_type_is_not_read_whose_first_row_is_worse_than_all_that_is_claimed(queue: Queue, types: str) -> None:
    """Of `a` there are enough, and of `b` one that comes before the last of them; `c` comes after."""
    queue.insert("type, priority", *["'a', 9"] * 4, *["'a', 5"] * 20, "'b', 7", *["'b', 1"] * 20, *["'c', 4"] * 20)
    with heard(queue) as sent:
        assert [job.type for job in queue.claim(types=types, jobs=10)] == [*"aaaabaaaaa"]
    by_type = [one for one in sent if re.search(r"WHERE jobs\.type = (\?|%\(wanted\)s) AND", one[0])]
    assert len(by_type) == (0 if queue.database.dialect.claims_in_one_statement else 2)


@pytest.mark.parametrize("text", [None, "nothing has it"])
def test_what_runs_and_what_is_next_are_read_by_indexes(full: Queue, text: str | None) -> None:
    with heard(full) as sent:
        found = running(full.database, text=text) + upcoming(full.database, open_=["a"], closed=["b"], text=text)
    assert bool(found) is (text is None)
    for statement, parameters in sent:
        plan = _plan(full, statement, parameters)
        assert not re.search(BAD[full.kind], plan), f"{statement}\n\n{plan}"
        if "jobs.type = " in statement:
            assert _goes_by("jobs_due", plan), f"{statement}\n\n{plan}"


def test_those_who_listen_are_served_by_the_numbers_of_their_jobs(queue: Queue) -> None:
    """With 200,000 jobs and as many events of 2,000 of them, for 150 who listen."""
    many = SEQUENCE[queue.kind].format(200_000)
    queue.rows(f"INSERT INTO jobs (type, event_no, owner) SELECT 'a', 100, 'ann' FROM ({many}) AS n")
    numbers = SEQUENCE[queue.kind].format(200_000)
    whole = "FLOOR((n - 1) / 100)" if queue.kind == "mariadb" else "(n - 1) / 100"
    values = f"{whole} + 1, (n - 1) % 100 + 1, 1, 'log', 'x'"
    queue.rows(f"INSERT INTO job_events (job_id, number, attempt, kind, text) SELECT {values} FROM ({numbers}) AS n")
    for table in ("jobs", "job_events"):
        queue.rows(ANALYZE[queue.kind].replace("jobs", table))
    places = dict.fromkeys(range(500, 650), 95)
    with heard(queue) as sent:
        assert len(news.heads(queue.database, places)) == 150
        assert len(news.events_behind(queue.database, places, limit=2000)) == 750
        [(end,)] = queue.rows("SELECT max(id) FROM job_events")
        for choice in (Choice.of("ann"), Choice.of(None, ("a",), ("log",)), Choice.of("bob")):
            found = news.changes_behind(queue.database, end - 300, end, [choice], limit=500)
            assert len(found) == (0 if choice.owners == {"bob"} else 300)
    for statement, parameters in sent:
        plan = _plan(queue, statement, parameters)
        assert not re.search(BAD[queue.kind], plan), plan
        scans = {"postgresql": "Seq Scan", "mariadb": r"'job_events', '(ALL|index)'", "sqlite": r"SCAN job_events"}
        assert not re.search(scans[queue.kind], plan), plan


def test_the_hot_statements_use_indexes_whatever_lies_in_the_table(full: Queue) -> None:
    with heard(full) as sent:
        taken = full.take(types="a b", jobs=10, limits={"a": {"reuse_result_for": 60.0}, "b": {}})
        more = full.take(types="a b", jobs=30, limits={"a": {"max_concurrent": 60}, "b": {}})
        jobs = [*taken.jobs, *more.jobs]
        assert {job.concurrency_key for job in jobs} >= {None, "y"}
        store(full.database, [Told(jobs[0].id, "p1", jobs[0].claim_no, 1, (Event("log", "info", None, "hello"),))])
        settle(full.database, [verdict_of(job, Kind.RETURNED, result="1") for job in jobs])
        leases.audit(full.database, "p1", [], 1)
        leases.orphans(full.database)
        for move in (upkeep.park, upkeep.promote):
            move(full.database)
        upkeep.cancel_asked(full.database, lambda type_, status: True)
        put(full, skip_if_running=True)
        for _ in range(2):
            let_pass(full, 0)
            firing.attend(full.database, "s", lambda type_: None)
        waiting.look(full.database, {"a": Rules()}, lambda type_, status: True)
        page = parents.page(full.database)
        assert (page.open, page.ready) == ((1000001, 1000002), (1000005,))
        parents.tell_progress(full.database, page.open)
        assert parents.let_go(full.database, page.open) == 1
        assert parents.stop_children(full.database, lambda type_, status: True) == 1
        assert parents.stopped(full.database) == [1000002]
        assert len(endings.end(full.database, [1000002, 1000005], lambda type_, status: True).accepted) == 2
    assert len(sent) > 20
    for statement, parameters in sent:
        if re.match(r"\s*(SELECT|UPDATE|WITH)", statement) and "jobs" in statement:
            plan = _plan(full, statement, parameters)
            assert not re.search(BAD[full.kind], plan), f"{statement}\n\n{plan}"
            sorts_for_a_few = (
                "filesort" in plan and re.search(r"LIMIT [^)]*$", statement) and "job_types" not in statement
            )
            assert not sorts_for_a_few, f"it reads, and locks, all to give some: {statement}\n\n{plan}"


def test_who_waits_for_whom_is_read_by_indexes(full: Queue) -> None:
    """With 1,000 duplicates of a job that waits for its children, of which one is equal to it."""
    key = "`key`" if full.kind == "mariadb" else '"key"'
    columns = f"id, type, priority, {key}, parent_id, status, reason, started_at"
    for row in (
        "2000001, 'a', 10, 'c', NULL, 'waiting', 'children', '2026-01-01 00:00:00'",
        "2000002, 'a', 10, 'c', 2000001, 'pending', NULL, NULL",
        "2000003, 'a', 10, 'c', NULL, 'pending', NULL, NULL",
        "2000004, 'a', 11, 'd', NULL, 'pending', NULL, NULL",
        "2000005, 'a', 1, NULL, 2000004, 'scheduled', NULL, NULL",
    ):
        full.rows(f"INSERT INTO jobs ({columns}) VALUES ({row})")
    numbers = SEQUENCE[full.kind].format(1000)
    duplicate = "'a', 'c', 'waiting', 'duplicate', 2000001, 1000001 + n % 2"
    full.rows(
        f"INSERT INTO jobs (type, {key}, status, reason, duplicate_of, parent_id)"
        f" SELECT {duplicate} FROM ({numbers}) AS numbers"
    )
    full.rows(ANALYZE[full.kind])
    with heard(full) as sent:
        jobs = full.take(types="a", jobs=2).jobs
        assert [job.id for job in jobs] == [2000004, 2000002]
        settle(full.database, [verdict_of(job, Kind.RETURNED) for job in jobs[:1]])
        waiting.look(full.database, {"a": Rules()}, lambda type_, status: True)
    for statement, parameters in sent:
        if re.match(r"\s*(SELECT|UPDATE|WITH)", statement) and re.search(r"\bjobs\b", statement):
            plan = _plan(full, statement, parameters)
            assert not re.search(BAD[full.kind], plan), f"{statement}\n\n{plan}"


def test_a_settle_reads_no_index_from_end_to_end_where_nobody_has_children(queue: Queue) -> None:
    """MariaDB read all of the index of parents for each row, when nearly none has one."""
    numbers = SEQUENCE[queue.kind].format(200_000)
    queue.rows(f"INSERT INTO jobs (type, status) SELECT 'a', 'completed' FROM ({numbers}) AS numbers")
    queue.insert("type", *["'a'"] * 50)
    queue.rows(ANALYZE[queue.kind])
    with heard(queue) as sent:
        settle(queue.database, [verdict_of(job, Kind.RETURNED) for job in queue.claim(jobs=50)])
        parents.page(queue.database)
        parents.stop_children(queue.database, lambda type_, status: True)
    for statement, parameters in sent:
        if re.match(r"\s*(SELECT|UPDATE|WITH)", statement) and "parent_id" in statement:
            plan = _plan(queue, statement, parameters)
            assert not re.search(BAD[queue.kind], plan), f"{statement}\n\n{plan}"


def test_statistics_go_by_the_index_of_what_finished(full: Queue) -> None:
    full.rows("UPDATE jobs SET finished_at = created_at WHERE status = 'completed' AND id % 1000 = 0")
    full.rows(ANALYZE[full.kind])
    with heard(full) as sent:
        assert statistics(full.database, seconds=86400).finished["completed"] == 50
        statistics(full.database, seconds=86400, owner="ada", type_="a")
    asked = [(statement, parameters) for statement, parameters in sent if "finished_at >=" in statement]
    assert len(asked) == 4
    for statement, parameters in asked:
        plan = _plan(full, statement, parameters)
        assert not re.search(BAD[full.kind], plan), f"{statement}\n\n{plan}"
        by_owner = "jobs.owner =" in statement  # who has no rows is found out sooner by the index of owners
        assert by_owner or _goes_by("jobs_finished", plan), f"{statement}\n\n{plan}"


def test_retention_uses_indexes_whatever_lies_in_the_table(full: Queue) -> None:
    """Also past rows that stay, and with notifications of a type that are kept for longer than those of others."""
    full.rows("UPDATE jobs SET parent_id = NULL WHERE parent_id = 1000001 AND status = 'completed'")
    full.rows("UPDATE jobs SET finished_at = '2026-01-01 00:00:00' WHERE status = 'completed'")
    full.rows("UPDATE jobs SET type = 'kept', parent_id = 1 WHERE status = 'completed' AND id % 2 = 0")
    full.rows(
        "INSERT INTO notifications (job_id, type, status, created_at, read_at)"
        " SELECT id, 'a', 'completed', created_at, created_at FROM jobs WHERE status = 'completed'"
    )
    full.rows(ANALYZE[full.kind])
    keeps = Keeps(types={"kept": Keep(completed=1e9, notifications=1e9)})
    with heard(full) as sent:
        deleted = 0
        for walk in purge.walks():
            for _ in range(3):
                deleted += purge.bite(full.database, walk, keeps).deleted
        purge.processors_that_ended(full.database)
    assert deleted > 0
    for statement, parameters in sent:
        if re.match(r"\s*(SELECT|DELETE)", statement) and ("jobs" in statement or "notifications" in statement):
            plan = _plan(full, statement, parameters)
            assert not re.search(SCANS[full.kind], plan), f"{statement}\n\n{plan}"
            assert "filesort" not in plan or "IN (" in statement, f"{statement}\n\n{plan}"


@pytest.fixture
def shared(queue: Queue) -> Queue:
    """A table of 200,000 due rows of one type: most of one owner, of 50 others, of nobody, and of lower priorities."""
    turns_index.ensure(queue.database, [Rules(fair="owner")])
    other = "concat('o', n % 50)" if queue.kind == "mariadb" else "'o' || (n % 50)"
    for count, values in (
        (120_000, "'a', 5, 'A'"),
        (30_000, f"'a', 5, {other}"),
        (20_000, "'a', 5, NULL"),
        (10_000, f"'a', 3, {other}"),
        (20_000, f"'b', 5, {other}"),
    ):
        numbers = SEQUENCE[queue.kind].format(count)
        queue.rows(f"INSERT INTO jobs (type, priority, owner) SELECT {values} FROM ({numbers}) AS numbers")
    queue.rows(ANALYZE[queue.kind])
    return queue


FAIR, AGED = {"fair": "owner"}, {"age_priority": "1 per 10m"}


@pytest.mark.parametrize("rules", [FAIR, AGED, FAIR | AGED])
def test_turns_and_levels_are_read_by_their_indexes(shared: Queue, rules: dict[str, Any]) -> None:
    with heard(shared) as sent:
        for _ in range(3):
            assert len(shared.take(types="a b", jobs=10, limits={"a": rules, "b": {}}).jobs) == 10
    for statement, parameters in sent:
        if re.match(r"\s*(SELECT|WITH)", statement) and re.search(r"\bjobs\b", statement):
            plan = _plan(shared, statement, parameters)
            assert not re.search(BAD[shared.kind], plan), f"{statement}\n\n{plan}"
            if "LIMIT" in statement and "priority = " in statement:
                by_owner = re.search(r"owner (COLLATE|>|IS (NOT )?NULL)", statement) is not None
                assert _goes_by("jobs_turns" if by_owner else "jobs_due", plan), f"{statement}\n\n{plan}"
                assert not re.search(SORTS[shared.kind], plan), f"it reads all to give some: {statement}\n\n{plan}"


def test_the_index_for_turns_is_not_taken_for_the_order_of_claims(shared: Queue) -> None:
    with heard(shared) as sent:
        shared.take(types="a b", jobs=10)
    plans = [_plan(shared, *one) for one in sent if re.match(r"\s*(SELECT|WITH)", one[0]) and "priority DESC" in one[0]]
    assert plans
    assert all(_goes_by("jobs_due", plan) and not _goes_by("jobs_turns", plan) for plan in plans), plans


def _goes_by(index: str, plan: str) -> bool:
    """Tell whether a plan uses an index; MariaDB also lists those that it could have used, one after the other."""
    return re.search(rf"(\b|'){index}(', '\d+'|\b(?![,']))", plan) is not None


def _plan(queue: Queue, statement: str, parameters: Any) -> str:
    with queue.database.read() as connection:
        return "\n".join(
            str(row) for row in connection.exec_driver_sql(f"{EXPLAIN[queue.kind]} {statement}", parameters)
        )
