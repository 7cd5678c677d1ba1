"""What reading costs with 1,000,000 rows: pages, counts and statistics, as the API and the command line ask for them.

990,000 rows finished over 30 days, 10,000 have not; 10 types, 50 owners, 200,000 subjects, in the order of their time.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from statistics import quantiles
from typing import Any

from bench.server import on_each, with_tables
from processor import db
from processor.lifecycle import Status
from processor.queue.backlog import backlog
from processor.queue.lookup import Filter, count, jobs_page, latest_of
from processor.queue.statistics import statistics
from tests.databases import Database, Server

ROWS = 1_000_000
UNFINISHED = 10_000
PORTION = 100_000
DAYS = 30
READS = 40
SLOW, FEW = 1.0, 5
"""A reading that takes longer than so many seconds is timed a few times only."""
DAY = 86400.0

AGO = {
    "postgresql": "now() - {seconds} * interval '1 second'",
    "mariadb": "utc_timestamp(6) - INTERVAL {seconds} SECOND",
    "sqlite": "strftime('%Y-%m-%d %H:%M:%f000', 'now', '-' || ({seconds}) || ' seconds')",
}
NUMBERS = {
    "postgresql": "SELECT n FROM generate_series({first}, {last}) AS s (n)",
    "mariadb": "SELECT CAST(seq AS SIGNED) AS n FROM seq_{first}_to_{last}",
    "sqlite": "WITH RECURSIVE s (n) AS (SELECT {first} UNION ALL SELECT n + 1 FROM s WHERE n < {last}) SELECT n FROM s",
}
STATUS = (
    f"CASE WHEN n > {ROWS - UNFINISHED} THEN CASE n % 3 WHEN 0 THEN 'scheduled' ELSE 'pending' END"
    " WHEN n % 20 = 7 THEN 'failed' WHEN n % 100 = 8 THEN 'cancelled' ELSE 'completed' END"
)


@dataclass(frozen=True, slots=True)
class Figure:
    """Milliseconds of a reading."""

    database: str
    reading: str
    median: float
    p95: float


def measured(postgresql: Server) -> Iterator[Figure | str]:
    """Give a figure for each database and reading, or say why there is none."""
    return on_each(postgresql, _on)


def _on(server: Server) -> Iterator[Figure]:
    given = with_tables(server)
    fill(given)
    with db.Database(given.url) as database:
        for name, reading in READINGS.items():
            times = _timed(lambda reading=reading: reading(database))  # type: ignore[misc]
            yield Figure(f"{given.kind} {server.version}", name, quantiles(times, n=2)[0], quantiles(times, n=20)[-1])
    given.drop()


def fill(given: Database) -> None:
    """Insert the rows, the oldest first, and let the database look at them."""
    for first in range(1, ROWS + 1, PORTION):
        numbers = NUMBERS[given.kind].format(first=first, last=first + PORTION - 1)
        given.rows(
            f"INSERT INTO jobs ({', '.join(_columns(given.kind))}) SELECT {_values(given.kind)} FROM ({numbers}) x"
        )
    given.rows("ANALYZE TABLE jobs" if given.kind == "mariadb" else "ANALYZE jobs")
    if given.kind == "postgresql":
        given.rows("VACUUM jobs")


def _values(kind: str) -> str:
    return ", ".join(_columns(kind).values())


def _columns(kind: str) -> dict[str, str]:
    ended, failed = f"n <= {ROWS - UNFINISHED}", "n % 20 = 7"

    def ago(later: str) -> str:
        behind = f"CASE WHEN {ended} THEN ({ROWS - UNFINISHED} - n) * {DAYS * DAY / (ROWS - UNFINISHED)} ELSE 0 END"
        return AGO[kind].format(seconds=f"({behind} + 60 - ({later}))")

    def name(word: str, number: str) -> str:
        return f"concat('{word}', {number})" if kind == "mariadb" else f"'{word}' || ({number})"

    return {
        "type": name("type", "n % 10"),
        "owner": name("owner", "n % 9973 % 50"),
        "subject": name("chapter:", "n % 200000"),
        "status": STATUS,
        "created_at": ago("-40"),
        "run_at": f"CASE WHEN {ended} THEN NULL ELSE {AGO[kind].format(seconds='-86400')} END",
        "started_at": f"CASE WHEN {ended} THEN {ago('-40 + n % 17')} END",
        "finished_at": f"CASE WHEN {ended} THEN {ago('-20 + n % 19')} END",
        "error_message": f"CASE WHEN {ended} AND {failed} THEN {name('the other side said no: ', 'n')} END",
    }


def _timed(reading: Callable[[], Any]) -> list[float]:
    """Time a reading, after one that warms up."""
    times: list[float] = []
    while len(times) < (FEW if sum(times) > SLOW * FEW * 1000 else READS + 1):
        begin = time.monotonic()
        reading()
        times.append((time.monotonic() - begin) * 1000)
    return times[1:]


def _page(which: Filter, **more: Any) -> Callable[[db.Database], Any]:
    return lambda database: jobs_page(database, which, **more)


def _count(which: Filter) -> Callable[[db.Database], Any]:
    return lambda database: count(database, which)


def _statistics(**asked: Any) -> Callable[[db.Database], Any]:
    return lambda database: statistics(database, **asked)


MIDDLE = datetime.now(UTC) - timedelta(days=DAYS / 2)
READINGS: dict[str, Callable[[db.Database], Any]] = {
    "page": _page(Filter()),
    "page in the middle": _page(Filter(), before_id=ROWS // 2),
    "page of a status": _page(Filter(statuses=(Status.FAILED,))),
    "page of a status that few have": _page(Filter(statuses=(Status.SCHEDULED,))),
    "page of a status that none has": _page(Filter(statuses=(Status.RUNNING,))),
    "page of a type": _page(Filter(types=("type3",))),
    "page of a type that none has": _page(Filter(types=("typo",))),
    "page of an owner": _page(Filter(owner="owner7")),
    "page of an owner and a status": _page(Filter(owner="owner7", statuses=(Status.FAILED,))),
    "page of an owner and a type": _page(Filter(owner="owner7", types=("type1",))),
    "page of an owner that has none of a type": _page(Filter(owner="owner7", types=("type0",))),
    "page of a subject": _page(Filter(subject="chapter:777")),
    "page of a key that none has": _page(Filter(key="none")),
    "page with a text in many": _page(Filter(text="SAID NO")),
    "page with a text in none": _page(Filter(text="nowhere")),
    "page with a text in none of an owner": _page(Filter(text="nowhere", owner="owner7")),
    "page of one day in the middle": _page(Filter(created_after=MIDDLE, created_before=MIDDLE + timedelta(days=1))),
    "latest of a subject": lambda database: latest_of(database, "chapter:777"),
    "count": _count(Filter()),
    "count of a status": _count(Filter(statuses=(Status.FAILED,))),
    "count of an owner": _count(Filter(owner="owner7")),
    "what waits and why": backlog,
    "what waits and why, of an owner": lambda database: backlog(database, owner="owner7"),
    "statistics of 1 h": _statistics(seconds=3600),
    "statistics of 1 h, an owner's": _statistics(seconds=3600, owner="owner7"),
    "statistics of 24 h": _statistics(seconds=DAY),
    "statistics of 24 h, an owner's": _statistics(seconds=DAY, owner="owner7"),
    "statistics of 24 h, a type's": _statistics(seconds=DAY, type_="type3"),
    "statistics of 30 d": _statistics(seconds=DAYS * DAY),
    "statistics of 30 d, an owner's": _statistics(seconds=DAYS * DAY, owner="owner7"),
}
