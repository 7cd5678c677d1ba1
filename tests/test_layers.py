"""The rules of docs/architecture.md, "Layers", read out of the imports themselves."""

import ast
import sys
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = {
    path.relative_to(ROOT).as_posix(): path.read_text()
    for package in ("models", "processor")
    for path in sorted((ROOT / package).rglob("*.py"))
}

TESTS = {path.relative_to(ROOT).as_posix(): path.read_text() for path in sorted((ROOT / "tests").rglob("*.py"))}

MAY_IMPORT = {
    "models": set[str](),
    "root": set[str](),
    "db": {"models", "root"},
    "queue": {"models", "root", "db"},
    "work": {"models", "root", "db", "queue"},
    "api": {"models", "root", "db", "queue"},
    "cli": {"models", "root", "db", "queue", "work", "api"},
}
"""What each room may import besides itself."""

LIBRARIES = {
    "sqlalchemy": ("models/", "processor/db/", "processor/queue/"),
    "alembic": ("processor/db/",),
    "psycopg": ("processor/db/",),
    "pymysql": ("processor/db/",),
}
"""Where a library may be imported; what is not listed may be imported anywhere."""

ASKS_FOR_THE_DATABASE = {
    "models/types.py": "the shapes of columns, which SQLAlchemy asks per dialect",
    "processor/sections.py": "only SQLite's address is a path, relative to the file that names it",
}

READS_THE_WALL_CLOCK = {
    "processor/cli/doctor.py": "it says how far this host's clock is from the database's, which decides",
    "processor/work/http.py": "a signed request carries its date, and Retry-After may be one",
}

SLEEPS = {
    "tests/patience.py eventually": "it looks again until something is seen",
    "tests/page/deeds.py work_until": "a handler that works until a file is there",
    "tests/processors/app/deeds.py work_until": "a handler that works until a file is there",
    "tests/processors/app/deeds.py work_forever": "a handler that works until it is killed",
    "tests/processors/app/deeds.py until": "a handler that works until a file is there",
    "tests/processors/app/deeds.py slow_async": "a handler that works until it is killed",
    "tests/processors/app/deeds.py chatter": "a handler that talks at a pace",
    "tests/processors/app/deeds.py span": "a handler whose work lasts, so that others run beside it",
    "tests/processors/app/deeds.py spell": "a handler whose work lasts, so that others run beside it",
    "tests/work/test_commands.py idle": "a process that uses no processor time is seen over a while",
}
"""Functions of tests that may let time pass. Scripts in texts are what handlers do, and may."""

WALL_CLOCKS = {
    "datetime.now",
    "datetime.today",
    "datetime.utcnow",
    "date.today",
    "time.ctime",
    "time.gmtime",
    "time.localtime",
    "time.time",
    "time.time_ns",
}

DATABASES = {"postgresql", "mysql", "mariadb", "sqlite"}

IN_THE_USERS_INTERPRETER = (
    "processor",
    "processor.handlers",
    "processor.context",
    "processor.work.supervisor",
    "processor.work.worker",
    "processor.work.messages",
)


def room_of(module: str) -> str:
    """Return the room that a module of ours lies in: `processor.db.schema` lies in `db`."""
    package, _, rest = module.partition(".")
    if package == "models":
        return "models"
    first = rest.split(".")[0]
    if first == "__main__":
        return "cli"
    return first if first in _rooms() else "root"


def _rooms() -> set[str]:
    here = {path.split("/")[1] for path in SOURCES if path.count("/") > 1 and path.startswith("processor/")}
    return here | set(MAY_IMPORT) - {"models", "root"}


def module_of(path: str) -> str:
    return path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def imports(path: str, source: str) -> Iterator[tuple[int, str]]:
    """Yield line and full name of everything a file imports, at its top or later."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = _base(path, node)
            yield from ((node.lineno, f"{base}.{alias.name}") for alias in node.names)


def _base(path: str, node: ast.ImportFrom) -> str:
    if not node.level:
        return node.module or ""
    parts = module_of(path).split(".")
    package = parts if path.endswith("/__init__.py") else parts[:-1]
    above = package[: len(package) - node.level + 1]
    return ".".join([*above, *([node.module] if node.module else [])])


def wrong_imports(sources: Mapping[str, str]) -> list[str]:
    """Name every import that goes against the order of the rooms."""
    wrong = []
    for path, source in sources.items():
        here = room_of(module_of(path))
        if here not in MAY_IMPORT:
            wrong.append(f"{path}: the room {here!r} has no place in the order yet")
            continue
        for line, name in imports(path, source):
            if name.split(".")[0] not in ("models", "processor"):
                continue
            there = room_of(name)
            if there not in MAY_IMPORT[here] | {here}:
                wrong.append(f"{path}:{line}: {here} imports {there} ({name})")
    return wrong


def wrong_libraries(sources: Mapping[str, str]) -> list[str]:
    """Name every import of a library outside the places that may know it."""
    return [
        f"{path}:{line}: {name} belongs in {', '.join(LIBRARIES[library])}"
        for path, source in sources.items()
        for line, name in imports(path, source)
        if (library := name.split(".")[0]) in LIBRARIES and not path.startswith(LIBRARIES[library])
    ]


def questions_for_the_database(sources: Mapping[str, str]) -> list[str]:
    """Name every comparison with the name of a database; `processor/db/dialects` chooses by a table instead."""
    return [
        f"{path}:{node.lineno}: asks which database it is; that is an answer for processor/db/dialects"
        for path, source in sources.items()
        for node in ast.walk(ast.parse(source))
        if path not in ASKS_FOR_THE_DATABASE and _asks(node)
    ]


def _asks(node: ast.AST) -> bool:
    if isinstance(node, ast.Compare):
        return any(_names_a_database(part) or _is_dialect_name(part) for part in (node.left, *node.comparators))
    if isinstance(node, ast.MatchValue):
        return _names_a_database(node.value)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "startswith":
        return any(_names_a_database(part) for part in node.args)
    return False


def _names_a_database(node: ast.AST) -> bool:
    return any(isinstance(part, ast.Constant) and part.value in DATABASES for part in ast.walk(node))


def _is_dialect_name(node: ast.AST) -> bool:
    return isinstance(node, ast.Attribute) and _dotted(node).endswith("dialect.name")


def _dotted(node: ast.AST) -> str:
    if isinstance(node, ast.Attribute):
        return f"{_dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def readings_of_the_wall_clock(sources: Mapping[str, str]) -> list[str]:
    """Name every reading of this host's clock: instants come from the database, durations from the monotonic clock."""
    return [
        f"{path}:{line}: reads this host's clock with {name}"
        for path, source in sources.items()
        if path not in READS_THE_WALL_CLOCK
        for line, name in _clocks(path, source)
    ]


def _clocks(path: str, source: str) -> Iterator[tuple[int, str]]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Attribute) and ".".join(_dotted(node).split(".")[-2:]) in WALL_CLOCKS:
            yield node.lineno, _dotted(node)
    yield from ((line, name) for line, name in imports(path, source) if name in WALL_CLOCKS)


def sleepers(sources: Mapping[str, str]) -> list[str]:
    """Name every place in tests that lets time pass instead of waiting for what is to happen."""
    return [
        f"{path} {function}: line {line} sleeps; wait for what is to happen (tests/patience.py)"
        for path, source in sources.items()
        for statement in ast.parse(source).body
        if f"{path} {(function := getattr(statement, 'name', 'module'))}" not in SLEEPS
        for line in _sleeps(statement)
    ]


def _sleeps(statement: ast.stmt) -> Iterator[int]:
    for node in ast.walk(statement):
        if isinstance(node, ast.Call) and _dotted(node.func).rpartition(".")[2] in ("sleep", "wait_for_timeout"):
            yield node.lineno


def needed_by(modules: tuple[str, ...], sources: Mapping[str, str]) -> dict[str, list[tuple[int, str]]]:
    """Follow the imports of these modules through our own files: path -> everything that it imports."""
    files = {module_of(path): path for path in sources}
    needed: dict[str, list[tuple[int, str]]] = {}
    ahead = [name for module in modules for name in _with_packages(module)]
    while ahead:
        name = ahead.pop()
        path = files.get(name)
        if path is None or path in needed:
            continue
        needed[path] = list(imports(path, sources[path]))
        for _, imported in needed[path]:
            ahead.extend(_with_packages(imported))
    return needed


def _with_packages(module: str) -> list[str]:
    """Importing `a.b.c` runs `a`, `a.b` and `a.b.c`; the last may also be a name inside `a.b`."""
    parts = module.split(".")
    return [".".join(parts[:end]) for end in range(1, len(parts) + 1)]


def strangers(modules: tuple[str, ...], sources: Mapping[str, str]) -> list[str]:
    """Name what these modules import, directly or not, that is neither ours nor the standard library's."""
    return [
        f"{path}:{line}: imports {name}, which a user's own interpreter need not have"
        for path, found in needed_by(modules, sources).items()
        for line, name in found
        if (top := name.split(".")[0]) != "processor" and top not in sys.stdlib_module_names
    ]


def test_imports_go_down_the_rooms_only() -> None:
    assert wrong_imports(SOURCES) == []


def test_only_the_lower_rooms_know_the_database_libraries() -> None:
    assert wrong_libraries(SOURCES) == []


def test_only_the_dialects_ask_which_database_it_is() -> None:
    assert questions_for_the_database(SOURCES) == []


def test_no_decision_reads_the_clock_of_this_host() -> None:
    assert readings_of_the_wall_clock(SOURCES) == []


def test_what_runs_in_the_users_interpreter_needs_the_standard_library_alone() -> None:
    assert strangers(IN_THE_USERS_INTERPRETER, SOURCES) == []


def test_what_runs_in_the_users_interpreter_is_python_3_9() -> None:
    for path in needed_by(IN_THE_USERS_INTERPRETER, SOURCES):
        ast.parse(SOURCES[path], feature_version=(3, 9))


def test_what_runs_in_the_users_interpreter_is_linted_for_python_3_9() -> None:
    ruff = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["ruff"]
    old = {path for path, version in ruff["per-file-target-version"].items() if version == "py39"}
    assert set(needed_by(IN_THE_USERS_INTERPRETER, SOURCES)) == old


def test_tests_wait_for_happenings_and_not_for_seconds() -> None:
    assert sleepers(TESTS) == []


@pytest.mark.parametrize("place", SLEEPS)
def test_a_function_that_may_sleep_does(place: str) -> None:
    path, _, function = place.partition(" ")
    found = sleepers({"elsewhere.py": TESTS[path]})
    assert any(one.startswith(f"elsewhere.py {function}:") for one in found)


@pytest.mark.parametrize(
    "source", ["import time\ntime.sleep(1)", "from time import sleep\nsleep(1)", "page.wait_for_timeout(100)"]
)
def test_a_sleep_is_found(source: str) -> None:
    assert sleepers({"tests/test_new.py": source})


@pytest.mark.parametrize("path", ASKS_FOR_THE_DATABASE)
def test_a_file_that_may_ask_for_the_database_does(path: str) -> None:
    assert questions_for_the_database({"elsewhere.py": SOURCES[path]})


@pytest.mark.parametrize("path", READS_THE_WALL_CLOCK)
def test_a_file_that_may_read_the_wall_clock_does(path: str) -> None:
    assert readings_of_the_wall_clock({"elsewhere.py": SOURCES[path]})


def test_every_module_of_the_users_interpreter_exists() -> None:
    assert {module_of(path) for path in SOURCES} >= set(IN_THE_USERS_INTERPRETER)


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("models/job.py", "from processor import errors"),
        ("processor/judge.py", "import models"),
        ("processor/judge.py", "from processor import queue"),
        ("processor/judge.py", "from . import queue"),
        ("processor/judge.py", "from .queue.claim import claim"),
        ("processor/db/schema.py", "import processor.queue.claim"),
        ("processor/db/schema.py", "from ..queue import claim"),
        ("processor/queue/claim.py", "def late():\n    from processor.work.daemon import Daemon"),
        ("processor/work/daemon.py", "from processor.cli import main"),
        ("processor/work/daemon.py", "from processor.api import app"),
        ("processor/api/access.py", "from processor.work.incarnation import open_database"),
        ("processor/api/access.py", "from processor.cli import shown"),
        ("processor/queue/tokens.py", "from processor.api.access import Caller"),
        ("processor/attic/old.py", "import json"),
    ],
)
def test_an_import_against_the_order_is_found(path: str, source: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SOURCES, path, source)
    assert wrong_imports({path: source})


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("processor/judge.py", "from sqlalchemy import select"),
        ("processor/work/daemon.py", "import sqlalchemy.exc"),
        ("processor/cli/list.py", "def run():\n    import psycopg"),
        ("processor/queue/claim.py", "from alembic import command"),
    ],
)
def test_a_database_library_out_of_its_place_is_found(path: str, source: str) -> None:
    assert wrong_libraries({path: source})


@pytest.mark.parametrize(
    "source",
    [
        "if engine.dialect.name == other: pass",
        "if kind == 'postgresql': pass",
        "if name in ('mysql', 'mariadb'): pass",
        "slow = 'sqlite' != kind",
        "match kind:\n    case 'sqlite': pass",
        "if url.startswith(('sqlite', 'x')): pass",
    ],
)
def test_a_question_for_the_database_is_found(source: str) -> None:
    assert questions_for_the_database({"processor/queue/claim.py": source})


@pytest.mark.parametrize(
    "source",
    [
        "import time\nbegin = time.time()",
        "from time import time\nbegin = time()",
        "import datetime\nbegin = datetime.datetime.now(datetime.UTC)",
        "from datetime import datetime\nclock = datetime.now",
        "from datetime import date\ntoday = date.today()",
    ],
)
def test_a_reading_of_the_wall_clock_is_found(source: str) -> None:
    assert readings_of_the_wall_clock({"processor/work/daemon.py": source})


def test_the_clocks_that_may_be_read_are_not_found() -> None:
    source = "import time\nfrom models import now\nbegin = time.monotonic()\nquery = select(now())"
    assert readings_of_the_wall_clock({"processor/work/daemon.py": source}) == []


def test_a_stranger_behind_two_imports_is_found() -> None:
    sources = {
        "processor/__init__.py": "from processor.handlers import handler",
        "processor/handlers.py": "from processor.names import Name",
        "processor/names.py": "def check():\n    import pydantic",
    }
    found = "processor/names.py:2: imports pydantic, which a user's own interpreter need not have"
    assert strangers(("processor",), sources) == [found]
