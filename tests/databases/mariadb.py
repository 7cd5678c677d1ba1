"""MariaDB (or MySQL, at an address) for the tests."""

import os
import secrets
import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pymysql
from pymysql.constants import CLIENT, ER
from sqlalchemy import URL, make_url

from tests.databases import docker
from tests.databases.machine import Kept, free_port, new_folder, unprivileged
from tests.databases.server import Borrowed, Process, Server, Unavailable

USER = "jobtable"
IMAGE = "mariadb:11.4"
OWN_DATABASES = "jobtable\\_%"

SETTINGS = {
    "character-set-server": "utf8mb4",
    "collation-server": "utf8mb4_general_ci",
    "default-time-zone": "+05:45",  # so that an instant that lost its zone is seen
    "innodb-buffer-pool-size": "64M",
    "max-connections": "200",
}


class MariaDB(Server):
    kind = "mariadb"
    lost = pymysql.OperationalError

    def __init__(self, source: str, process: Process, admin: URL, user: URL) -> None:
        super().__init__(source, process)
        self._admin = admin
        self._user = user
        self._scripts: dict[str, str] = {}

    @property
    def version(self) -> str:
        return str(self.rows("SELECT version()")[0][0])

    def url(self, database: str) -> str:
        return self._user.set(database=database).render_as_string(hide_password=False)

    def client_command(self, url: str) -> list[str] | None:
        client = shutil.which("mariadb") or shutil.which("mysql")
        if client is None:
            return None
        address = make_url(url)
        return [
            client,
            "--no-defaults",
            "--protocol=tcp",
            f"--host={address.host}",
            f"--port={address.port or 3306}",
            f"--user={address.username}",
            f"--password={address.password or ''}",
            "--batch",
            "--skip-column-names",
            str(address.database),
        ]

    def kill_backends(self, database: str | None = None) -> int:
        where = f"db = '{database}'" if database else f"db LIKE '{self._prefix}%'"
        ids = self.rows(f"SELECT id FROM information_schema.processlist WHERE {where} AND id <> connection_id()")
        return sum(self._kill(number) for (number,) in ids)

    def start(self) -> None:
        self.process.start()
        self.process.wait_ready(lambda: self.rows("SELECT 1"), pymysql.OperationalError)

    def connect(self, database: str | None = None, patience: float = 10.0) -> "pymysql.Connection[Any]":
        url = self._user if database else self._admin
        return pymysql.connect(
            host=url.host,
            port=url.port or 3306,
            user=url.username,
            password=str(url.password or ""),
            database=database,
            autocommit=True,
            charset="utf8mb4",
            ssl_disabled=url.host == "127.0.0.1",  # reading the machine's certificates takes 20 ms each time
            connect_timeout=patience,
            client_flag=CLIENT.MULTI_STATEMENTS,
        )

    def _kill(self, number: int) -> bool:
        try:
            self.rows(f"KILL {number}")
        except pymysql.OperationalError as error:
            if error.args[0] != ER.NO_SUCH_THREAD:
                raise
            return False
        return True

    def _create(self, name: str) -> None:
        self.rows(f"CREATE DATABASE {name}")

    def _create_in(self, folder: Path, name: str) -> None:
        """Let a link stand for the database's own folder, which the server follows."""
        self._create(name)
        assert self.folder is not None
        own, owner = self.folder / "data" / name, folder.stat()
        shutil.rmtree(own)
        own.symlink_to(folder / name)
        (folder / name).mkdir(mode=0o700)
        os.chown(folder / name, owner.st_uid, owner.st_gid)

    def _copy(self, template: str, name: str) -> None:
        if template not in self._scripts:
            with closing(self.connect(template)) as connection, connection.cursor() as cursor:
                self._scripts[template] = "; ".join(_script(cursor, template))
        self._create(name)  # by a connection that lives, and is used once more
        with self._office.cursor() as cursor:
            cursor.execute(
                f"USE {name}; SET foreign_key_checks = 0; {self._scripts[template]}; SET foreign_key_checks = 1"
            )
            while cursor.nextset():  # an error of any statement is raised here
                pass

    def _drop(self, name: str) -> None:
        self.kill_backends(name)  # an open transaction would make DROP wait
        self.rows(f"DROP DATABASE {name}")


def _script(cursor: Any, template: str) -> Iterator[str]:
    """Yield the statements that make the template again: tables with their rows, triggers."""
    cursor.execute("SHOW FULL TABLES WHERE Table_type = 'BASE TABLE'")
    for table in [row[0] for row in cursor.fetchall()]:
        cursor.execute(f"SHOW CREATE TABLE `{table}`")
        yield cursor.fetchone()[1]
        if cursor.execute(f"SELECT 1 FROM `{table}` LIMIT 1"):
            yield f"INSERT INTO `{table}` SELECT * FROM {template}.`{table}`"
    cursor.execute("SHOW TRIGGERS")
    for name in [row[0] for row in cursor.fetchall()]:
        cursor.execute(f"SHOW CREATE TRIGGER `{name}`")
        yield cursor.fetchone()[2]


def at_an_address() -> tuple[str, Callable[[], Server]]:
    address = os.environ.get("TEST_MARIADB_URL")
    if not address:
        raise Unavailable("TEST_MARIADB_URL is not set")
    url = make_url(address).set(drivername="mysql")
    source = f"address in TEST_MARIADB_URL ({url.render_as_string()})"

    def start() -> Server:
        server = MariaDB(source, Borrowed(), url, url)
        try:
            server.rows("SELECT 1")
        except pymysql.OperationalError as error:
            raise Unavailable(f"TEST_MARIADB_URL does not answer: {error}") from error
        return server

    return source, start


def in_docker() -> tuple[str, Callable[[], Server]]:
    docker.ping()
    source = f"Docker, {IMAGE}"

    def start() -> Server:
        from testcontainers.community.mysql import MySqlContainer

        password, port = secrets.token_hex(8), free_port()
        container = MySqlContainer(IMAGE, username="root", password=password, dbname="jobtable_")
        container.with_command(_options(SETTINGS))
        process = docker.Contained(container, 3306, port)
        root = URL.create("mysql", "root", password, process.host, port)
        return _started(MariaDB(source, process, root, root))

    return source, start


def from_machine() -> tuple[str, Callable[[], Server]]:
    places = os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin", "/usr/bin"))
    daemon = shutil.which("mariadbd", path=places) or shutil.which("mysqld", path=places)
    install = shutil.which("mariadb-install-db", path=places)
    if daemon is None or install is None:
        raise Unavailable("no mariadbd with mariadb-install-db on PATH or in /usr/sbin")
    return f"binaries {daemon}", lambda: start_private(daemon, install)


def start_private(daemon: str, install: str) -> Server:
    """Make a data folder of our own and start a server on it, on a port of its own."""
    account = unprivileged("mysql")
    folder = new_folder(account)
    try:
        data = folder / "data"
        own = [f"--datadir={data}", f"--tmpdir={folder}"]
        prepare = [install, "--no-defaults", *own, "--skip-test-db", "--skip-name-resolve"]
        account.run([*prepare, "--auth-root-authentication-method=normal"], folder)
        return _start_in(folder, daemon)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def _start_in(folder: Path, daemon: str) -> Server:
    port = free_port()
    admin = URL.create("mysql", "admin", secrets.token_hex(8), "127.0.0.1", port)
    user = admin.set(username=USER, password=secrets.token_hex(8))
    accounts = folder / "accounts.sql"  # read by the server before it listens
    accounts.write_text("\n".join(_accounts(admin, user)))
    own = {
        "datadir": str(folder / "data"),
        "tmpdir": str(folder),  # one that starts deletes the temporary tables there, whose server then crashes
        "port": str(port),
        "bind-address": "127.0.0.1",
        "socket": str(folder / "socket"),
        "pid-file": str(folder / "pid"),
        "init-file": str(accounts),
    }
    command = [daemon, "--no-defaults", *_options({**SETTINGS, **own})]
    process = Kept(command, folder, unprivileged("mysql"), fast=signal.SIGTERM, kill=signal.SIGKILL)
    return _started(MariaDB(f"binaries {daemon}", process, admin, user))


def _accounts(admin: URL, user: URL) -> Iterator[str]:
    yield f"ALTER USER root@localhost IDENTIFIED BY '{secrets.token_hex(8)}';"
    for account in (admin, user):
        yield f"CREATE USER IF NOT EXISTS {account.username}@'%' IDENTIFIED BY '{account.password}';"
    yield f"GRANT ALL ON *.* TO {admin.username}@'%' WITH GRANT OPTION;"
    yield f"GRANT ALL ON `{OWN_DATABASES}`.* TO {user.username}@'%';\n"


def _started(server: MariaDB) -> Server:
    try:
        server.start()
    except BaseException:
        server.close()
        raise
    return server


def _options(settings: dict[str, str]) -> list[str]:
    return ["--skip-name-resolve", *(f"--{name}={value}" for name, value in settings.items())]
