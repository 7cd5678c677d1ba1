"""The servers that the other tests stand on."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from tests.conftest import migrate
from tests.databases import KINDS, Choice, Database, Server, Unavailable
from tests.databases.machine import Kept
from tests.databases.server import Borrowed

ROOT = Path(__file__).parents[1]

CONTRACT = {
    "postgresql": (
        "SELECT table_name, column_name, data_type, column_default FROM information_schema.columns "
        "WHERE table_schema = 'public' ORDER BY 1, 2",
        "SELECT indexdef FROM pg_indexes WHERE schemaname = 'public' ORDER BY 1",
        "SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint ORDER BY 1",
        "SELECT tgname FROM pg_trigger WHERE NOT tgisinternal ORDER BY 1",
    ),
    "mariadb": (
        "SELECT table_name, column_name, column_type, column_default, collation_name, extra, column_comment "
        "FROM information_schema.columns WHERE table_schema = database() ORDER BY 1, 2",
        "SELECT table_name, index_name, seq_in_index, column_name, collation FROM information_schema.statistics "
        "WHERE table_schema = database() ORDER BY 1, 2, 3",
        "SELECT table_name, constraint_name, check_clause FROM information_schema.check_constraints "
        "WHERE constraint_schema = database() ORDER BY 1, 2",
        "SELECT constraint_name, table_name, referenced_table_name, delete_rule "
        "FROM information_schema.referential_constraints WHERE constraint_schema = database() ORDER BY 1",
        "SELECT trigger_name, action_statement FROM information_schema.triggers WHERE trigger_schema = database()",
    ),
    "sqlite": ("SELECT name, sql FROM sqlite_master ORDER BY 1",),
}


def test_a_new_database_is_empty_and_ours_to_write(empty_db: Database) -> None:
    empty_db.rows("CREATE TABLE seen (n integer)")
    empty_db.rows("INSERT INTO seen VALUES (7)")
    assert empty_db.rows("SELECT n FROM seen") == [(7,)]


def test_a_second_test_does_not_see_the_first_ones_table(empty_db: Database) -> None:
    empty_db.rows("CREATE TABLE seen (n integer)")
    assert empty_db.rows("SELECT n FROM seen") == []


@pytest.mark.parametrize("mode", ["fast", "kill"])
def test_committed_rows_and_the_address_survive_a_restart(empty_db: Database, mode: str) -> None:
    url = empty_db.url
    empty_db.rows("CREATE TABLE seen (n integer)")
    empty_db.rows("INSERT INTO seen VALUES (7)")
    empty_db.server.restart(mode)
    assert empty_db.url == url
    assert empty_db.rows("SELECT n FROM seen") == [(7,)]


def test_nobody_can_write_while_the_server_is_stopped(empty_db: Database) -> None:
    empty_db.rows("CREATE TABLE seen (n integer)")
    empty_db.server.stop()
    try:
        with pytest.raises(Exception, match=r"(?i)refused|can't connect|locked"):
            _insert(empty_db, patience=0.1)
    finally:
        empty_db.server.start()
    _insert(empty_db, patience=10)
    assert empty_db.rows("SELECT n FROM seen") == [(7,)]


def _insert(database: Database, patience: float) -> None:
    with closing(database.server.connect(database.name, patience)) as connection:
        connection.cursor().execute("INSERT INTO seen VALUES (7)")


def test_the_databases_own_client_reads_sql_from_its_input(empty_db: Database) -> None:
    command = empty_db.server.client_command(empty_db.url)
    if command is None:
        pytest.skip(f"no command-line client of {empty_db.kind} on this machine")
    sql = "CREATE TABLE seen (n integer); INSERT INTO seen VALUES (7); SELECT n FROM seen;"
    done = subprocess.run(command, input=sql, capture_output=True, text=True, timeout=30)
    assert (done.returncode, done.stdout.strip()) == (0, "7"), done.stderr
    wrong = subprocess.run(command, input="SELECT nonsense FROM nowhere;", capture_output=True, text=True, timeout=30)
    assert wrong.returncode != 0


def test_cut_connections_are_counted_and_dead(empty_db: Database) -> None:
    if empty_db.kind == "sqlite":
        assert empty_db.server.kill_backends(empty_db.name) == 0  # it has none
        return
    with closing(empty_db.server.connect(empty_db.name)) as connection:
        assert empty_db.server.kill_backends(empty_db.name) == 1
        with pytest.raises(Exception, match=r"(?i)terminat|lost|gone|closed|killed"):
            connection.cursor().execute("SELECT 1")


def test_a_copied_database_has_the_whole_schema_of_a_migrated_one(db: Database) -> None:
    migrated = db.server.create_database()
    migrate(migrated.url)
    for question in CONTRACT[db.kind]:
        answer = migrated.rows(question)
        assert db.rows(question) == answer
    assert db.rows("SELECT * FROM jobtable_version") == migrated.rows("SELECT * FROM jobtable_version") != []
    assert db.rows("SELECT * FROM jobs") == []
    migrated.drop()


def test_only_our_own_databases_can_be_dropped(sqlite: Server) -> None:
    with pytest.raises(LookupError, match="not a database of these tests"):
        sqlite.drop_database("production")


def test_the_first_source_that_works_is_used_and_the_others_are_named() -> None:
    def broken() -> Server:
        raise Unavailable("its binaries are for another machine")

    def missing() -> tuple[str, Callable[[], Server]]:
        raise Unavailable("TEST_POSTGRES_URL is not set")

    choice = Choice("postgresql", [missing, lambda: ("binaries in /opt", broken)])
    assert choice.outlook() == "binaries in /opt"
    with pytest.raises(Unavailable, match=r"TEST_POSTGRES_URL is not set; .*another machine.* apt install postgresql"):
        choice.need()


def test_a_borrowed_server_is_never_stopped() -> None:
    with pytest.raises(pytest.skip.Exception, match="the tests started it themselves"):
        Borrowed().stop("kill")


def test_no_other_server_has_the_same_temporary_folder(mariadb: Server) -> None:
    """One that starts empties it of temporary tables, whoever made them, and the other one crashes."""
    if mariadb.folder is None:
        pytest.skip("asks for the folders of a server that the tests started themselves")
    assert mariadb.rows("SELECT @@tmpdir") == [(str(mariadb.folder),)]


def test_a_required_database_that_was_not_tested_fails_the_run(tmp_path: Path) -> None:
    suite = _suite("sqlite", "assert empty_db.rows('SELECT 1')")
    required = _pytest(tmp_path, suite, TEST_REQUIRE_DB="1")
    assert required.returncode == 1
    assert "mariadb was NOT tested" in required.stdout
    assert "sqlite: 1 tests passed on" in required.stdout
    assert _pytest(tmp_path, suite, TEST_REQUIRE_DB="0").returncode == 0


def test_a_database_that_cannot_be_had_is_said_at_the_end(tmp_path: Path) -> None:
    nothing = "from tests.databases import choice; choice.SOURCES['mariadb'] = ()"
    (tmp_path / "nothing.py").write_text(nothing)
    suite = _suite("mariadb", "assert empty_db.rows('SELECT 1')")
    run = _pytest(tmp_path, suite, "-p", "nothing", TEST_REQUIRE_DB="0", PYTHONPATH=str(tmp_path))
    assert run.returncode == 0
    assert "mariadb was NOT tested: 1 tests skipped. To get one: set TEST_MARIADB_URL=" in run.stdout


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "sqlite"])
def test_a_killed_test_run_leaves_no_server_behind(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    if not isinstance(request.getfixturevalue(kind).process, Kept):
        pytest.skip(f"{kind} is no process of ours in this run")
    suite = _suite(kind, "print('server', process.pid, process.folder, flush=True); os.kill(os.getpid(), 9)")
    run = _pytest(tmp_path, suite, TEST_REQUIRE_DB="0")  # returns when the keeper, too, has closed its outputs
    assert run.returncode == -signal.SIGKILL
    pid, folder = next(line for line in run.stdout.splitlines() if "server " in line).split()[-2:]
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid), 0)
    assert not Path(folder).exists()


def _suite(kind: str, body: str) -> str:
    return f"""
import os
import pytest

@pytest.mark.parametrize("empty_db", ["{kind}"], indirect=True)
def test_inner(empty_db):
    process = empty_db.server.process
    {body}
"""


def _pytest(folder: Path, suite: str, *options: str, **environment: str) -> subprocess.CompletedProcess[str]:
    (folder / "test_inner.py").write_text(suite)
    command = [sys.executable, "-m", "pytest", "-s", "-p", "tests.conftest", "-p", "no:cacheprovider", *options]
    return subprocess.run(
        [*command, "-c", "pyproject.toml", "--rootdir", ".", str(folder / "test_inner.py")],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=90,
    )
