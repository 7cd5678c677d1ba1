import threading
from collections.abc import Iterator

import pytest

from processor.db import Database
from processor.errors import Refused
from processor.queue import wakeup
from tests.conftest import migrate
from tests.databases import Database as Given
from tests.databases import Server


@pytest.fixture
def given(postgresql: Server) -> Iterator[Given]:
    given = postgresql.create_migrated_database(migrate)
    yield given
    given.drop()


def hear(database: Database, heard: threading.Event, ready: threading.Event, ended: threading.Event) -> None:
    def is_ended() -> bool:
        ready.set()
        return ended.is_set()

    for _ in database.notices(wakeup.CHANNEL, 0.1, is_ended):
        heard.set()


def test_an_insert_wakes_a_processor_that_is_asleep_once(given: Given) -> None:
    heard, ready, ended = (threading.Event() for _ in range(3))
    with Database(given.url) as database, Database(given.url) as listening:
        wakeup.switch_on(database)
        listener = threading.Thread(target=hear, args=(listening, heard, ready, ended))
        listener.start()
        assert ready.wait(10)
        wakeup.fall_asleep(database)
        given.rows("INSERT INTO jobs (type) VALUES ('a')")
        assert heard.wait(10)
        assert given.rows("SELECT asleep FROM wakeups") == [(False,)]
        ended.set()
        listener.join()


def test_nobody_is_told_while_nobody_sleeps_and_a_rolled_back_insert_wakes_nobody(given: Given) -> None:
    with Database(given.url) as database:
        wakeup.switch_on(database)
        given.rows("INSERT INTO jobs (type) VALUES ('a')")
        wakeup.fall_asleep(database)
        given.rows("BEGIN; INSERT INTO jobs (type) VALUES ('a'); ROLLBACK")
        assert given.rows("SELECT asleep FROM wakeups") == [(True,)]


def test_switched_off_nothing_of_it_is_left_on_the_table(given: Given) -> None:
    with Database(given.url) as database:
        assert not wakeup.is_on(database)
        wakeup.switch_on(database)
        wakeup.switch_on(database)
        assert wakeup.is_on(database)
        assert given.rows("SELECT count(*) FROM pg_trigger WHERE tgname = 'jobtable_wake'") == [(1,)]
        wakeup.switch_off(database)
        assert not wakeup.is_on(database)
        assert given.rows("SELECT count(*) FROM pg_trigger WHERE tgname = 'jobtable_wake'") == [(0,)]


def test_other_databases_say_that_they_cannot(sqlite: Server) -> None:
    given = sqlite.create_migrated_database(migrate)
    with Database(given.url) as database, pytest.raises(Refused, match="only PostgreSQL"):
        wakeup.switch_on(database)
    given.drop()
