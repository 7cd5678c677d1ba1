"""What a newcomer and an installation get: the wheel, the lock files, the Makefile, and no trace of one machine."""

import os
import re
import subprocess
import sys
import sysconfig
import tomllib
import venv
import zipfile
from collections.abc import Callable
from importlib.metadata import Distribution, PathDistribution, distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
Outside = Callable[..., subprocess.CompletedProcess[str]]

LOCKS = ("requirements.lock", "requirements-dev.lock")

REGISTRY_HOSTS = re.compile(
    "|".join(
        re.escape(".".join(host))
        for host in (
            ("pypi", "org"),
            ("pythonhosted", "org"),
            ("registry", "npmjs", "org"),
            ("deb", "debian", "org"),
            ("security", "debian", "org"),
        )
    )
)
FOLDERS_OF_ONE_MACHINE = re.compile("(^|[^A-Za-z0-9_.])/(work|farm|root|home/[a-z]+)/")


def tracked() -> dict[str, str]:
    """Read every text file that is, or is about to be, in the repository."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if listed.returncode == 0:
        names = [name for name in listed.stdout.split("\0") if name]
    else:  # unpacked from an archive
        names = [path.relative_to(ROOT).as_posix() for path in ROOT.rglob("*") if not _is_made(path)]
    return {name: text for name in names if (text := _text(ROOT / name)) is not None}


def _is_made(path: Path) -> bool:
    return any(part in (".venv", "dist", ".git") or part.endswith("_cache") for part in path.relative_to(ROOT).parts)


def _text(path: Path) -> str | None:
    try:
        return path.read_text() if path.is_file() else None
    except UnicodeDecodeError:
        return None


def lines_with(pattern: re.Pattern[str], files: dict[str, str]) -> list[str]:
    return [
        f"{name}:{number}: {line.strip()}"
        for name, text in files.items()
        for number, line in enumerate(text.splitlines(), 1)
        if pattern.search(line)
    ]


def test_no_file_names_a_package_registry() -> None:
    assert lines_with(REGISTRY_HOSTS, tracked()) == []


def test_no_file_names_a_folder_of_one_machine() -> None:
    assert lines_with(FOLDERS_OF_ONE_MACHINE, tracked()) == []


def test_the_patterns_find_what_they_are_for() -> None:
    address = "https://files.{}.org/packages/x.whl".format("pythonhosted")
    folder = "cd " + "/work" + "/main"
    assert lines_with(REGISTRY_HOSTS, {"a": address}) == [f"a:1: {address}"]
    assert lines_with(FOLDERS_OF_ONE_MACHINE, {"a": f"\n{folder}"}) == [f"a:2: {folder}"]
    assert lines_with(FOLDERS_OF_ONE_MACHINE, {"a": "processor/work/daemon.py and ./work/x"}) == []


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_file_names_no_address(lock: str) -> None:
    assert "://" not in (ROOT / lock).read_text()


@pytest.mark.parametrize("lock", LOCKS)
def test_every_locked_version_has_hashes(lock: str) -> None:
    for name, (_, hashes) in _locked(lock).items():
        assert hashes >= 1, name


def test_the_lock_files_agree() -> None:
    run, dev = (_locked(lock) for lock in LOCKS)
    assert run
    assert {name: pin for name, pin in dev.items() if name in run} == run


def test_every_declared_dependency_is_locked_in_a_version_that_it_allows() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    extras = project["project"]["optional-dependencies"]
    needed = {
        "requirements.lock": [
            *project["project"]["dependencies"],
            *(item for extra in extras.values() for item in extra),
        ],
        "requirements-dev.lock": [item for group in project["dependency-groups"].values() for item in group],
    }
    for lock, requirements in needed.items():
        locked = _locked(lock)
        for requirement in map(Requirement, requirements):
            version, _ = locked[canonicalize_name(requirement.name)]
            assert requirement.specifier.contains(version), f"{lock}: {requirement}, and {version} is locked: make lock"


def _locked(lock: str) -> dict[str, tuple[str, int]]:
    """Read name -> (version, number of hashes)."""
    blocks = re.split(r"\n(?=\S)", (ROOT / lock).read_text().strip())
    pins = (re.match(r"([a-z0-9.-]+)(?:\[.*\])?==([^ ;]+)", block) for block in blocks)
    return {pin[1]: (pin[2], block.count("--hash=sha256:")) for pin, block in zip(pins, blocks, strict=True) if pin}


def test_every_make_target_that_is_written_about_exists() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = {name: make_targets(text) for name, text in tracked().items() if name.endswith(".md")}
    assert {"demo", "test"} <= named["README.md"]
    assert {name: unknown for name, found in named.items() if (unknown := found - targets)} == {}


def make_targets(text: str) -> set[str]:
    """Find `make …` in inline code and in code blocks; prose may make what it likes."""
    blocks = re.findall(r"```.*?```", text, re.DOTALL)
    inline = re.findall(r"`make ([a-z]+)", text)
    return {*inline, *(target for block in blocks for target in re.findall(r"(?m)^\s*(?:\$ )?make ([a-z]+)", block))}


def test_make_targets_are_found_in_code_only() -> None:
    assert make_targets("`make one` or\n```sh\nmake two\n$ make three ARGS=x\n```\nmake sure") == {
        "one",
        "two",
        "three",
    }


def test_make_alone_lists_every_target() -> None:
    said = subprocess.run(["make", "--no-print-directory"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)[0].split():
        assert f"make {target} " in said


def test_make_says_what_to_do_without_a_python_that_is_new_enough(tmp_path: Path) -> None:
    for name in ("Makefile", *LOCKS, "pyproject.toml"):
        (tmp_path / name).write_text((ROOT / name).read_text())
    old = tmp_path / "oldpython"
    old.write_text("#!/bin/sh\nexit 1\n")
    old.chmod(0o755)
    done = subprocess.run(["make", "demo", f"PY={old}"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode != 0
    assert "jobtable needs Python 3.11 or newer" in done.stderr
    assert str(old) in done.stderr
    assert not (tmp_path / ".venv").exists()


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built without network."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
    done = subprocess.run(build, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The `bin` folder of a clean venv with the wheel and what its metadata asks for, and nothing else."""
    home = tmp_path_factory.mktemp("installed") / "venv"
    venv.create(home, symlinks=True, with_pip=False)
    python = home / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", "--no-deps", "--no-index"]
    done = subprocess.run([*pip, "--no-compile", str(wheel)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    packages = Path(sysconfig.get_path("purelib", vars={"base": str(home), "platbase": str(home)}))
    (metadata,) = packages.glob("jobtable-*.dist-info")
    for name in needed_by(PathDistribution(metadata)):
        _lend(distribution(name), packages)
    return python.parent


def needed_by(package: Distribution) -> set[str]:
    """Name every distribution that this one needs, directly or not, on this Python."""
    names: set[str] = set()
    ahead: list[tuple[Distribution, frozenset[str]]] = [(package, frozenset())]
    while ahead:
        current, extras = ahead.pop()
        for requirement in map(Requirement, current.requires or []):
            name = canonicalize_name(requirement.name)
            if not _applies(requirement, extras) or (name in names and not requirement.extras):
                continue
            names.add(name)
            ahead.append((distribution(name), frozenset(requirement.extras)))
    return names


def _applies(requirement: Requirement, extras: frozenset[str]) -> bool:
    if requirement.marker is None:
        return True
    return any(requirement.marker.evaluate({"extra": extra}) for extra in extras or {""})


def _lend(package: Distribution, target: Path) -> None:
    """Link a distribution of the development venv into another one."""
    for part in {file.parts[0] for file in package.files or [] if file.parts[0] not in ("..", "__pycache__")}:
        link = target / part
        if not link.exists():
            link.symlink_to(Path(str(package.locate_file(part))))


@pytest.fixture
def outside(installed: Path, tmp_path: Path) -> Outside:
    """Run an installed command in an empty folder that knows nothing of the checkout."""
    assert ROOT not in tmp_path.parents
    kept = {name: os.environ[name] for name in ("HOME", "LANG", "PATH", "TMPDIR") if name in os.environ}

    def run(command: str, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [installed / command, *words],
            cwd=tmp_path,
            env=kept | {"NO_COLOR": "1"},
            capture_output=True,
            text=True,
        )

    return run


def test_the_wheel_carries_every_file_that_the_command_needs(wheel: Path) -> None:
    inside = set(zipfile.ZipFile(wheel).namelist())
    files = {name for name in tracked() if name.startswith(("models/", "processor/"))}
    migrations = {f"processor/{name}" for name in tracked() if name.startswith("migrations/")}
    assert "processor/migrations/env.py" in migrations
    assert files | migrations <= inside
    extra = {name for name in inside if ".dist-info/" not in name} - files - migrations
    assert extra == set()


def test_the_wheel_has_its_licence_and_no_test_tool_among_its_needs(wheel: Path) -> None:
    inside = zipfile.ZipFile(wheel)
    (metadata,) = (name for name in inside.namelist() if name.endswith(".dist-info/METADATA"))
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in inside.namelist())
    text = inside.read(metadata).decode()
    needs = {
        Requirement(line.removeprefix("Requires-Dist: ")).name for line in text.splitlines() if "Requires-Dist" in line
    }
    assert {"sqlalchemy", "psycopg", "alembic"} <= needs
    assert needs.isdisjoint({"pytest", "testcontainers", "hypothesis", "ruff", "mypy", "uv"})


def test_the_installed_command_imports_nothing_from_the_checkout(installed: Path, outside: Outside) -> None:
    show = "import processor, models, sys; print(processor.__file__, models.__file__, *sys.path, sep='\\n')"
    said = outside("python", "-c", show).stdout.split()
    assert said[0].startswith(str(installed.parent))
    assert said[1].startswith(str(installed.parent))
    assert str(ROOT) not in said


IMPORT_ALL = """
import importlib, pkgutil, processor, models
walked = [m.name for p in (processor, models) for m in pkgutil.walk_packages(p.__path__, p.__name__ + ".")]
print(len([importlib.import_module(name) for name in walked if not name.startswith(SKIPPED)]))
"""
WEB = tuple(
    f"processor.api.{name}"
    for name in (
        "app bodies conversation cursors gate jwks jwts live messages numbers problems routes server service values"
    ).split()
)
"""What needs the extra `web`."""
TUI = tuple(f"processor.cli.top.{name}" for name in "app dialogs job layout listing".split())
"""What needs the extra `tui`."""


@pytest.mark.parametrize("extra", [False, True], ids=["plain", "extras"])
def test_every_module_needs_only_the_declared_dependencies(outside: Outside, extra: bool) -> None:
    skipped = ("processor.migrations.", "processor.__main__", *(() if extra else (*WEB, *TUI)))
    lent = f"import sys; sys.path.append({sysconfig.get_path('purelib')!r})\n" if extra else ""
    done = outside("python", "-c", f"{lent}SKIPPED = {skipped!r}{IMPORT_ALL}")
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 50


def test_without_its_extra_the_api_says_what_is_missing(outside: Outside) -> None:
    address = ("--database-url", "sqlite:///new.db")
    outside("jobtable", "migrate", *address)
    done = outside("jobtable", "serve", *address)
    assert done.returncode == 1
    assert 'Run pip install "jobtable[web]".' in done.stderr
    assert "Traceback" not in done.stderr


def test_without_its_extra_the_live_overview_says_what_is_missing(outside: Outside) -> None:
    done = outside("jobtable", "top", "--database-url", "sqlite:///new.db")
    assert done.returncode == 1
    assert 'Run pip install "jobtable[tui]".' in done.stderr
    assert "Traceback" not in done.stderr


def test_the_installed_command_migrates_outside_any_checkout(outside: Outside) -> None:
    address = ("--database-url", "sqlite:///new.db")
    migrated = outside("jobtable", "migrate", *address)
    assert migrated.returncode == 0, migrated.stderr
    listed = outside("jobtable", "list", "--json", *address)
    assert (listed.returncode, listed.stdout.strip()) == (0, "[]"), listed.stderr


@pytest.mark.timeout(180)
def test_the_installed_demo_runs_outside_any_checkout(outside: Outside) -> None:
    demo = outside("jobtable", "demo")
    assert demo.returncode == 0, demo.stdout + demo.stderr
    assert re.search(r"completed \(done\)\s+pages\.write\s+\d{3}", demo.stdout), demo.stdout


def test_the_installed_command_says_its_version(outside: Outside) -> None:
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    said = outside("jobtable", "--version")
    assert declared in said.stdout, said.stderr
    assert re.search(rf"^## .*{re.escape(declared)}", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
