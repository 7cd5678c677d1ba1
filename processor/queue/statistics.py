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
from itertools import chain
from typing import Any

from sqlalchemy import Select, case, func, literal_column, select, union_all

from models import jobs
from processor.db.database import Database
from processor.errors import Refused
from processor.lifecycle import FINAL, Status
from processor.queue.lookup import Filter, Row, active, database_now, jobs_page
from processor.queue.where import is_, is_final

SAMPLE = 10_000
"""Finished jobs whose times are read."""
RECENT = 20
LONGEST = 366 * 86_400
"""Seconds of a window."""
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
    """How many jobs finished in the `bucket_seconds` from this instant on, and how many of them failed."""

    begins_at: datetime
    finished: int
    failed: int = 0


@dataclass(frozen=True, slots=True)
class Statistics:
    """What `statistics` finds.

    `counts` is by type and status: all unfinished jobs, of finished ones those of the window. `success_rate` is the
    share of completed jobs in those that completed or failed; `times` are of these, all together and by type. `buckets`
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
    of a job that was tried again, the wait is that of its latest try. Raises `Refused` for no window.
    """
    if not 0 < seconds <= LONGEST:
        raise Refused(
            f"{seconds} s is no window. Nothing was read.", f"It is longer than 0 s, and at most {LONGEST} s."
        )
    which = Filter(owner=owner, types=() if type_ is None else (type_,))
    bucket_seconds = 60 * math.ceil(seconds / 60 / MOST_BUCKETS)
    ended = _ended(database, which, seconds, bucket_seconds)
    finished = _summed((row.status, row.number) for row in ended)
    times, times_of, latest = _times(database, which, seconds)
    return Statistics(
        seconds=seconds,
        counts=_counts(active(database, which), ended),
        finished={status.value: finished[status.value] for status in ENDS},
        success_rate=_success_rate(finished),
        times=times,
        times_of=times_of,
        sampled=sum(finished.values()) > SAMPLE,
        bucket_seconds=bucket_seconds,
        buckets=_buckets(database_now(database), ended, seconds, bucket_seconds),
        recent=_recent(database, latest),
    )


def latest(database: Database, status: Status, *, seconds: float) -> list[Row]:
    """Read the latest jobs that ended so in a window that ends now, at most `RECENT`, the latest first."""
    found = _in_window(select(jobs.c.id), database, Filter(), seconds, status)
    statement = found.order_by(jobs.c.finished_at.desc(), jobs.c.id.desc()).limit(RECENT)
    with database.read() as connection:
        ids = list(connection.execute(statement).scalars())
    return _recent(database, ids)


def _in_window(
    statement: Select[Any], database: Database, which: Filter, seconds: float, status: Status
) -> Select[Any]:
    """Narrow a statement to what finished so in the window."""
    for name in ("mysql", "mariadb"):  # of an owner, it would read all that the owner ever had
        statement = statement.with_hint(jobs, "FORCE INDEX (jobs_finished)", name)
    recent = jobs.c.finished_at >= database.dialect.after(-seconds)
    return statement.where(is_final(), is_(status), recent, *which.conditions(database))


def _ended(database: Database, which: Filter, seconds: float, bucket_seconds: int) -> Sequence[Any]:
    """Count what finished in the window by type, status and bucket; bucket 0 is the one that ends now."""
    ago = database.dialect.seconds_since(jobs.c.finished_at)
    bucket = func.round(ago / literal_column(str(bucket_seconds)) - literal_column("0.5"))  # rounds down everywhere
    columns = select(jobs.c.type, jobs.c.status, bucket.label("bucket"))
    of_each = [_in_window(columns, database, which, seconds, status).subquery() for status in ENDS]
    statement = union_all(*(select(*rows.c, func.count().label("number")).group_by(*rows.c) for rows in of_each))
    with database.read() as connection:
        return connection.execute(statement).all()


def _sample(database: Database, which: Filter, seconds: float) -> Select[Any]:
    """Ask for the times of the latest finished jobs: those of each state by its part of the index, then the latest."""
    since = database.dialect.seconds_since
    due_at = case((jobs.c.run_at > jobs.c.created_at, jobs.c.run_at), else_=jobs.c.created_at)
    ran = since(jobs.c.started_at) - since(jobs.c.finished_at)
    waited = since(due_at) - since(jobs.c.started_at)
    columns = select(
        jobs.c.id, jobs.c.type, jobs.c.status, jobs.c.finished_at, ran.label("ran"), waited.label("waited")
    )
    of_each = [
        _in_window(columns, database, which, seconds, status)
        .order_by(jobs.c.finished_at.desc(), jobs.c.id.desc())
        .limit(SAMPLE)
        .subquery()
        .select()
        for status in ENDS
    ]
    rows = union_all(*of_each).subquery()
    return (
        select(rows.c.id, rows.c.type, rows.c.status, rows.c.ran, rows.c.waited)
        .order_by(rows.c.finished_at.desc(), rows.c.id.desc())
        .limit(SAMPLE)
    )


def _times(database: Database, which: Filter, seconds: float) -> tuple[Times, dict[str, Times], list[int]]:
    """Read the times of all types, those of each, and the ids of the latest jobs.

    A job with another's result never started and has none. No row is kept: with 10,000 of them at once every
    twentieth reading took more than twice as long as the median.
    """
    ran: dict[str, list[float]] = defaultdict(list)
    waited: dict[str, list[float]] = defaultdict(list)
    ids: list[int] = []
    with database.read() as connection:
        for job_id, type_, status, one_ran, one_waited in connection.execute(_sample(database, which, seconds)):
            ids.append(job_id)
            if one_ran is not None and status != Status.CANCELLED.value:  # it may have been cancelled long after a try
                ran[type_].append(one_ran)
                waited[type_].append(one_waited)
    of_each = {type_: Times(_spread(ran[type_]), _spread(waited[type_])) for type_ in sorted(ran)}
    return Times(_spread(chain(*ran.values())), _spread(chain(*waited.values()))), of_each, ids[:RECENT]


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


def _spread(seconds: Iterable[float]) -> Spread | None:
    ordered = sorted(seconds)
    if not ordered:
        return None
    nearest = (ordered[math.ceil(len(ordered) * percent / 100) - 1] for percent in (50, 95, 99))
    # They are differences from a now that moves: beyond the microseconds that rows keep, each reading is another.
    return Spread(*(max(0.0, round(one, 6)) for one in nearest))


def _buckets(end: datetime, ended: Iterable[Any], seconds: float, bucket_seconds: int) -> tuple[Bucket, ...]:
    last = math.ceil(seconds / bucket_seconds) - 1
    placed = [(min(max(0, round(row.bucket)), last), row) for row in ended]
    finished = _summed((place, row.number) for place, row in placed)
    failed = _summed((place, row.number) for place, row in placed if row.status == Status.FAILED.value)
    return tuple(
        Bucket(end - timedelta(seconds=bucket_seconds * (number + 1)), finished[number], failed[number])
        for number in reversed(range(last + 1))
    )


def _summed(pairs: Iterable[tuple[Any, int]]) -> dict[Any, int]:
    sums: dict[Any, int] = defaultdict(int)
    for key, number in pairs:
        sums[key] += number
    return sums
