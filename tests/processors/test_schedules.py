"""Schedules on real processors: in time, once, through kills, reloads and rows that nobody can read."""

import json
import signal
from datetime import datetime, timedelta

import pytest

from tests.processors.running import Processor, Site, eventually

EVERY_SECOND = """
[schedules.tick]
type = "quick"
every = "1s"
catch_up = "all"
payload = {{ log = "{log}" }}
"""
POLL = "poll_interval = 300"


def set_up(site: Site, schedules: str = EVERY_SECOND) -> None:
    """Write settings with five minutes between two polls."""
    site.write(types=schedules.format(log=site.log), processor=POLL)
    site.config.write_text(site.config.read_text().replace("poll_interval = 0.05\n", "", 1))


def firings(site: Site, name: str = "tick") -> list[datetime]:
    """Give the instants that the jobs of a schedule are for."""
    key = "`key`" if site.db.kind == "mariadb" else '"key"'
    keys = [key for (key,) in site.db.rows(f"SELECT {key} FROM jobs WHERE subject = 'schedule:{name}' ORDER BY id")]
    return [datetime.fromisoformat(key.removeprefix(f"{name}@")) for key in keys]


def await_firings(site: Site, count: int, name: str = "tick") -> None:
    eventually(lambda: len(firings(site, name)) >= count, f"{count} firings of {name}")


def assert_each_second_once(site: Site) -> None:
    found = firings(site)
    assert found == [found[0] + timedelta(seconds=number) for number in range(len(found))]


def await_all_done(site: Site) -> None:
    site.db.rows("UPDATE schedules SET paused = true")
    eventually(lambda: site.db.rows("SELECT count(*) FROM jobs WHERE finished_at IS NULL") == [(0,)], "all have ended")


def test_firings_come_in_time_however_long_the_poll_is(site: Site) -> None:
    set_up(site)
    processor = site.start()
    await_firings(site, 8)
    await_all_done(site)
    assert_each_second_once(site)
    assert len({job for job, _ in site.starts()}) == len(firings(site))
    fired = processor.events("schedule_fired", schedule="tick")
    assert sum(line["jobs"] for line in fired) == len(firings(site))
    assert len(firings(site)) < 3 * len(fired), "they come by the look of every five seconds, not in their time"


def test_many_processors_and_a_kill_make_each_firing_once(site: Site) -> None:
    set_up(site)
    first, *_ = [site.start(), site.start(), site.start()]
    await_firings(site, 3)
    first.kill()
    await_firings(site, len(firings(site)) + 3)
    await_all_done(site)
    assert_each_second_once(site)


@pytest.mark.parametrize("db", ["sqlite"], indirect=True)
def test_more_schedules_than_one_turn_takes_all_fire(site: Site) -> None:
    set_up(site, "")
    for number in range(45):
        site.db.rows(f"INSERT INTO schedules (name, type, cron) VALUES ('s{number}', 'nothing', '@yearly')")
    site.start()
    eventually(lambda: site.db.rows("SELECT count(next_at) FROM schedules") == [(45,)], "all are planned")
    site.db.rows("UPDATE schedules SET next_at = '2001-01-01 00:00:00'")
    eventually(lambda: site.db.rows("SELECT count(*) FROM jobs") == [(45,)], "all have fired")
    await_all_done(site)
    assert site.db.rows("SELECT count(DISTINCT subject), count(*) FROM jobs") == [(45, 45)]


POINTS = [
    "processor.queue.schedules:keep:before",
    "processor.queue.schedules:keep:after",
    "processor.queue.firing:look:after",
    "processor.queue.firing:attend:before",
    "processor.queue.firing:attend:after",
    "processor.queue.firing:_fire:before",
    "processor.queue.firing:insert_job:after",
    "processor.queue.firing:_fire:after",
    "processor.happenings:ScheduleFired:before",
]
"""`_fire` and `insert_job` lie inside the transaction, `ScheduleFired` is told after its commit."""


@pytest.mark.parametrize("point", POINTS)
def test_a_processor_killed_at_any_point_of_a_firing_loses_and_doubles_none(site: Site, point: str) -> None:
    set_up(site)
    killed = site.start(program=["-m", "tests.processors.crashing", point])
    assert killed.wait() == -signal.SIGKILL, f"it did not come to {point}: {killed.tail()}"
    before = firings(site)
    assert len(before) == (1 if point.startswith("processor.happenings") else 0)
    site.start()
    await_firings(site, 3)
    await_all_done(site)
    assert firings(site)[: len(before)] == before
    assert_each_second_once(site)


@pytest.mark.parametrize("point", ["processor.queue.firing:_fire:lost", "processor.happenings:ScheduleFired:lost"])
def test_a_database_that_is_lost_in_or_after_the_commit_doubles_nothing(site: Site, point: str) -> None:
    set_up(site)
    processor = site.start(program=["-m", "tests.processors.crashing", point])
    processor.await_event("database_lost")
    await_firings(site, 3)
    await_all_done(site)
    assert_each_second_once(site)


def test_what_was_missed_while_no_processor_ran_is_caught_up(site: Site) -> None:
    set_up(site)
    first = site.start()
    await_firings(site, 1)
    first.kill()
    made = len(firings(site))
    instant = {"postgresql": "now()", "mariadb": "utc_timestamp(6)", "sqlite": "strftime('%Y-%m-%d %H:%M:%f', 'now')"}
    passed = f"SELECT count(*) FROM schedules WHERE next_at < {instant[site.db.kind]}"
    eventually(lambda: site.db.rows(passed) == [(1,)], "one is missed")
    site.start()
    await_firings(site, made + 2)
    await_all_done(site)
    assert_each_second_once(site)


# --- configuration ----------------------------------------------------------------------------------------------------

YEARLY = '[schedules.{name}]\ntype = "quick"\ncron = "@yearly"\n'


def names(site: Site) -> list[str]:
    return [name for (name,) in site.db.rows("SELECT name FROM schedules ORDER BY name")]


def test_a_reload_adds_changes_and_removes_and_keeps_a_pause(site: Site) -> None:
    set_up(site, YEARLY.format(name="a") + YEARLY.format(name="b"))
    processor = site.start()
    eventually(lambda: names(site) == ["a", "b"], "both are written")
    site.command("schedules", "pause", "b")
    site.command("schedules", "set", "mine", "--type", "quick", "--cron", "@daily")
    set_up(site, YEARLY.format(name="b").replace("@yearly", "@monthly") + YEARLY.format(name="c"))
    processor.signal(signal.SIGHUP)
    eventually(lambda: names(site) == ["b", "c", "mine"], "the reload is in force")
    assert site.db.rows("SELECT cron, paused FROM schedules WHERE name = 'b'") in (
        [("@monthly", True)],
        [("@monthly", 1)],
    )


def test_a_persons_schedule_of_the_same_name_stays_and_is_told_once(site: Site) -> None:
    site.command("schedules", "set", "tick", "--type", "quick", "--cron", "@yearly")
    set_up(site)
    processor = site.start()
    line = processor.await_event("schedule_refused", schedule="tick")
    assert "A person made or changed the schedule" in line["error"]
    eventually(lambda: site.db.rows("SELECT next_at FROM schedules") != [(None,)], "it is planned")
    assert site.db.rows("SELECT cron FROM schedules") == [("@yearly",)]


def test_settings_with_a_schedule_that_cannot_fire_are_refused_before_anything_starts(site: Site) -> None:
    set_up(site, '[schedules.never]\ntype = "quick"\ncron = "0 0 30 2 *"\n')
    processor = site.start()
    assert processor.wait() == 2
    assert "[schedules.never] cron" in processor.tail()
    assert "never fires" in processor.tail()
    assert names(site) == []


# --- rows of strangers ------------------------------------------------------------------------------------------------


def events(processor: Processor, name: str) -> list[str]:
    return [line["error"] for line in processor.events("schedule_refused", schedule=name)]


def test_rows_that_nobody_can_read_are_told_once_and_stop_nothing(site: Site) -> None:
    set_up(site)
    processor = site.start()
    await_firings(site, 1)
    for name, columns in {
        "nonsense": "cron, time_zone) VALUES ('{}', 'quick', 'at tea time', 'UTC')",
        "never": "cron, time_zone) VALUES ('{}', 'quick', '0 0 30 2 *', 'UTC')",
        "nowhere": "cron, time_zone) VALUES ('{}', 'quick', '@daily', 'Mars/One')",
        "hasty": "every_seconds) VALUES ('{}', 'quick', 0.0001)",
        "strange": "every_seconds) VALUES ('{}', 'of nobody', 1)",
    }.items():
        site.db.rows(f"INSERT INTO schedules (name, type, {columns.format(name)}")
    for name in ("nonsense", "never", "nowhere", "hasty"):
        processor.await_event("schedule_refused", schedule=name)
    await_firings(site, len(firings(site)) + 6)
    await_firings(site, 2, "strange")
    assert [len(events(processor, name)) for name in ("nonsense", "never", "nowhere", "hasty", "tick")] == [
        1,
        1,
        1,
        1,
        0,
    ]
    [told] = [row for row in json.loads(site.command("schedules", "--json")) if row["name"] == "nonsense"]
    assert told["error"].startswith("cron: expected five fields")
    site.db.rows("UPDATE schedules SET cron = '* * * * * *' WHERE name = 'nonsense'")
    await_firings(site, 2, "nonsense")
    assert_each_second_once(site)


def test_a_table_that_lets_nobody_change_its_schedules_stops_no_job(site: Site) -> None:
    set_up(site)
    processor = site.start()
    await_firings(site, 1)
    for statement in {
        "postgresql": (
            "CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no'; END $$",
            "CREATE TRIGGER no BEFORE UPDATE ON schedules FOR EACH ROW EXECUTE FUNCTION no()",
        ),
        "mariadb": (
            "CREATE TRIGGER no BEFORE UPDATE ON schedules FOR EACH ROW SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'no'",
        ),
        "sqlite": ("CREATE TRIGGER no BEFORE UPDATE ON schedules BEGIN SELECT RAISE(ABORT, 'no'); END",),
    }[site.db.kind]:
        site.db.rows(statement)
    processor.await_event("schedule_refused", schedule="tick")
    made = len(firings(site))
    job = site.insert("quick")
    processor.signal(signal.SIGHUP)  # it looks at once, and not in five minutes
    site.await_status("completed", job)
    assert len(firings(site)) == made
    assert processor.events("database_lost") == []
