"""The index for turns is made by who needs it, once."""

import threading

import pytest

from processor.db import Database
from processor.errors import StartRefused
from processor.queue import turns_index
from processor.queue.rules import Rules
from tests.queue.conftest import Queue

FAIR = Rules(fair="owner")


def test_the_index_is_made_once_and_only_for_who_needs_it(queue: Queue) -> None:
    assert not turns_index.ensure(queue.database, [Rules(), Rules(age_priority="1 per 10m")])
    assert turns_index.ensure(queue.database, [Rules(), FAIR])
    assert not turns_index.ensure(queue.database, [FAIR])


def test_of_processors_that_start_at_once_one_makes_it(queue: Queue) -> None:
    barrier, made = threading.Barrier(4), list[bool]()

    def start() -> None:
        barrier.wait()
        made.append(turns_index.ensure(queue.database, [FAIR]))

    threads = [threading.Thread(target=start) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(made) == [False, False, False, True]


@pytest.mark.parametrize("db", ["postgresql"], indirect=True)
def test_who_may_not_make_it_is_told_the_statement(queue: Queue) -> None:
    queue.given.server.rows("CREATE ROLE clerk LOGIN PASSWORD 'secret'")
    queue.rows("GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO clerk")
    url = queue.database.url.set(username="clerk", password="secret").render_as_string(hide_password=False)
    try:
        with Database(url) as database, pytest.raises(StartRefused, match="CREATE INDEX jobs_turns") as refused:
            turns_index.ensure(database, [FAIR])
        assert "must be owner" in refused.value.message
    finally:
        queue.rows("REVOKE ALL ON ALL TABLES IN SCHEMA public FROM clerk")
        queue.given.server.rows("DROP ROLE clerk")
    queue.rows(turns_index.statement(queue.database))
    assert not turns_index.ensure(queue.database, [FAIR])
