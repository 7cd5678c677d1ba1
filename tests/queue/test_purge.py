"""Old rows go, rows that matter stay, and what cannot be deleted stops nothing."""

import time
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest

from processor.queue import purge
from processor.queue.keeping import FOREVER, Keep, Keeps
from tests.queue.conftest import Queue

DAY = 86_400.0
KEEPS = Keeps()
AGO = {
    "postgresql": "now() - interval '{} hours'",
    "mariadb": "utc_timestamp(6) - INTERVAL {} HOUR",
    "sqlite": "strftime('%Y-%m-%d %H:%M:%f000', 'now', '-{} hours')",
}


def ago(queue: Queue, days: float) -> str:
    return AGO[queue.kind].format(round(24 * days))


def ended(queue: Queue, id_: int, status: str = "completed", days: float = 8, type_: str = "a", **more: str) -> None:
    """Insert a job that ended so many days ago; `more` are columns as SQL."""
    at = ago(queue, days)
    names = ", ".join(["id", "type", "status", "created_at", "finished_at", *more])
    queue.insert(names, ", ".join([str(id_), f"'{type_}'", f"'{status}'", at, at, *more.values()]))


def notified(queue: Queue, job: int, days: float, read: bool = False) -> None:
    at = ago(queue, days)
    queue.rows(
        "INSERT INTO notifications (job_id, type, status, created_at, read_at)"
        f" VALUES ({job}, 'a', 'completed', {at}, {at if read else 'NULL'})"
    )


def purged(queue: Queue, keeps: Keeps = KEEPS, *, dry: bool = False) -> Counter[str]:
    """Walk through everything once; give how many rows of each kind were deleted."""
    count: Counter[str] = Counter()
    for walk in purge.walks():
        while not walk.over:
            count[walk.kind] += purge.bite(queue.database, walk, keeps, dry=dry).deleted
    return +count


def ids(queue: Queue, table: str = "jobs") -> list[int]:
    return [row[0] for row in queue.rows(f"SELECT id FROM {table} ORDER BY id")]


def test_jobs_go_when_they_are_older_than_their_state_is_kept(queue: Queue) -> None:
    ended(queue, 1, "completed", 8)
    ended(queue, 2, "completed", 6)
    for id_, (status, days) in enumerate([("failed", 31), ("failed", 29), ("cancelled", 31), ("cancelled", 29)], 3):
        ended(queue, id_, status, days)
    assert purged(queue, dry=True) == {"completed": 1, "failed": 1, "cancelled": 1}
    assert ids(queue) == [1, 2, 3, 4, 5, 6]
    assert purged(queue) == {"completed": 1, "failed": 1, "cancelled": 1}
    assert ids(queue) == [2, 4, 6]


def test_events_errors_and_notifications_go_with_their_job(queue: Queue) -> None:
    for job in (1, 2):
        ended(queue, job, "failed", 31 if job == 1 else 1)
        queue.rows(f"INSERT INTO job_events (job_id, number, attempt, kind) VALUES ({job}, 1, 1, 'log')")
        queue.rows(f"INSERT INTO job_errors (job_id, attempt, reason) VALUES ({job}, 1, 'error')")
        notified(queue, job, 1, read=True)
    purged(queue)
    for table in ("job_events", "job_errors", "notifications"):
        assert queue.rows(f"SELECT job_id FROM {table}") == [(2,)]


def test_a_row_that_has_not_ended_stays_however_old_it_is(queue: Queue) -> None:
    old = ago(queue, 400)
    for status in ("pending", "scheduled", "waiting", "paused"):
        queue.insert("type, status, created_at, finished_at", f"'a', '{status}', {old}, {old}")
    queue.insert("type, status, created_at, processor_id, claim_no", f"'a', 'running', {old}, 'p1', 1")
    assert not purged(queue)
    assert len(ids(queue)) == 5


def test_a_row_without_an_end_has_no_age_and_stays(queue: Queue) -> None:
    queue.insert("type, status, created_at", f"'a', 'failed', {ago(queue, 400)}")
    assert not purged(queue)


@pytest.mark.parametrize("child", ["pending", "waiting", "paused", "scheduled"])
def test_a_parent_stays_until_its_children_have_ended(queue: Queue, child: str) -> None:
    ended(queue, 1)
    ended(queue, 2, parent_id="1")
    queue.insert("id, type, status, parent_id", f"3, 'a', '{child}', 1")
    assert purged(queue) == {"completed": 1}
    assert ids(queue) == [1, 3]
    queue.rows("UPDATE jobs SET status = 'cancelled' WHERE id = 3")
    assert purged(queue) == {"completed": 1}


def test_children_stay_until_their_parent_has_ended(queue: Queue) -> None:
    queue.insert("id, type, status", "1, 'a', 'waiting'")
    ended(queue, 2, parent_id="1")
    ended(queue, 3, "failed", 40, parent_id="1")
    assert not purged(queue)
    queue.rows(f"UPDATE jobs SET status = 'completed', finished_at = {ago(queue, 1)} WHERE id = 1")
    assert purged(queue) == {"completed": 1, "failed": 1}
    assert ids(queue) == [1]


def test_a_child_whose_parent_is_gone_goes(queue: Queue) -> None:
    ended(queue, 2, parent_id="1")
    assert purged(queue) == {"completed": 1}


def test_an_original_stays_while_a_job_waits_for_its_result(queue: Queue) -> None:
    ended(queue, 1)
    queue.insert("id, type, status, duplicate_of", "2, 'b', 'waiting', 1")
    assert not purged(queue)
    queue.rows("UPDATE jobs SET status = 'cancelled' WHERE duplicate_of = 1")
    assert purged(queue) == {"completed": 1}


def test_an_original_stays_while_an_equal_is_to_run_that_was_there_before_it_ended(queue: Queue) -> None:
    ended(queue, 1, key="'k'")
    ended(queue, 2, key="'new'")
    queue.insert("id, type, key, created_at, status", f"3, 'a', 'k', {ago(queue, 9)}, 'paused'")
    queue.insert("id, type, key", "4, 'a', 'new'")
    assert purged(queue) == {"completed": 1}
    assert ids(queue) == [1, 3, 4]


def test_an_unread_notification_keeps_its_job_until_notifications_are_old(queue: Queue) -> None:
    ended(queue, 1, days=29)
    notified(queue, 1, 29)
    ended(queue, 2, days=31)
    notified(queue, 2, 31)
    ended(queue, 3, days=8)
    notified(queue, 3, 8, read=True)
    assert purged(queue, dry=True) == {"completed": 2, "notifications": 1}
    assert purged(queue) == {"completed": 2, "notifications": 1}
    assert ids(queue) == [1]
    queue.rows("UPDATE notifications SET read_at = created_at")
    assert purged(queue) == {"completed": 1}


def test_the_notifications_of_a_type_hold_its_jobs_as_long_as_they_are_kept(queue: Queue) -> None:
    for job, type_ in enumerate(["a", "brief", "forever"], 1):
        ended(queue, job, days=50, type_=type_)
        notified(queue, job, 20)
        queue.rows(f"UPDATE notifications SET type = '{type_}' WHERE job_id = {job}")
    types = {"brief": Keep(notifications=10 * DAY), "forever": Keep(notifications=FOREVER)}
    assert purged(queue, Keeps(types=types)) == {"completed": 1, "notifications": 1}
    assert ids(queue) == [1, 3]


def test_notifications_go_though_their_jobs_stay(queue: Queue) -> None:
    ended(queue, 1, "failed", 29)
    notified(queue, 1, 31)
    notified(queue, 1, 31, read=True)
    notified(queue, 1, 29)
    assert purged(queue) == {"notifications": 2}
    assert (ids(queue), len(ids(queue, "notifications"))) == ([1], 1)


def test_a_type_may_be_kept_longer_shorter_or_for_ever(queue: Queue) -> None:
    for id_, type_ in enumerate(["a", "long", "short", "ever"], 1):
        ended(queue, id_, days=8, type_=type_)
    ended(queue, 5, days=0.5, type_="short")
    types = {"long": Keep(completed=9 * DAY), "short": Keep(completed=DAY), "ever": Keep(completed=FOREVER)}
    assert purged(queue, Keeps(types=types)) == {"completed": 2}
    assert ids(queue) == [2, 4, 5]
    assert not purged(queue, Keeps(Keep(*[FOREVER] * 4)))


def test_a_type_that_others_run_is_left_to_them(queue: Queue) -> None:
    queue.register("p2", types='{"theirs": {}, "both": {}}')
    queue.register("p3", types='"odd"')
    queue.rows("UPDATE processors SET status = 'dead'")
    elsewhere = purge.run_elsewhere(queue.database, ["both", "ours"])
    assert elsewhere >= {"theirs"}
    assert not elsewhere & {"both", "ours"}
    for id_, type_ in enumerate(["theirs", "both", "nobodys"], 1):
        ended(queue, id_, type_=type_)
    purged(queue, replace(KEEPS, others=elsewhere))
    assert ids(queue) == [1]


def test_rows_that_stay_are_read_once_in_a_walk_and_hide_nothing(queue: Queue) -> None:
    """Also where hundreds ended in the same instant, which a bite has to go on within."""
    at = ago(queue, 9)
    queue.insert("type, status, finished_at", *[f"'kept', 'completed', {at}"] * 40)
    queue.rows("UPDATE jobs SET finished_at = '2026-01-01 00:00:00'")
    queue.insert("type, status, finished_at", *[f"'a', 'completed', {at}"] * 15)
    keeps = Keeps(types={"kept": Keep(completed=FOREVER)})
    walk, deleted, bites = purge.Walk("completed", size=10), 0, 0
    while not walk.over:
        walk.size = min(walk.size, 10)
        deleted += purge.bite(queue.database, walk, keeps).deleted
        bites += 1
    assert (deleted, bites) == (15, 6)
    assert len(ids(queue)) == 40


def test_a_job_with_very_many_events_is_thinned_out_first(queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(purge, "MOST_EVENTS", 10)
    for job in (1, 2, 3, 4):
        ended(queue, job, event_no="35" if job == 3 else "6")
        values = ", ".join(f"({job}, {number}, 1, 'log')" for number in range(1, 36 if job == 3 else 7))
        queue.rows(f"INSERT INTO job_events (job_id, number, attempt, kind) VALUES {values}")
    left, walk = list[tuple[int, int]](), purge.Walk("completed")
    while not walk.over:
        purge.bite(queue.database, walk, KEEPS)
        left.append((len(ids(queue)), queue.rows("SELECT count(*) FROM job_events")[0][0]))
    assert left == [(3, 47), (2, 41), (2, 31), (2, 21), (2, 11), (1, 6), (0, 0)]


REFUSE = {
    "postgresql": [
        "CREATE FUNCTION no() RETURNS trigger AS $$ BEGIN IF old.type = 'guarded' THEN RAISE 'keep it'; END IF;"
        " RETURN old; END $$ LANGUAGE plpgsql",
        "CREATE TRIGGER guard BEFORE DELETE ON jobs FOR EACH ROW EXECUTE FUNCTION no()",
    ],
    "mariadb": [
        "CREATE TRIGGER guard BEFORE DELETE ON jobs FOR EACH ROW"
        " IF old.type = 'guarded' THEN SIGNAL SQLSTATE '45000' SET message_text = 'keep it'; END IF"
    ],
    "sqlite": [
        "CREATE TRIGGER guard BEFORE DELETE ON jobs WHEN old.type = 'guarded' BEGIN SELECT raise(ABORT, 'keep it'); END"
    ],
}


def test_a_row_that_a_trigger_keeps_stops_nothing(queue: Queue) -> None:
    for id_ in range(1, 41):
        ended(queue, id_, type_="guarded" if id_ in (7, 8, 31) else "a")
    for statement in REFUSE[queue.kind]:
        queue.rows(statement)
    _only_those_stay(queue, [7, 8, 31], "keep it")


def test_a_row_that_a_foreign_key_keeps_stops_nothing(queue: Queue) -> None:
    number = {"postgresql": "bigint", "mariadb": "bigint", "sqlite": "integer"}[queue.kind]
    queue.rows(f"CREATE TABLE orders (job {number}, FOREIGN KEY (job) REFERENCES jobs (id))")
    for id_ in range(1, 41):
        ended(queue, id_)
    queue.rows("INSERT INTO orders VALUES (3), (40)")
    _only_those_stay(queue, [3, 40], "(?i)foreign key")


def _only_those_stay(queue: Queue, stay: list[int], why: str) -> None:
    walk, refusals, bites = purge.Walk("completed"), list[str](), 0
    while not walk.over:
        bite = purge.bite(queue.database, walk, KEEPS)
        refusals += [bite.refusal] if bite.refusal else []
        bites += 1
    assert ids(queue) == stay
    assert len(refusals) == len(stay)
    assert bites < 40
    with pytest.raises(AssertionError, match=why):
        raise AssertionError(refusals[0])


@pytest.mark.parametrize("db", ["postgresql", "mariadb"], indirect=True)  # SQLite has no locks on rows
def test_a_row_that_somebody_holds_is_left_and_nobody_waits(queue: Queue) -> None:
    for id_ in (1, 2, 3):
        ended(queue, id_)
    from sqlalchemy import text

    with queue.database._engine.begin() as connection:
        connection.execute(text("SELECT id FROM jobs WHERE id = 2 FOR UPDATE"))
        began = time.monotonic()
        assert purged(queue) == {"completed": 2}
        assert time.monotonic() - began < 4
    assert ids(queue) == [2]
    assert purged(queue) == {"completed": 1}


def test_rows_that_went_back_or_ended_anew_in_the_meantime_stay(queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the look and the lock a person retries one job, and another ended once more."""
    for id_ in (1, 2, 3):
        ended(queue, id_)
    read = purge._next

    def overtaken(*arguments: Any) -> Any:
        rows = read(*arguments)
        queue.rows("UPDATE jobs SET status = 'pending', finished_at = NULL WHERE id = 1")
        queue.rows(f"UPDATE jobs SET finished_at = {ago(queue, 1)} WHERE id = 2")
        return rows

    monkeypatch.setattr(purge, "_next", overtaken)
    assert purge.bite(queue.database, purge.Walk("completed"), KEEPS).deleted == 1
    assert ids(queue) == [1, 2]


def test_processors_that_ended_long_ago_go_but_for_those_that_run_something(queue: Queue) -> None:
    for name, status, days in (("old", "stopped", 31), ("dead", "dead", 31), ("runs", "dead", 31), ("new", "dead", 29)):
        queue.register(name)
        queue.rows(f"UPDATE processors SET status = '{status}', ended_at = {ago(queue, days)} WHERE id = '{name}'")
    queue.insert("type, status, processor_id, claim_no", "'a', 'running', 'runs', 1")
    assert purge.processors_that_ended(queue.database, dry=True) == 2
    assert purge.processors_that_ended(queue.database) == 2
    assert [row[0] for row in queue.rows("SELECT id FROM processors ORDER BY id")] == ["new", "p1", "runs"]
    assert purge.processors_that_ended(queue.database) == 0
