"""What is written is true: links resolve, named tests and commands exist, and the examples do what is said of them."""

import ast
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from models import jobs
from processor import settings
from processor.logs import LINES
from tests.cli.conftest import environment
from tests.cli.test_docs_cli import COMMANDS, COMMON
from tests.conftest import migrate
from tests.databases import Database, Server

ROOT = Path(__file__).parents[1]
PAGES = {
    path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8")
    for pattern in ("*.md", "docs/*.md", "deployment/*.md", "examples/**/*.md")
    for path in sorted(ROOT.glob(pattern))
}
README = PAGES["README.md"]
EXAMPLES = ROOT / "examples"
NAMES = {"PostgreSQL": "postgresql", "MariaDB": "mariadb", "SQLite": "sqlite"}


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def section(text: str, title: str) -> str:
    _, found, rest = text.partition(f"\n## {title}\n")
    assert found, f"there is no section {title!r}"
    return rest.partition("\n## ")[0]


def without_code(text: str) -> str:
    return re.sub(r"```.*?```|`[^`\n]*`", "", text, flags=re.DOTALL)


# --- words -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", PAGES)
def test_every_internal_link_resolves(page: str) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", without_code(PAGES[page])):
        if "://" in target:
            continue
        path, _, anchor = target.partition("#")
        file = (ROOT / page).parent / path if path else ROOT / page
        assert file.exists(), f"{page}: {target}"
        assert not anchor or anchor in anchors(file.read_text(encoding="utf-8")), f"{page}: {target}"


def anchors(text: str) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES)
def test_every_test_that_is_named_exists(page: str) -> None:
    for path, name in re.findall(r"(tests/[\w/]+\.py)(?:::(\w+))?", PAGES[page]):
        assert (ROOT / path).is_file(), f"{page}: {path}"
        assert not name or name in functions(ROOT / path), f"{page}: {path}::{name}"


def functions(path: Path) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


def test_every_promise_names_the_tests_that_show_it() -> None:
    promised, _, _ = PAGES["docs/promises.md"].partition("\n## Not promised")
    promises = re.findall(r"^\*\*.*?(?=^\*\*|^## |\Z)", promised, re.MULTILINE | re.DOTALL)
    assert len(promises) > 20
    assert [promise for promise in promises if not re.search(r"^\* `tests/.*::test_\w+`$", promise, re.MULTILINE)] == []


@pytest.mark.parametrize("page", PAGES)
def test_every_command_and_flag_that_is_written_about_exists(page: str) -> None:
    code = [*re.findall(r"`([^`\n]+)`", PAGES[page]), *blocks(PAGES[page], "sh")]
    for words in re.findall(r"(?:^|[\s/(])jobtable ((?:[a-z]+)(?: [^\s&|;]+)*)", "\n".join(code), re.MULTILINE):
        parts = words.split()
        known = [name for name in COMMANDS if " ".join(["jobtable", *parts, ""]).startswith(f"{name} ")]
        assert known, f"{page}: jobtable {words}"
        command = COMMANDS[max(known, key=len)]
        flags = {flag for param in command.params for flag in (*param.opts, *param.secondary_opts)} | COMMON
        assert {part for part in parts if part.startswith("--")} <= flags, f"{page}: jobtable {words}"


def test_every_log_event_is_explained_and_no_other() -> None:
    rows = re.findall(r"^\| `(\w+)` \|", section(PAGES["docs/operations.md"], "Log lines"), re.MULTILINE)
    assert sorted(rows) == sorted(event for _, event in LINES.values())


def test_every_alert_has_something_to_do_and_no_other() -> None:
    rules = yaml.safe_load((ROOT / "deployment" / "alerts.yml").read_text(encoding="utf-8"))
    alerts = {rule["alert"] for group in rules["groups"] for rule in group["rules"]}
    text = section(PAGES["docs/operations.md"], "Alerts, at three in the morning")
    assert set(re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE)) == alerts


def test_every_module_has_its_place_in_the_rooms() -> None:
    text = section(PAGES["docs/architecture.md"], "Rooms (a test compares them with the files)")
    rooms: dict[str, set[str]] = {}
    for title, modules in re.findall(r"^\| (\S+?)/?`?(?::.*?)? \| (.+) \|$", text, re.MULTILINE):
        rooms.setdefault(title.strip("`"), set()).update(re.findall(r"`(\w+)`", modules))
    for room in ("root", "db", "db/dialects", "queue", "work", "api"):
        folder = ROOT / "processor" / ("" if room == "root" else room)
        assert rooms[room] == {path.stem for path in folder.glob("*.py")} - {"__init__", "__main__"}, room


# --- SQL -------------------------------------------------------------------------------------------------------------


def statements(text: str, kind: str) -> list[str]:
    """Read the statements for a database; a block that begins with the name of one is for that one alone."""
    found = []
    for block in blocks(text, "sql"):
        named = re.match(r"-- (\w+)", block)
        if named is None or NAMES.get(named[1], kind) == kind:
            lines = [line for line in block.splitlines() if not line.startswith("--")]
            found += [statement for statement in "\n".join(lines).split(";\n") if statement.strip(" ;\n")]
    return found


@pytest.mark.parametrize("page", ["README.md", "docs/operations.md"])
def test_the_sql_is_run_by_each_database_that_it_is_written_for(db: Database, page: str) -> None:
    found = statements(PAGES[page], db.kind)
    assert len(found) >= 7
    for statement in found:
        db.rows(statement.strip(" ;\n"))


def test_the_recipe_for_a_retry_does_what_the_command_does(db: Database) -> None:
    from processor.db import Database as Opened
    from processor.queue import control
    from processor.queue.lookup import Filter

    ended = "status, reason, attempt, crashes, cancel_requested, error_type, error_message, finished_at, progress"
    values = "'failed', 'error', 3, 1, true, 'E', 'no', '2026-01-01 00:00:00', 50"
    for job in (41, 42):
        db.rows(f"INSERT INTO jobs (id, type, {ended}) VALUES ({job}, 'a', {values})")
    [recipe] = [text for text in statements(PAGES["docs/operations.md"], db.kind) if "crashes = 0" in text]
    db.rows(recipe)
    with Opened(db.url) as database:
        assert control.retry(database, Filter(ids=(41,))) == 1
    quote = "`" if db.kind == "mariadb" else '"'
    own = ("id", "created_at", "event_no")  # a plain UPDATE tells no event
    names = [f"{quote}{column.name}{quote}" for column in jobs.c if column.name not in own]
    by_command, by_recipe = db.rows(f"SELECT {', '.join(names)} FROM jobs ORDER BY id")
    assert by_recipe == by_command


def test_the_clients_lines_insert_a_job(db: Database) -> None:
    command = db.server.client_command(db.url)
    if command is None:
        pytest.skip(f"the command-line client of {db.kind} is not on this machine; install it to run this test")
    client = {"postgresql": "psql", "mariadb": "mariadb", "sqlite": "sqlite3"}[db.kind]
    text = "\n".join(blocks(section(README, "Put work in"), "sh"))
    [sql] = re.findall(rf'^{client} .*"(INSERT .*)"$', text, re.MULTILINE)
    subprocess.run(command, input=f"{sql};".encode(), check=True, timeout=30)
    assert db.rows("SELECT type, status FROM jobs") == [("greet", "pending")]


# --- producers -------------------------------------------------------------------------------------------------------


def test_the_sql_of_the_producers_is_run(db: Database) -> None:
    text = (EXAMPLES / "producers" / "insert.sql").read_text(encoding="utf-8")
    for statement in statements(f"```sql\n\n{text}```", db.kind):
        db.rows(statement.strip(" ;\n"))
    assert db.rows("SELECT count(*), max(priority) FROM jobs") == [(4, 7)]


def test_the_python_producer_of_postgresql_inserts_a_job(postgresql: Server) -> None:
    example = EXAMPLES / "producers" / "python_psycopg.py"
    assert python_block("psycopg") in example.read_text(encoding="utf-8")
    database = postgresql.create_migrated_database(migrate)
    said = python(example, environ={"DATABASE_URL": database.url})
    assert said == "job 1\n"
    assert database.rows("SELECT owner, payload FROM jobs") == [("ada", {"name": "Ada"})]
    database.drop()


def test_the_python_producer_of_sqlite_inserts_a_job(tmp_path: Path) -> None:
    migrate(f"sqlite:///{tmp_path / 'jobtable.db'}")
    (tmp_path / "producer.py").write_text(python_block("sqlite3"), encoding="utf-8")
    python(tmp_path / "producer.py")
    assert listed(tmp_path) == ["1 greet pending"]


def python_block(module: str) -> str:
    [block] = [one for one in blocks(section(README, "Put work in"), "python") if f"import {module}\n" in one]
    return block


def python(file: Path, environ: dict[str, str] | None = None) -> str:
    done = subprocess.run(
        [sys.executable, file],
        cwd=file.parent,
        env=os.environ | (environ or {}),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    ("language", "file", "check"), [("js", "node.js", ["node", "--check"]), ("go", "main.go", ["gofmt", "-l", "-e"])]
)
def test_the_producers_in_other_languages_are_what_the_readme_shows(language: str, file: str, check: list[str]) -> None:
    """Their syntax is checked where their tools are installed; they are not run, since that needs their drivers."""
    example = EXAMPLES / "producers" / file
    [block] = blocks(README, language)
    lines = [line.strip() for line in block.splitlines()]
    text = [line.strip() for line in example.read_text(encoding="utf-8").splitlines()]
    assert any(text[start : start + len(lines)] == lines for start in range(len(text)))
    if shutil.which(check[0]) is None:
        pytest.skip(f"{check[0]} is not on this machine; {file} was compared with the README and not parsed")
    done = subprocess.run([*check, example], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, ""), done.stdout + done.stderr


# --- the quick start and the handlers --------------------------------------------------------------------------------


def test_the_quick_start_does_what_it_says(tmp_path: Path) -> None:
    text = section(README, "Quick start")
    [toml], [handlers], [commands] = (blocks(text, language) for language in ("toml", "python", "sh"))
    assert toml == (EXAMPLES / "quickstart" / "jobtable.toml").read_text(encoding="utf-8")
    assert handlers == (EXAMPLES / "quickstart" / "handlers.py").read_text(encoding="utf-8")
    shutil.copytree(EXAMPLES / "quickstart", tmp_path, dirs_exist_ok=True)
    said = shell(tmp_path, commands)
    assert "completed (done)" in said
    assert '"text": "Hello, Ada!"' in said
    assert "stdout   greeting Ada" in said
    [same] = re.findall(r"`(jobtable enqueue greet --payload .*?)`", text)
    assert shell(tmp_path, same) == "2\n"


def test_the_handlers_of_the_readme_run(tmp_path: Path) -> None:
    text = section(README, "Handlers")
    [script] = blocks(text, "sh")
    (tmp_path / "jobtable.toml").write_text(blocks(text, "toml")[0], encoding="utf-8")
    (tmp_path / "work.py").write_text(blocks(text, "python")[0], encoding="utf-8")
    (tmp_path / "bytes.sh").write_text(script, encoding="utf-8")
    (tmp_path / "bytes.sh").chmod(0o755)
    shell(tmp_path, "jobtable migrate")
    for given in ('wordcount --payload \'{"text": ""}\'', "pause", "bytes --payload '[1]'", "report.daily"):
        shell(tmp_path, f"jobtable enqueue {given}")
    expected = ["1 wordcount failed", "2 pause completed", "3 bytes completed", "4 report.daily completed"]
    for _ in range(10):  # a drain leaves what waits for its time, such as a second try
        shell(tmp_path, "jobtable run --drain")
        if listed(tmp_path) == [*expected, "5 wordcount completed"]:
            break
    else:
        pytest.fail(f"{listed(tmp_path)}")


@pytest.mark.parametrize("number", range(len(blocks(README, "toml"))))
def test_the_settings_of_the_readme_are_accepted(tmp_path: Path, number: int) -> None:
    (tmp_path / "shop.secret").write_text("whsec_c2VjcmV0", encoding="utf-8")
    (tmp_path / "jobtable.toml").write_text(blocks(README, "toml")[number], encoding="utf-8")
    assert settings.load(tmp_path / "jobtable.toml", {}).types


def shell(folder: Path, commands: str) -> str:
    """Run commands as a person would type them, with `jobtable` and `sqlite3` on the path."""
    tools = folder / "bin"
    if not tools.exists():
        tools.mkdir()
        _tool(tools / "jobtable", f'exec "{sys.executable}" -P -m processor "$@"')
        if shutil.which("sqlite3") is None:
            script = "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); c.executescript(sys.argv[2]); c.close()"
            _tool(tools / "sqlite3", f'exec "{sys.executable}" -c "{script}" "$@"')
    path = f"{tools}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["sh", "-eu", "-c", commands],
        cwd=folder,
        env=environment() | {"PATH": path, "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def _tool(file: Path, line: str) -> None:
    file.write_text(f"#!/bin/sh\n{line}\n", encoding="utf-8")
    file.chmod(0o755)


def listed(folder: Path) -> list[str]:
    said = shell(folder, "jobtable list --json")
    rows = sorted(yaml.safe_load(said), key=lambda row: int(row["id"]))
    return [f"{row['id']} {row['type']} {row['status']}" for row in rows]


# --- schedules -------------------------------------------------------------------------------------------------------


def test_the_page_about_schedules_does_what_it_says(db: Database, tmp_path: Path) -> None:
    [toml] = blocks(PAGES["docs/schedules.md"], "toml")
    (tmp_path / "jobtable.toml").write_text(toml, encoding="utf-8")
    [(name, schedule)] = settings.load(tmp_path / "jobtable.toml", {}).schedules.items()
    for statement in statements(PAGES["docs/schedules.md"], db.kind):
        db.rows(statement)
    [(row_name, type_, cron, zone, paused)] = db.rows("SELECT name, type, cron, time_zone, paused FROM schedules")
    assert (row_name, type_, zone) == (name, schedule.type, schedule.time_zone)
    assert (cron, bool(paused)) == ("0 5 * * *", True)
