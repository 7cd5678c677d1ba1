import random
import threading

import pytest

from processor.outcome import Kind
from processor.queue import control, leases
from processor.queue.settle import settle
from tests.queue.conftest import Queue, verdict_of

LATER = {
    "postgresql": "now() + interval '1 hour'",
    "mariadb": "utc_timestamp(6) + INTERVAL 1 HOUR",
    "sqlite": "datetime('now', '+1 hour')",
}
EARLIER = {
    "postgresql": "now() - interval '1 hour'",
    "mariadb": "utc_timestamp(6) - INTERVAL 1 HOUR",
    "sqlite": "datetime('now', '-1 hour')",
}


def test_a_row_with_only_a_type_is_claimed(queue: Queue) -> None:
    queue.insert("type", "'a'")
    [job] = queue.claim()
    assert (job.id, job.type, job.payload, job.attempt) == (1, "a", "{}", 1)
    assert queue.rows("SELECT status, attempt, processor_id, claim_no FROM jobs") == [("running", 1, "p1", 1)]


def test_jobs_are_claimed_by_priority_then_creation_then_id(queue: Queue) -> None:
    early, late = "'2026-01-01 00:00:00'", "'2026-01-02 00:00:00'"
    queue.insert(
        "type, priority, created_at", f"'a', 5, {late}", f"'a', 5, {early}", f"'b', 9, {late}", f"'a', 1, {early}"
    )
    queue.insert("type, priority, created_at", f"'b', 5, {early}")
    assert [job.id for job in queue.claim(types="a b")] == [3, 2, 5, 1, 4]


def test_no_more_is_claimed_than_there_are_slots_and_the_best_of_all_types(queue: Queue) -> None:
    queue.insert("type, priority", "'a', 1", "'a', 8", "'b', 9", "'b', 2", "'b', 7")
    assert [job.id for job in queue.claim(types="a b", jobs=3)] == [3, 2, 5]
    assert queue.rows("SELECT count(*) FROM jobs WHERE status = 'pending'") == [(2,)]


def test_jobs_without_a_process_are_claimed_when_no_process_is_free(queue: Queue) -> None:
    queue.insert("type, priority", "'a', 9", "'a', 8", "'B', 2", "'B', 1")
    assert [job.id for job in queue.claim(types="a B", jobs=4, processes=1)] == [1, 3, 4]


@pytest.mark.parametrize(("seed", "types"), [*((seed, 45) for seed in range(6)), (6, 18), (7, 9)])
def test_of_many_types_the_best_rows_are_claimed(queue: Queue, seed: int, types: int) -> None:
    """With some types paused, some at their limit and some without a free process, against a plain sort."""
    chance = random.Random(seed)
    names = [f"t{n}" if n % 3 else f"T{n}" for n in range(types)]
    paused = chance.sample(names, types // 4)
    full = chance.sample([name for name in names if name not in paused], types // 4)
    rows = [(chance.choice(names), chance.randrange(40)) for _ in range(200)]
    queue.insert("type, priority", *(f"'{type_}', {priority}" for type_, priority in rows))
    for name in paused:
        queue.rows(f"INSERT INTO job_types (name, paused) VALUES ('{name}', true)")
    for name in full:
        queue.rows(f"INSERT INTO job_types (name, max_concurrent) VALUES ('{name}', 0)")
    left = sorted((-priority, id, type_) for id, (type_, priority) in enumerate(rows, 1) if type_ not in paused + full)
    while left:
        slots, processes, best = chance.choice([1, 3, 12, 30]), chance.choice([0, 2, 30]), []
        for _, id, type_ in left:
            needs_process = not type_.isupper()
            if len(best) < slots and not (needs_process and processes <= sum(not t.isupper() for _, t in best)):
                best.append((id, type_))
        assert [(job.id, job.type) for job in queue.claim(types=" ".join(names), jobs=slots, processes=processes)] == (
            best
        ), f"{slots} slots, {processes} processes"
        left = [row for row in left if (row[1], row[2]) not in best]


def test_a_type_that_is_not_wanted_stays_pending(queue: Queue) -> None:
    queue.insert("type", "'a'", "'stranger'")
    assert [job.type for job in queue.claim()] == ["a"]
    assert queue.status(2) == ("pending", None)


def test_types_are_told_apart_by_every_letter(queue: Queue) -> None:
    queue.insert("type", "'A'")
    assert queue.claim(types="a") == []


def test_a_row_of_the_future_is_not_claimed(queue: Queue) -> None:
    queue.insert("type, run_at", f"'a', {LATER[queue.kind]}", f"'a', {EARLIER[queue.kind]}")
    assert [job.id for job in queue.claim()] == [2]


def test_a_row_whose_cancel_was_asked_for_is_not_claimed(queue: Queue) -> None:
    queue.insert("type, cancel_requested", "'a', true")
    assert queue.claim() == []


def test_a_paused_type_is_not_claimed_until_it_is_resumed(queue: Queue) -> None:
    queue.insert("type", "'a'", "'b'")
    control.pause_type(queue.database, "a")
    assert [job.type for job in queue.claim(types="a b")] == ["b"]
    control.resume_type(queue.database, "a")
    assert [job.type for job in queue.claim(types="a b")] == ["a"]


def test_a_type_paused_until_an_instant_is_claimed_after_it(queue: Queue) -> None:
    queue.insert("type", "'a'")
    control.pause_type(queue.database, "a", seconds=3600)
    assert queue.claim() == []
    control.pause_type(queue.database, "a", seconds=-1)
    assert len(queue.claim()) == 1


def test_a_processor_without_a_valid_lease_claims_nothing(queue: Queue) -> None:
    queue.insert("type", "'a'")
    queue.register("expired", lease=-1)
    assert queue.claim("expired") == []
    assert queue.claim("never registered") == []
    leases.drain(queue.database, "p1")
    assert queue.claim("p1") == []


def test_a_payload_over_the_limit_is_claimed_without_its_text(queue: Queue) -> None:
    queue.insert("type, payload", "'a', '\"" + "x" * 2000 + "\"'")
    [job] = queue.claim()
    assert job.payload is None
    assert job.payload_bytes == 2002


def test_a_job_past_its_expiry_is_claimed_and_says_so(queue: Queue) -> None:
    queue.insert("type, expires_at", f"'a', {EARLIER[queue.kind]}", f"'a', {LATER[queue.kind]}")
    assert [job.expired for job in queue.claim()] == [True, False]


def test_the_wait_is_counted_from_the_time_the_job_was_due(queue: Queue) -> None:
    queue.insert("type, run_at", f"'a', {EARLIER[queue.kind]}")
    [job] = queue.claim()
    assert 3600 <= job.wait_seconds < 3660


def test_four_processors_that_claim_at_once_never_share_a_job(queue: Queue) -> None:
    names = ["p1", "p2", "p3", "p4"]
    for name in names[1:]:
        queue.register(name)
    queue.insert("type", *["'a'"] * 400)
    claimed: dict[str, list[int]] = {name: [] for name in names}
    start = threading.Barrier(len(names))

    def take(name: str) -> None:
        start.wait()
        for _ in range(60):
            claimed[name] += [job.id for job in queue.claim(name, jobs=7)]

    threads = [threading.Thread(target=take, args=(name,)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    everything = [job for jobs in claimed.values() for job in jobs]
    assert len(everything) == len(set(everything))
    while left := queue.claim(jobs=100):
        everything += [job.id for job in left]
    assert sorted(everything) == list(range(1, 401))


@pytest.mark.parametrize("db", ["postgresql", "mariadb"], indirect=True)
@pytest.mark.parametrize("held", [1, 3])
def test_rows_that_another_claim_holds_are_skipped_without_waiting(queue: Queue, held: int) -> None:
    queue.insert("type", *["'a'"] * 5)
    with queue.given.held(f"SELECT id FROM jobs ORDER BY id LIMIT {held} FOR UPDATE"):
        assert [job.id for job in queue.claim()] == list(range(held + 1, 6))
    assert [job.id for job in queue.claim()] == list(range(1, held + 1))


def test_a_retried_job_is_claimed_with_the_next_attempt_and_another_claim(queue: Queue) -> None:
    queue.insert("type, max_attempts", "'a', 3")
    [first] = queue.claim()
    settle(queue.database, [verdict_of(first, Kind.SNOOZE, delay=0.0)])
    queue.rows("UPDATE jobs SET status = 'pending'")
    [second] = queue.claim()
    assert (second.attempt, second.claim_no) == (1, first.claim_no + 1)
