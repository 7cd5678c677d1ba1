"""The way in: help, errors, exit codes."""

import sqlite3
import subprocess
import sys
from contextlib import closing

import pytest

from tests.cli.conftest import CHECKOUT, Jobtable, environment

HEAVY = ("sqlalchemy", "rich", "pydantic", "alembic", "structlog", "prometheus_client", "asyncio")


def test_help_loads_neither_the_database_nor_the_tables() -> None:
    code = (
        "import sys\nfrom processor.cli import main\ntry:\n    main()\n"
        f"except SystemExit:\n    print([name for name in {HEAVY} if name in sys.modules])"
    )
    command = [sys.executable, "-c", code, "--help"]
    shown = subprocess.run(command, env=environment(), capture_output=True, text=True, check=True).stdout
    assert "Commands:" in shown
    assert shown.splitlines()[-1] == "[]"


def test_without_a_command_the_help_is_shown(on_sqlite: Jobtable) -> None:
    result = on_sqlite()
    assert result.exit_code == 0
    assert "jobtable demo" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["lst"], "There is no command 'lst'. Did you mean list? See `jobtable --help`."),
        (["list", "--staus", "failed"], "No such option '--staus'"),
        (["list", "--status", "done"], "'done' is not one of 'pending'"),
        (["list", "--older-than", "2 weeks"], "'2 weeks' is no duration"),
        (["show"], "Missing argument 'ID'"),
        (["show", "0"], "0 is not in the range"),
        (["show", str(2**63)], "is not in the range"),
        (["cancel"], "Name jobs by their ids, or find them with filters"),
        (["cancel", "1", "--type", "a"], "one of the two"),
        (["delete", "--owner", ""], "it is empty"),
    ],
)
def test_wrong_usage_is_one_line_and_code_2(on_sqlite: Jobtable, arguments: list[str], words: str) -> None:
    result = on_sqlite(*arguments)
    assert result.exit_code == 2
    assert result.stderr.startswith("error: ")
    assert words in result.stderr
    assert result.stderr.count("\n") == 1
    assert "See `jobtable" in result.stderr


def test_a_refusal_is_one_line_and_code_1(on_sqlite: Jobtable) -> None:
    result = on_sqlite("show", 7)
    assert (result.exit_code, result.stderr) == (1, "error: There is no job 7. See `jobtable list`.\n")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[processor]\nmax_concurent = 2", "[processor] max_concurent is not a known key"),
        ("[processor]\nmax_concurrent = 0", "[processor] max_concurrent = 0"),
        ("[processor", "is not valid TOML"),
    ],
)
def test_a_wrong_configuration_names_file_and_key(on_sqlite: Jobtable, text: str, words: str) -> None:
    on_sqlite.configure(text)
    result = on_sqlite("list")
    assert result.exit_code == 2
    assert f"{on_sqlite.folder / 'jobtable.toml'}" in result.stderr
    assert words in result.stderr


def test_a_wrong_flag_is_named_as_it_is_written(on_sqlite: Jobtable) -> None:
    result = on_sqlite("run", "--max-concurrent", "many")
    assert result.exit_code == 2
    assert "--max-concurrent" in result.stderr


def test_options_of_every_command_may_stand_before_or_after_its_name(on_sqlite: Jobtable) -> None:
    other = f"sqlite:///{on_sqlite.folder / 'other.db'}"
    assert "other.db has no jobtable tables yet" in on_sqlite("list", "--database-url", other).stderr
    assert on_sqlite("list").exit_code == 0


def test_missing_tables_are_refused_with_the_command_to_run(on_sqlite: Jobtable) -> None:
    on_sqlite.url = f"sqlite:///{on_sqlite.folder / 'new.db'}"
    result = on_sqlite("list")
    assert result.exit_code == 1
    assert "Run `jobtable migrate`" in result.stderr


def test_a_reader_that_leaves_early_hears_no_complaint(on_sqlite: Jobtable) -> None:
    many = (
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000) SELECT hex(zeroblob(90)) FROM n"
    )
    with closing(sqlite3.connect(on_sqlite.folder / "jobs.db")) as connection, connection:
        connection.execute(f"INSERT INTO jobs (type) {many}")
    process = on_sqlite.start("list", "--limit", 2000)
    assert process.stdout is not None
    assert process.stdout.read(1) == " "
    process.stdout.close()
    assert process.wait(20) == 1
    assert process.stderr is not None
    assert process.stderr.read() == ""


def test_a_letter_that_the_terminal_lacks_ends_no_command(on_sqlite: Jobtable) -> None:
    on_sqlite.enqueue("a", "--owner", "Zoë 漢")
    process = on_sqlite.start("list", environ={"PYTHONIOENCODING": "latin-1"})
    assert process.stdout is not None
    out = process.stdout.buffer.read()
    assert (process.wait(20), b"Zo\xeb \\u6f22" in out) == (0, True)


def test_the_package_is_the_command(on_sqlite: Jobtable) -> None:
    shown = subprocess.run(
        [sys.executable, "-m", "processor", "--help"], cwd=CHECKOUT, capture_output=True, text=True, check=True
    )
    assert shown.stdout.startswith("Usage: jobtable ")
