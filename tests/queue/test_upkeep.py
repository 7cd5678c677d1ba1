from processor.queue import upkeep
from tests.queue.conftest import Queue
from tests.queue.test_claim import EARLIER, LATER


def both(type_: str, status: object) -> bool:
    return True


def test_future_rows_are_parked_and_come_back_when_they_fall_due(queue: Queue) -> None:
    queue.insert("type, run_at", f"'a', {LATER[queue.kind]}", f"'a', {EARLIER[queue.kind]}", "'a', NULL")
    assert upkeep.park(queue.database) == 1
    assert [row[0] for row in queue.rows("SELECT status FROM jobs ORDER BY id")] == ["scheduled", "pending", "pending"]
    assert upkeep.promote(queue.database) == 0
    queue.rows(f"UPDATE jobs SET run_at = {EARLIER[queue.kind]} WHERE id = 1")
    assert upkeep.promote(queue.database) == 1
    assert [job.id for job in queue.claim()] == [1, 2, 3]


def test_a_flood_of_future_rows_is_parked_in_batches(queue: Queue) -> None:
    queue.insert("type, run_at", *[f"'a', {LATER[queue.kind]}"] * 25)
    assert [upkeep.park(queue.database, limit=10) for _ in range(4)] == [10, 10, 5, 0]


def test_a_plain_update_cancels_what_waits_with_a_notification(queue: Queue) -> None:
    queue.insert("type, status", "'a', 'pending'", "'a', 'scheduled'", "'a', 'waiting'", "'a', 'paused'")
    queue.rows("UPDATE jobs SET cancel_requested = true")
    assert upkeep.cancel_asked(queue.database, both) == 4
    assert queue.rows("SELECT count(*) FROM jobs WHERE status = 'cancelled' AND finished_at IS NOT NULL") == [(4,)]
    assert queue.rows("SELECT count(*) FROM notifications WHERE status = 'cancelled'") == [(4,)]
    assert upkeep.cancel_asked(queue.database, both) == 0


def test_a_running_job_is_not_cancelled_by_upkeep(queue: Queue) -> None:
    queue.insert("type", "'a'")
    queue.claim()
    queue.rows("UPDATE jobs SET cancel_requested = true")
    assert upkeep.cancel_asked(queue.database, both) == 0
    assert queue.status(1) == ("running", None)


def test_what_is_due_counts_without_paused_future_and_foreign_rows(queue: Queue) -> None:
    queue.insert("type, run_at", "'a', NULL", f"'a', {LATER[queue.kind]}", f"'a', {EARLIER[queue.kind]}", "'z', NULL")
    queue.insert("type", "'paused'")
    queue.insert("type, cancel_requested", "'a', true")
    queue.rows("INSERT INTO job_types (name, paused) VALUES ('paused', true)")
    assert upkeep.count_due(queue.database, ("a", "paused")) == 2
