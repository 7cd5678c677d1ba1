"""Limits, lanes, rates and duplicates, on real processors."""

import json
import signal
import time
from pathlib import Path

import pytest

from tests.processors.running import Site, eventually


@pytest.mark.parametrize("processors", [2, 4])
def test_a_limit_holds_across_processors_and_nothing_waits_for_a_poll(site: Site, processors: int) -> None:
    site.write(types='[types.quick]\npython = "deeds:spell"\nmax_concurrent = 2', processor="poll_interval = 30")
    site.config.write_text(site.config.read_text().replace("poll_interval = 0.05\n", "", 1))
    names = [f"p{number}" for number in range(processors)]
    for _ in range(24):
        site.insert("quick", seconds=0.05)
    for name in names:
        site.start("--name", name)
    eventually(lambda: site.db.rows("SELECT count(*) FROM jobs WHERE status = 'completed'") == [(24,)], "all are done")
    assert _most_at_once(site) <= 2


@pytest.mark.parametrize("rule", ["max_per_processor = 1", 'rate = "8/s"'])
def test_what_one_processor_has_to_leave_does_not_wait_for_its_poll(site: Site, rule: str) -> None:
    site.write(types=f'[types.quick]\npython = "deeds:quick"\n{rule}', processor="poll_interval = 300")
    site.config.write_text(site.config.read_text().replace("poll_interval = 0.05\n", "", 1))
    for _ in range(20):
        site.insert("quick")
    site.start()
    eventually(lambda: site.db.rows("SELECT count(*) FROM jobs WHERE status = 'completed'") == [(20,)], "all are done")


def test_explain_knows_the_limit_of_one_processor(site: Site) -> None:
    site.write(types='[types.until]\npython = "deeds:until"\nmax_per_processor = 1')
    for _ in range(2):
        site.insert("until", until=str(site.folder / "go"))
    site.start("--name", "one")
    eventually(site.starts, "the first runs")
    assert "as many of its type as it may: one 1 of 1" in site.command("explain", "2")
    (site.folder / "go").touch()
    site.await_status("completed", 2)


def test_owners_take_turns_across_processors(site: Site) -> None:
    """The first processor makes the index; 20 jobs of one owner are there before the one of another."""
    rules = 'max_concurrent = 1\nfair = "owner"\nage_priority = "1 per 10m"'
    site.write(types=f'[types.quick]\npython = "deeds:spell"\n{rules}')
    for owner in ["A"] * 20 + ["B", "C"]:
        site.insert("quick", {"owner": owner}, seconds=0.01)
    assert "fair" in site.command("config")
    for name in ("one", "two"):
        site.start("--name", name)
    eventually(lambda: site.db.rows("SELECT count(*) FROM jobs WHERE status = 'completed'") == [(22,)], "all are done")
    started = [owner for (owner,) in site.db.rows("SELECT owner FROM jobs ORDER BY started_at")]
    assert started[:4] == ["A", "B", "C", "A"]


def test_a_type_that_becomes_fair_by_a_reload_gets_its_index(site: Site) -> None:
    processor = site.start()
    processor.await_event("processor_started")
    site.write(types='[types.quick]\npython = "deeds:quick"\nfair = "owner"')
    processor.signal(signal.SIGHUP)
    processor.await_event("settings_reloaded")
    for owner in ("A", "A", "B"):
        site.insert("quick", {"owner": owner})
    eventually(lambda: site.db.rows("SELECT count(*) FROM jobs WHERE status = 'completed'") == [(3,)], "all are done")
    with pytest.raises(Exception, match=r"(?i)exists|duplicate"):
        site.db.rows("CREATE INDEX jobs_turns ON jobs (type)")


def _most_at_once(site: Site) -> int:
    """How many handlers ran in the same moment, by what they wrote down themselves."""
    spells = [json.loads(line) for line in Path(site.log).with_suffix(".spells").read_text().splitlines()]
    edges = sorted([(begin, 1) for begin, _ in spells] + [(end, -1) for _, end in spells])
    most = now = 0
    for _, change in edges:
        now += change
        most = max(most, now)
    return most


def test_a_limit_on_one_processor_leaves_room_for_other_types(site: Site) -> None:
    site.write(types='[types.until]\npython = "deeds:until"\nmax_per_processor = 1')
    for _ in range(3):
        site.insert("until", {"priority": 9}, until=str(site.folder / "go"))
    site.insert("quick")
    site.start()
    site.await_status("completed", 4)
    assert site.db.rows("SELECT count(*) FROM jobs WHERE status = 'running'") == [(1,)]
    (site.folder / "go").touch()
    site.await_status("completed", 3)


def test_a_limit_set_by_command_is_obeyed_while_processors_run(site: Site) -> None:
    go = site.folder / "go"
    processor = site.start()
    processor.await_event("processor_started")
    site.command("types", "set", "until", "--max-concurrent", "1")
    for _ in range(3):
        site.insert("until", until=str(go))
    eventually(site.starts, "the first has started")
    assert "at its limit: 1 of 1, held by job 1" in site.command("explain", "2")
    assert [job for job, _ in site.starts()] == [1]
    site.command("types", "set", "until", "--max-concurrent", "default")
    eventually(lambda: len(site.starts()) == 3, "all run")
    go.touch()
    site.await_status("completed", 3)


def test_a_lane_runs_in_order_one_by_one_whoever_works(site: Site) -> None:
    site.write(types='[types.quick]\npython = "deeds:spell"')
    for number in range(20):
        site.insert("quick", {"concurrency_key": f"lane {number % 2}"}, seconds=0.01)
    for name in ("p1", "p2"):
        site.start("--name", name)
    eventually(lambda: site.db.rows("SELECT count(*) FROM jobs WHERE status = 'completed'") == [(20,)], "all are done")
    for lane in (0, 1):
        assert [job for job, _ in site.starts() if job % 2 == (lane + 1) % 2] == list(range(lane + 1, 21, 2))
    assert _most_at_once(site) <= 2


def test_a_lane_goes_on_after_its_processor_was_killed(site: Site) -> None:
    site.insert("until", {"concurrency_key": "x"}, until=str(site.folder / "never"))
    site.insert("quick", {"concurrency_key": "x"})
    site.insert("until", {"concurrency_key": "x"}, until=str(site.folder / "never"))
    first = site.start()
    eventually(site.starts, "the first of the lane runs")
    site.await_status("waiting", 3)
    first.kill()
    (site.folder / "never").touch()
    site.start()
    assert site.await_status("failed", 1)["reason"] == "lost"
    site.await_status("completed", 3)


def test_equal_jobs_are_worked_on_once_and_all_get_the_result(site: Site) -> None:
    for _ in range(5):
        site.insert("until", {"key": "k", "owner": "me"}, until=str(site.folder / "go"))
    site.start("--name", "p1")
    site.start("--name", "p2")
    eventually(site.starts, "one of them runs")
    site.await_status("waiting", 5)
    (site.folder / "go").touch()
    site.await_status("completed", 5)
    assert len(site.starts()) == 1
    results = site.db.rows("SELECT DISTINCT reason, duplicate_of, CAST(result AS CHAR(20)) FROM jobs WHERE id > 1")
    assert [(reason, original, str(result).strip()) for reason, original, result in results] == [
        ("duplicate", 1, '"seen"')
    ]
    assert site.db.rows("SELECT count(*) FROM notifications") == [(5,)]


def test_a_rate_holds_across_processors_and_a_restart(site: Site) -> None:
    site.write(types='[types.quick]\npython = "deeds:quick"\nrate = "3/h"')
    for _ in range(8):
        site.insert("quick")
    first, second = site.start("--name", "p1"), site.start("--name", "p2")
    eventually(lambda: len(site.starts()) == 3, "three have started")
    first.kill()
    third = site.start("--name", "p3")
    third.await_event("processor_started")
    second.await_event("rows_sampled")
    assert "3/h, is used up: next start in" in site.command("explain", "8")
    assert len(site.starts()) == 3


def test_a_handler_holds_its_whole_type_back(site: Site) -> None:
    site.write(
        types='[types.quick]\npython = "deeds:hold"\n'
        """[types.shell]\ncommand = ["sh", "-c", "echo '{\\"hold_type\\": 3600}' >&3"]"""
    )
    site.insert("quick")
    site.insert("shell")
    processor = site.start()
    site.await_status("completed", 1)
    site.await_status("completed", 2)
    assert processor.await_event("type_held", type="quick")["seconds"] == 3600
    processor.await_event("type_held", type="shell")
    for type_ in ("quick", "shell"):
        site.insert(type_)
    eventually(lambda: "paused until" in site.command("explain", "3"), "it is held back")
    eventually(lambda: "paused until" in site.command("explain", "4"), "this one, too")
    site.command("types", "resume", "quick")
    site.await_status("completed", 3)


def test_a_drain_works_until_lanes_and_equals_are_done(site: Site) -> None:
    for _ in range(6):
        site.insert("quick", {"concurrency_key": "x"})
    site.insert("quick", {"key": "k"})
    site.insert("quick", {"key": "k"})
    before = time.monotonic()
    site.drain()
    assert site.db.rows("SELECT count(*) FROM jobs WHERE status = 'completed'") == [(8,)]
    assert time.monotonic() - before < 30
