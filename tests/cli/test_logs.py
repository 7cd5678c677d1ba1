"""`jobtable logs`."""

import json
import signal

import pytest

from tests.cli.conftest import Jobtable, give_work
from tests.databases import Database


def test_events_are_printed_in_order_and_after_a_number(jobtable: Jobtable) -> None:
    give_work(jobtable)
    job = jobtable.enqueue("count", "--payload", '{"fails": true}')
    jobtable.work_until_final(job)
    told = jobtable.json("logs", job, "--states")
    assert [event["number"] for event in told] == list(range(1, len(told) + 1))
    assert jobtable.json("logs", job, "--states", "--after", 2) == told[2:]
    assert jobtable.json("logs", job) == [event for event in told if event["kind"] != "state"]
    lines = jobtable("logs", job).stdout.splitlines()
    assert "1 stdout   try 1" in lines[0]
    assert any("2 progress 50 % half" in line for line in lines)


def test_states_are_printed_where_asked_for(jobtable: Jobtable) -> None:
    give_work(jobtable)
    job = jobtable.enqueue("count", "--payload", '{"fails": true}')
    jobtable.work_until_final(job)
    lines = [line.split(maxsplit=1)[1] for line in jobtable("logs", job, "--states").stdout.splitlines()]
    states = [line for line in lines if "state " in line]
    assert states[:2] == ["1 state    running", "1 state    scheduled (retry)"]
    assert states[-2:] == ["2 state    running", "2 state    completed (done)"]
    assert "state    completed (done)" in jobtable("show", job).stdout


def test_following_goes_on_over_a_retry_and_ends_with_the_job(jobtable: Jobtable) -> None:
    give_work(jobtable)
    opened = jobtable.folder / "go"
    payload = {"fails": True, "waits_for": str(opened)}
    job = jobtable.enqueue("count", "--payload", json.dumps(payload))
    follower = jobtable.start("logs", job, "-f")
    processor = jobtable.start("run")
    assert follower.stdout is not None
    lines = [follower.stdout.readline() for _ in range(3)]
    assert [line.split()[-2:] for line in lines] == [["try", "1"], ["this", "time"], ["try", "2"]]
    assert follower.poll() is None  # the second try still runs
    opened.touch()
    rest, err = follower.communicate(timeout=30)
    assert "50 % half" in rest
    assert (follower.returncode, err) == (0, f"job {job} completed\n")
    processor.terminate()
    assert processor.wait(30) == 0


def test_an_interrupted_follower_is_quiet(on_sqlite: Jobtable) -> None:
    give_work(on_sqlite)
    job = on_sqlite.enqueue("count", "--payload", json.dumps({"waits_for": "/nowhere/at/all"}))
    processor = on_sqlite.start("run")
    follower = on_sqlite.start("logs", job, "-f", "--json")
    assert follower.stdout is not None
    assert json.loads(follower.stdout.readline())["text"] == "try 1"
    follower.send_signal(signal.SIGINT)
    _, err = follower.communicate(timeout=20)
    assert (follower.returncode, err.strip()) == (130, "")
    processor.terminate()
    processor.terminate()


def test_an_unknown_job_has_no_log(on_sqlite: Jobtable) -> None:
    for flags in ((), ("-f",)):
        result = on_sqlite("logs", 99, *flags)
        assert (result.exit_code, result.stdout) == (1, "")
        assert "There is no job 99." in result.stderr


def test_a_follower_whose_pipe_is_closed_ends_though_nothing_is_told(on_sqlite: Jobtable) -> None:
    job = on_sqlite.enqueue("nobody.runs.it")
    follower = on_sqlite.start("logs", job, "-f")
    assert follower.stdout is not None
    assert follower.stderr is not None
    follower.stdout.close()
    assert (follower.wait(20), follower.stderr.read()) == (1, "")


@pytest.mark.parametrize("db", ["postgresql", "mariadb"], indirect=True)
def test_following_bears_a_database_that_goes_away(jobtable: Jobtable, db: Database) -> None:
    give_work(jobtable)
    opened = jobtable.folder / "go"
    job = jobtable.enqueue("count", "--payload", json.dumps({"waits_for": str(opened)}))
    processor = jobtable.start("run")
    follower = jobtable.start("logs", job, "-f")
    assert follower.stdout is not None
    assert follower.stderr is not None
    assert "try 1" in follower.stdout.readline()
    db.server.stop("kill")
    try:
        note = follower.stderr.readline()
    finally:
        db.server.start()
    assert "cannot be reached" in note
    assert note.endswith("It is waited for.\n")
    opened.touch()
    rest, err = follower.communicate(timeout=60)
    assert "50 % half" in rest
    assert (follower.returncode, err) == (0, f"job {job} completed\n")
    processor.terminate()
    processor.communicate(timeout=20)
