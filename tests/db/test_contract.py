"""What a plain INSERT may contain, what is refused, and by which words."""

import re
import subprocess

import pytest

from tests.conftest import migrate
from tests.databases import Database, Server

QUOTED_KEY = {"postgresql": '"key"', "mariadb": "`key`", "sqlite": '"key"'}


def test_a_row_needs_only_its_type(db: Database) -> None:
    db.rows("INSERT INTO jobs (type) VALUES ('a')")
    [row] = db.rows(
        "SELECT status, priority, payload, attempt, cancel_requested, run_at, max_attempts, timeout_seconds FROM jobs"
    )
    assert row[:2] == ("pending", 5)
    assert row[2] in ("{}", {})
    assert row[3:] == (0, False, None, None, None)


def test_the_databases_own_client_inserts_a_job(db: Database) -> None:
    command = db.server.client_command(db.url)
    if command is None:
        pytest.skip(f"the command-line client of {db.kind} is not on this machine; install it to run this test")
    subprocess.run(command, input=b"INSERT INTO jobs (type) VALUES ('from the client');", check=True, timeout=30)
    assert db.rows("SELECT type, status FROM jobs") == [("from the client", "pending")]


def test_the_time_of_creation_is_the_databases_in_utc(db: Database) -> None:
    db.rows("INSERT INTO jobs (type) VALUES ('a')")
    since = {
        "postgresql": "extract(epoch from now() - created_at)",
        "mariadb": "timestampdiff(SECOND, created_at, utc_timestamp(6))",
        "sqlite": "(julianday('now') - julianday(created_at)) * 86400",
    }
    [(seconds,)] = db.rows(f"SELECT {since[db.kind]} FROM jobs")
    assert -1 < float(seconds) < 60


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("status", "'done'"),
        ("priority", "40000"),
        ("priority", "100000000000000"),
        ("priority", "-40000"),
        ("max_attempts", "0"),
        ("max_attempts", "100000000000000"),
        ("timeout_seconds", "-1"),
        ("timeout_seconds", "0"),
        ("attempt", "2147483647"),
        ("attempt", "-1"),
        ("crashes", "40000"),
        ("created_at", "'0044-03-15 00:00:00'"),
        ("run_at", "'1066-10-14 00:00:00'"),
        ("type", "''"),
        ("status", "'running'"),
        ("started_at", "'1066-10-14 00:00:00'"),
        ("finished_at", "'1066-10-14 00:00:00'"),
    ],
)
def test_a_wrong_value_is_refused_with_the_name_of_its_column(db: Database, column: str, value: str) -> None:
    columns, values = ("type", value) if column == "type" else (f"type, {column}", f"'a', {value}")
    with pytest.raises(Exception, match=r"(?i)check|constraint") as refusal:
        db.rows(f"INSERT INTO jobs ({columns}) VALUES ({values})")
    assert re.search(f"jobs_({column}|{value.strip(chr(39))})", str(refusal.value)), refusal.value
    assert db.rows("SELECT count(*) FROM jobs") == [(0,)]


@pytest.mark.parametrize("column", ["type", "owner", "key", "subject", "concurrency_key", "trace_parent"])
def test_a_name_has_at_most_200_letters(db: Database, column: str) -> None:
    quoted = QUOTED_KEY[db.kind] if column == "key" else column
    columns, values = ("type", "'%s'") if column == "type" else (f"type, {quoted}", "'a', '%s'")
    db.rows(f"INSERT INTO jobs ({columns}) VALUES ({values % ('é' * 200)})")
    with pytest.raises(Exception, match=f"'{column}'|jobs_{column}_is_at_most_200_letters"):
        db.rows(f"INSERT INTO jobs ({columns}) VALUES ({values % ('é' * 201)})")
    assert db.rows("SELECT count(*) FROM jobs") == [(1,)]


@pytest.mark.parametrize("value", ["2", "-1", "'true'"])
def test_a_request_to_cancel_is_true_or_false(db: Database, value: str) -> None:
    if (db.kind, value) == ("postgresql", "'true'"):
        return  # PostgreSQL reads it as the boolean it is
    with pytest.raises(Exception, match="cancel_requested"):
        db.rows(f"INSERT INTO jobs (type, cancel_requested) VALUES ('a', {value})")
    db.rows("INSERT INTO jobs (type) VALUES ('a')")
    with pytest.raises(Exception, match=r"cancel_requested|boolean"):
        db.rows(f"UPDATE jobs SET cancel_requested = {value}")
    assert db.rows("SELECT cancel_requested FROM jobs") == [(0,)]


@pytest.mark.parametrize("column", ["type", "owner", "key", "subject", "concurrency_key", "trace_parent"])
def test_bytes_are_no_text_on_sqlite(sqlite: Server, column: str) -> None:
    db = sqlite.create_migrated_database(migrate)
    columns, values = ("type", "x'ff'") if column == "type" else (f"type, {column}", "'a', x'ff'")
    with pytest.raises(Exception, match=f"jobs_{column}_is_text"):
        db.rows(f"INSERT INTO jobs ({columns}) VALUES ({values})")
    assert db.rows("SELECT count(*) FROM jobs") == [(0,)]
    db.drop()


def test_a_type_is_paused_until_an_instant(db: Database) -> None:
    for value in ("'infinity'", "'1066-10-14 00:00:00'"):
        with pytest.raises(Exception, match="paused_until"):
            db.rows(f"INSERT INTO job_types (name, paused_until) VALUES ('a', {value})")
    db.rows("INSERT INTO job_types (name, paused_until) VALUES ('a', '2040-01-01 00:00:00')")
    with pytest.raises(Exception, match="paused_until"):
        db.rows("UPDATE job_types SET paused_until = 'infinity'")
    assert str(db.rows("SELECT paused_until FROM job_types")[0][0]).startswith("2040-01-01 00:00:00")


@pytest.mark.parametrize("column", ["run_at", "expires_at", "started_at", "finished_at"])
def test_an_instant_that_is_none_is_refused(db: Database, column: str) -> None:
    odd = ("'2026-00-15 00:00:00'", "'2026-02-00 00:00:00'", "'2026-01-01 00:00:00-00:00'", "'2026-01-01 00:00:00.'")
    for value in ("'infinity'", "'soon'", "'2026-01-01T00:00:00Z'", "'2026-13-45 00:00:00'", *odd):
        if (db.kind == "postgresql" and value in odd[2:]) or (db.kind == "mariadb" and value in odd[2:]):
            continue  # they read them as the instants they are
        if db.kind == "postgresql" and "T" in value:
            continue  # PostgreSQL reads it as the instant it is
        if db.kind == "mariadb" and "T" in value:
            continue  # MariaDB too
        with pytest.raises(Exception, match=rf"(?i){column}|timestamp|datetime"):
            db.rows(f"INSERT INTO jobs (type, {column}) VALUES ('a', {value})")
    assert db.rows("SELECT count(*) FROM jobs") == [(0,)]


def test_a_payload_that_is_no_json_is_refused(db: Database) -> None:
    for value in ("{no", "", "{'a': 1}"):
        quoted = value.replace("'", "''")
        with pytest.raises(Exception, match=r"(?i)json|payload"):
            db.rows(f"INSERT INTO jobs (type, payload) VALUES ('a', '{quoted}')")
    assert db.rows("SELECT count(*) FROM jobs") == [(0,)]


def test_names_are_compared_letter_by_letter(db: Database) -> None:
    key = QUOTED_KEY[db.kind]
    db.rows(f"INSERT INTO jobs (type, {key}) VALUES ('a', 'K'), ('a', 'k')")
    assert db.rows(f"SELECT count(*) FROM jobs WHERE {key} = 'k'") == [(1,)]


def test_every_column_is_explained_in_databases_that_can(db: Database) -> None:
    tells = {
        "postgresql": "SELECT count(*) FROM information_schema.columns WHERE table_schema = 'public'"
        " AND table_name <> 'jobtable_version'"
        " AND col_description((table_schema || '.' || table_name)::regclass, ordinal_position) IS NULL",
        "mariadb": "SELECT count(*) FROM information_schema.columns WHERE table_schema = database()"
        " AND table_name <> 'jobtable_version' AND column_comment = ''",
    }
    if db.kind in tells:
        assert db.rows(tells[db.kind]) == [(0,)]


@pytest.mark.parametrize("db", ["mariadb"], indirect=True)
def test_a_type_with_a_space_at_its_end_is_refused_where_it_would_be_taken_for_another(db: Database) -> None:
    with pytest.raises(Exception, match="jobs_type_has_no_space_at_its_end"):
        db.rows("INSERT INTO jobs (type) VALUES ('mail ')")
    db.rows("INSERT INTO jobs (type) VALUES ('my mail')")
