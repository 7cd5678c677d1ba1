"""The `db` fixture: every test that asks for it runs on three real databases.

What could not be had is skipped, and said at the end of the run. With TEST_REQUIRE_DB=1, as CI has it, a database that
was not tested fails the run, and so does every test that was skipped, whatever for, but for what no set-up can give.
"""

import os
import signal
from collections.abc import Iterator

import pytest

from tests.databases import KINDS, Choice, Database, Server, Unavailable, choices
from tests.databases.disks import NO_MOUNT

CHOICES = pytest.StashKey[dict[str, Choice]]()
KIND = pytest.StashKey[str]()
SKIPPED = pytest.StashKey[list[tuple[str, str]]]()
"""Tests that were skipped, and why."""


def pytest_configure(config: pytest.Config) -> None:
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # a shell does that to what it starts in the background,
        signal.signal(signal.SIGINT, signal.default_int_handler)  # and every process we start would inherit it
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:  # as nohup does
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
    config.stash[CHOICES] = choices()
    config.stash[SKIPPED] = []


def pytest_unconfigure(config: pytest.Config) -> None:
    for choice in config.stash[CHOICES].values():
        choice.close()


def pytest_report_header(config: pytest.Config) -> list[str]:
    return [f"{kind}: {choice.outlook()}" for kind, choice in config.stash[CHOICES].items()]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    report: pytest.TestReport = yield
    if report.skipped and not hasattr(report, "wasxfail"):
        *_, why = report.longrepr if isinstance(report.longrepr, tuple) else (str(report.longrepr),)
        item.config.stash[SKIPPED].append((item.nodeid, why.removeprefix("Skipped: ")))
    choice = item.config.stash[CHOICES].get(item.stash.get(KIND, ""))
    if choice is not None:
        choice.passed += report.when == "call" and report.passed
        choice.skipped += report.skipped
    return report


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    missing = _untested(session.config) or _left_out(session.config)
    if os.environ.get("TEST_REQUIRE_DB") == "1" and exitstatus == pytest.ExitCode.OK and missing:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if config.option.collectonly:
        return
    required = os.environ.get("TEST_REQUIRE_DB") == "1"
    terminalreporter.section("databases")
    for kind, choice in config.stash[CHOICES].items():
        if choice.passed and choice.server is not None:
            server = choice.server
            terminalreporter.line(f"{kind}: {choice.passed} tests passed on {server.version}, {server.source}")
        elif choice.skipped:
            text = f"{kind} was NOT tested: {choice.skipped} tests skipped. To get one: {choice.remedy}."
            terminalreporter.line(text, red=True, bold=True)
        else:
            terminalreporter.line(f"{kind} was NOT tested: no test passed that uses it.", red=required, bold=required)
    for test, why in config.stash[SKIPPED]:
        terminalreporter.line(f"NOT RUN: {test}: {why}", red=required, bold=required)
    if required and (_untested(config) or _left_out(config)):
        terminalreporter.line("TEST_REQUIRE_DB=1: the run fails because of it.", red=True, bold=True)


def _left_out(config: pytest.Config) -> list[str]:
    """Name the tests that were skipped although whoever set this machine up could have had them run."""
    return [test for test, why in config.stash[SKIPPED] if NO_MOUNT not in why]


def _untested(config: pytest.Config) -> list[str]:
    return [kind for kind, choice in config.stash[CHOICES].items() if not choice.passed]


def _server(request: pytest.FixtureRequest, kind: str) -> Server:
    request.node.stash[KIND] = kind
    try:
        return request.config.stash[CHOICES][kind].need()
    except Unavailable as error:
        pytest.skip(str(error))


@pytest.fixture
def postgresql(request: pytest.FixtureRequest) -> Server:
    """The PostgreSQL server of this run."""
    return _server(request, "postgresql")


@pytest.fixture
def mariadb(request: pytest.FixtureRequest) -> Server:
    """The MariaDB server of this run."""
    return _server(request, "mariadb")


@pytest.fixture
def sqlite(request: pytest.FixtureRequest) -> Server:
    """SQLite, with the face of a server."""
    return _server(request, "sqlite")


@pytest.fixture(params=KINDS)
def empty_db(request: pytest.FixtureRequest) -> Iterator[Database]:
    """An empty database of each kind, without our tables."""
    database = _server(request, request.param).create_database()
    yield database
    database.drop()


@pytest.fixture(params=KINDS)
def db(request: pytest.FixtureRequest) -> Iterator[Database]:
    """A migrated database of each kind, without rows."""
    database = _server(request, request.param).create_migrated_database(migrate)
    yield database
    database.drop()


def migrate(url: str) -> None:
    """Make our tables in the database at this address."""
    from processor import db
    from processor.db.migrate import upgrade

    with db.Database(url) as database:
        upgrade(database)
