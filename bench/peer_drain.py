"""Drain PgQueuer's queue, in its own virtual environment, with its own drain mode; nothing of ours is imported.

python peer_drain.py install|fill|drain URL NUMBER       (jobs to put in, or the size of a batch)
"""

import sys
from datetime import timedelta
from typing import Any

import asyncpg
import uvloop
from pgqueuer import PgQueuer
from pgqueuer.domain.types import QueueExecutionMode
from pgqueuer.queries import Queries

CHUNK = 1000


async def install(url: str) -> None:
    connection = await asyncpg.connect(url)
    await Queries.from_asyncpg_connection(connection).install()
    await connection.close()


async def fill(url: str, jobs: int) -> None:
    """Put the jobs in by its own bulk call."""
    connection = await asyncpg.connect(url)
    queries = Queries.from_asyncpg_connection(connection)
    for begin in range(0, jobs, CHUNK):
        size = min(CHUNK, jobs - begin)
        await queries.enqueue(["nothing"] * size, [None] * size, [0] * size)
    await connection.close()


async def drain(url: str, batch: int) -> None:
    async with asyncpg.create_pool(url, min_size=2, max_size=4) as pool:
        queue = PgQueuer.from_asyncpg_pool(pool)

        @queue.entrypoint("nothing")
        async def nothing(job: Any) -> None:
            """Return at once."""

        await queue.qm.run(batch_size=batch, mode=QueueExecutionMode.drain, dequeue_timeout=timedelta(seconds=1))


def main() -> None:
    verb, url, *number = sys.argv[1:]
    verbs = {"install": install, "fill": fill, "drain": drain}
    uvloop.run(verbs[verb](url, *map(int, number)))


if __name__ == "__main__":
    main()
