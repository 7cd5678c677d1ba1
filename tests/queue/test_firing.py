"""Schedules make jobs: each firing once, whoever looks, however many, and whatever stands in a row."""

import json
import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from processor.db import Database
from processor.errors import NotFound, ValuesRefused
from processor.queue import firing, schedules
from processor.queue.firing import Attended
from processor.timetable import Timetable
from tests.queue.conftest import Queue

MINUTE = timedelta(minutes=1)
NO_INSERT = {
    "postgresql": (
        "CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'not now'; END $$",
        "CREATE TRIGGER no BEFORE {what} FOR EACH ROW EXECUTE FUNCTION no()",
    ),
    "mariadb": ("CREATE TRIGGER no BEFORE {what} FOR EACH ROW SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'not now'",),
    "sqlite": ("CREATE TRIGGER no BEFORE {what} BEGIN SELECT RAISE(ABORT, 'not now'); END",),
}
DROP = {"postgresql": "DROP TRIGGER no ON {table}", "mariadb": "DROP TRIGGER no", "sqlite": "DROP TRIGGER no"}


def no_limit(type_: str) -> int | None:
    return None


def put(queue: Queue, name: str = "s", **columns: Any) -> None:
    """Make a schedule of every minute, and let a processor plan it."""
    if "cron" not in columns:
        columns.setdefault("every_seconds", 60.0)
    schedules.put(queue.database, name, **{"type": "a", **columns})
    assert work(queue, name) == Attended("a")


def work(queue: Queue, name: str = "s", limit: firing.Limit = no_limit) -> Attended:
    return firing.attend(queue.database, name, limit)


def row(queue: Queue, name: str = "s") -> dict[str, Any]:
    return schedules.page(queue.database, name)[0]


def write(queue: Queue, name: str = "s", **instants: datetime | None) -> None:
    """Write instants into a row by SQL."""
    zone = "+00" if queue.kind == "postgresql" else ""
    changes = [
        f"{column} = " + ("NULL" if instant is None else f"'{instant.astimezone(UTC):%Y-%m-%d %H:%M:%S.%f}{zone}'")
        for column, instant in instants.items()
    ]
    queue.rows(f"UPDATE schedules SET {', '.join(changes)} WHERE name = '{name}'")


def let_pass(queue: Queue, minutes: float, name: str = "s") -> datetime:
    """Let so many minutes pass since the planned firing; give what it is planned for now."""
    there = row(queue, name)
    planned = Timetable.read(there).next(there["instant"] - minutes * MINUTE - MINUTE)
    assert planned is not None
    write(queue, name, planned_at=planned, next_at=planned)
    return planned


def jobs(queue: Queue) -> list[str]:
    quoted = "`key`" if queue.kind == "mariadb" else '"key"'
    return [key for (key,) in queue.rows(f"SELECT {quoted} FROM jobs ORDER BY id")]


def stamp(instant: datetime) -> str:
    return f"s@{instant:%Y-%m-%dT%H:%M:%SZ}"


def test_a_new_row_is_planned_and_makes_nothing_yet(queue: Queue) -> None:
    queue.rows("INSERT INTO schedules (name, type, cron) VALUES ('s', 'a', '0 4 * * *')")
    assert firing.look(queue.database).wanting == ("s",)
    assert work(queue) == Attended("a")
    there = row(queue)
    assert (there["next_at"].hour, there["next_at"] > there["instant"]) == (4, True)
    look = firing.look(queue.database)
    assert (look.wanting, look.ready) == ((), 1)
    assert 0 < look.seconds <= 86400
    assert jobs(queue) == []


def test_a_firing_makes_a_job_that_says_what_it_is_for(queue: Queue) -> None:
    put(queue, payload='{"n": 1}', priority=7, owner="me")
    planned = let_pass(queue, 0)
    attended = work(queue)
    assert (attended.jobs, attended.job, attended.skipped, attended.error) == (1, 1, None, None)
    assert 0 <= attended.late < 120
    key = "`key`" if queue.kind == "mariadb" else '"key"'
    [made] = queue.rows(f"SELECT type, priority, owner, subject, {key}, status, run_at FROM jobs")
    assert made == ("a", 7, "me", "schedule:s", stamp(planned), "pending", None)
    assert [job.payload for job in queue.claim()] == ['{"n": 1}']
    there = row(queue)
    assert (there["last_at"], there["last_job_id"], there["last_job_status"]) == (planned, 1, "running")
    assert there["next_at"] > there["instant"]
    assert firing.look(queue.database).wanting == ()


@pytest.mark.parametrize("processors", [2, 4])
def test_however_many_processors_look_each_firing_makes_one_job(queue: Queue, processors: int) -> None:
    """Threads with connections of their own, let loose on ten due schedules in the same instant, five times."""
    names = [f"s{number}" for number in range(10)]
    for name in names:
        put(queue, name)
    for _ in range(5):
        for name in names:
            let_pass(queue, 3, name)
        start, failed = threading.Barrier(processors), []

        def look(start: threading.Barrier = start, failed: list[BaseException] = failed) -> None:
            try:
                with Database(queue.given.url) as database:
                    start.wait(20)
                    while wanting := firing.look(database).wanting:
                        for name in wanting:
                            firing.attend(database, name, no_limit)
            except BaseException as error:
                failed.append(error)
                raise

        threads = [threading.Thread(target=look) for _ in range(processors)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert not failed
    found = jobs(queue)
    assert len(found) == 50
    assert {sum(key.startswith(f"{name}@") for key in found) for name in names} == {5}


@pytest.mark.parametrize("db", ["postgresql", "mariadb"], indirect=True)
def test_a_row_that_somebody_holds_is_passed_by(queue: Queue) -> None:
    """SQLite has no locks of rows: there the writer waits for the file."""
    put(queue)
    let_pass(queue, 0)
    with queue.given.held("SELECT name FROM schedules WHERE name = 's' FOR UPDATE"):
        assert work(queue).held
    assert work(queue).jobs == 1


@pytest.mark.parametrize(
    ("catch_up", "minutes", "offsets"),
    [("none", 10, None), ("none", 0, [0]), ("once", 10, [10]), ("all", 10, list(range(8, 11)))],
)
def test_after_a_downtime_the_policy_decides(
    queue: Queue, catch_up: str, minutes: int, offsets: list[int] | None
) -> None:
    put(queue, catch_up=catch_up, catch_up_limit=3)
    planned = let_pass(queue, minutes)
    attended = work(queue)
    if offsets is None:  # but within a minute of the latest firing
        assert attended.skipped == "missed" or jobs(queue) == [stamp(row(queue)["last_at"])]
    else:
        found, latest = jobs(queue), row(queue)["last_at"]
        assert found == [stamp(latest - (offsets[-1] - offset) * MINUTE) for offset in offsets]
        assert planned + (minutes - 1) * MINUTE <= latest <= planned + (minutes + 1) * MINUTE
        assert attended.jobs == len(offsets)
    assert row(queue)["next_at"] > row(queue)["instant"]
    assert work(queue) == Attended("a")


def test_what_was_missed_long_ago_is_not_made_where_nothing_is_caught_up(queue: Queue) -> None:
    put(queue, cron="0 0 1 1 *", every_seconds=None, catch_up="none")
    there = row(queue)
    new_year = datetime(there["instant"].year, 1, 1, tzinfo=UTC)
    write(queue, planned_at=new_year, next_at=new_year)
    assert work(queue) == Attended("a", skipped="missed")
    assert jobs(queue) == []
    assert row(queue)["next_at"] == new_year.replace(year=new_year.year + 1)


def test_no_job_is_made_while_the_last_one_goes_on(queue: Queue) -> None:
    put(queue, skip_if_running=True, catch_up="all")
    let_pass(queue, 5)
    assert work(queue).jobs == 1
    for status in ("pending", "scheduled", "waiting", "paused"):
        queue.rows(f"UPDATE jobs SET status = '{status}'")
        let_pass(queue, 0)
        assert work(queue).skipped == "running"
    for status in ("completed", "failed", "cancelled"):
        queue.rows(f"UPDATE jobs SET status = '{status}'")
        let_pass(queue, 0)
        assert work(queue).jobs == 1
    queue.rows("DELETE FROM jobs")
    let_pass(queue, 0)
    assert work(queue).jobs == 1


def test_a_full_queue_gets_no_more(queue: Queue) -> None:
    put(queue, catch_up="all")
    queue.insert("type", "'a'")
    let_pass(queue, 5)
    assert work(queue, limit=lambda type_: 3).jobs == 2
    let_pass(queue, 0)
    assert work(queue, limit=lambda type_: 3).skipped == "full"


def test_the_limit_of_a_strange_type_is_what_a_living_processor_tells(queue: Queue) -> None:
    put(queue)
    queue.register("p2", types='{"a": {"queue_limit": 1}}')
    queue.insert("type", "'a'")
    let_pass(queue, 0)
    assert work(queue, limit=lambda type_: {}[type_]).skipped == "full"


# --- what people do by SQL --------------------------------------------------------------------------------------------


def test_a_timetable_that_was_changed_is_planned_anew_and_makes_up_for_nothing(queue: Queue) -> None:
    put(queue)
    let_pass(queue, 10)
    queue.rows("UPDATE schedules SET cron = '0 4 * * *', every_seconds = NULL")
    assert work(queue) == Attended("a")
    assert (row(queue)["next_at"].hour, jobs(queue)) == (4, [])


def test_what_fell_due_in_a_pause_was_not_missed(queue: Queue) -> None:
    put(queue)
    let_pass(queue, 10)
    queue.rows("UPDATE schedules SET paused = true")
    assert work(queue) == Attended("a")
    assert (row(queue)["next_at"], firing.look(queue.database).wanting) == (None, ())
    queue.rows("UPDATE schedules SET paused = false")
    assert work(queue) == Attended("a")
    assert (row(queue)["next_at"] > row(queue)["instant"], jobs(queue)) == (True, [])


def test_a_firing_that_was_called_forward_comes_now_and_again_in_its_time(queue: Queue) -> None:
    put(queue, cron="0 0 1 1 *", every_seconds=None)
    there = row(queue)
    write(queue, next_at=there["instant"])
    assert work(queue).jobs == 1
    assert row(queue)["next_at"] == there["planned_at"]


BAD = {
    "cron = 'now and then', every_seconds = NULL": "cron: expected five fields",
    "cron = '0 0 30 2 *', every_seconds = NULL": "cron: '0 0 30 2 *' never fires",
    "cron = '', every_seconds = NULL": "cron: expected five fields",
    "cron = '@daily', every_seconds = NULL, time_zone = 'Mars/One'": "time_zone: no time zone 'Mars/One'",
    "cron = '@daily', every_seconds = NULL, time_zone = ''": "time_zone: ",
    "every_seconds = 0.001": "every_seconds: expected 1 to",
    "every_seconds = 1e300": "every_seconds: expected 1 to",
    "jitter_seconds = -5": "jitter_seconds: expected 0 to",
}


@pytest.mark.parametrize("change", BAD)
def test_a_row_that_nobody_can_read_says_so_and_stops_no_other(queue: Queue, change: str) -> None:
    put(queue)
    put(queue, "other")
    let_pass(queue, 0)
    let_pass(queue, 0, "other")
    queue.rows(f"UPDATE schedules SET {change} WHERE name = 's'")
    assert set(firing.look(queue.database).wanting) == {"s", "other"}
    assert str(work(queue).error).startswith(BAD[change])
    assert work(queue, "other").jobs == 1
    look = firing.look(queue.database)
    assert (look.wanting, [name for name, _ in look.unreadable], look.ready) == ((), ["s"], 1)
    assert (row(queue)["error"].startswith(BAD[change]), row(queue)["next_at"]) == (True, None)

    mended = "cron = '@daily', every_seconds = NULL, time_zone = 'UTC', jitter_seconds = 0"
    queue.rows(f"UPDATE schedules SET {mended} WHERE name = 's'")
    assert work(queue) == Attended("a")
    assert (row(queue)["error"], row(queue)["next_at"] is None) == (None, False)


def test_a_row_that_another_processor_could_read_is_left_to_it(queue: Queue) -> None:
    """It may know time zones, or be of a version, that this one lacks."""
    put(queue)
    let_pass(queue, 0)
    zone = "cron = '@daily', every_seconds = NULL, time_zone = 'Mars/One'"
    queue.rows(f"""UPDATE schedules SET {zone}, planned_for = '["@daily", null, "Mars/One", 0.0]'""")
    look = firing.look(queue.database)
    assert (look.wanting, [name for name, _ in look.unreadable], look.seconds) == ((), ["s"], float("inf"))
    assert work(queue) == Attended("a")
    assert (row(queue)["error"], row(queue)["next_at"] is None, jobs(queue)) == (None, False, [])


def test_a_look_counts_what_is_ready_paused_and_unreadable(queue: Queue) -> None:
    for name in ("one", "two", "three", "four"):
        put(queue, name)
    queue.rows("UPDATE schedules SET paused = true WHERE name IN ('two', 'three')")
    queue.rows("UPDATE schedules SET cron = 'nonsense', every_seconds = NULL WHERE name IN ('three', 'four')")
    look = firing.look(queue.database)
    assert (look.ready, look.paused, [name for name, _ in look.unreadable]) == (1, 2, ["four"])


@pytest.mark.parametrize(
    "values",
    [
        "'s', '', '@daily', NULL, 'once'",
        "'s', 'a', NULL, NULL, 'once'",
        "'s', 'a', '@daily', 5, 'once'",
        "'s', 'a', NULL, -5, 'once'",
        "'s', 'a', '@daily', NULL, 'sometimes'",
        "'', 'a', '@daily', NULL, 'once'",
        f"'s', 'a', '{'1,' * 100}1 * * * *', NULL, 'once'",
        f"'{'s' * 101}', 'a', '@daily', NULL, 'once'",
    ],
)
def test_the_table_refuses_what_no_schedule_can_be(queue: Queue, values: str) -> None:
    with pytest.raises(Exception, match=r"(?i)check|constraint|too long"):
        queue.rows(f"INSERT INTO schedules (name, type, cron, every_seconds, catch_up) VALUES ({values})")


@pytest.mark.parametrize("column", ["next_at", "planned_at", "last_at", "updated_at"])
def test_the_table_refuses_an_instant_that_breaks_who_reads_it(queue: Queue, column: str) -> None:
    put(queue)
    for text in ("0044-03-15 00:00:00", "infinity" if queue.kind == "postgresql" else "9999-12-31 23:59:59.9"):
        with pytest.raises(Exception, match=r"(?i)check|constraint|incorrect"):
            queue.rows(f"UPDATE schedules SET {column} = '{text}'")


def test_a_job_that_the_database_refuses_is_said_and_tried_at_the_next_firing(queue: Queue) -> None:
    put(queue)
    for statement in NO_INSERT[queue.kind]:
        queue.rows(statement.format(what="INSERT ON jobs"))
    let_pass(queue, 0)
    attended = work(queue)
    assert "not now" in str(attended.error)
    assert "not now" in row(queue)["error"]
    assert row(queue)["next_at"] > row(queue)["instant"]
    queue.rows(DROP[queue.kind].format(table="jobs"))
    let_pass(queue, 0)
    assert work(queue).jobs == 1
    assert row(queue)["error"] is None


def test_a_row_that_nobody_may_change_raises_for_its_processor_to_pass_it_over(queue: Queue) -> None:
    put(queue)
    let_pass(queue, 0)
    for statement in NO_INSERT[queue.kind]:
        queue.rows(statement.format(what="UPDATE ON schedules"))
    with pytest.raises(ValuesRefused, match="not now"):
        work(queue)
    assert jobs(queue) == []


# --- now --------------------------------------------------------------------------------------------------------------


def test_a_schedule_can_be_fired_by_hand_beside_its_firings(queue: Queue) -> None:
    put(queue)
    before = row(queue)
    queue.rows("UPDATE schedules SET paused = true")
    assert firing.fire_now(queue.database, "s") == 1
    there = row(queue)
    assert (there["last_job_id"], there["next_at"], len(jobs(queue))) == (1, before["next_at"], 1)
    assert there["last_at"] >= before["instant"]
    with pytest.raises(NotFound, match="no schedule 'x'"):
        firing.fire_now(queue.database, "x")


def test_a_payload_that_is_large_is_caught_up_in_portions(queue: Queue) -> None:
    put(queue, catch_up="all", payload=json.dumps("x" * 200_000))
    let_pass(queue, 100)
    assert work(queue).jobs == 100
    assert queue.rows("SELECT count(*) FROM jobs") == [(100,)]


@pytest.mark.parametrize("types", ["null", "5", '"a"', '{"a": null}', '{"a": {"queue_limit": "x"}}'])
def test_what_a_processor_tells_and_nobody_can_read_limits_nothing(queue: Queue, types: str) -> None:
    queue.rows(f"UPDATE processors SET types = '{types}'")
    put(queue)
    let_pass(queue, 0)

    def unknown(type_: str) -> int | None:
        raise KeyError(type_)

    assert work(queue, limit=unknown).jobs == 1


def test_a_schedule_at_the_end_of_the_calendar_fires_no_more(queue: Queue) -> None:
    put(queue, every_seconds=366 * 86400.0)
    queue.rows("UPDATE schedules SET planned_at = '9999-12-30 23:00:00', next_at = '2020-01-01 00:00:00'")
    work(queue)
    assert row(queue)["next_at"] is None or row(queue)["next_at"].year < 9999


def test_rows_that_were_never_planned_do_not_come_before_what_is_due(queue: Queue) -> None:
    put(queue, "due")
    let_pass(queue, 0, "due")
    for number in range(3):
        schedules.put(queue.database, f"a{number}", type="a", every_seconds=60.0)
    assert firing.look(queue.database).wanting[0] == "due"


def test_the_next_firings_are_told_as_they_will_come(queue: Queue) -> None:
    put(queue, every_seconds=60.0)
    first, second, third = schedules.upcoming(row(queue), 3)
    assert (first, second - first, third - second) == (row(queue)["next_at"], MINUTE, MINUTE)
    schedules.pause(queue.database, "s")
    assert schedules.upcoming(row(queue), 3) == []
