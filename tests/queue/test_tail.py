"""Whoever reads on behind the end of a table misses nothing, in whatever order rows become visible."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from sqlalchemy import Connection, insert

from models import notifications
from processor.db.database import Database
from processor.queue.tail import Tail
from tests.queue.conftest import Queue

RESTORED = {
    "postgresql": ("TRUNCATE notifications RESTART IDENTITY",),
    "mariadb": ("TRUNCATE TABLE notifications",),
    "sqlite": ("DELETE FROM notifications", "DELETE FROM sqlite_sequence WHERE name = 'notifications'"),
}


def write(connection: Connection) -> None:
    connection.execute(insert(notifications).values(job_id=1, type="a", status="completed"))


@contextmanager
def somebody(queue: Queue) -> Iterator[Connection]:
    """Give somebody who writes, and ends without saying so."""
    with Database(queue.given.url) as database, database._writing.connect() as connection:
        yield connection


@pytest.fixture
def tail(queue: Queue) -> Tail:
    queue.insert("type, payload", "'a', '{}'")
    return Tail(queue.database, notifications)


def test_the_end_goes_with_what_is_written(queue: Queue, tail: Tail) -> None:
    assert tail.look() == 0
    queue.database.write(write)
    assert tail.look() == 1
    queue.database.write(write)
    queue.database.write(write)
    assert tail.look() == 3
    queue.rows("DELETE FROM notifications")
    assert tail.look() == tail.newest() == 0
    queue.database.write(write)
    assert tail.look() == 4, "no id comes twice"


def test_it_goes_back_with_a_table_that_was_restored(queue: Queue, tail: Tail) -> None:
    for _ in range(3):
        queue.database.write(write)
    assert tail.look() == 3
    for statement in RESTORED[queue.kind]:
        queue.rows(statement)
    queue.database.write(write)
    assert tail.look() == tail.newest() == 1


def test_it_starts_at_the_end(queue: Queue, tail: Tail) -> None:
    queue.database.write(write)
    assert tail.look() == 1


@pytest.mark.parametrize("commits", [True, False])
def test_it_waits_for_a_lower_id_that_is_not_visible_yet(queue: Queue, tail: Tail, commits: bool) -> None:
    if queue.kind == "sqlite":
        with somebody(queue) as slow:
            write(slow)
            assert tail.look() == 0
            slow.commit()
        assert tail.look() == 1
        return
    assert tail.look() == 0
    with somebody(queue) as slow:
        write(slow)
        queue.database.write(write)
        assert [tail.look(), tail.look()] == [0, 0]
        with somebody(queue) as later:
            write(later)
            assert tail.look() == 0
            slow.commit() if commits else slow.rollback()
            assert tail.look() == 2, "who came later is not waited for"
            later.commit()
    assert tail.look() == 3


def test_at_the_start_it_waits_for_who_writes_already(queue: Queue, tail: Tail) -> None:
    if queue.kind == "sqlite":
        return
    with somebody(queue) as slow:
        write(slow)
        queue.database.write(write)
        assert tail.look() is None
        slow.commit()
    assert tail.look() == 2
