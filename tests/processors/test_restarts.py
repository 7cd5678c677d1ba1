"""Who listens while servers die: each thing once, in order, whatever is cut off, whichever server is asked."""

from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from tests.patience import eventually
from tests.processors.cut_off import CHANGES, NOTIFICATIONS, Client, Events, Heard, Socket, events_of
from tests.processors.running import Site
from tests.processors.serving import Server

WAVE = 15
"""Jobs of one burst; each tells some 18 things."""
LATER = 20
"""Lines of a job, one in 50 ms, that are heard while a lower id is not there yet."""
RECITE = "n=0; while [ ! -e {until} ]; do n=$((n+1)); echo line $n; sleep 0.05; done"


@pytest.fixture
def servers(site: Site) -> Iterator[list[Server]]:
    """Two servers on the same database."""
    until = site.folder / "until"
    site.write(types=f'[types.recite]\ncommand = ["/bin/sh", "-c", "{RECITE.format(until=until)}"]')
    with ExitStack() as stack:
        started = [Server(site, name) for name in ("one", "other")]
        for server in started:
            stack.callback(server.kill)
        yield started


def test_clients_that_are_cut_off_while_a_server_is_killed_see_what_the_table_has(
    site: Site, servers: list[Server], tmp_path: Path
) -> None:
    """Two processors work; one of two servers is killed while streams are open, and starts anew where it was."""
    long = site.insert("recite")
    clients = _clients([server.port for server in servers], long)
    for _ in range(2):
        site.start()
    for one in clients:
        one.start()
    _burst(site, clients)
    if site.db.kind != "sqlite":  # where one writes at a time
        _commit_late(site, meanwhile=clients[-2].heard[0])
    before = sum(one.lost for one in clients)
    servers[0].kill()
    eventually(lambda: sum(one.lost for one in clients) > before, "a client that misses the server")
    _burst(site, clients)
    servers[0].start()
    _burst(site, clients)
    (tmp_path / "until").touch()
    eventually(lambda: not site.db.rows("SELECT 1 FROM jobs WHERE finished_at IS NULL"), "the end of all jobs")
    _hear_out(site, clients)
    for one in clients:
        for heard in one.heard:
            assert heard.seen == heard.stream.stored(site.db), heard.stream.path
    assert sum(one.torn for one in clients) > 0, "nobody was cut off in the middle of a frame"
    assert clients[-1].cuts + clients[-1].lost > 0, "the WebSocket was never cut off"


def _clients(ports: list[int], long: int) -> list[Client]:
    streams = (CHANGES, NOTIFICATIONS, events_of(long))
    alone = [Events(ports, [stream], seed) for seed, stream in enumerate(streams)]
    return [*alone, Socket(ports, streams, seed=len(alone))]


def _burst(site: Site, clients: list[Client]) -> None:
    """Have jobs talk, and wait until each client heard some of it."""
    before = [len(heard.seen) for one in clients for heard in one.heard]
    for _ in range(WAVE):
        site.insert("talk", {"owner": "ann"})

    def heard_more() -> bool:
        _check(clients)
        return all(len(heard.seen) > had for heard, had in zip(_all(clients), before, strict=True))

    eventually(heard_more, "news for each client")


def _commit_late(site: Site, meanwhile: Heard) -> None:
    """Take an id, and commit it when others with higher ones have been there for several looks of the servers."""
    told = "2, (SELECT event_no FROM jobs WHERE id = 2), 1, 'log', 'info', 'late'"
    with closing(site.db.server.connect(site.db.name)) as connection, closing(connection.cursor()) as cursor:
        cursor.execute("BEGIN")
        cursor.execute("UPDATE jobs SET event_no = event_no + 1 WHERE id = 2")
        cursor.execute(f"INSERT INTO job_events (job_id, number, attempt, kind, level, text) VALUES ({told})")
        had = len(meanwhile.seen)
        eventually(lambda: len(meanwhile.seen) >= had + LATER, "what a job told later")
        cursor.execute("COMMIT")


def _hear_out(site: Site, clients: list[Client]) -> None:
    def heard_all() -> bool:
        _check(clients)
        return all(len(heard.seen) >= len(stored) for heard, stored in zip(_all(clients), expected, strict=True))

    expected = [heard.stream.stored(site.db) for heard in _all(clients)]
    try:
        eventually(heard_all, "all that the table has, by each client")
    finally:
        for one in clients:
            one.enough.set()
        for one in clients:
            one.join()


def _all(clients: list[Client]) -> list[Heard]:
    return [heard for one in clients for heard in one.heard]


def _check(clients: list[Client]) -> None:
    for one in clients:
        if one.failure is not None:
            raise one.failure
