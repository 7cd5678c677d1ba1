"""Each change of a job's status leaves one event, in order and without gaps, whoever makes the change."""

from collections.abc import Callable
from typing import Any

import pytest

from processor.judge import Policy
from processor.outcome import Kind
from processor.queue import control, endings, leases, lookup, parents, upkeep, waiting
from processor.queue.batches import enqueue_batch
from processor.queue.claim import Slots, Wanted, set_aside
from processor.queue.enqueue import NewJob
from processor.queue.events import Event, Told, store
from processor.queue.lookup import Filter
from processor.queue.rules import Rules
from processor.queue.settle import settle
from tests.queue.conftest import Queue, verdict_of
from tests.queue.test_quarantine import insert_past_the_constraints

FIRST = Filter(ids=(1,))
LANES = {"a": Rules()}


def told(queue: Queue, job: int = 1) -> list[tuple[Any, ...]]:
    """Read the states of a job, and see that its numbers are without gaps and the last one is what the row says."""
    rows = queue.rows(f"SELECT number, kind, level, text FROM job_events WHERE job_id = {job} ORDER BY number")
    [(status, reason, event_no)] = queue.rows(f"SELECT status, reason, event_no FROM jobs WHERE id = {job}")
    assert [row[0] for row in rows] == list(range(1, event_no + 1))
    states = [row[2:] for row in rows if row[1] == "state"]
    assert not states or states[-1] == (status, reason)
    return states


def yes(*_: Any) -> bool:
    return True


def insert(queue: Queue) -> None:
    queue.insert("type", "'a'")


def run(queue: Queue) -> Any:
    insert(queue)
    return queue.claim()[0]


def ended(kind: Kind, policy: Policy | None = None, **facts: Any) -> Callable[[Queue], object]:
    return lambda queue: settle(queue.database, [verdict_of(run(queue), kind, policy=policy, **facts)])


def is_released(queue: Queue) -> None:
    leases.release(queue.database, "p1", [run(queue).claim_no])


def is_rescued(queue: Queue) -> None:
    run(queue)
    [peer] = leases.peers(queue.database, "p2")
    leases.declare_dead(queue.database, peer, "p2", proved=True)
    for orphan in leases.orphans(queue.database):
        job: Any = orphan
        settle(queue.database, [verdict_of(job, Kind.LOST)])


def is_parked_and_promoted(queue: Queue) -> None:
    queue.insert("type, run_at", "'a', '2999-01-01 00:00:00'")
    upkeep.park(queue.database)
    queue.rows("UPDATE jobs SET run_at = '2001-01-01 00:00:00'")
    upkeep.promote(queue.database)


def is_paused_and_resumed(queue: Queue) -> None:
    insert(queue)
    control.pause(queue.database, FIRST)
    control.resume(queue.database, FIRST)


def is_retried(queue: Queue) -> None:
    ended(Kind.RETURNED)(queue)
    control.retry(queue.database, FIRST)


def is_cancelled(queue: Queue) -> None:
    insert(queue)
    control.cancel(queue.database, FIRST)


def is_cancelled_by_a_plain_update(queue: Queue) -> None:
    insert(queue)
    queue.rows("UPDATE jobs SET cancel_requested = true")
    upkeep.cancel_asked(queue.database, yes)


def waits_for_its_lane(queue: Queue) -> None:
    queue.insert("type, concurrency_key, priority", "'a', 'x', 1", "'a', 'x', 9")
    settle(queue.database, [verdict_of(job, Kind.RETURNED) for job in queue.claim()])


def loses_its_lane(queue: Queue) -> None:
    queue.insert("type, concurrency_key, priority", "'a', 'x', 1", "'a', 'x', 9")
    queue.claim()
    queue.rows("UPDATE jobs SET concurrency_key = NULL WHERE id = 1")
    waiting.look(queue.database, LANES, yes)


def equals(*kinds: Kind) -> Callable[[Queue], object]:
    def play(queue: Queue) -> None:
        queue.insert("type, key, priority", "'a', 'k', 1", "'a', 'k', 9")
        [original] = queue.claim()
        for kind in kinds:
            settle(queue.database, [verdict_of(original, kind)])
        if not kinds:
            queue.rows("DELETE FROM jobs WHERE id = 2")
            waiting.look(queue.database, LANES, yes)

    return play


def waits_for_its_children(queue: Queue) -> None:
    run_first = run(queue)
    queue.insert("type, parent_id", "'a', 1")
    settle(queue.database, [verdict_of(run_first, Kind.RETURNED)])
    settled = settle(queue.database, [verdict_of(job, Kind.RETURNED) for job in queue.claim()])
    endings.end(queue.database, settled.parents, yes)


def stops_with_its_children(queue: Queue) -> None:
    insert(queue)
    queue.insert("type, parent_id", "'a', 1")
    control.cancel(queue.database, FIRST, yes)


def is_let_go_with_its_batch(queue: Queue) -> None:
    enqueue_batch(queue.database, NewJob("a"), [(1, NewJob("a"))])
    assert told(queue, 2) == [("pending", None)]


def child_of_a_stopped_parent(queue: Queue) -> None:
    queue.insert("type, parent_id", "'a', 2", "'b', NULL")
    settle(queue.database, [verdict_of(job, Kind.CANCELLED) for job in queue.claim(types="b")])
    parents.stop_children(queue.database, yes)


def cannot_be_claimed(queue: Queue) -> None:
    insert_past_the_constraints(queue)
    set_aside(queue.database, [Wanted("a")], Slots(10, 10), yes)


RUNNING, ASKED, PENDING = ("running", None), ("cancelled", "asked"), ("pending", None)
TWICE = Policy(max_attempts=2)
MOVES: dict[str, tuple[Callable[[Queue], object], list[tuple[Any, ...]]]] = {
    "insert": (insert, []),
    "claim": (run, [RUNNING]),
    "complete": (ended(Kind.RETURNED), [RUNNING, ("completed", "done")]),
    "fail": (ended(Kind.RAISED), [RUNNING, ("failed", "error")]),
    "retry": (ended(Kind.RAISED, TWICE), [RUNNING, ("scheduled", "retry")]),
    "snooze": (ended(Kind.SNOOZE, delay=60.0), [RUNNING, ("scheduled", "snooze")]),
    "give back": (ended(Kind.STOPPED, TWICE), [RUNNING, ("pending", "release")]),
    "stop": (ended(Kind.CANCELLED), [RUNNING, ASKED]),
    "release": (is_released, [RUNNING, ("pending", "release")]),
    "rescue": (is_rescued, [RUNNING, ("failed", "lost")]),
    "park, promote": (is_parked_and_promoted, [("scheduled", None), PENDING]),
    "pause, resume": (is_paused_and_resumed, [("paused", "asked"), PENDING]),
    "retry by a person": (is_retried, [RUNNING, ("completed", "done"), ("pending", "asked")]),
    "cancel": (is_cancelled, [ASKED]),
    "cancel by UPDATE": (is_cancelled_by_a_plain_update, [ASKED]),
    "lane": (waits_for_its_lane, [("waiting", "lane"), PENDING]),
    "lost lane": (loses_its_lane, [("waiting", "lane"), PENDING]),
    "equal, completed": (equals(Kind.RETURNED), [("waiting", "duplicate"), ("completed", "duplicate")]),
    "equal, failed": (equals(Kind.RAISED), [("waiting", "duplicate"), PENDING]),
    "equal, gone": (equals(), [("waiting", "duplicate"), PENDING]),
    "children": (waits_for_its_children, [RUNNING, ("waiting", "children"), ("completed", "done")]),
    "children, stopped": (stops_with_its_children, [("waiting", "children"), ASKED]),
    "child of a stopped parent": (child_of_a_stopped_parent, [("cancelled", "parent")]),
    "batch": (is_let_go_with_its_batch, [PENDING]),
    "malformed": (cannot_be_claimed, [("failed", "malformed")]),
}


@pytest.mark.parametrize("move", MOVES)
def test_a_move_leaves_one_event(queue: Queue, move: str) -> None:
    play, states = MOVES[move]
    play(queue)
    assert told(queue) == states


def test_an_older_result_leaves_one_event(queue: Queue) -> None:
    queue.insert("type, key", "'a', 'k'")
    settle(queue.database, [verdict_of(job, Kind.RETURNED) for job in queue.claim(reuse_result_for=60.0)])
    queue.insert("type, key", "'a', 'k'")
    assert queue.claim(reuse_result_for=60.0) == []
    assert told(queue, 2) == [("completed", "cached")]


def test_a_claim_through_admission_leaves_one_event(queue: Queue) -> None:
    insert(queue)
    assert len(queue.claim(max_concurrent=1)) == 1
    assert told(queue) == [RUNNING]


def test_what_a_job_tells_stands_between_its_states(queue: Queue) -> None:
    job = run(queue)
    store(queue.database, [Told(1, "p1", job.claim_no, 1, (Event("log", "info", None, "hello"),))])
    settle(queue.database, [verdict_of(job, Kind.RETURNED)])
    kinds = [(event["number"], event["kind"], event["attempt"]) for event in lookup.events(queue.database, 1)]
    assert kinds == [(1, "state", 1), (2, "log", 1), (3, "state", 1)]
    assert [event["text"] for event in lookup.events(queue.database, 1, states=False)] == ["hello"]


def test_a_verdict_that_is_sent_twice_is_told_once(queue: Queue) -> None:
    done = verdict_of(run(queue), Kind.RETURNED)
    for _ in range(2):
        settle(queue.database, [done])
    assert told(queue) == [RUNNING, ("completed", "done")]


def test_a_plain_update_leaves_no_event(queue: Queue) -> None:
    insert(queue)
    queue.rows("UPDATE jobs SET status = 'paused'")
    assert queue.rows("SELECT count(*) FROM job_events") == [(0,)]
    control.resume(queue.database, FIRST)
    assert told(queue) == [PENDING]


def test_what_is_left_of_a_deleted_job_belongs_to_no_other(queue: Queue) -> None:
    """On SQLite whoever deletes a row without `PRAGMA foreign_keys` leaves its events behind."""
    run(queue)
    queue.rows("DELETE FROM jobs")
    insert(queue)
    [job] = queue.claim()
    assert told(queue, job.id) == [RUNNING]
