"""What one claim costs while 100,000 rows are pending, on the three databases.

The claim is the processor's own, with a lease that is checked and rows that become `running`; what it takes is given
back after each, outside the measured time, so that every claim meets the same table.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from statistics import median

from bench.server import with_tables
from processor import db
from processor.queue import leases
from processor.queue.claim import Slots, Wanted, claim
from tests.databases import Database, Server, Unavailable, choices

SIZES = (1, 10, 100)
CLAIMS = 50
CHUNK = 10_000
PROCESSOR = "bench"


@dataclass(frozen=True, slots=True)
class Latency:
    """Milliseconds of a claim of `size` jobs."""

    database: str
    size: int
    median: float
    worst: float


def measured(postgresql: Server, pending: int) -> Iterator[Latency | str]:
    """Give a latency for each database and size, or say why there is none."""
    for kind, choice in choices().items():
        server = postgresql if kind == "postgresql" else None
        try:
            yield from _on(server or choice.need(), pending)
        except Unavailable as error:
            yield str(error)
        finally:
            choice.close()


def _on(server: Server, pending: int) -> Iterator[Latency]:
    given = with_tables(server)
    _fill(given, pending)
    with db.Database(given.url) as database:
        registration = leases.Registration(PROCESSOR, PROCESSOR, "here", 1, "0", '["nothing"]', max(SIZES), None)
        leases.register(database, registration, 3600.0)
        for size in SIZES:
            times = sorted(_claim(database, number, size) * 1000 for number in range(1, CLAIMS + 1))
            yield Latency(f"{given.kind} {server.version}", size, median(times), times[-1])
    given.drop()


def _fill(given: Database, pending: int) -> None:
    chunk = ", ".join(["('nothing')"] * min(CHUNK, pending))
    for _ in range(0, pending, CHUNK):
        given.rows(f"INSERT INTO jobs (type) VALUES {chunk}")
    given.rows("ANALYZE TABLE jobs" if given.kind == "mariadb" else "ANALYZE jobs")


def _claim(database: db.Database, number: int, size: int) -> float:
    begin = time.monotonic()
    claimed = claim(
        database,
        PROCESSOR,
        number,
        [Wanted("nothing", process=False)],
        Slots(size, size),
        max_payload_bytes=1_000_000,
        notifies=lambda type_, status: True,
    ).jobs
    seconds = time.monotonic() - begin
    assert len(claimed) == size, f"{len(claimed)} of {size} jobs were claimed"
    leases.release(database, PROCESSOR, [number])
    return seconds
