"""Who may run now: limits, lanes and rates, decided in a claim."""

import threading
from collections.abc import Collection
from typing import Any

import pytest

from processor.errors import ValuesRefused
from processor.judge import Policy
from processor.lifecycle import Reason, Status
from processor.outcome import Kind
from processor.queue import admission, control, duplicates, waiting
from processor.queue.enqueue import Enqueued, NewJob, enqueue
from processor.queue.lookup import Filter
from processor.queue.rules import Rules
from processor.queue.settle import settle
from tests.queue.conftest import Queue, verdict_of
from tests.queue.test_claim import LATER

SOON = {
    "postgresql": "now() - interval '{} seconds'",
    "mariadb": "utc_timestamp(6) - INTERVAL {} SECOND",
    "sqlite": "strftime('%Y-%m-%d %H:%M:%f', 'now', '-{} seconds')",
}


def ids(jobs: list[Any]) -> list[int]:
    return [job.id for job in jobs]


def end(queue: Queue, *jobs: Any, kind: Kind = Kind.RETURNED, **facts: Any) -> None:
    facts = {"result": "1"} if kind is Kind.RETURNED else facts
    settle(queue.database, [verdict_of(job, kind, **facts) for job in jobs])


# -- limits of a type --------------------------------------------------------------------------------------------------


def test_no_more_of_a_type_run_than_its_limit(queue: Queue) -> None:
    queue.insert("type", *["'a'"] * 5)
    first = queue.claim(max_concurrent=2)
    assert ids(first) == [1, 2]
    queue.register("p2")
    assert queue.claim("p2", max_concurrent=2) == []
    end(queue, first[0])
    assert ids(queue.claim("p2", max_concurrent=2)) == [3]


def test_a_long_queue_of_a_limited_type_delays_no_other(queue: Queue) -> None:
    queue.insert("type, priority", *["'a', 9"] * 50, *["'b', 1"] * 3)
    taken = queue.take(types="a b", jobs=4, limits={"a": {"max_concurrent": 1}})
    assert ids(taken.jobs) == [1, 51, 52, 53]


def test_the_order_holds_between_limited_and_free_types(queue: Queue) -> None:
    queue.insert("type, priority", "'a', 5", "'b', 9", "'a', 8", "'b', 2", "'a', 3")
    assert ids(queue.take(types="a b", jobs=3, limits={"a": {"max_concurrent": 5}}).jobs) == [2, 3, 1]


def test_the_limit_in_the_database_comes_before_the_configured_one(queue: Queue) -> None:
    queue.insert("type", *["'a'"] * 6)
    queue.rows("INSERT INTO job_types (name, max_concurrent) VALUES ('a', 1)")
    assert ids(queue.claim(max_concurrent=3)) == [1]
    queue.rows("UPDATE job_types SET max_concurrent = 2")
    assert ids(queue.claim()) == [2]
    queue.rows("UPDATE job_types SET max_concurrent = 0")
    assert queue.claim() == []
    queue.rows("UPDATE job_types SET max_concurrent = NULL")
    assert ids(queue.claim(max_concurrent=3)) == [3]
    assert ids(queue.claim()) == [4, 5, 6]


def test_a_limit_is_counted_from_what_runs_so_no_slot_leaks(queue: Queue) -> None:
    queue.insert("type", *["'a'"] * 3)
    assert ids(queue.claim(max_concurrent=1)) == [1]
    queue.rows("DELETE FROM jobs WHERE id = 1")
    assert ids(queue.claim(max_concurrent=1)) == [2]
    queue.rows("UPDATE jobs SET status = 'failed', finished_at = created_at WHERE id = 2")
    assert ids(queue.claim(max_concurrent=1)) == [3]


def test_four_processors_never_run_more_than_the_limit(queue: Queue) -> None:
    names = ["p1", "p2", "p3", "p4"]
    for name in names[1:]:
        queue.register(name)
    queue.insert("type", *["'a'"] * 120)
    start, over, done = threading.Barrier(len(names)), [], []

    def work(name: str) -> None:
        start.wait()
        for _ in range(400):
            jobs = queue.claim(name, jobs=2, max_concurrent=3)
            [(running,)] = queue.rows("SELECT count(*) FROM jobs WHERE status = 'running'")
            if running > 3:
                over.append(running)
            done.extend(ids(jobs))
            settle(queue.database, [verdict_of(job, Kind.RETURNED, name, result="1") for job in jobs])
            if len(done) >= 120:
                return

    threads = [threading.Thread(target=work, args=(name,)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert over == []
    assert sorted(done) == list(range(1, 121))


@pytest.mark.parametrize("db", ["postgresql", "mariadb"], indirect=True)
def test_a_type_whose_row_somebody_holds_waits_and_the_others_do_not(queue: Queue) -> None:
    queue.insert("type, priority", "'a', 9", "'b', 1")
    admission.ensure(queue.database, "a")
    with queue.given.held("SELECT name FROM job_types WHERE name = 'a' FOR UPDATE"):
        assert ids(queue.take(types="a b", limits={"a": {"max_concurrent": 1}}).jobs) == [2]
    assert ids(queue.take(types="a b", limits={"a": {"max_concurrent": 1}}).jobs) == [1]


# -- lanes -------------------------------------------------------------------------------------------------------------


def test_one_of_a_lane_runs_and_the_next_follows_in_order(queue: Queue) -> None:
    queue.insert("type, concurrency_key, priority", "'a', 'x', 5", "'a', 'x', 9", "'a', 'y', 1", "'a', NULL, 1")
    queue.insert("type, concurrency_key, priority", "'a', 'x', 7")
    taken = queue.take()
    assert ids(taken.jobs) == [2, 3, 4]
    assert taken.moved_on
    assert [queue.status(job) for job in (1, 5)] == [("waiting", "lane")] * 2
    end(queue, taken.jobs[0])
    assert queue.status(5) == ("pending", None)
    assert queue.status(1) == ("waiting", "lane")
    [fifth] = queue.claim()
    assert fifth.id == 5
    end(queue, fifth)
    assert ids(queue.claim()) == [1]


def test_lanes_of_two_types_are_two_lanes(queue: Queue) -> None:
    queue.insert("type, concurrency_key", "'a', 'x'", "'b', 'x'")
    assert ids(queue.claim(types="a b")) == [1, 2]


def test_so_many_of_a_lane_run_as_its_type_allows(queue: Queue) -> None:
    queue.insert("type, concurrency_key", *["'a', 'x'"] * 5)
    jobs = queue.claim(max_per_lane=2)
    assert ids(jobs) == [1, 2]
    end(queue, *jobs)
    assert ids(queue.claim(max_per_lane=2)) == [3, 4]


@pytest.mark.parametrize(
    ("kind", "facts"),
    [
        (Kind.RAISED, {"error_message": "no"}),
        (Kind.TIMED_OUT, {}),
        (Kind.SNOOZE, {"delay": 3600.0}),
        (Kind.CANCELLED, {}),
        (Kind.LOST, {}),
    ],
)
def test_whatever_ends_a_run_the_lane_goes_on(queue: Queue, kind: Kind, facts: dict[str, Any]) -> None:
    queue.insert("type, concurrency_key", "'a', 'x'", "'a', 'x'")
    [job] = queue.claim()
    end(queue, job, kind=kind, **facts)
    assert ids(queue.claim()) == [2]


def test_a_lane_whose_holder_was_deleted_is_found(queue: Queue) -> None:
    queue.insert("type, concurrency_key", "'a', 'x'", "'a', 'x'", "'a', 'x'")
    assert ids(queue.claim()) == [1]
    queue.rows("DELETE FROM jobs WHERE id = 1")
    assert queue.claim() == []
    look(queue)
    assert queue.rows("SELECT id FROM jobs WHERE status = 'pending'") == [(2,)]
    assert ids(queue.claim()) == [2]
    look(queue)
    assert queue.status(3) == ("waiting", "lane")


def test_a_lane_whose_next_one_was_cancelled_goes_on(queue: Queue) -> None:
    queue.insert("type, concurrency_key", "'a', 'x'", "'a', 'x'", "'a', 'x'")
    [job] = queue.claim()
    end(queue, job)
    queue.rows("UPDATE jobs SET status = 'cancelled', finished_at = created_at WHERE id = 2")
    look(queue)
    assert ids(queue.claim()) == [3]


def test_a_newcomer_does_not_overtake_its_lane(queue: Queue) -> None:
    queue.insert("type, concurrency_key", "'a', 'x'", "'a', 'x'")
    [job] = queue.claim()
    queue.insert("type, concurrency_key", "'a', 'x'")
    end(queue, job)
    assert ids(queue.claim()) == [2]


def test_a_long_lane_stands_in_nobodys_way(queue: Queue) -> None:
    queue.insert(
        "type, concurrency_key, priority", *["'a', 'x', 9"] * 3000, "'a', NULL, 1", "'a', 'y', 1", "'b', NULL, 0"
    )
    seen: list[int] = []
    for turn in range(6):
        taken = queue.take(types="a b", jobs=2)
        seen += ids(taken.jobs)
        assert taken.jobs or taken.moved_on or turn > 3
    assert seen == [1, 3001, 3002, 3003]
    assert queue.rows("SELECT count(*) FROM jobs WHERE status = 'waiting'") == [(2999,)]


@pytest.mark.parametrize("names", [2, 4])
def test_processors_that_claim_one_lane_at_once_run_one_and_in_order(queue: Queue, names: int) -> None:
    processors = [f"p{number}" for number in range(1, names + 1)]
    for name in processors[1:]:
        queue.register(name)
    queue.insert("type, concurrency_key", *["'a', 'x'"] * 40)
    start, over, order = threading.Barrier(names), [], []

    def work(name: str) -> None:
        start.wait()
        for _ in range(800):
            jobs = queue.claim(name, jobs=3)
            order.extend(ids(jobs))
            [(running,)] = queue.rows("SELECT count(*) FROM jobs WHERE status = 'running'")
            over.extend([running] if running > 1 else [])
            settle(queue.database, [verdict_of(job, Kind.RETURNED, name, result="1") for job in jobs])
            if len(order) >= 40:
                return
            if not jobs:
                look(queue)

    threads = [threading.Thread(target=work, args=(name,)) for name in processors]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert over == []
    assert order == list(range(1, 41))


def look(queue: Queue, without: Collection[int] = (), **rules: Any) -> waiting.GoneOn:
    return waiting.look(queue.database, {"a": Rules(**rules)}, lambda type_, status: True, without)


# -- rates -------------------------------------------------------------------------------------------------------------


def test_no_more_start_in_a_window_than_the_rate_says(queue: Queue) -> None:
    queue.insert("type", *["'a'"] * 9)
    first = queue.claim(jobs=3, rate="5/h")
    assert ids(first) == [1, 2, 3]
    end(queue, *first)
    assert ids(queue.claim(rate="5/h")) == [4, 5]
    queue.register("p2")
    assert queue.claim("p2", rate="5/h") == []
    _let_time_pass(queue, 3601)
    assert ids(queue.claim("p2", rate="5/h")) == [6, 7, 8, 9]


def test_a_try_after_a_failure_counts_as_a_start(queue: Queue) -> None:
    queue.insert("type, max_attempts", "'a', 5")
    [job] = queue.claim(rate="2/h")
    end(queue, job, kind=Kind.SNOOZE, delay=0.0)
    queue.rows("UPDATE jobs SET status = 'pending'")
    [job] = queue.claim(rate="2/h")
    end(queue, job, kind=Kind.SNOOZE, delay=0.0)
    queue.rows("UPDATE jobs SET status = 'pending'")
    assert queue.claim(rate="2/h") == []


def test_the_rate_in_the_database_comes_first_and_a_change_counts_at_once(queue: Queue) -> None:
    queue.insert("type", *["'a'"] * 9)
    assert ids(queue.claim(rate="1/h")) == [1]
    queue.rows("UPDATE job_types SET rate = '3/h' WHERE name = 'a'")
    assert ids(queue.claim(rate="1/h")) == [2, 3]
    queue.rows("UPDATE job_types SET rate = 'unlimited' WHERE name = 'a'")
    assert ids(queue.claim(rate="1/h", jobs=2)) == [4, 5]
    queue.rows("UPDATE job_types SET rate = NULL WHERE name = 'a'")
    assert queue.claim(rate="1/h") == []


def test_a_rate_that_nobody_can_read_starts_nothing_and_says_so(queue: Queue) -> None:
    queue.insert("type", "'a'")
    queue.rows("INSERT INTO job_types (name, rate) VALUES ('a', 'lots')")
    taken = queue.take()
    assert taken.jobs == []
    assert "10/min" in taken.unreadable["a"]


def test_a_type_that_is_out_of_rate_delays_no_other(queue: Queue) -> None:
    queue.insert("type, priority", *["'a', 9"] * 50, "'b', 1", "'b', 1")
    assert ids(queue.take(types="a b", jobs=2, limits={"a": {"rate": "1/h"}}).jobs) == [1]
    assert ids(queue.take(types="a b", jobs=2, limits={"a": {"rate": "1/h"}}).jobs) == [51, 52]


def _let_time_pass(queue: Queue, seconds: int) -> None:
    """Move what the database remembers so far into the past."""
    [(log,)] = queue.rows("SELECT rate_log FROM job_types WHERE name = 'a'")
    import json

    moved = json.dumps([[at - seconds, count] for at, count in json.loads(log)])
    queue.rows(f"UPDATE job_types SET rate_log = '{moved}', rate_free_at = {SOON[queue.kind].format(1)}")


# -- the same work only once -------------------------------------------------------------------------------------------


def test_an_equal_job_waits_and_ends_with_the_result_of_the_first(queue: Queue) -> None:
    queue.insert("type, key, owner", "'a', 'k', 'me'", "'a', 'k', 'me'", "'a', 'other', 'me'")
    jobs = queue.claim()
    assert ids(jobs) == [1, 3]
    assert queue.rows("SELECT status, reason, duplicate_of FROM jobs WHERE id = 2") == [("waiting", "duplicate", 1)]
    settled = settle(queue.database, [verdict_of(jobs[0], Kind.RETURNED, result='{"n": 7}')])
    assert [(one.id, one.original) for one in settled.reused] == [(2, 1)]
    [(status, reason, original, attempt, result, progress)] = queue.rows(
        "SELECT status, reason, duplicate_of, attempt, result, progress FROM jobs WHERE id = 2"
    )
    assert (status, reason, original, attempt, progress) == ("completed", "duplicate", 1, 0, 100.0)
    assert result in ('{"n": 7}', {"n": 7})
    assert queue.rows("SELECT job_id, owner, reason FROM notifications ORDER BY id") == [
        (1, "me", "done"),
        (2, "me", "duplicate"),
    ]


@pytest.mark.parametrize("kind", [Kind.RAISED, Kind.CANCELLED, Kind.TIMED_OUT])
def test_an_original_without_a_result_leaves_the_work_to_the_next(queue: Queue, kind: Kind) -> None:
    queue.insert("type, key", *["'a', 'k'"] * 3)
    [job] = queue.claim()
    end(queue, job, kind=kind)
    assert queue.rows("SELECT status, duplicate_of FROM jobs WHERE id > 1") == [("pending", None)] * 2
    assert ids(queue.claim()) == [2]
    assert queue.rows("SELECT status, duplicate_of FROM jobs WHERE id = 3") == [("waiting", 2)]


@pytest.mark.parametrize("kind", [Kind.RETRY, Kind.SNOOZE])
def test_an_original_that_waits_for_its_next_try_is_still_the_original(queue: Queue, kind: Kind) -> None:
    queue.insert("type, key", "'a', 'k'", "'a', 'k'")
    [job] = queue.claim()
    end(queue, job, kind=kind, delay=3600.0, policy=Policy(max_attempts=3))
    assert queue.status(1)[0] == "scheduled"
    assert queue.claim() == []
    queue.insert("type, key", "'a', 'k'")
    assert queue.claim() == []
    assert queue.rows("SELECT duplicate_of FROM jobs WHERE id IN (2, 3)") == [(1,), (1,)]


def test_owners_do_not_share_results_unless_the_type_says_so(queue: Queue) -> None:
    queue.insert("type, key, owner", "'a', 'k', 'me'", "'a', 'k', 'you'", "'a', 'k', NULL")
    assert ids(queue.claim()) == [1, 2, 3]
    queue.insert("type, key, owner", "'b', 'k', 'me'", "'b', 'k', 'you'", "'b', 'k', NULL")
    assert ids(queue.claim(types="b", across_owners=True)) == [4]


def test_a_result_is_reused_for_so_long_and_no_longer(queue: Queue) -> None:
    queue.insert("type, key", "'a', 'k'")
    end(queue, *queue.claim())
    queue.insert("type, key", "'a', 'k'")
    taken = queue.take(reuse_result_for=60.0)
    assert (taken.jobs, [(one.id, one.original, one.reason.value) for one in taken.reused]) == ([], [(2, 1, "cached")])
    assert queue.status(2) == ("completed", "cached")
    queue.rows(f"UPDATE jobs SET finished_at = {SOON[queue.kind].format(61)} WHERE id = 1")
    queue.insert("type, key", "'a', 'k'")
    assert ids(queue.claim(reuse_result_for=60.0)) == [3], "a cached row lends its result to nobody"
    assert queue.rows("SELECT job_id FROM notifications ORDER BY id") == [(1,), (2,)]


def test_rows_that_were_due_before_the_result_get_it_and_later_ones_do_not(queue: Queue) -> None:
    """It must not depend on the number of slots how many of three equal rows are worked on."""
    queue.insert("type, key", *["'a', 'k'"] * 3)
    queue.insert("type, key, run_at", f"'a', 'k', {LATER[queue.kind]}")
    [job] = queue.claim(jobs=1)
    assert queue.status(3) == ("pending", None)
    end(queue, job)
    taken = queue.take()
    assert (taken.jobs, sorted(one.id for one in taken.reused)) == ([], [2, 3])
    queue.insert("type, key", "'a', 'k'")
    queue.rows(f"UPDATE jobs SET run_at = {SOON[queue.kind].format(0)} WHERE id = 4")
    assert ids(queue.claim()) == [4]
    control.retry(queue.database, Filter(ids=(2,)))
    assert queue.status(2) == ("pending", "asked")
    assert queue.claim() == []
    assert queue.rows("SELECT duplicate_of FROM jobs WHERE id IN (2, 5)") == [(4,)] * 2


def test_equal_payloads_are_equal_jobs_where_the_type_says_so(queue: Queue) -> None:
    queue.insert(
        "type, payload", """'a', '{"x": 1, "y": [2]}'""", """'a', '{ "y":[2], "x":1 }'""", """'a', '{"x": 2}'"""
    )
    assert ids(queue.claim(dedupe="payload")) == [1, 3]
    assert queue.rows("SELECT status, duplicate_of FROM jobs WHERE id = 2") == [("waiting", 1)]
    [(key,)] = queue.rows(
        "SELECT `key` FROM jobs WHERE id = 1" if queue.kind == "mariadb" else 'SELECT "key" FROM jobs WHERE id = 1'
    )
    assert key.startswith("payload:")


def test_keys_mean_nothing_where_the_type_says_so(queue: Queue) -> None:
    queue.insert("type, key", "'a', 'k'", "'a', 'k'")
    assert ids(queue.claim(dedupe="none")) == [1, 2]


def test_equals_of_an_original_that_was_deleted_or_ended_by_hand_go_on(queue: Queue) -> None:
    queue.insert("type, key", *["'a', 'k'"] * 3)
    queue.claim()
    queue.rows("DELETE FROM jobs WHERE id = 1")
    look(queue)
    assert ids(queue.claim()) == [2]
    queue.rows("UPDATE jobs SET status = 'completed', result = '5', finished_at = created_at WHERE id = 2")
    gone_on = look(queue)
    assert [one.id for one in gone_on.reused] == [3]
    assert queue.status(3) == ("completed", "duplicate")


@pytest.mark.parametrize("names", [2, 4])
def test_equal_jobs_that_are_claimed_at_once_are_worked_on_once(queue: Queue, names: int) -> None:
    processors = [f"p{number}" for number in range(1, names + 1)]
    for name in processors[1:]:
        queue.register(name)
    queue.insert("type, key", *[f"'a', 'k{number % 10}'" for number in range(60)])
    start, started = threading.Barrier(names), []

    def work(name: str) -> None:
        start.wait()
        for _ in range(60):
            jobs = queue.claim(name, jobs=4)
            started.extend(job.key for job in jobs)
            settle(queue.database, [verdict_of(job, Kind.RETURNED, name, result="1") for job in jobs])
            if not jobs:
                waiting.look(queue.database, {"a": Rules(reuse_result_for=600.0)}, lambda type_, status: True)

    claim, queue.claim = queue.claim, lambda name, jobs: claim(name, jobs=jobs, reuse_result_for=600.0)  # type: ignore[method-assign, assignment, misc]
    threads = [threading.Thread(target=work, args=(name,)) for name in processors]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(started) == [f"k{number}" for number in range(10)]
    assert queue.rows("SELECT status, count(*) FROM jobs GROUP BY status") == [(Status.COMPLETED.value, 60)]
    assert queue.rows("SELECT count(*) FROM notifications") == [(60,)]


def test_a_paused_job_that_waited_is_decided_about_anew(queue: Queue) -> None:
    queue.insert("type, key", "'a', 'k'", "'a', 'k'")
    [job] = queue.claim()
    control.pause(queue.database, Filter(ids=(2,)))
    end(queue, job, kind=Kind.CANCELLED)
    control.resume(queue.database, Filter(ids=(2,)))
    assert queue.rows("SELECT status, duplicate_of FROM jobs WHERE id = 2") == [("pending", None)]
    assert ids(queue.claim()) == [2]


# -- what is odd harms only itself -------------------------------------------------------------------------------------


def refuse(queue: Queue, job: int) -> None:
    """Let a trigger refuse every change of one row."""
    if queue.kind == "postgresql":
        queue.rows("CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'not this one'; END $$")
        queue.rows(f"CREATE TRIGGER no BEFORE UPDATE ON jobs FOR EACH ROW WHEN (OLD.id = {job}) EXECUTE FUNCTION no()")
    elif queue.kind == "mariadb":
        queue.rows(
            "CREATE TRIGGER no BEFORE UPDATE ON jobs FOR EACH ROW"
            f" IF OLD.id = {job} THEN SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'not this one'; END IF"
        )
    else:
        no = "BEGIN SELECT RAISE(ABORT, 'not this one'); END"
        queue.rows(f"CREATE TRIGGER no BEFORE UPDATE ON jobs WHEN OLD.id = {job} {no}")


def test_a_row_that_nobody_may_change_costs_its_lane_and_its_type_nothing(queue: Queue) -> None:
    queue.insert("type, concurrency_key", *["'a', 'x'"] * 300)
    queue.insert("type", "'a'", "'b'")
    refuse(queue, 200)
    taken = queue.take(types="a b", jobs=5)
    assert ids(taken.jobs) == [1]
    assert list(taken.misfits) == [200]
    assert ids(queue.take(types="a b", jobs=5).jobs) == [301, 302]
    assert queue.rows("SELECT count(*) FROM jobs WHERE status = 'waiting'") == [(298,)]
    assert queue.status(200) == ("pending", None)


@pytest.mark.parametrize("column", ["concurrency_key", "key"])
def test_a_waiting_row_that_nobody_may_change_costs_the_other_its_result_nothing(queue: Queue, column: str) -> None:
    queue.insert(f"type, {column}", *["'a', 'x'"] * 3)
    jobs = queue.claim()
    assert ids(jobs) == [1]
    refuse(queue, 2)
    settled = settle(queue.database, [verdict_of(jobs[0], Kind.RETURNED, result="5")])
    assert (len(settled.accepted), settled.unseen) == (1, True)
    assert queue.status(1) == ("completed", "done")
    with pytest.raises(ValuesRefused):
        look(queue, without={2})
    if column == "key":
        assert queue.status(3) == ("completed", "duplicate")


@pytest.mark.parametrize("notify", ["completed", "failed"])
def test_who_got_a_result_is_told_as_its_type_wants(queue: Queue, notify: str) -> None:
    """Whatever else is settled in the same batch; and a type that was changed meanwhile breaks nothing."""
    queue.insert("type, key", "'a', 'k'", "'a', 'k'", "'a', 'k'", "'a', 'l'")
    first, last = queue.claim()
    queue.rows("UPDATE jobs SET type = 'renamed' WHERE id = 3")
    policy = Policy(notify=notify)
    batch = [
        verdict_of(first, Kind.RETURNED, policy=policy, result="5"),
        verdict_of(last, Kind.RAISED, policy=policy),
    ]
    settle(queue.database, batch)
    assert queue.status(2) == ("completed", "duplicate")
    told = {1, 2, 3} if notify == "completed" else {4}
    assert {job for (job,) in queue.rows("SELECT job_id FROM notifications")} == told


def test_a_type_about_which_nothing_can_be_decided_keeps_no_place(queue: Queue) -> None:
    queue.insert("type", *["'b'"] * 10, "'a'")
    queue.rows("INSERT INTO job_types (name, rate) VALUES ('b', 'ten/fortnight')")
    assert ids(queue.take(types="a b", jobs=3).jobs) == [11]


def test_a_duplicate_that_waits_keeps_nobody_of_its_lane_from_going_on(queue: Queue) -> None:
    queue.insert("type, key, concurrency_key, priority", "'a', 'k', NULL, 9", "'a', 'k', 'x', 9")
    queue.insert("type, concurrency_key", "'a', 'x'", "'a', 'x'")
    jobs = queue.claim()
    assert ids(jobs) == [1, 3]
    end(queue, jobs[1])
    assert ids(queue.claim()) == [4]


def test_a_row_that_was_taken_off_its_lane_goes_on(queue: Queue) -> None:
    queue.insert("type, concurrency_key", "'a', 'x'", "'a', 'x'")
    queue.claim()
    queue.rows("UPDATE jobs SET concurrency_key = NULL WHERE id = 2")
    look(queue)
    assert ids(queue.claim()) == [2]


def test_a_head_of_a_lane_that_cannot_be_claimed_keeps_nobody_waiting(queue: Queue) -> None:
    queue.insert("type, concurrency_key", *["'a', 'x'"] * 3)
    [job] = queue.claim()
    end(queue, job)
    assert queue.status(2) == ("pending", None)
    look(queue, without={2})
    assert queue.status(3) == ("pending", None)


def test_an_original_that_waits_for_its_lane_is_still_the_original(queue: Queue) -> None:
    queue.insert("type, key, concurrency_key", "'a', 'k', 'x'")
    [job] = queue.claim()
    end(queue, job, kind=Kind.SNOOZE, delay=0.0)
    queue.insert("type, concurrency_key, priority", "'a', 'x', 9")
    queue.rows("UPDATE jobs SET status = 'pending' WHERE id = 1")
    assert ids(queue.claim()) == [2]
    assert queue.status(1) == ("waiting", "lane")
    queue.insert("type, key", "'a', 'k'")
    assert queue.claim() == []
    assert queue.rows("SELECT duplicate_of FROM jobs WHERE id = 3") == [(1,)]


@pytest.mark.parametrize(
    ("one", "other"),
    [("0.12345678901234567891", "0.12345678901234567892"), ("1e400", "2e500"), ("1", "1.0"), ("[1]", "1")],
)
def test_payloads_that_differ_in_the_last_digit_are_not_equal(one: str, other: str) -> None:
    assert duplicates.fingerprint(one) not in (None, duplicates.fingerprint(other))


@pytest.mark.parametrize("db", ["mariadb"], indirect=True)
@pytest.mark.parametrize("column", ["concurrency_key", "key", "owner"])
def test_a_name_with_a_space_at_its_end_is_refused_where_it_would_be_taken_for_another(
    queue: Queue, column: str
) -> None:
    with pytest.raises(Exception, match=f"jobs_{column}_has_no_space_at_its_end"):
        queue.insert(f"type, {column}", "'a', 'x '")


@pytest.mark.parametrize("db", ["sqlite"], indirect=True)
@pytest.mark.parametrize(("column", "value"), [("max_concurrent", "'two'"), ("rate", "x'31'")])
def test_a_rule_of_another_sort_is_refused(queue: Queue, column: str, value: str) -> None:
    with pytest.raises(Exception, match=f"job_types_{column}_is_"):
        queue.rows(f"INSERT INTO job_types (name, {column}) VALUES ('a', {value})")


def test_work_that_is_being_cancelled_is_no_answer_to_new_work(queue: Queue) -> None:
    queue.insert("type, key", "'a', 'k'")
    queue.claim()
    again = NewJob(type="a", key="k")
    assert enqueue(queue.database, again) == Enqueued(1, new=False)
    queue.rows("UPDATE jobs SET cancel_requested = true WHERE id = 1")
    assert enqueue(queue.database, again).new


def test_a_result_that_is_gone_when_it_is_to_be_written_is_given_to_nobody(queue: Queue) -> None:
    """The original was put back by a person between the look at it and the write."""
    queue.insert("type, key", "'a', 'k'", "'a', 'k'")
    queue.claim()
    given = queue.database.write(
        lambda connection: duplicates.reuse(connection, queue.database.dialect, {2: 1}, Reason.DUPLICATE, notified=True)
    )
    assert given == []
    assert queue.status(2) == ("waiting", "duplicate")
    assert queue.rows("SELECT count(*) FROM notifications") == [(0,)]
