"""`jobtable cancel, pause, resume, retry, delete`."""

import pytest

from tests.cli.conftest import Jobtable
from tests.databases import Database


def _statuses(jobtable: Jobtable) -> dict[int, str]:
    return {row["id"]: row["status"] for row in jobtable.json("list")}


def test_each_verb_moves_the_jobs_that_are_named(jobtable: Jobtable) -> None:
    a, b = jobtable.enqueue("a"), jobtable.enqueue("b")
    for verb, said, status in (
        ("pause", "paused: 1 job\n", "paused"),
        ("resume", "resumed: 1 job\n", "pending"),
        ("cancel", "cancelled: 1 job\n", "cancelled"),
        ("retry", "put back: 1 job\n", "pending"),
    ):
        result = jobtable(verb, a)
        assert (result.exit_code, result.stdout, result.stderr) == (0, said, "")
        assert _statuses(jobtable) == {a: status, b: "pending"}
    assert jobtable("delete", a, b).stdout == "deleted: 2 jobs\n"
    assert jobtable.ids() == []


def test_what_lies_ahead_is_brought_forward_and_counted_before(jobtable: Jobtable) -> None:
    due, ahead, named = jobtable.enqueue("a"), jobtable.enqueue("a", "--in", "1h"), jobtable.enqueue("a", "--in", "1h")
    assert jobtable("run-now", due, named).stdout == "brought forward: 1 job\n"
    asked = jobtable("run-now", "--type", "a")
    assert "run-now 1 job (1 pending)? Nobody is there to ask" in asked.stderr
    assert jobtable("run-now", "--type", "a", "--yes").stdout == "brought forward: 1 job\n"
    assert [jobtable.json("show", job)["run_at"] for job in (due, ahead, named)] == [None] * 3
    assert jobtable("run-now", "--type", "a", "--yes").stdout == "brought forward: 0 jobs (none matches)\n"


def test_a_priority_is_given_to_jobs_that_have_not_ended(jobtable: Jobtable) -> None:
    a, b, ended = jobtable.enqueue("a"), jobtable.enqueue("b"), jobtable.enqueue("b")
    jobtable("cancel", ended)
    assert jobtable("priority", 9, a).stdout == "given priority 9: 1 job\n"
    asked = jobtable("priority", "--type", "b", "--", "-3")
    assert "give priority -3 to 1 job (1 pending)? Nobody is there to ask" in asked.stderr
    assert jobtable("priority", "--type", "b", "--yes", "--", "-3").stdout == "given priority -3: 1 job\n"
    assert {row["id"]: row["priority"] for row in jobtable.json("list")} == {a: 9, b: -3, ended: 5}
    result = jobtable("priority", 9, ended)
    assert (result.exit_code, f"{ended} is cancelled" in result.stderr) == (1, True)
    assert "40000 is no priority" in jobtable("priority", 40000, a).stderr


def test_a_running_job_is_asked_to_stop_and_not_deleted(jobtable: Jobtable, db: Database) -> None:
    job = jobtable.enqueue("a")
    db.rows(f"UPDATE jobs SET status = 'running', processor_id = 'p', claim_no = 1 WHERE id = {job}")
    result = jobtable("cancel", job)
    assert result.exit_code == 0
    assert "1 job of these still running: asked to stop" in result.stdout
    assert jobtable.json("show", job)["cancel_requested"] is True
    result = jobtable("delete", job)
    assert result.exit_code == 1
    assert f"{job} is running" in result.stderr
    assert jobtable.ids() == [job]


def test_an_unknown_id_changes_nothing(on_sqlite: Jobtable) -> None:
    job = on_sqlite.enqueue("a")
    result = on_sqlite("cancel", job, 99)
    assert result.exit_code == 1
    assert result.stderr == "error: There is no job 99. Nothing was changed. See `jobtable list`.\n"
    assert _statuses(on_sqlite) == {job: "pending"}


def test_a_job_that_may_not_move_is_named_and_the_others_move(on_sqlite: Jobtable) -> None:
    ended, waits = on_sqlite.enqueue("a"), on_sqlite.enqueue("a")
    on_sqlite("cancel", ended)
    result = on_sqlite("pause", ended, waits)
    assert (result.exit_code, result.stdout) == (1, "paused: 1 job\n")
    assert f"{ended} is cancelled. Only jobs that are pending, scheduled or waiting can be paused." in result.stderr
    assert _statuses(on_sqlite) == {ended: "cancelled", waits: "paused"}


def test_filters_are_counted_and_need_yes_where_nobody_can_be_asked(on_sqlite: Jobtable) -> None:
    a1, a2, b = on_sqlite.enqueue("a"), on_sqlite.enqueue("a", "--in", "1h"), on_sqlite.enqueue("b")
    result = on_sqlite("cancel", "--type", "a")
    assert result.exit_code == 1
    assert "cancel 2 jobs (2 pending)? Nobody is there to ask, so nothing was changed. Add --yes" in result.stderr
    assert set(_statuses(on_sqlite).values()) == {"pending"}
    assert on_sqlite("cancel", "--type", "a", "--yes").stdout == "cancelled: 2 jobs\n"
    assert _statuses(on_sqlite) == {a1: "cancelled", a2: "cancelled", b: "pending"}
    assert on_sqlite("cancel", "--type", "a", "--yes").stdout == "cancelled: 0 jobs (none matches)\n"


def test_a_filter_for_states_that_cannot_move_is_refused(on_sqlite: Jobtable) -> None:
    result = on_sqlite("pause", "--status", "failed", "--yes")
    assert result.exit_code == 1
    assert "Jobs that are failed cannot be paused. Nothing was changed." in result.stderr


def test_what_a_type_does_not_want_told_is_not_told(on_sqlite: Jobtable) -> None:
    on_sqlite.configure('[types.silent]\npython = "m:f"\nnotify = "none"\n[types.loud]\npython = "m:f"')
    silent, loud = on_sqlite.enqueue("silent"), on_sqlite.enqueue("loud")
    on_sqlite("cancel", silent, loud)
    assert [row["job_id"] for row in on_sqlite.json("notifications")] == [loud]


@pytest.mark.parametrize("verb", ["cancel", "pause", "resume", "retry", "delete"])
def test_an_age_alone_is_a_filter(on_sqlite: Jobtable, verb: str) -> None:
    on_sqlite.enqueue("a")
    result = on_sqlite(verb, "--older-than", "7d", "--yes")
    assert result.exit_code == 0
    assert result.stdout.endswith(": 0 jobs (none matches)\n")
