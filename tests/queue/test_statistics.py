"""What became of the work, against the same numbers put together by hand."""

from datetime import timedelta
from typing import Any

import pytest

from processor.errors import Refused
from processor.lifecycle import Status
from processor.queue import lookup, statistics
from processor.queue.statistics import Spread, Statistics, Times
from tests.queue.conftest import Queue

AGO = {
    "postgresql": "now() - interval '{} seconds'",
    "mariadb": "utc_timestamp(6) - INTERVAL {} SECOND",
    "sqlite": "strftime('%Y-%m-%d %H:%M:%f000', 'now', '-{} seconds')",
}


def insert(queue: Queue, *rows: dict[str, Any]) -> None:
    """Insert jobs in one statement, with one clock; what ends in `_at` is given in seconds before now."""
    names = "type owner status created_at run_at started_at finished_at".split()
    values = [", ".join(_literal(queue, name, {"type": "a", **row}.get(name)) for name in names) for row in rows]
    queue.insert(", ".join(names), *values)


def _literal(queue: Queue, name: str, value: Any) -> str:
    if value is None:
        return "NULL"
    return AGO[queue.kind].format(value) if name.endswith("_at") else f"'{value}'"


def ended(ago: float, status: str = "completed", ran: float = 1, waited: float = 1, **more: Any) -> dict[str, Any]:
    started_at = ago + ran
    instants = {"created_at": started_at + waited, "started_at": started_at, "finished_at": ago}
    return {"status": status, **instants, **more}


def sums(queue: Queue, seconds: float = 3600, **asked: Any) -> Statistics:
    return statistics.statistics(queue.database, seconds=seconds, **asked)


def about(spread: Spread | None) -> tuple[float, ...] | None:
    """Round to what an instant of SQLite can tell."""
    return None if spread is None else tuple(round(one, 1) for one in (spread.p50, spread.p95, spread.p99))


def test_percentiles_are_times_of_jobs(queue: Queue) -> None:
    insert(queue, *(ended(10, ran=number, waited=200 - number) for number in range(1, 101)))
    insert(queue, ended(5, type="b", ran=1000, waited=0))
    found = sums(queue)
    assert about(found.times_of["a"].ran) == (50, 95, 99)
    assert about(found.times_of["a"].waited) == (149, 194, 198)
    assert about(found.times_of["b"].ran) == (1000, 1000, 1000)
    assert about(found.times.ran) == (51, 96, 100)
    assert not found.sampled


def test_a_job_waits_from_its_run_at_where_that_is_later(queue: Queue) -> None:
    insert(queue, ended(10, ran=5, waited=100, run_at=15 + 7, type="later"))
    insert(queue, ended(10, ran=5, waited=100, run_at=15 + 300, type="sooner"))
    found = sums(queue).times_of
    assert (about(found["later"].waited), about(found["sooner"].waited)) == ((7, 7, 7), (100, 100, 100))


def test_a_job_that_never_started_or_was_cancelled_has_no_times(queue: Queue) -> None:
    insert(queue, {"status": "cancelled", "created_at": 60, "finished_at": 10})
    insert(queue, ended(20, "cancelled"))
    found = sums(queue)
    assert (found.times, found.times_of) == (Times(None, None), {})
    assert (found.finished["cancelled"], found.success_rate) == (2, None)
    assert [row["id"] for row in found.recent] == [1, 2]


def test_counts_are_of_all_that_is_open_and_of_what_ended_in_the_window(queue: Queue) -> None:
    insert(queue, {"status": "pending", "created_at": 90_000}, {"status": "scheduled", "created_at": 1, "type": "b"})
    insert(queue, *[ended(20)] * 3, ended(20, "failed"), ended(20, "cancelled", type="b"), ended(4000, "failed"))
    found = sums(queue)
    assert found.counts == {"a": {"pending": 1, "completed": 3, "failed": 1}, "b": {"scheduled": 1, "cancelled": 1}}
    assert found.finished == {"completed": 3, "failed": 1, "cancelled": 1}
    assert found.success_rate == 0.75
    assert found.per_minute == pytest.approx(5 / 60)
    assert sums(queue, seconds=5000).success_rate == 0.6


def test_an_empty_table_has_statistics(queue: Queue) -> None:
    found = sums(queue)
    assert (found.counts, found.success_rate, found.times_of, found.recent) == ({}, None, {}, [])
    assert found.finished == {"completed": 0, "failed": 0, "cancelled": 0}
    assert [bucket.finished for bucket in found.buckets] == [0] * 60


def test_an_owner_and_a_type_see_their_own_rows_only(queue: Queue) -> None:
    insert(queue, ended(20, owner="ada", ran=3), ended(20, owner="bob", ran=9), ended(20, owner="ada", type="b"))
    insert(queue, {"status": "pending", "owner": "bob", "created_at": 1}, ended(20, ran=30))
    found = sums(queue, owner="ada", type_="a")
    assert (found.counts, found.finished["completed"]) == ({"a": {"completed": 1}}, 1)
    assert about(found.times.ran) == (3, 3, 3)
    assert [row["id"] for row in found.recent] == [1]
    assert sum(bucket.finished for bucket in found.buckets) == 1
    assert sums(queue, owner="eve").counts == {}


def test_buckets_are_whole_minutes_and_at_most_sixty(queue: Queue) -> None:
    insert(queue, ended(30), ended(90), ended(90), ended(600 - 30))
    found = sums(queue, seconds=600)
    assert found.bucket_seconds == 60
    assert [bucket.finished for bucket in found.buckets] == [1, 0, 0, 0, 0, 0, 0, 0, 2, 1]
    first, *_, last = (bucket.begins_at for bucket in found.buckets)
    assert last - first == timedelta(seconds=540)
    assert abs(lookup.database_now(queue.database) - last - timedelta(seconds=60)) < timedelta(seconds=30)
    for seconds, size, number in (
        (1, 60, 1),
        (3600, 60, 60),
        (3601, 120, 31),
        (86400, 1440, 60),
        (31 * 86400, 44640, 60),
    ):
        found = sums(queue, seconds=seconds)
        assert (found.bucket_seconds, len(found.buckets)) == (size, number)


def test_buckets_count_what_failed_in_them(queue: Queue) -> None:
    insert(queue, ended(30, "failed"), ended(30), ended(90, "failed"), ended(90, "cancelled"))
    found = sums(queue, seconds=120)
    assert [(bucket.finished, bucket.failed) for bucket in found.buckets] == [(2, 1), (2, 1)]


def test_times_of_many_jobs_are_those_of_the_latest_and_it_is_said(
    queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(statistics, "SAMPLE", 4)
    insert(queue, ended(50, ran=9), ended(40, "failed", ran=9), *(ended(10 + 5 * n, ran=n) for n in (1, 2, 3)))
    assert about(sums(queue, type_="a", seconds=45).times.ran) == (2, 9, 9)
    assert not sums(queue, seconds=45).sampled
    found = sums(queue)
    assert (found.sampled, found.finished) == (True, {"completed": 4, "failed": 1, "cancelled": 0})
    assert about(found.times.ran) == (2, 9, 9)


def test_the_latest_finished_jobs_come_first_with_how_long_they_ran(queue: Queue) -> None:
    insert(queue, *(ended(100 - n, "failed" if n % 2 else "completed", ran=n) for n in range(30)))
    found = sums(queue).recent
    assert [row["id"] for row in found] == list(range(30, 10, -1))
    assert [round(row["seconds"]) for row in found] == list(range(29, 9, -1))


@pytest.mark.parametrize("seconds", [0, -1, float("nan"), float("inf"), 1e9])
def test_a_window_without_seconds_is_refused(queue: Queue, seconds: float) -> None:
    with pytest.raises(Refused, match="no window"):
        sums(queue, seconds=seconds)


def test_the_latest_that_ended_so_are_those_of_the_window_in_the_order_of_their_ends(queue: Queue) -> None:
    insert(
        queue, ended(10, "failed"), ended(5, "failed"), ended(4, "completed"), ended(7200, "failed"), ended(7, "failed")
    )
    found = statistics.latest(queue.database, Status.FAILED, seconds=3600)
    assert [row["id"] for row in found] == [2, 5, 1]
    insert(queue, *(ended(3, "failed") for _ in range(statistics.RECENT)))
    found = statistics.latest(queue.database, Status.FAILED, seconds=3600)
    assert [row["id"] for row in found] == list(range(5 + statistics.RECENT, 5, -1))
