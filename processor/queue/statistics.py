"""What became of the work: counts, success, percentiles and the latest jobs, over a window that ends now.

Counts are of all rows. Times come from at most the latest `SAMPLE` jobs that finished in the window, so that a busy
day does not cost more than a quiet one; `sampled` tells where there were more. Each statement has its own instant:
what ends between two of them is in one number and not in the other.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, case, func, literal_column, select, union_all

from models import jobs
from processor.db.database import Database
from processor.lifecycle import FINAL, Status
from processor.queue.lookup import Filter, Row, active, database_now, jobs_page
from processor.queue.where import is_

SAMPLE = 10_000
"""Finished jobs whose times are read."""
RECENT = 20
MOST_BUCKETS = 60
ENDS = tuple(status for status in Status if status in FINAL)
"""Each is asked for by itself: of all together PostgreSQL reads the whole index, or the whole table."""


@dataclass(frozen=True, slots=True)
class Spread:
    """Percentiles in seconds, by nearest rank: each is the time of a job."""

    p50: float
    p95: float
    p99: float


@dataclass(frozen=True, slots=True)
class Times:
    """How long jobs ran and waited, at their latest try; None where none of them did."""

    ran: Spread | None
    waited: Spread | None


@dataclass(frozen=True, slots=True)
class Bucket:
    """How many jobs finished in the `bucket_seconds` from this instant on."""

    begins_at: datetime
    finished: int


@dataclass(frozen=True, slots=True)
class Statistics:
    """What `statistics` finds.

    `counts` is by type and status: all unfinished jobs, of finished ones those of the window. `success_rate` is the
    share of completed jobs in those that completed or failed. `times` is of all types, `times_of` of each. `buckets`
    are whole minutes long, oldest first; the first may begin before the window and has only what is in it.
    """

    seconds: float
    counts: dict[str, dict[str, int]]
    finished: dict[str, int]
    success_rate: float | None
    times: Times
    times_of: dict[str, Times]
    sampled: bool
    bucket_seconds: int
    buckets: tuple[Bucket, ...]
    recent: list[Row]

    @property
    def per_minute(self) -> float:
        """Give how many jobs finished in a minute, on average."""
        return sum(self.finished.values()) / self.seconds * 60


def statistics(database: Database, *, seconds: float, owner: str | None = None, type_: str | None = None) -> Statistics:
    """Sum up what finished in the latest so many seconds, and what there is to do now.

    A job waits from its INSERT, or from its `run_at` where that is later, until its start. A retry overwrites both:
    of a job that was tried again, the wait is that of its latest try.
    """
    if not (math.isfinite(seconds) and seconds > 0):
        raise ValueError(f"a window has some seconds, not {seconds}")
    which = Filter(owner=owner, types=() if type_ is None else (type_,))
    bucket_seconds = 60 * math.ceil(seconds / 60 / MOST_BUCKETS)
    ended = _ended(database, which, seconds, bucket_seconds)
    finished = _summed((row.status, row.number) for row in ended)
    sample = _sample(database, which, seconds)
    return Statistics(
        seconds=seconds,
        counts=_counts(active(database, which), ended),
        finished={status.value: finished[status.value] for status in ENDS},
        success_rate=_success_rate(finished),
        times=_times(sample),
        times_of={
            name: _times([row for row in sample if row.type == name]) for name in sorted({r.type for r in sample})
        },
        sampled=sum(finished.values()) > len(sample),
        bucket_seconds=bucket_seconds,
        buckets=_buckets(database_now(database), ended, seconds, bucket_seconds),
        recent=_recent(database, [row.id for row in sample[:RECENT]]),
    )


def _in_window(database: Database, which: Filter, seconds: float) -> tuple[ColumnElement[bool], ...]:
    return (jobs.c.finished_at >= database.dialect.after(-seconds), *which.conditions(database))


def _ended(database: Database, which: Filter, seconds: float, bucket_seconds: int) -> Sequence[Any]:
    """Count what finished in the window by type, status and bucket; bucket 0 is the one that ends now."""
    ago = database.dialect.seconds_since(jobs.c.finished_at)
    bucket = func.round(ago / literal_column(str(bucket_seconds)) - literal_column("0.5"))  # rounds down everywhere
    of_each = [
        select(jobs.c.type, literal_column(f"'{status.value}'").label("status"), bucket.label("bucket"))
        .where(is_(status), *_in_window(database, which, seconds))
        .subquery()
        for status in ENDS
    ]
    statement = union_all(*(select(*rows.c, func.count().label("number")).group_by(*rows.c) for rows in of_each))
    with database.read() as connection:
        return connection.execute(statement).all()


def _sample(database: Database, which: Filter, seconds: float) -> Sequence[Any]:
    """Read the times of the latest finished jobs: those of each state by its part of the index, then the latest."""
    since = database.dialect.seconds_since
    due_at = case((jobs.c.run_at > jobs.c.created_at, jobs.c.run_at), else_=jobs.c.created_at)
    ran = since(jobs.c.started_at) - since(jobs.c.finished_at)
    waited = since(due_at) - since(jobs.c.started_at)
    of_each = [
        select(jobs.c.id, jobs.c.type, jobs.c.finished_at, ran.label("ran"), waited.label("waited"))
        .where(is_(status), *_in_window(database, which, seconds))
        .order_by(jobs.c.finished_at.desc(), jobs.c.id.desc())
        .limit(SAMPLE)
        .subquery()
        .select()
        for status in ENDS
    ]
    rows = union_all(*of_each).subquery()
    statement = (
        select(rows.c.id, rows.c.type, rows.c.ran, rows.c.waited)
        .order_by(rows.c.finished_at.desc(), rows.c.id.desc())
        .limit(SAMPLE)
    )
    with database.read() as connection:
        return connection.execute(statement).all()


def _recent(database: Database, ids: list[int]) -> list[Row]:
    """Read the jobs with these ids, in this order."""
    found = {row["id"]: row for row in jobs_page(database, Filter(ids=tuple(ids)), limit=RECENT)} if ids else {}
    return [found[job_id] for job_id in ids if job_id in found]


def _counts(waiting: dict[tuple[str, str], int], ended: Iterable[Any]) -> dict[str, dict[str, int]]:
    counts: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for (status, type_), number in waiting.items():
        counts[type_][status] += number
    for row in ended:
        counts[row.type][row.status] += row.number
    return {type_: dict(counts[type_]) for type_ in sorted(counts)}


def _success_rate(finished: dict[str, int]) -> float | None:
    completed, failed = finished[Status.COMPLETED.value], finished[Status.FAILED.value]
    return completed / (completed + failed) if completed + failed else None


def _times(sample: Iterable[Any]) -> Times:
    rows = [row for row in sample if row.ran is not None]
    return Times(_spread([row.ran for row in rows]), _spread([row.waited for row in rows]))


def _spread(seconds: list[float]) -> Spread | None:
    if not seconds:
        return None
    ordered = sorted(max(0.0, one) for one in seconds)
    return Spread(*(ordered[math.ceil(len(ordered) * percent / 100) - 1] for percent in (50, 95, 99)))


def _buckets(end: datetime, ended: Iterable[Any], seconds: float, bucket_seconds: int) -> tuple[Bucket, ...]:
    last = math.ceil(seconds / bucket_seconds) - 1
    finished = _summed((min(max(0, round(row.bucket)), last), row.number) for row in ended)
    return tuple(
        Bucket(end - timedelta(seconds=bucket_seconds * (number + 1)), finished[number])
        for number in reversed(range(last + 1))
    )


def _summed(pairs: Iterable[tuple[Any, int]]) -> dict[Any, int]:
    sums: dict[Any, int] = defaultdict(int)
    for key, number in pairs:
        sums[key] += number
    return sums
