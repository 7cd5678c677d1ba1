"""`jobtable schedules`."""

import pytest

from tests.cli.conftest import Jobtable
from tests.databases import Database

SET = ("schedules", "set", "nightly", "--type", "a", "--cron", "30 4 * * mon-fri", "--time-zone", "Europe/Berlin")


def test_a_schedule_is_made_listed_changed_and_deleted(jobtable: Jobtable) -> None:
    result = jobtable(*SET, "--payload", '{"n": 1}', "--jitter", "2m", "--skip-if-running", "yes")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.startswith("made the schedule nightly; next at 2")
    [row] = jobtable.json("schedules")
    expected = {
        "name": "nightly",
        "type": "a",
        "cron": "30 4 * * mon-fri",
        "every_seconds": None,
        "time_zone": "Europe/Berlin",
        "payload": {"n": 1},
        "jitter_seconds": 120.0,
        "catch_up": "once",
        "catch_up_limit": 100,
        "skip_if_running": True,
        "paused": False,
        "source": None,
        "next_at": None,
        "last_job_id": None,
        "error": None,
    }
    assert expected.items() <= row.items()
    table = jobtable("schedules").stdout
    assert "30 4 * * mon-fri  Europe/Berlin" in table
    assert "not planned yet: a processor does that" in table

    assert jobtable("schedules", "set", "nightly", "--every", "15m").stdout.startswith("changed the schedule nightly")
    [row] = jobtable.json("schedules")
    assert (row["cron"], row["every_seconds"], row["type"], row["payload"]) == (None, 900.0, "a", {"n": 1})

    assert jobtable("schedules", "delete", "nightly").stdout == "deleted the schedule nightly\n"
    assert jobtable("schedules").stdout == "There is no schedule.\n"


def test_the_next_firings_are_shown_in_the_schedules_own_time(jobtable: Jobtable) -> None:
    jobtable(*SET)
    firings = jobtable.json("schedules", "next", "nightly", "--count", 12)
    assert len(firings) == 12
    assert {firing["local"].split()[0] for firing in firings} == {"Mon", "Tue", "Wed", "Thu", "Fri"}
    assert {firing["local"].split()[2] for firing in firings} == {"04:30:00"}
    assert [firing["at"] for firing in firings] == sorted({firing["at"] for firing in firings})
    assert all(firing["in_seconds"] > 0 for firing in firings)
    assert jobtable("schedules", "next", "nightly").stdout.count("04:30:00") == 10


def test_a_schedule_is_paused_resumed_and_fired(jobtable: Jobtable, db: Database) -> None:
    jobtable(*SET, "--owner", "me")
    assert jobtable("schedules", "pause", "nightly").stdout == "paused the schedule nightly\n"
    assert jobtable.json("schedules")[0]["paused"] is True
    assert jobtable("schedules").stdout.splitlines()[1].endswith("paused")
    fired = jobtable("schedules", "fire", "nightly")
    assert (fired.exit_code, fired.stdout, fired.stderr) == (0, "1\n", "")
    job = jobtable.json("show", 1)
    assert (job["type"], job["owner"], job["subject"]) == ("a", "me", "schedule:nightly")
    assert job["key"].startswith("nightly@2")
    row = jobtable.json("schedules")[0]
    assert (row["last_job_id"], row["last_job_status"]) == (1, "pending")
    assert jobtable("schedules", "resume", "nightly").stdout == "resumed the schedule nightly\n"
    assert jobtable.json("schedules")[0]["paused"] is False


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("set", "s", "--cron", "@daily"), 1, "it names no type"),
        (("set", "s", "--type", "a"), 1, "expected one of the two"),
        (("set", "s", "--type", "a", "--cron", "0 0 30 2 *"), 1, "'0 0 30 2 *' never fires"),
        (("set", "s", "--type", "a", "--cron", "0 0 * * 8"), 1, "the day of the week '8' is not 0 to 7"),
        (("set", "s", "--type", "a", "--cron", "@daily", "--time-zone", "Mars/One"), 1, "no time zone 'Mars/One'"),
        (("set", "s", "--type", "a", "--every", "0.5s"), 1, "expected 1 to"),
        (("set", "s", "--type", "a", "--every", "5m", "--jitter", "2d"), 1, "jitter_seconds"),
        (("set", "s", "--type", "a", "--cron", "@daily", "--priority", "40000"), 1, "priority"),
        (("set", "s", "--type", "a", "--cron", "@daily", "--every", "5m"), 2, "two answers to one question"),
        (("set", "s", "--type", "a", "--cron", "@daily", "--payload", "{"), 2, "no JSON"),
        (("set", "a name", "--type", "a", "--cron", "@daily"), 2, "is no name of a schedule"),
        (("set", "s"), 2, "Nothing to set"),
        *(((verb, "s"), 1, "There is no schedule 's'") for verb in ("next", "pause", "resume", "fire", "delete")),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(
    on_sqlite: Jobtable, arguments: tuple[str, ...], code: int, says: str
) -> None:
    result = on_sqlite("schedules", *arguments)
    assert result.exit_code == code
    assert says in result.stderr
    assert result.stderr.count("\n") == 1
    assert on_sqlite.json("schedules") == []


def test_a_row_that_nobody_can_read_is_shown_with_the_reason(jobtable: Jobtable, db: Database) -> None:
    db.rows("INSERT INTO schedules (name, type, cron) VALUES ('broken', 'a', 'at tea time')")
    assert jobtable.json("schedules")[0]["error"].startswith("cron: expected five fields")
    assert "cron: expected five fields" in jobtable("schedules").stdout
    result = jobtable("schedules", "next", "broken")
    assert result.exit_code == 1
    assert "cannot be read" in result.stderr


def test_a_configured_schedule_that_is_deleted_says_where_it_stands(on_sqlite: Jobtable) -> None:
    on_sqlite.configure(
        '[processor]\nname = "here"\n[metrics]\nlisten = ""\n[schedules.s]\ntype = "a"\ncron = "@yearly"\n'
    )
    code, _, err = on_sqlite.run("run", "--drain")
    assert code == 0, err
    [row] = on_sqlite.json("schedules")
    assert row["source"] == f"here:{on_sqlite.folder / 'jobtable.toml'}"
    assert row["next_at"] is not None
    result = on_sqlite("schedules", "set", "s", "--cron", "@daily")
    assert "changes it no more" in result.stderr
    on_sqlite("schedules", "delete", "s")
    on_sqlite.run("run", "--drain")
    result = on_sqlite("schedules", "delete", "s")
    assert "take it out there, too" in result.stderr
