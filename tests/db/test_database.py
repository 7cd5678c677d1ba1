"""What becomes of an address that cannot be used, and of the driver's errors."""

import sqlite3
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg.errors
import pymysql
import pytest
from sqlalchemy import make_url, text
from sqlalchemy.exc import OperationalError

from processor.db import Database
from processor.db.dialects import dialect_of
from processor.errors import DatabaseError, DatabaseFull, DatabaseUnreachable, SettingsError
from tests.databases import Database as Given
from tests.databases.server import Borrowed


class DiskFull(sqlite3.OperationalError):
    sqlite_errorname = "SQLITE_FULL"


@contextmanager
def stranger(given: Given, grant: str = "") -> Iterator[str]:
    """Give the address of a user who has nothing but this right in a database."""
    if isinstance(given.server.process, Borrowed):
        pytest.skip("makes a user, which is possible only where the tests started the server themselves")
    url = make_url(given.url).set(username=f"{given.name}_guest", password="guest")
    name = f"{url.username}" if given.kind == "postgresql" else f"{url.username}@'%'"
    kind, secret = ("ROLE", "LOGIN PASSWORD") if given.kind == "postgresql" else ("USER", "IDENTIFIED BY")
    given.server.rows(f"CREATE {kind} {name} {secret} 'guest'")
    try:
        if grant:
            given.server.rows(f"GRANT {grant} TO {name}")
        yield url.render_as_string(hide_password=False)
    finally:
        given.server.rows(f"DROP {kind} {name}")


def refusal(url: str) -> str:
    with Database(url) as database, pytest.raises(DatabaseError) as refused:
        database.write(lambda connection: connection.execute(text("UPDATE jobs SET priority = 5")))
    assert not isinstance(refused.value, DatabaseUnreachable)
    assert "that this user may use them" in refused.value.remedy
    return refused.value.message


def test_a_missing_right_is_no_outage_on_postgresql(postgresql: Any) -> None:
    given = postgresql.create_database()
    given.rows("CREATE TABLE jobs (priority integer)")
    with stranger(given) as url:
        assert "permission denied for table jobs" in refusal(url)
    given.drop()


def test_statements_are_not_compiled_where_the_server_would(postgresql: Any) -> None:
    given = postgresql.create_database()
    given.rows(f"ALTER DATABASE {given.name} SET jit = on")
    assert given.rows("SHOW jit") == [("on",)]
    with Database(given.url) as database, database.read() as connection:
        assert connection.scalar(text("SHOW jit")) == "off"
    given.drop()


def test_a_missing_right_is_no_outage_on_mariadb(mariadb: Any) -> None:
    given = mariadb.create_database()
    given.rows("CREATE TABLE jobs (priority integer, id integer)")
    with stranger(given) as url:
        assert "Access denied" in refusal(url)
    with stranger(given, f"SELECT ON {given.name}.jobs") as url:
        assert "command denied" in refusal(url)
    with stranger(given, f"SELECT (priority), UPDATE (id) ON {given.name}.jobs") as url:
        assert "command denied" in refusal(url)
    given.drop()


@pytest.mark.parametrize(
    ("url", "error"),
    [
        ("postgresql://u@localhost/d", psycopg.errors.DiskFull("could not extend file: No space left on device")),
        ("mysql://u@localhost/d", pymysql.err.OperationalError(1021, "Disk full: No space left on device")),
        ("mysql://u@localhost/d", pymysql.err.OperationalError(1114, "Table is full: No space left on device")),
        ("sqlite:///jobs.db", DiskFull("No space left on device")),
    ],
)
def test_a_full_disk_is_waited_for_and_called_one(url: str, error: Exception) -> None:
    def verb(connection: object) -> None:
        raise OperationalError("UPDATE", {}, error)

    dialect = dialect_of(make_url(url))
    assert dialect is not None
    with Database("sqlite://") as database:
        with database.read():
            database.dialect = dialect  # from here on; the connection is there already
        with pytest.raises(DatabaseFull) as told:
            database.write(verb)
    assert isinstance(told.value, DatabaseUnreachable)
    assert "answers but has no room to write" in told.value.message
    assert "No space left on device. Nothing was changed." in told.value.message
    assert told.value.remedy.startswith("Make room")


def test_a_real_sqlite_file_that_may_not_grow_is_full(sqlite: Any) -> None:
    given = sqlite.create_database()
    given.rows("CREATE TABLE jobs (payload text)")

    def fill(connection: Any) -> None:
        connection.exec_driver_sql("PRAGMA max_page_count = 2")
        connection.exec_driver_sql("INSERT INTO jobs VALUES (zeroblob(100000))")

    with Database(given.url) as database, pytest.raises(DatabaseFull, match="is full"):
        database.write(fill)
    given.drop()


def test_a_driver_that_is_not_installed_is_named_with_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pymysql", None)
    with pytest.raises(SettingsError, match="driver pymysql is not installed") as refused:
        Database("mysql://user:secret@localhost/d")
    assert "pip install 'jobtable[mariadb]'" in refused.value.remedy
    assert "secret" not in str(refused.value)


def test_a_schema_on_sqlite_is_refused() -> None:
    with pytest.raises(SettingsError, match="has no schemas") as refused:
        Database("sqlite:///jobs.db", schema="queue")
    assert "another file" in refused.value.remedy
