from dataclasses import replace
from datetime import UTC, datetime

import pytest

from processor.errors import Refused
from processor.judge import Backoff, Policy
from processor.outcome import Kind
from processor.queue import leases, lookup
from processor.queue.enqueue import NewJob
from processor.queue.events import Event, Told, store
from processor.queue.settle import settle
from tests.queue.conftest import Queue, verdict_of


def test_a_completed_job_has_its_result_and_one_notification(queue: Queue) -> None:
    queue.insert("type, owner, subject", "'a', 'ada', 'chapter:1'")
    [job] = queue.claim()
    settled = settle(queue.database, [verdict_of(job, Kind.RETURNED, result='{"pages": 3}', cpu_seconds=1.5)])
    assert len(settled.accepted) == 1
    row = queue.rows("SELECT status, reason, progress, cpu_seconds FROM jobs WHERE finished_at IS NOT NULL")
    assert row == [("completed", "done", 100.0, 1.5)]
    assert queue.rows("SELECT job_id, type, owner, subject, status FROM notifications") == [
        (1, "a", "ada", "chapter:1", "completed")
    ]


def test_a_failed_job_has_its_error_on_the_row_and_in_the_history(queue: Queue) -> None:
    queue.insert("type", "'a'")
    [job] = queue.claim()
    settle(queue.database, [verdict_of(job, Kind.RAISED, error_type="KeyError", error_message="'x'", error_detail="…")])
    assert queue.rows("SELECT status, reason, error_type, error_message, error_detail FROM jobs") == [
        ("failed", "error", "KeyError", "'x'", "…")
    ]
    assert queue.rows("SELECT job_id, attempt, reason, error_type FROM job_errors") == [(1, 1, "error", "KeyError")]
    assert queue.rows("SELECT status, message FROM notifications") == [("failed", "'x'")]


def test_a_retried_job_is_scheduled_without_a_notification(queue: Queue) -> None:
    queue.insert("type, max_attempts", "'a', 2")
    [job] = queue.claim()
    policy = Policy(max_attempts=2, backoff=Backoff(delay=3600, jitter=0))
    settle(queue.database, [verdict_of(job, Kind.RAISED, policy=policy)])
    assert queue.status(1) == ("scheduled", "retry")
    assert queue.rows("SELECT count(*) FROM notifications") == [(0,)]
    assert queue.rows("SELECT reason FROM job_errors") == [("error",)]
    assert queue.rows("SELECT count(*) FROM jobs WHERE run_at > created_at AND finished_at IS NULL") == [(1,)]


def test_a_stale_claim_cannot_complete_the_job(queue: Queue) -> None:
    queue.insert("type", "'a'")
    [old] = queue.claim()
    leases.release(queue.database, "p1", [old.claim_no])
    [new] = queue.claim()
    assert (new.id, new.attempt) == (old.id, old.attempt)
    late = settle(queue.database, [verdict_of(old, Kind.RETURNED, result='"late"')])
    assert (len(late.accepted), len(late.stale)) == (0, 1)
    assert queue.status(1) == ("running", None)
    assert queue.rows("SELECT count(*) FROM notifications") == [(0,)]
    assert len(settle(queue.database, [verdict_of(new, Kind.RETURNED)]).accepted) == 1


def test_another_processor_with_the_same_claim_number_is_stale(queue: Queue) -> None:
    queue.insert("type", "'a'")
    [job] = queue.claim()
    late = settle(queue.database, [verdict_of(job, Kind.RETURNED, processor_id="p2")])
    assert len(late.stale) == 1
    assert queue.status(1) == ("running", None)


def test_a_batch_sent_twice_changes_nothing_the_second_time(queue: Queue) -> None:
    queue.insert("type", "'a'", "'a'")
    batch = [verdict_of(job, Kind.RETURNED) for job in queue.claim()]
    settle(queue.database, batch)
    again = settle(queue.database, [replace(settlement, again=True) for settlement in batch])
    assert (len(again.accepted), len(again.stale)) == (2, 0)
    assert queue.rows("SELECT count(*) FROM notifications") == [(2,)]


def test_one_stale_outcome_does_not_hold_up_its_batch(queue: Queue) -> None:
    queue.insert("type", *["'a'"] * 3)
    jobs = queue.claim()
    batch = [verdict_of(job, Kind.RETURNED) for job in jobs]
    batch[1] = replace(batch[1], claim_no=999)
    settled = settle(queue.database, batch)
    assert [settlement.job_id for settlement in settled.accepted] == [1, 3]
    assert [settlement.job_id for settlement in settled.stale] == [2]


def test_one_outcome_that_cannot_be_stored_fails_alone(queue: Queue) -> None:
    queue.insert("type", *["'a'"] * 50)
    batch = [verdict_of(job, Kind.RETURNED, result="{}") for job in queue.claim()]
    batch[17] = replace(
        batch[17], verdict=replace(batch[17].verdict, outcome=replace(batch[17].verdict.outcome, result="{no json"))
    )
    settled = settle(queue.database, batch)
    assert len(settled.accepted) == 50
    assert [settlement.job_id for settlement, _ in settled.unstorable] == [18]
    assert queue.status(18) == ("failed", "unstorable")
    assert queue.rows("SELECT count(*) FROM jobs WHERE status = 'completed'") == [(49,)]
    assert queue.rows("SELECT count(*) FROM notifications") == [(50,)]


def test_a_cancel_that_came_in_the_meantime_wins_over_a_further_try(queue: Queue) -> None:
    queue.insert("type, max_attempts", "'a', 5")
    [job] = queue.claim()
    queue.rows("UPDATE jobs SET cancel_requested = true")
    settle(queue.database, [verdict_of(job, Kind.RAISED, policy=Policy(max_attempts=5))])
    assert queue.status(1) == ("cancelled", "asked")
    assert queue.rows("SELECT status FROM notifications") == [("cancelled",)]


def test_work_that_is_done_stays_done_though_a_cancel_was_asked_for(queue: Queue) -> None:
    queue.insert("type", "'a'")
    [job] = queue.claim()
    queue.rows("UPDATE jobs SET cancel_requested = true")
    settle(queue.database, [verdict_of(job, Kind.RETURNED)])
    assert queue.status(1) == ("completed", "done")


def test_jobs_that_a_job_enqueued_appear_with_its_completion(queue: Queue) -> None:
    queue.insert("type", "'a'")
    [job] = queue.claim()
    wishes = ({"type": "b", "payload": {"n": 1}, "priority": 7}, {"type": "c", "delay_seconds": 3600})
    settle(queue.database, [verdict_of(job, Kind.RETURNED, enqueue=wishes)])
    assert queue.rows("SELECT type, priority FROM jobs WHERE id > 1 ORDER BY id") == [("b", 7), ("c", 5)]
    assert queue.rows("SELECT count(*) FROM jobs WHERE run_at > created_at") == [(1,)]


def test_jobs_that_a_failed_attempt_enqueued_never_appear(queue: Queue) -> None:
    queue.insert("type", "'a'")
    [job] = queue.claim()
    settle(queue.database, [verdict_of(job, Kind.RAISED, enqueue=({"type": "b"},))])
    assert queue.rows("SELECT count(*) FROM jobs") == [(1,)]


@pytest.mark.parametrize(
    ("notify", "kind", "expected"),
    [
        ("both", Kind.RETURNED, 1),
        ("completed", Kind.RETURNED, 1),
        ("completed", Kind.RAISED, 0),
        ("failed", Kind.RETURNED, 0),
        ("failed", Kind.RAISED, 1),
        ("failed", Kind.CANCELLED, 1),
        ("none", Kind.RAISED, 0),
    ],
)
def test_a_type_chooses_what_it_notifies_of(queue: Queue, notify: str, kind: Kind, expected: int) -> None:
    queue.insert("type", "'a'")
    [job] = queue.claim()
    settle(queue.database, [verdict_of(job, kind, policy=Policy(notify=notify))])
    assert queue.rows("SELECT count(*) FROM notifications") == [(expected,)]


def test_any_text_without_nul_comes_back_as_it_was(queue: Queue) -> None:
    queue.insert("type", "'a'")
    [job] = queue.claim()
    text = "quote ' \" back\\slash \n tab\t emoji 🦆 \u202e right-to-left, %s :name \x1b[31m"
    settle(queue.database, [verdict_of(job, Kind.RAISED, error_message=text, error_detail=text * 100)])
    assert queue.rows("SELECT error_message, error_detail FROM jobs") == [(text, text * 100)]


@pytest.mark.parametrize("db", ["postgresql", "mariadb"], indirect=True)
def test_a_row_that_somebody_holds_locked_is_left_and_holds_nobody_up(queue: Queue) -> None:
    queue.insert("type", *["'a'"] * 3)
    jobs = queue.claim()
    told = [Told(job.id, "p1", job.claim_no, 1, (Event("log", "info", None, "hello"),)) for job in jobs]
    with queue.given.held("SELECT id FROM jobs WHERE id = 2 FOR UPDATE"):
        assert store(queue.database, told) == [told[1]]
        settled = settle(queue.database, [verdict_of(job, Kind.RETURNED) for job in jobs])
        assert [settlement.job_id for settlement in settled.accepted] == [1, 3]
        assert [settlement.job_id for settlement in settled.held] == [2]
        assert settled.stale == ()
    assert store(queue.database, told[1:2]) == []
    assert len(settle(queue.database, settled.held).accepted) == 1


def test_enqueued_jobs_carry_every_column_a_producer_has(queue: Queue) -> None:
    queue.insert("type", "'a'")
    [job] = queue.claim()
    wish = {
        "type": "b",
        "payload": "just text",
        "owner": "ada",
        "key": "k",
        "run_at": "2030-01-31T08:00:00+02:00",
        "expires_at": "2030-02-01T00:00:00+00:00",
        "timeout_seconds": 2.5,
    }
    settle(queue.database, [verdict_of(job, Kind.RETURNED, enqueue=(wish,))])
    found = lookup.job(queue.database, 2)
    assert found["payload"] == '"just text"'
    assert (found["owner"], found["key"], found["timeout_seconds"]) == ("ada", "k", 2.5)
    assert found["run_at"] == datetime(2030, 1, 31, 6, tzinfo=UTC)
    assert found["expires_at"] == datetime(2030, 2, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    "wish",
    [{}, {"type": ""}, {"type": "b", "status": "running"}, {"type": "b", "priority": "high"}, {"type": "x" * 201}]
    + [{"type": "b", "run_at": when} for when in ("soon", "2030-01-31T08:00:00", 7, "0001-01-01T00:00:00+14:00")]
    + [{"type": "b", "expires_at": "9999-12-31T23:59:59-12:00"}, {"type": "b", "timeout_seconds": float("inf")}]
    + [{"type": "b", "payload": [float("nan")]}],
)
def test_what_cannot_be_a_job_is_refused_before_it_reaches_the_database(wish: dict[str, object]) -> None:
    with pytest.raises(Refused, match="cannot be enqueued"):
        NewJob.from_message(wish)


def test_a_verdict_sent_again_after_a_rescue_is_stale_and_says_so(queue: Queue) -> None:
    queue.insert("type", "'a'")
    [job] = queue.claim()
    settle(queue.database, [verdict_of(job, Kind.LOST)])
    late = settle(queue.database, [replace(verdict_of(job, Kind.RETURNED), again=True)])
    assert (len(late.accepted), len(late.stale)) == (0, 1)


def test_a_type_without_notifications_has_none_of_a_cancel_in_the_meantime_either(queue: Queue) -> None:
    queue.insert("type, max_attempts", "'a', 5")
    [job] = queue.claim()
    queue.rows("UPDATE jobs SET cancel_requested = true")
    settle(queue.database, [verdict_of(job, Kind.RAISED, policy=Policy(max_attempts=5, notify="none"))])
    assert queue.status(1) == ("cancelled", "asked")
    assert queue.rows("SELECT count(*) FROM notifications") == [(0,)]


def test_a_delay_beyond_every_calendar_is_a_year(queue: Queue) -> None:
    queue.insert("type, max_attempts", "'a', 5")
    [job] = queue.claim()
    settle(queue.database, [verdict_of(job, Kind.RETRY, policy=Policy(max_attempts=5), delay=1e17)])
    assert queue.status(1) == ("scheduled", "retry")
    assert queue.rows("SELECT count(*) FROM jobs WHERE run_at > created_at AND run_at < '2100-01-01 00:00:00'") == [
        (1,)
    ]
