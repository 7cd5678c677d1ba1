"""What is to run next, as claims would take it, and a share for everything else that waits."""

from processor.queue import upcoming as module
from processor.queue.upcoming import running, shared, upcoming
from tests.queue.conftest import Queue


def ids(queue: Queue, open_: str = "a b", closed: str = "", **more: object) -> list[int]:
    rows = upcoming(queue.database, open_=open_.split(), closed=closed.split(), **more)  # type: ignore[arg-type]
    return [row["id"] for row in rows]


def test_due_jobs_come_in_the_order_of_claims(queue: Queue) -> None:
    queue.insert("type, priority", "'a', 5", "'b', 9", "'a', 1", "'b', 5", "'a', 9")
    expected = ids(queue)
    assert expected == [2, 5, 1, 4, 3]
    assert [job.id for job in queue.claim(types="a b")] == expected


def test_what_runs_longest_comes_first(queue: Queue) -> None:
    queue.insert("type, subject", "'a', 'x'", "'b', 'y'", "'a', 'X'")
    for type_ in "ba":
        queue.claim(types=type_)
    assert [row["id"] for row in running(queue.database)] == [2, 1, 3]
    assert [row["id"] for row in running(queue.database, text="x", limit=1)] == [1]


def test_many_types_are_asked_in_portions(queue: Queue) -> None:
    types = [f"t{number}" for number in range(2 * module.TYPES_AT_ONCE + 1)]
    queue.insert("type, priority", *(f"'{name}', {number}" for number, name in enumerate(types)))
    assert ids(queue, " ".join(types), limit=10) == list(range(len(types), len(types) - 10, -1))


def test_what_may_start_comes_before_what_is_held_and_what_waits(queue: Queue) -> None:
    tomorrow = "'2999-01-01 00:00:00'"
    queue.insert("type, priority", "'held', 9", "'a', 5")
    queue.insert("type, status, reason", "'a', 'waiting', 'children'", "'a', 'paused', 'asked'")
    queue.insert("type, status, run_at", f"'a', 'scheduled', {tomorrow}")
    queue.insert("type, run_at", f"'a', {tomorrow}")
    assert ids(queue, "a", "held") == [2, 1, 3, 4, 5, 6]


def test_a_long_queue_hides_no_other_sort_of_waiting(queue: Queue) -> None:
    queue.insert("type", *["'a'"] * 30)
    queue.insert("type, status, reason", "'a', 'waiting', 'children'")
    assert ids(queue, limit=10) == [*range(1, 10), 31]


def test_a_text_is_found_in_what_comes_first(queue: Queue) -> None:
    queue.insert("type, subject", *["'a', 'one'"] * 5, "'a', 'Two'", "'b', 'two'")
    assert ids(queue, text="TWO", limit=3) == [6, 7]


def test_what_others_leave_is_shared_out_to_the_first() -> None:
    assert shared([[1, 2, 3, 4], [5], []], 6) == [1, 2, 3, 4, 5]
    assert shared([[1, 2, 3, 4], [5, 6, 7], [8, 9, 10]], 6) == [1, 2, 5, 6, 8, 9]
    assert shared([[1], [5, 6, 7], [8, 9, 10]], 6) == [1, 5, 6, 7, 8, 9]
