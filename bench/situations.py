"""What a claim costs when there is too much of something, each in turns with the same claim on a clean table.

Every database gets a table of its own for each situation: 100,000 due rows of one type, and what the situation adds.
The turns are claim by claim, so that other work on the machine slows both alike.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from statistics import median

from bench.server import on_each, with_tables
from processor import db
from processor.queue import admission, leases, turns_index, waiting
from processor.queue.claim import Slots, Wanted, claim
from processor.queue.rules import Rules
from tests.databases import Database, Server

CLAIMS = 40
SIZE = 10
DUE = 100_000
PROCESSOR = "bench"
SEQUENCE = {
    "postgresql": "SELECT n FROM generate_series(1, {count}) AS s (n)",
    "mariadb": "SELECT seq AS n FROM seq_1_to_{count}",
    "sqlite": "WITH RECURSIVE s (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < {count}) SELECT n FROM s",
}
LATER = {
    "postgresql": "now() + interval '1 day'",
    "mariadb": "utc_timestamp(6) + INTERVAL 1 DAY",
    "sqlite": "datetime('now', '+1 day')",
}
NAME = {
    "postgresql": "'type ' || (n % 200)",
    "mariadb": "concat('type ', n % 200)",
    "sqlite": "'type ' || (n % 200)",
}


@dataclass(frozen=True, slots=True)
class Figure:
    """Milliseconds of a claim, median and worst; `ratio` to the clean table."""

    database: str
    situation: str
    median: float
    worst: float
    ratio: float


def measured(postgresql: Server) -> Iterator[Figure | str]:
    """Give a figure for each database and situation, or say why there is none."""
    return on_each(postgresql, _on)


def _on(server: Server) -> Iterator[Figure]:
    version = f"{server.kind} {server.version}"
    with _situation(server, _clean) as clean:
        for name, prepare in SITUATIONS.items():
            with _situation(server, prepare) as (database, wanted):
                turns = [(_timed(*clean, number), _timed(database, wanted, number)) for number in range(1, CLAIMS + 1)]
                beside, times = zip(*turns, strict=True)
                yield Figure(version, name, median(times), max(times), median(times) / median(beside))
                if name == LANE:
                    look = [_timed_look(database) for _ in range(5)]
                    yield Figure(version, "the look at what waits", median(look), max(look), 0.0)


@contextmanager
def _situation(
    server: Server, prepare: Callable[[Database], list[Wanted]]
) -> Iterator[tuple[db.Database, list[Wanted]]]:
    """Give a table in which this is the case, and what is to be claimed of it."""
    given = with_tables(server)
    _add(given, DUE, "type", "'nothing'")
    wanted = prepare(given)
    given.rows("ANALYZE TABLE jobs" if given.kind == "mariadb" else "ANALYZE jobs")
    if given.kind == "postgresql":
        given.rows("VACUUM jobs")
    with db.Database(given.url) as database:
        leases.register(database, leases.Registration(PROCESSOR, PROCESSOR, "here", 1, "0", "{}", 1000, None), 3600.0)
        yield database, wanted
    given.drop()


def _timed(database: db.Database, wanted: list[Wanted], number: int) -> float:
    begin = time.monotonic()
    taken = claim(
        database,
        PROCESSOR,
        number,
        wanted,
        Slots(SIZE, SIZE),
        max_payload_bytes=1_000_000,
        notifies=lambda type_, status: True,
    )
    seconds = time.monotonic() - begin
    assert len(taken.jobs) == SIZE, f"{len(taken.jobs)} of {SIZE} jobs were claimed"
    leases.release(database, PROCESSOR, [number])
    return seconds * 1000


def _timed_look(database: db.Database) -> float:
    begin = time.monotonic()
    waiting.look(database, {"nothing": Rules()}, lambda type_, status: True)
    return (time.monotonic() - begin) * 1000


def _add(given: Database, count: int, columns: str, values: str) -> None:
    """Insert so many rows; the values may name `n`."""
    numbers = SEQUENCE[given.kind].format(count=count)
    given.rows(f"INSERT INTO jobs ({columns}) SELECT {values} FROM ({numbers}) AS numbers")


NOTHING = Wanted("nothing", process=False)


def _clean(given: Database) -> list[Wanted]:
    return [NOTHING]


def _paused(given: Database) -> list[Wanted]:
    given.rows("INSERT INTO job_types (name, paused) VALUES ('paused', true)")
    _add(given, 500_000, "type, priority", "'paused', 9")
    return [NOTHING, Wanted("paused", process=False)]


def _future(given: Database) -> list[Wanted]:
    _add(given, 500_000, "type, priority, status, run_at", f"'nothing', 9, 'scheduled', {LATER[given.kind]}")
    return [NOTHING]


def _lane(given: Database) -> list[Wanted]:
    columns = "type, priority, status, concurrency_key, processor_id, claim_no, started_at"
    now = {"postgresql": "now()", "mariadb": "utc_timestamp(6)", "sqlite": "datetime('now')"}[given.kind]
    given.rows(f"INSERT INTO jobs ({columns}) VALUES ('nothing', 9, 'running', 'x', 'other', 1, {now})")
    _add(given, 100_000, "type, priority, status, reason, concurrency_key", "'nothing', 9, 'waiting', 'lane', 'x'")
    return [NOTHING]


def _lane_that_moves(given: Database) -> list[Wanted]:
    """Rows of many lanes, each claimed by an admission, beside one lane in which 100,000 wait."""
    wanted = _lane(given)
    concatenated = "concat('l', n)" if given.kind == "mariadb" else "'l' || n"
    _add(given, 1_000, "type, priority, concurrency_key", f"'nothing', 9, {concatenated}")
    return wanted


def _limit(given: Database) -> list[Wanted]:
    given.rows("INSERT INTO job_types (name, max_concurrent) VALUES ('few', 0)")
    _add(given, 500_000, "type, priority", "'few', 9")
    return [NOTHING, Wanted("few", process=False)]


def _rate(given: Database) -> list[Wanted]:
    _add(given, 500_000, "type, priority", "'slow', 9")
    with db.Database(given.url) as database, suppress(Exception):
        admission.ensure(database, "slow")
    given.rows(f"UPDATE job_types SET rate = '1/d', rate_free_for = '1/d', rate_free_at = {LATER[given.kind]}")
    return [NOTHING, Wanted("slow", process=False)]


def _finished(given: Database) -> list[Wanted]:
    now = {"postgresql": "now()", "mariadb": "utc_timestamp(6)", "sqlite": "datetime('now')"}[given.kind]
    _add(given, 1_000_000, "type, status, reason, finished_at", f"'nothing', 'completed', 'done', {now}")
    return [NOTHING]


def _types(given: Database) -> list[Wanted]:
    _add(given, 100_000, "type", NAME[given.kind])
    return [NOTHING, *(Wanted(f"type {number}", process=False) for number in range(200))]


def _types_in_turns(given: Database) -> list[Wanted]:
    """The ten best rows are of ten types."""
    return _types(given)[1:]


def _beside_fair(given: Database) -> list[Wanted]:
    """A type that uses nothing, where another one is fair: its rows lie in the index for turns, too."""
    _shared(given, "other")
    return [NOTHING]


def _fair(given: Database, **more: str) -> list[Wanted]:
    return [Wanted("nothing", process=False, rules=_shared(given, "nothing", **more))]


def _shared(given: Database, type_: str, **more: str) -> Rules:
    """500,000 rows of one owner, before 10,000 of 50 others."""
    rules = Rules(fair="owner", age_priority=more.get("age_priority"))
    with db.Database(given.url) as database:
        turns_index.ensure(database, [rules])
    other = "concat('o', n % 50)" if given.kind == "mariadb" else "'o' || (n % 50)"
    _add(given, 500_000, "type, owner", f"'{type_}', 'a'")
    _add(given, 10_000, "type, owner", f"'{type_}', {other}")
    return rules


def _aged(given: Database) -> list[Wanted]:
    """500,000 rows of ten priorities."""
    _add(given, 500_000, "type, priority", "'nothing', n % 10")
    return [Wanted("nothing", process=False, rules=Rules(age_priority="1 per 10m"))]


def _fair_and_aged(given: Database) -> list[Wanted]:
    return _fair(given, age_priority="1 per 10m")


def _decided(given: Database) -> list[Wanted]:
    return [Wanted("nothing", process=False, rules=Rules(max_concurrent=1_000))]


LANE = "100,000 rows wait in one lane"
SITUATIONS: dict[str, Callable[[Database], list[Wanted]]] = {
    "clean": _clean,
    "500,000 rows of a paused type ahead": _paused,
    "500,000 future rows": _future,
    LANE: _lane,
    "the same, and each row claimed has a lane": _lane_that_moves,
    "500,000 rows of a type at its limit ahead": _limit,
    "500,000 rows of a type out of rate ahead": _rate,
    "1,000,000 finished rows": _finished,
    "200 types": _types,
    "200 types, and each row claimed is of another": _types_in_turns,
    "clean, and the type has a limit, so that admission decides": _decided,
    "fair: 500,000 rows of one owner before 50 others": _fair,
    "ageing: 500,000 rows of ten priorities": _aged,
    "fair and ageing": _fair_and_aged,
    "a type without, beside a fair one of 510,000 rows": _beside_fair,
}
