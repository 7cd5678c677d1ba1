"""`jobtable list` and `jobtable show`."""

import json
import sys

import pytest

from tests.cli.conftest import Jobtable, give_work

KEYS = (
    "id type status reason priority owner subject key attempt progress progress_message created_at run_at started_at"
    " finished_at error_type error_message seconds"
).split()


def test_filters_narrow_and_the_newest_comes_first(jobtable: Jobtable) -> None:
    a = jobtable.enqueue("a", "--owner", "ada")
    b = jobtable.enqueue("b", "--owner", "bob", "--subject", "s", "--key", "k")
    c = jobtable.enqueue("c", "--owner", "ada")
    assert jobtable("pause", c).exit_code == 0
    assert jobtable.ids() == [c, b, a]
    assert jobtable.ids("--type", "a", "--type", "b") == [b, a]
    assert jobtable.ids("--owner", "ada") == [c, a]
    assert jobtable.ids("--subject", "s") == jobtable.ids("--key", "k") == [b]
    assert jobtable.ids("--status", "paused") == [c]
    assert jobtable.ids("--older-than", "1h") == []
    assert jobtable.ids("--newer-than", "1h", "--limit", 2) == [c, b]
    assert jobtable.ids("--text", "AD") == [c, a]
    assert jobtable.ids("--created-after", "2020-01-01T00:00Z", "--text", "k") == [b]
    assert jobtable.ids("--created-before", "2020-01-01T00:00Z") == []


def test_a_text_that_is_looked_for_in_some_rows_only_is_said(
    on_sqlite: Jobtable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("processor.queue.lookup.TEXT_REACH", 1)
    on_sqlite.enqueue("a")
    assert on_sqlite("list", "--text", "b").stderr == ""
    on_sqlite.enqueue("b")
    assert "looked for in the newest 1 jobs only, down to job 2" in on_sqlite("list", "--text", "a").stderr


def test_json_has_the_same_keys_with_and_without_values(jobtable: Jobtable) -> None:
    jobtable.enqueue("a")
    [row] = jobtable.json("list")
    assert list(row) == KEYS
    assert row["created_at"].endswith("Z")
    assert row["seconds"] is None


def test_a_table_leaves_out_columns_without_values_and_cuts_nothing_in_a_pipe(on_sqlite: Jobtable) -> None:
    on_sqlite.enqueue("t" * 150)
    shown = on_sqlite("list").stdout
    assert "t" * 150 in shown
    assert "owner" not in shown
    assert on_sqlite("list", "--owner", "x").stdout == "There are no such jobs.\n"


def test_a_full_page_says_that_there_may_be_more(on_sqlite: Jobtable) -> None:
    on_sqlite.enqueue("a")
    assert "--limit shows more" in on_sqlite("list", "--limit", 1).stderr
    assert on_sqlite("list", "--limit", 2).stderr == ""


@pytest.mark.parametrize("hostile", ["\x1b[2J\x1b]0;x\x07", "a\rb", "a\nb", "\u202egnp", "\x9b31m", "\x7f"])
@pytest.mark.parametrize("command", [("list",), ("show", 1)])
def test_hostile_text_reaches_no_terminal(on_sqlite: Jobtable, hostile: str, command: tuple[object, ...]) -> None:
    on_sqlite.enqueue(f"t{hostile}", "--owner", hostile, "--payload", json.dumps({"k": hostile}))
    for shown in (on_sqlite(*command).stdout, on_sqlite(*command, "--json").stdout.replace("\x7f", "")):
        assert all(letter.isprintable() or letter == "\n" for letter in shown)
    lines = on_sqlite("list").stdout.splitlines()
    assert len(lines) == 2
    assert on_sqlite.json("show", 1)["owner"] == hostile


def test_the_whole_life_of_a_job_is_shown(jobtable: Jobtable) -> None:
    give_work(jobtable)
    job_id = jobtable.enqueue("count", "--owner", "ada", "--payload", '{"fails": true}')
    jobtable.work_until_final(job_id)
    job = jobtable.json("show", job_id)
    assert (job["status"], job["reason"], job["attempt"], job["result"]) == ("completed", "done", 2, {"done": True})
    assert [(error["attempt"], error["error_message"]) for error in job["errors"]] == [(1, "not this time")]
    assert [(event["number"], event["attempt"], event["kind"], event["text"]) for event in job["events"]][:3] == [
        (1, 1, "state", None),
        (2, 1, "log", "try 1"),
        (3, 1, "log", "not this time"),
    ]
    assert [notification["owner"] for notification in job["notifications"]] == ["ada"]
    shown = jobtable("show", job_id).stdout
    for words in (
        f"job {job_id}  count  completed (done)",
        "inserted",
        "try 2 started",
        "try 1 failed",
        "half",
        "state    completed (done)",
        "to ada",
    ):
        assert words in shown


def test_due_jobs_that_no_living_processor_runs_are_pointed_out(on_sqlite: Jobtable) -> None:
    give_work(on_sqlite)
    on_sqlite.enqueue("stranger")
    assert on_sqlite("list").stderr == ""  # nobody works here: nothing is strange
    process = on_sqlite.start("run")
    assert process.stderr is not None
    assert "processor_started" in process.stderr.readline()
    assert "No processor that is alive runs: stranger" in on_sqlite("list").stderr
    process.terminate()
    assert process.wait(20) == 0


def test_colours_are_only_for_terminals(on_sqlite: Jobtable) -> None:
    on_sqlite.enqueue("a")
    for environ, coloured in (({"TERM": "xterm"}, True), ({"TERM": "xterm", "NO_COLOR": "1"}, False)):
        assert ("\x1b[33m" in _on_a_terminal(on_sqlite, environ)) is coloured


def _on_a_terminal(jobtable: Jobtable, environ: dict[str, str]) -> str:
    import os
    import pty
    import subprocess

    from tests.cli.conftest import environment

    jobtable("cancel", 1)
    master, terminal = pty.openpty()
    command = [sys.executable, "-P", "-m", "processor", "--database-url", jobtable.url, "list"]
    subprocess.run(command, env={**environment(), **environ}, stdout=terminal, stdin=terminal, check=True, timeout=20)
    os.close(terminal)
    shown = b""
    try:
        while piece := os.read(master, 4096):
            shown += piece
    except OSError:  # the terminal is gone
        os.close(master)
    assert b"cancelled" in shown
    return shown.decode()
