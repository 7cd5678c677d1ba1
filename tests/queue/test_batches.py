"""A job and all its children, put in at once: all or nothing."""

from collections.abc import Iterator

import pytest

from processor.errors import DatabaseUnreachable, Refused, ValuesRefused
from processor.queue import batches, control
from processor.queue.batches import enqueue_batch
from processor.queue.enqueue import NewJob, same_work
from processor.queue.lookup import Filter
from processor.queue.rules import NO_RULES
from tests.queue.conftest import Queue


@pytest.fixture(autouse=True)
def _small_portions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "PORTION", 10)


def lines(count: int, **columns: object) -> Iterator[tuple[int, NewJob]]:
    return ((line, NewJob("a", **columns)) for line in range(1, count + 1))  # type: ignore[arg-type]


def test_a_batch_is_a_parent_and_its_children(queue: Queue) -> None:
    assert enqueue_batch(queue.database, NewJob("batch", on_complete="report"), lines(25, owner="ada")) == 1
    assert queue.rows("SELECT count(*) FROM jobs WHERE parent_id = 1 AND status = 'pending' AND owner = 'ada'") == [
        (25,)
    ]
    assert queue.rows("SELECT status, reason, on_complete, parent_id FROM jobs WHERE id = 1") == [
        ("pending", None, "report", None)
    ]


def test_nothing_runs_before_all_is_there(queue: Queue) -> None:
    def watched() -> Iterator[tuple[int, NewJob]]:
        for line, job in lines(25):
            assert queue.claim(types="a batch") == []
            yield line, job

    enqueue_batch(queue.database, NewJob("batch"), watched())
    assert len(queue.claim(types="a batch")) == 26


def test_a_line_that_the_database_refuses_is_named_and_nothing_stays(queue: Queue) -> None:
    def broken() -> Iterator[tuple[int, NewJob]]:
        yield from lines(25)
        yield 70, NewJob("a")
        yield 77, NewJob("a", priority=10**6)

    with pytest.raises(ValuesRefused, match=r"Line 77: .*priority.*Nothing was enqueued"):
        enqueue_batch(queue.database, NewJob("batch"), broken())
    assert queue.rows("SELECT count(*) FROM jobs") == [(0,)]


def test_a_parent_that_the_database_refuses_leaves_nothing(queue: Queue) -> None:
    with pytest.raises(ValuesRefused, match="priority"):
        enqueue_batch(queue.database, NewJob("batch", priority=10**6), lines(3))
    assert queue.rows("SELECT count(*) FROM jobs") == [(0,)]


@pytest.mark.parametrize("error", [KeyboardInterrupt(), DatabaseUnreachable("it", "away")])
def test_what_is_interrupted_leaves_nothing(queue: Queue, error: BaseException) -> None:
    def interrupted() -> Iterator[tuple[int, NewJob]]:
        yield from lines(25)
        raise error

    with pytest.raises(type(error)):
        enqueue_batch(queue.database, NewJob("batch"), interrupted())
    assert queue.rows("SELECT count(*) FROM jobs") == [(0,)]


def test_a_batch_that_is_cancelled_while_it_is_put_in_says_so(queue: Queue) -> None:
    def cancelled() -> Iterator[tuple[int, NewJob]]:
        yield from lines(25)
        control.cancel(queue.database, Filter(ids=(1,)))

    with pytest.raises(Refused, match="Job 1 was changed by somebody else"):
        enqueue_batch(queue.database, NewJob("batch"), cancelled())
    assert queue.claim(types="a batch") == []
    assert queue.rows("SELECT count(*) FROM jobs WHERE status = 'paused'") == [(0,)]


def test_what_was_left_behind_is_cancelled_with_its_parent(queue: Queue) -> None:
    queue.insert("type, status, reason", "'batch', 'paused', 'batch'")
    queue.insert("type, status, reason, parent_id", *["'a', 'paused', 'batch', 1"] * 3)
    control.cancel(queue.database, Filter(ids=(1,)))
    assert queue.rows("SELECT DISTINCT status, reason FROM jobs WHERE id > 1") == [("cancelled", "parent")]
    assert queue.status(1) == ("cancelled", "asked")


def test_what_was_left_behind_can_be_resumed_when_its_parent_is_gone(queue: Queue) -> None:
    queue.insert("type, status, reason", "'batch', 'paused', 'batch'")
    queue.insert("type, status, reason, parent_id", *["'a', 'paused', 'batch', 1"] * 3)
    assert control.resume(queue.database, Filter(types=("a", "batch"))) == 0
    control.remove(queue.database, Filter(ids=(1,)))
    assert control.resume(queue.database, Filter(types=("a",))) == 3


def test_a_batch_that_was_left_behind_is_not_the_same_work(queue: Queue) -> None:
    queue.insert("type, key, status, reason", "'batch', 'nightly', 'paused', 'batch'")
    assert same_work(queue.database, NewJob("batch", key="nightly"), NO_RULES) is None
