"""What a worker imports in the user's interpreter is the standard library alone, on any Python from 3.9 on."""

import ast
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "processor"
WORKER = PACKAGE / "work" / "worker.py"
ENTRIES = ["__init__", "handlers", "context", "work/supervisor", "work/worker", "work/messages"]


def file_of(module):
    path = PACKAGE.parent.joinpath(*module.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def imports(file):
    """Name every module a file imports, wherever in it the import stands, except for type checkers."""
    found = set()

    def visit(node):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            return
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: a relative import"
            inside = [f"{node.module}.{alias.name}" for alias in node.names]
            found.update([name for name in inside if file_of(name).exists()] or [node.module])
        for child in ast.iter_child_nodes(node):
            visit(child)

    visit(ast.parse(file.read_text()))
    return found


def reachable():
    """Give every module of ours that the entries import, and every other module they name."""
    ours, foreign, waiting = set(), set(), [PACKAGE / f"{entry}.py" for entry in ENTRIES]
    while waiting:
        file = waiting.pop()
        if file in ours:
            continue
        ours.add(file)
        for name in imports(file):
            if name.split(".")[0] == "processor":
                waiting += [file_of(name), *[parent / "__init__.py" for parent in [file_of(name).parent]]]
            else:
                foreign.add((file.name, name.split(".")[0]))
    return ours, foreign


def test_the_imports_that_are_written_name_the_standard_library_alone():
    ours, foreign = reachable()
    assert {"loop.py", "solo.py", "shared.py", "calls.py", "families.py", "texts.py"} <= {file.name for file in ours}
    assert "http.py" not in {file.name for file in ours}
    assert {(file, name) for file, name in foreign if name not in sys.stdlib_module_names} == set()


def interpreters():
    """Find one interpreter per version from 3.9 to 3.13, on PATH or under pyenv."""
    found = {}
    for minor in range(9, 14):
        places = [
            shutil.which(f"python3.{minor}"),
            *Path.home().glob(f".pyenv/versions/3.{minor}.*/bin/python3.{minor}"),
        ]
        for place in filter(None, places):
            asked = subprocess.run(
                [place, "-c", "import sys; print(sys.version_info[:2])"], capture_output=True, text=True
            )
            if asked.stdout.strip() == f"(3, {minor})":
                found.setdefault(f"3.{minor}", str(place))
    return found


INTERPRETERS = interpreters()


def test_some_other_interpreter_is_here():
    print("interpreters:", INTERPRETERS)
    assert INTERPRETERS, "no Python 3.9 to 3.13 on PATH or under pyenv: nothing below was tried"


@pytest.mark.parametrize("version", INTERPRETERS)
def test_the_modules_really_import_without_any_site_packages(version):
    names = sorted(".".join(file.relative_to(PACKAGE.parent).with_suffix("").parts) for file in reachable()[0])
    names = [name.removesuffix(".__init__") for name in names]
    script = f"""
import importlib, sys
sys.path.append({str(PACKAGE.parent)!r})
for name in {names!r}: importlib.import_module(name)
outside = {{m.__file__ for m in list(sys.modules.values()) if "site-packages" in (getattr(m, "__file__", None) or "")}}
assert not outside, outside
print(len(sys.modules))
"""
    subprocess.run([INTERPRETERS[version], "-I", "-S", "-c", script], check=True, capture_output=True)


@pytest.mark.parametrize("version", INTERPRETERS)
def test_a_supervisor_and_its_workers_run_on_it(tmp_path, version):
    from supervision import Supervision

    supervision = Supervision(tmp_path, python=INTERPRETERS[version])
    solo = supervision.python(
        "import sys\ndef run(job):\n print('hi')\n return list(sys.version_info[:2])", name="solo"
    )
    source = "import sys\nasync def run(job):\n print('hi')\n return list(sys.version_info[:2])"
    shared = supervision.python(source, kind="shared", name="shared")
    for spec in (solo, shared):
        run = supervision.start(spec)
        assert supervision.ended(run)["result"] == "[{},{}]".format(*version.split("."))
        assert supervision.texts(run, "stdout") == ["hi"]
    assert supervision.run(supervision.command("exit 65"))["outcome"] == "refused"
    assert supervision.run(solo, "{")["outcome"] == "malformed"
    blocked = supervision.python("import time\nasync def run(job): time.sleep(1000)", kind="shared", name="blocked")
    assert supervision.run(blocked, timeout=0.2)["outcome"] == "timed_out"
    supervision.end()


@pytest.fixture(scope="module")
def venv(tmp_path_factory):
    """A venv as a user has it: another installation, nothing of ours in it."""
    folder = tmp_path_factory.mktemp("venv")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    site = next((folder / "lib").glob("python*/site-packages"))
    (site / "theirs.py").write_text("value = 'from their venv'")
    return folder / "bin" / "python"


DECLARED = """
from processor import handler
import theirs

def present(name):
    try:
        __import__(name)
    except ImportError:
        return False
    return True

@handler("chapter.analyse", timeout=9)
def analyse(job, chapter):
    return [chapter, theirs.value, present("sqlalchemy"), present("httpx"), present("pytest")]
"""


def test_a_declared_handler_runs_in_the_users_venv_and_sees_none_of_our_libraries(supervision, venv):
    assert all(map(__import__, ["pytest", "httpx"]))  # they are here, where the supervisor runs
    (supervision.folder / "novel.py").write_text(DECLARED)
    spec = supervision.define("novel", kind="solo", handler="novel", name="chapter.analyse", interpreter=str(venv))
    assert json.loads(supervision.run(spec, {"chapter": 3})["result"]) == [3, "from their venv", False, False, False]


def describe(request, python=sys.executable):
    done = subprocess.run(
        [python, "-I", WORKER, "--describe"], input=json.dumps(request), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)["types"]


def test_handlers_are_described_whatever_their_modules_print(tmp_path, venv):
    (tmp_path / "novel.py").write_text("import os\nprint('loud'); os.system('echo louder')\n" + DECLARED)
    (tmp_path / "plain.py").write_text("async def f(job): pass\ndef g(): yield")
    (tmp_path / "twice.py").write_text(
        "from processor import handler\n@handler('x')\ndef a(): pass\n@handler('x')\ndef b(): pass"
    )
    types = describe(
        {
            "pythonpath": [str(tmp_path)],
            "handlers": {"one": "plain:f", "two": "plain:g", "three": "nowhere:f", "four": "plain"},
            "modules": ["novel", "twice", "missing"],
        },
        str(venv),
    )
    assert types["chapter.analyse"] == {
        "handler": "novel",
        "name": "chapter.analyse",
        "async": False,
        "options": {"timeout": 9},
    }
    assert types["one"] == {"handler": "plain:f", "name": None, "async": True, "options": {}}
    assert "contains `yield`" in types["two"]["error"]
    assert "cannot import nowhere" in types["three"]["error"] and '"pythonpath"' in types["three"]["error"]
    assert "names no function" in types["four"]["error"]
    assert "stands on twice.a and on twice.b" in types["x"]["error"]
    assert "cannot import missing" in types["module:missing"]["error"]


def test_a_python_that_is_too_old_says_so(tmp_path):
    old = next(iter(Path.home().glob(".pyenv/versions/3.[678].*/bin/python")), None)
    if old is None:
        pytest.skip("no Python before 3.9 here")
    done = subprocess.run([old, "-I", str(WORKER), "3"], capture_output=True, text=True, env={**os.environ})
    assert "a worker needs Python 3.9 or later" in done.stderr
