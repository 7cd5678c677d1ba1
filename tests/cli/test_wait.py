"""`jobtable enqueue --wait`."""

import json
import signal
from collections.abc import Iterator

import pytest

from tests.cli.conftest import Jobtable, give_work


@pytest.fixture
def working(on_sqlite: Jobtable) -> Iterator[Jobtable]:
    """A processor works."""
    give_work(on_sqlite)
    processor = on_sqlite.start("run")
    yield on_sqlite
    processor.terminate()
    assert processor.wait(20) == 0


def test_it_ends_with_the_result_of_a_job_that_was_tried_twice(jobtable: Jobtable) -> None:
    give_work(jobtable)
    processor = jobtable.start("run")
    code, out, err = jobtable.run("enqueue", "count", "--payload", '{"fails": true}', "--wait")
    assert (code, json.loads(out)) == (0, {"done": True})
    told = [line.split(maxsplit=1)[-1] for line in err.splitlines()]
    for line in ("1 stdout   try 1", "2 stdout   try 2", "2 progress 50 % half", "2 state    completed (done)"):
        assert line in told
    assert "1 state    scheduled (retry)" in told
    processor.terminate()
    assert processor.wait(20) == 0


def test_the_failure_of_a_job_is_its_own(working: Jobtable) -> None:
    code, out, err = working.run("enqueue", "count", "--payload", '{"fails": true}', "--max-attempts", 1, "--wait")
    assert (code, out) == (1, "")
    last = err.splitlines()[-1]
    assert last.startswith("error: Job 1 is failed (error): ")
    assert last.endswith("not this time. See `jobtable show 1`.")


def test_json_has_what_became_of_it(working: Jobtable) -> None:
    code, out, _ = working.run(
        "enqueue", "count", "--payload", '{"fails": true}', "--max-attempts", 1, "--wait", "--json"
    )
    failed = json.loads(out)
    assert (code, failed["id"], failed["new"], failed["status"], failed["reason"]) == (1, 1, True, "failed", "error")
    code, out, _ = working.run("enqueue", "count", "--wait", "--json")
    assert (code, json.loads(out)["result"]) == (0, {"done": True})
    assert working.json("enqueue", "count") == {"id": 3, "new": True}


def test_when_the_time_is_over_the_job_goes_on(on_sqlite: Jobtable) -> None:
    result = on_sqlite("enqueue", "nobody.runs.it", "--wait", "--wait-timeout", "0.3")
    assert (result.exit_code, result.stdout) == (124, "")
    lines = result.stderr.splitlines()
    assert "note: job 1 does not run yet. No processor is alive. Start one: jobtable run." in lines
    assert lines[-1].startswith("note: after 300 ms it is pending. Job 1 goes on. Follow it: jobtable logs 1 -f.")
    result = on_sqlite("enqueue", "nobody.runs.it", "--wait", "--wait-timeout", "0", "--json")
    seen = json.loads(result.stdout)
    assert (result.exit_code, seen["status"], seen["type"]) == (124, "pending", "nobody.runs.it")
    assert (seen["attempt"], seen["created_at"] is None) == (0, False)
    assert [row["status"] for row in on_sqlite.json("list")] == ["pending", "pending"]


def test_an_interrupt_leaves_the_job_and_says_how_to_go_on(on_sqlite: Jobtable) -> None:
    waiter = on_sqlite.start("enqueue", "nobody.runs.it", "--wait")
    assert waiter.stderr is not None
    assert waiter.stderr.readline() == "job 1 is waited for\n"
    assert "No processor is alive" in waiter.stderr.readline()
    waiter.send_signal(signal.SIGINT)
    out, err = waiter.communicate(timeout=20)
    assert (waiter.returncode, out) == (130, "")
    assert err.strip() == "note: Job 1 goes on. Follow it: jobtable logs 1 -f. Stop it: jobtable cancel 1."
    assert on_sqlite.json("show", 1)["status"] == "pending"


def test_a_cancelled_job_counts_as_not_done(on_sqlite: Jobtable) -> None:
    waiter = on_sqlite.start("enqueue", "nobody.runs.it", "--wait")
    assert waiter.stderr is not None
    assert waiter.stderr.readline() == "job 1 is waited for\n"
    assert on_sqlite("cancel", 1).exit_code == 0
    out, err = waiter.communicate(timeout=20)
    assert (waiter.returncode, out) == (1, "")
    assert "state    cancelled (asked)" in err
    assert "error: Job 1 is cancelled (asked)." in err


def test_the_same_work_is_waited_for(working: Jobtable) -> None:
    opened = working.folder / "go"
    first = working.enqueue("count", "--key", "k", "--payload", json.dumps({"waits_for": str(opened)}))
    waiter = working.start("enqueue", "count", "--key", "k", "--wait", "--json")
    assert waiter.stderr is not None
    assert "is the same work" in waiter.stderr.readline()
    opened.touch()
    out, _ = waiter.communicate(timeout=20)
    found = json.loads(out)
    assert (waiter.returncode, found["id"], found["new"], found["result"]) == (0, first, False, {"done": True})


def test_a_row_that_waits_for_an_equal_one_ends_with_its_result(working: Jobtable) -> None:
    """As where two were enqueued in the same instant."""
    from tests.patience import eventually

    opened = working.folder / "go"
    payload = json.dumps({"waits_for": str(opened)})
    working.enqueue("count", "--key", "k", "--payload", payload)
    eventually(lambda: working.json("show", 1)["status"] == "running")
    waiter = working.start("enqueue", "count", "--wait", "--json", "--in", "1h", "--key", "other")
    assert waiter.stderr is not None
    assert waiter.stderr.readline() == "job 2 is waited for\n"
    _let_it_be_the_same(working)
    lines = iter(waiter.stderr.readline, "")
    assert any("job 2 is the same work as job 1; it gets the result of that one." in line for line in lines)
    opened.touch()
    out, _ = waiter.communicate(timeout=20)
    found = json.loads(out)
    assert (waiter.returncode, found["duplicate_of"], found["reason"]) == (0, 1, "duplicate")
    assert found["result"] == {"done": True}


def _let_it_be_the_same(jobtable: Jobtable) -> None:
    """Give job 2 the key of job 1, and let it be due, as anybody may with SQL."""
    import sqlite3

    with sqlite3.connect(jobtable.url.removeprefix("sqlite:///")) as connection:
        connection.execute("UPDATE jobs SET key = 'k', run_at = NULL, status = 'pending' WHERE id = 2")
    connection.close()


def test_a_time_to_wait_needs_a_wait(on_sqlite: Jobtable) -> None:
    result = on_sqlite("enqueue", "a", "--wait-timeout", "10m")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "--wait-timeout says how long --wait waits" in result.stderr
    assert on_sqlite.ids() == []
