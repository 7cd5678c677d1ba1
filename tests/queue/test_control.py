import pytest

from processor.db.database import Database
from processor.errors import NotFound, Refused
from processor.lifecycle import Status
from processor.outcome import Kind
from processor.queue import bulk, control, leases, lookup
from processor.queue.lookup import Filter
from processor.queue.settle import settle
from tests.queue.conftest import Queue, verdict_of


def test_cancel_ends_what_waits_and_asks_what_runs(queue: Queue) -> None:
    queue.insert("type", "'a'", "'a'")
    queue.claim(jobs=1)
    assert control.cancel(queue.database, Filter()) == (1, 1)
    assert queue.rows("SELECT status, cancel_requested FROM jobs ORDER BY id") == [("running", 1), ("cancelled", 1)]
    assert queue.rows("SELECT job_id FROM notifications") == [(2,)]
    assert control.cancel(queue.database, Filter()) == (0, 0)


def test_a_paused_job_is_not_claimed_until_it_is_resumed(queue: Queue) -> None:
    queue.insert("type", "'a'", "'a'")
    assert control.pause(queue.database, Filter(ids=(1,))) == 1
    assert [job.id for job in queue.claim()] == [2]
    assert control.resume(queue.database, Filter()) == 1
    assert [job.id for job in queue.claim()] == [1]


def test_a_retried_job_starts_as_if_it_were_new_and_keeps_its_errors(queue: Queue) -> None:
    queue.insert("type", "'a'")
    [job] = queue.claim()
    settle(queue.database, [verdict_of(job, Kind.RAISED, error_type="E", error_message="m")])
    assert control.retry(queue.database, Filter(ids=(1,))) == 1
    assert queue.rows("SELECT status, attempt, error_type, finished_at FROM jobs") == [("pending", 0, None, None)]
    assert queue.rows("SELECT count(*) FROM job_errors") == [(1,)]
    assert queue.claim()[0].attempt == 1


def test_a_job_whose_time_is_over_runs_where_somebody_retries_it(queue: Queue) -> None:
    queue.insert("type, expires_at", "'a', '2020-06-01 00:00:00'", "'a', '2090-06-01 00:00:00'")
    settle(queue.database, [verdict_of(job, Kind.EXPIRED) for job in queue.claim()])
    assert control.retry(queue.database, Filter(types=("a",))) == 2
    assert [(job.id, job.expired) for job in queue.claim()] == [(1, False), (2, False)]
    assert [lookup.job(queue.database, id)["expires_at"] is None for id in (1, 2)] == [True, False]


def test_a_job_of_later_is_claimed_once_it_is_to_run_now(queue: Queue) -> None:
    queue.insert("type, run_at", "'a', '2090-01-01 00:00:00'", "'a', '2090-01-01 00:00:00'", "'a', NULL")
    queue.rows("UPDATE jobs SET status = 'scheduled', reason = 'retry', attempt = 1 WHERE id = 1")
    assert [job.id for job in queue.claim()] == [3]
    assert control.run_now(queue.database, Filter(ids=(1, 2, 3))) == 2
    assert queue.rows("SELECT status, reason, run_at FROM jobs WHERE id < 3 ORDER BY id") == [
        ("pending", "retry", None),
        ("pending", None, None),
    ]
    assert [(job.id, job.attempt) for job in queue.claim()] == [(1, 2), (2, 1)]


@pytest.mark.parametrize("status", [status for status in Status if status is not Status.SCHEDULED])
def test_run_now_leaves_what_is_not_scheduled(queue: Queue, status: Status) -> None:
    queue.insert("type, status, processor_id, claim_no", f"'a', '{status}', 'p1', 1")
    assert control.run_now(queue.database, Filter()) == 0
    assert queue.status(1) == (status, None)


def test_a_job_that_has_not_ended_gets_another_priority(queue: Queue) -> None:
    queue.insert("type", "'a'", "'a'", "'a'")
    queue.insert("type, status", "'a', 'failed'")
    assert control.reprioritise(queue.database, Filter(ids=(3, 4)), -7) == 1
    assert control.reprioritise(queue.database, Filter(ids=(2,)), 9) == 1
    assert [job.id for job in queue.claim()] == [2, 1, 3]
    assert queue.rows("SELECT priority FROM jobs WHERE id > 2 ORDER BY id") == [(-7,), (5,)]
    assert control.reprioritise(queue.database, Filter(), 1) == 3


@pytest.mark.parametrize("priority", [32768, -32768, 10**30])
def test_a_priority_that_no_row_may_have_is_refused(queue: Queue, priority: int) -> None:
    queue.insert("type", "'a'")
    with pytest.raises(Refused, match=f"{priority} is no priority. Nothing was changed"):
        control.reprioritise(queue.database, Filter(), priority)


@pytest.mark.parametrize("verb", [control.pause, control.resume, control.run_now, control.retry, control.remove])
def test_a_running_job_is_left_alone(queue: Queue, verb: object) -> None:
    queue.insert("type", "'a'")
    queue.claim()
    assert verb(queue.database, Filter()) == 0  # type: ignore[operator]
    assert queue.status(1) == ("running", None)


def test_deleting_a_job_deletes_what_was_told_of_it(queue: Queue) -> None:
    queue.insert("type", "'a'")
    [job] = queue.claim()
    settle(queue.database, [verdict_of(job, Kind.RAISED)])
    assert control.remove(queue.database, Filter(statuses=(Status.FAILED,))) == 1
    for table in ("jobs", "job_errors", "notifications"):
        assert queue.rows(f"SELECT count(*) FROM {table}") == [(0,)]


def test_more_than_a_batch_is_changed_in_several_transactions(queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulk, "BATCH", 10)
    queue.insert("type", *["'a'"] * 25)
    transactions = []
    write = Database.write
    monkeypatch.setattr(Database, "write", lambda self, verb: (transactions.append(1), write(self, verb))[1])
    assert control.pause(queue.database, Filter()) == 25
    assert len(transactions) == 3


def test_filters_narrow_by_each_field(queue: Queue) -> None:
    queue.insert("type, owner, subject", "'a', 'ada', 's1'", "'a', 'bob', 's1'", "'b', 'ada', 's2'")
    queue.rows("UPDATE jobs SET created_at = '2020-01-01 00:00:00' WHERE id = 1")
    for which, expected in (
        (Filter(types=("b",)), 1),
        (Filter(owner="ada"), 2),
        (Filter(subject="s1"), 2),
        (Filter(older_than=3600), 1),
        (Filter(newer_than=3600), 2),
        (Filter(owner="ada", types=("a",)), 1),
    ):
        assert control.pause(queue.database, which) == expected, which
        control.resume(queue.database, Filter())


def test_notifications_are_marked_as_read_once(queue: Queue) -> None:
    queue.insert("type, owner", "'a', 'ada'", "'a', 'bob'")
    settle(queue.database, [verdict_of(job, Kind.RETURNED) for job in queue.claim()])
    assert control.mark_read(queue.database, owner="ada") == 1
    assert control.mark_read(queue.database) == 1
    assert control.mark_read(queue.database) == 0


def test_only_a_processor_that_is_alive_can_be_drained(queue: Queue) -> None:
    queue.register("p2")
    control.drain_processor(queue.database, "p1")
    assert leases.is_asked_to_drain(queue.database, "p1")
    assert not leases.is_asked_to_drain(queue.database, "p2")
    control.drain_processor(queue.database, "p1")  # once more changes nothing
    leases.drain(queue.database, "p1")
    control.drain_processor(queue.database, "p1")
    leases.leave(queue.database, "p1")
    for gone in ("p1", "p3", ""):
        with pytest.raises(NotFound, match=f"No processor '{gone}' is alive"):
            control.drain_processor(queue.database, gone)
