"""What people and configurations write: the row decides, and nobody takes another's."""

import threading
from dataclasses import replace

import pytest

from processor.errors import NotFound, Refused, ValuesRefused
from processor.queue import schedules
from processor.queue.schedules import TAKEN, Schedule
from tests.queue.conftest import Queue

NIGHTLY = Schedule("nightly", "a", cron="0 4 * * *", time_zone="Europe/Berlin")
OFTEN = Schedule("often", "a", every_seconds=60.0)


def names(queue: Queue) -> dict[str, str | None]:
    return {row["name"]: row["source"] for row in schedules.page(queue.database)}


def test_a_configuration_writes_its_schedules_and_removes_those_that_it_names_no_more(queue: Queue) -> None:
    assert schedules.keep(queue.database, [NIGHTLY, OFTEN], "one") == {}
    assert names(queue) == {"nightly": "one", "often": "one"}
    assert schedules.keep(queue.database, [replace(NIGHTLY, type="b")], "one") == {}
    assert names(queue) == {"nightly": "one"}
    assert schedules.page(queue.database)[0]["type"] == "b"


def test_two_configurations_leave_each_others_schedules_alone(queue: Queue) -> None:
    schedules.keep(queue.database, [NIGHTLY], "one")
    schedules.keep(queue.database, [OFTEN], "two")
    schedules.keep(queue.database, [], "three")
    assert names(queue) == {"nightly": "one", "often": "two"}
    schedules.keep(queue.database, [NIGHTLY], "two")
    assert names(queue) == {"nightly": "two"}


def test_a_persons_schedule_stays_as_it_is(queue: Queue) -> None:
    queue.rows("INSERT INTO schedules (name, type, cron) VALUES ('nightly', 'mine', '@daily')")
    assert schedules.keep(queue.database, [NIGHTLY], "one") == {"nightly": TAKEN}
    assert [(row["type"], row["cron"]) for row in schedules.page(queue.database)] == [("mine", "@daily")]


def test_what_did_not_change_is_not_written(queue: Queue) -> None:
    schedules.keep(queue.database, [NIGHTLY, OFTEN], "one")
    queue.rows("UPDATE schedules SET paused = true, updated_at = '2001-06-01 00:00:00' WHERE name = 'nightly'")
    schedules.keep(queue.database, [NIGHTLY, OFTEN], "one")
    there = schedules.page(queue.database, "nightly")[0]
    assert (there["updated_at"].year, there["paused"]) == (2001, True)
    schedules.keep(queue.database, [replace(NIGHTLY, priority=9)], "one")
    there = schedules.page(queue.database, "nightly")[0]
    assert (there["updated_at"].year > 2001, there["paused"], there["priority"]) == (True, True, 9)


def test_one_that_the_database_refuses_keeps_no_other_from_being_written(queue: Queue) -> None:
    too_long = replace(OFTEN, name="x" * 101)
    refused = schedules.keep(queue.database, [too_long, NIGHTLY], "one")
    assert list(refused) == ["x" * 101]
    assert names(queue) == {"nightly": "one"}


def test_processors_that_start_together_write_each_schedule_once(queue: Queue) -> None:
    start, told = threading.Barrier(4), []

    def keep() -> None:
        start.wait(20)
        told.append(schedules.keep(queue.database, [NIGHTLY, OFTEN], "one"))

    threads = [threading.Thread(target=keep) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert told == [{}] * 4
    assert names(queue) == {"nightly": "one", "often": "one"}


def test_a_person_changes_what_is_given_and_takes_the_schedule_over(queue: Queue) -> None:
    schedules.keep(queue.database, [NIGHTLY], "one")
    assert schedules.put(queue.database, "nightly", every_seconds=90.0) is False
    there = schedules.page(queue.database, "nightly")[0]
    assert (there["cron"], there["every_seconds"], there["type"], there["source"]) == (None, 90.0, "a", None)
    assert schedules.put(queue.database, "new", type="b", cron="@daily") is True


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"type": "a"}, "expected one of the two"),
        ({"cron": "@daily"}, "it names no type"),
        ({"type": "a", "cron": "0 0 30 2 *"}, "never fires"),
        ({"type": "a", "cron": "@daily", "time_zone": "Mars/One"}, "no time zone 'Mars/One'"),
        ({"type": "a", "every_seconds": 0.1}, "expected 1 to"),
    ],
)
def test_what_would_never_fire_is_refused(queue: Queue, changes: dict[str, object], says: str) -> None:
    with pytest.raises(Refused, match=says):
        schedules.put(queue.database, "s", **changes)
    assert names(queue) == {}


def test_what_the_database_does_not_take_is_refused_by_name(queue: Queue) -> None:
    with pytest.raises(ValuesRefused, match="priority"):
        schedules.put(queue.database, "s", type="a", cron="@daily", priority=40_000)


def test_pause_resume_and_remove_name_a_schedule_that_exists(queue: Queue) -> None:
    schedules.put(queue.database, "s", type="a", cron="@daily")
    schedules.pause(queue.database, "s")
    assert schedules.page(queue.database)[0]["paused"]
    schedules.resume(queue.database, "s")
    assert not schedules.page(queue.database)[0]["paused"]
    schedules.remove(queue.database, "s")
    for verb in (schedules.pause, schedules.resume, schedules.remove):
        with pytest.raises(NotFound, match="no schedule 's'"):
            verb(queue.database, "s")
