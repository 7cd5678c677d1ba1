"""`jobtable show --watch`."""

import json
from typing import Any

from tests.cli.conftest import Jobtable, give_work
from tests.databases import Database


def _job_that_waits(jobtable: Jobtable) -> tuple[int, Any]:
    give_work(jobtable)
    opened = jobtable.folder / "go"
    return jobtable.enqueue("count", "--payload", json.dumps({"waits_for": str(opened)})), opened


def test_in_a_pipe_each_change_is_a_line(jobtable: Jobtable) -> None:
    job, opened = _job_that_waits(jobtable)
    watcher = jobtable.start("show", job, "--watch")
    assert watcher.stdout is not None
    assert watcher.stdout.readline() == f"job {job}  count  pending\n"
    lines = iter(watcher.stdout.readline, "")
    processor = jobtable.start("run")
    assert any(line.endswith("1 state    running\n") for line in lines)
    assert any(line.endswith("1 stdout   try 1\n") for line in lines)
    opened.touch()
    rest, err = watcher.communicate(timeout=30)
    assert (watcher.returncode, err) == (0, "")
    assert "1 progress 50 % half" in rest
    assert rest.endswith("1 state    completed (done)\n")
    processor.terminate()
    processor.communicate(timeout=20)


def test_a_change_that_leaves_no_event_is_a_line_too(jobtable: Jobtable, db: Database) -> None:
    job, _ = _job_that_waits(jobtable)
    watcher = jobtable.start("show", job, "--watch")
    assert watcher.stdout is not None
    lines = iter(watcher.stdout.readline, "")
    assert next(lines) == f"job {job}  count  pending\n"
    assert any("inserted" in line for line in lines)
    assert any("waits_for" in line for line in lines)
    db.rows("UPDATE jobs SET status = 'paused'")
    assert f"job {job}  count  paused\n" in lines
    jobtable("cancel", job)
    rest, err = watcher.communicate(timeout=30)
    assert (watcher.returncode, err) == (0, "")
    assert rest.endswith("0 state    cancelled (asked)\n")


def test_as_json_each_change_is_an_object(on_sqlite: Jobtable) -> None:
    job, opened = _job_that_waits(on_sqlite)
    watcher = on_sqlite.start("show", job, "--watch", "--json")
    assert watcher.stdout is not None
    assert json.loads(watcher.stdout.readline())["status"] == "pending"
    processor = on_sqlite.start("run")
    opened.touch()
    rest, _ = watcher.communicate(timeout=30)
    last = json.loads(rest.splitlines()[-1])
    assert (last["status"], last["result"], last["children"]) == ("completed", {"done": True}, {})
    processor.terminate()
    processor.communicate(timeout=20)


def test_a_terminal_is_drawn_again_in_place_and_keeps_the_whole_life(on_sqlite: Jobtable) -> None:
    job, opened = _job_that_waits(on_sqlite)
    terminal = on_sqlite.on_a_terminal("show", job, "--watch", columns=100, lines=60)
    terminal.see(f"job {job}  count  pending", "inserted")
    processor = on_sqlite.start("run")
    running = terminal.see("running", "try 1", "running for")
    assert running.count(f"job {job}  count") == 1
    opened.touch()
    assert terminal.wait() == 0
    ended = terminal.see("completed (done)", "result", '"done": true', "50 % half")
    assert ended.count(f"job {job}  count") == 1
    assert "running for" not in ended
    assert not terminal.screen.cursor.hidden
    processor.terminate()
    processor.communicate(timeout=20)


def test_an_interrupt_gives_the_terminal_back(on_sqlite: Jobtable) -> None:
    job, _ = _job_that_waits(on_sqlite)
    terminal = on_sqlite.on_a_terminal("show", job, "--watch")
    terminal.see("pending")
    terminal.press("\x03")
    assert terminal.wait() == 130
    assert "Traceback" not in terminal.text()
    assert not terminal.screen.cursor.hidden
    assert terminal.modes_now() == terminal.modes
