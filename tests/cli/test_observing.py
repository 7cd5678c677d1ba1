"""`jobtable notifications, processors, types, config, migrate`."""

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Jobtable
from tests.databases import Database


def test_notifications_are_listed_and_marked_as_read(jobtable: Jobtable) -> None:
    for owner in ("ada", "ada", "bob"):
        jobtable("cancel", jobtable.enqueue("a", "--owner", owner))
    ada2, ada1 = (row["id"] for row in jobtable.json("notifications", "--owner", "ada"))
    assert jobtable("notifications", "read", ada1).stdout == "marked as read: 1 notification\n"
    assert [row["id"] for row in jobtable.json("notifications", "--owner", "ada", "--unread")] == [ada2]
    assert jobtable("notifications", "read", "--all", "--owner", "ada").stdout == "marked as read: 1 notification\n"
    assert jobtable("notifications", "read", "--all").stdout == "marked as read: 1 notification\n"
    assert jobtable("notifications", "--unread").stdout == "There are no such notifications.\n"
    assert len(jobtable("notifications").stdout.splitlines()) == 4


@pytest.mark.parametrize("arguments", [(), ("1", "--all"), ("1", "--owner", "ada")])
def test_what_to_mark_as_read_has_to_be_said_in_one_way(on_sqlite: Jobtable, arguments: tuple[str, ...]) -> None:
    assert on_sqlite("notifications", "read", *arguments).exit_code == 2


def test_types_show_their_handler_limits_and_waiting_jobs(jobtable: Jobtable) -> None:
    jobtable.configure(
        '[types.c]\ncommand = ["/bin/true", "-x"]\ntimeout = 90\n[types.h]\nhttp = "https://u:pw@example.org/"'
    )
    jobtable.enqueue("c")
    jobtable("cancel", jobtable.enqueue("c"))
    jobtable.enqueue("stranger")
    rows = {row["type"]: row for row in jobtable.json("types")}
    assert list(rows) == ["c", "h", "stranger"]
    assert (rows["c"]["kind"], rows["c"]["handler"], rows["c"]["timeout_seconds"]) == ("command", "/bin/true -x", 90)
    assert (rows["c"]["jobs"]["pending"], rows["c"]["handled"], rows["h"]["jobs"]["pending"]) == (1, True, 0)
    assert (rows["stranger"]["handled"], rows["stranger"]["kind"]) == (False, None)
    assert "pw" not in rows["h"]["handler"]
    assert "cancelled" not in rows["c"]["jobs"]
    assert {row["type"]: row for row in jobtable.json("types", "--all")}["c"]["jobs"]["cancelled"] == 1
    assert "no handler known: its jobs wait" in jobtable("types").stdout


def test_a_type_is_paused_for_good_or_for_a_while_and_resumed(jobtable: Jobtable) -> None:
    jobtable.enqueue("a")
    for flags, said, is_timed in (
        ((), "paused the type a\n", False),
        (("--for", "10m"), "paused the type a for 10 min 0 s\n", True),
        (("--until", "2100-01-01T00:00Z"), "paused the type a until 2100-01-01 00:00:00 UTC\n", True),
    ):
        assert jobtable("types", "pause", "a", *flags).stdout == said
        [row] = jobtable.json("types")
        assert (row["paused"], row["paused_until"] is not None) == (True, is_timed)
    assert row["paused_until"] == "2100-01-01T00:00:00.000000Z"
    assert jobtable("types", "resume", "a").stdout == "resumed the type a\n"
    assert jobtable.json("types")[0]["paused"] is False


def test_a_misspelled_type_is_not_paused(on_sqlite: Jobtable) -> None:
    result = on_sqlite("types", "pause", "nobody")
    assert result.exit_code == 1
    assert "There is no type nobody" in result.stderr
    assert on_sqlite.json("types") == []


def test_processors_are_listed_while_they_live_and_with_all_for_ever(jobtable: Jobtable) -> None:
    jobtable.configure('[metrics]\nlisten = ""\n[types.a]\ncommand = ["/bin/true"]')
    process = jobtable.start("run", "--name", "one")
    assert process.stderr is not None
    while "processor_started" not in process.stderr.readline():
        assert process.poll() is None
    [row] = jobtable.json("processors")
    assert (row["name"], row["pid"], row["status"]) == ("one", process.pid, "live")
    assert row["types"] == ["a", "batch", "jobtable.webhook"]
    assert row["lease_over"] is False
    process.terminate()
    assert process.wait(20) == 0
    assert jobtable.json("processors") == []
    assert "Start one with `jobtable run`" in jobtable("processors").stdout
    assert [row["status"] for row in jobtable.json("processors", "--all")] == ["stopped"]


def test_config_says_where_each_setting_comes_from_and_hides_secrets(on_sqlite: Jobtable) -> None:
    on_sqlite.configure('[processor]\nmax_concurrent = 7\n[types.h]\nhttp = "https://example.org"\nsecret = "hush"')
    rows = {row["key"]: row for row in on_sqlite.json("config", "--database-url", "postgresql://u:geheim@h/d")}
    assert rows["processor.max_concurrent"] == {
        "key": "processor.max_concurrent",
        "value": 7,
        "origin": "jobtable.toml",
    }
    assert rows["processor.poll_interval"]["origin"] == "default"
    assert rows["database.url"]["origin"].startswith("flag --")
    everything = json.dumps(rows) + on_sqlite("config").output
    assert "geheim" not in everything
    assert "hush" not in everything


def test_migrate_says_what_it_did(empty_db: Database, tmp_path: Path) -> None:
    jobtable = Jobtable(tmp_path, empty_db.url)
    said = [jobtable("migrate", *flags) for flags in ((), (), ("--down",), ("--down", "--yes"), ("--down", "--yes"))]
    assert [result.exit_code for result in said] == [0, 0, 1, 0, 0]
    assert said[0].stdout.endswith(": created the tables (revision 0001)\n")
    assert said[1].stdout.endswith(": already at 0001\n")
    assert "Remove tables and their rows" in said[2].stderr
    assert said[3].stdout.endswith(": removed the tables (they were at revision 0001)\n")
    assert said[4].stdout.endswith(": there are no tables\n")


def test_migrate_refuses_revisions_that_nobody_knows(on_sqlite: Jobtable) -> None:
    result = on_sqlite("migrate", "--revision", "0999")
    assert result.exit_code == 1
    assert "Known revisions: 0001" in result.stderr
