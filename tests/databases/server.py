"""What a test may ask of a database server, whichever kind it is and wherever it came from."""

import itertools
import secrets
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

START_SECONDS = 60.0


class Unavailable(Exception):
    """This source has no server for us; the message says why."""


@dataclass(frozen=True)
class Database:
    """One database of a server, at the address that a user would write."""

    server: "Server"
    name: str

    @property
    def url(self) -> str:
        return self.server.url(self.name)

    @property
    def kind(self) -> str:
        return self.server.kind

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """Run one statement as a stranger would: with the plain driver, committed at once."""
        return self.server.rows(sql, self.name)

    @contextmanager
    def held(self, *statements: str, begin: str = "BEGIN") -> Iterator[None]:
        """Be a stranger whose transaction has run these statements and stays open; roll it back at the end."""
        with closing(self.server.connect(self.name)) as connection, closing(connection.cursor()) as cursor:
            for statement in (begin, *statements):
                cursor.execute(statement)
                if cursor.description:
                    cursor.fetchall()
            yield
            cursor.execute("ROLLBACK")

    def drop(self) -> None:
        self.server.drop_database(self.name)


class Server(ABC):
    """A server with databases of our own in it.

    Where the server is not ours (an address from the environment), `stop`, `start` and `restart` skip the test.
    """

    kind: str
    lost: type[Exception]
    """What the driver raises when there is no connection (any more)."""

    def __init__(self, source: str, process: "Process") -> None:
        self.source = source
        self.process = process
        self._prefix = f"jobtable_{secrets.token_hex(3)}"
        self._numbers = itertools.count(1)
        self._databases: set[str] = set()
        self._template: str | None = None
        self._office: Any = None

    @property
    @abstractmethod
    def version(self) -> str: ...

    @abstractmethod
    def url(self, database: str) -> str:
        """Return the address of a database as users write it."""

    @abstractmethod
    def connect(self, database: str | None = None, patience: float = 10.0) -> Any:
        """Open a connection of the plain driver, in autocommit; without a database as the administrator."""

    def rows(self, sql: str, database: str | None = None) -> list[tuple[Any, ...]]:
        """Run one statement and commit it; without a database as the administrator."""
        if database is None:
            return self._administer(sql)
        with closing(self.connect(database)) as connection:
            return _answers(connection, sql)

    @abstractmethod
    def client_command(self, url: str) -> list[str] | None:
        """Return the argv of the database's own command-line client, which reads SQL from its standard input."""

    @abstractmethod
    def kill_backends(self, database: str | None = None) -> int:
        """Cut every connection (to one database, or to all of ours) and return how many there were."""

    @abstractmethod
    def start(self) -> None:
        """Start the server again, at the same address with the same data, and wait until it answers."""

    @property
    def folder(self) -> Path | None:
        """The folder of a server that runs here, of its own account; None: it runs elsewhere."""
        return self.process.folder

    def stop(self, mode: str = "fast") -> None:
        """End the server: `fast` cuts its connections and closes its files, `kill` leaves them as they are."""
        self._leave()
        self.process.stop(mode)

    def close(self) -> None:
        """End what was started and remove what was made."""
        if isinstance(self.process, Borrowed):
            for name in sorted(self._databases):
                self.drop_database(name)
        self._leave()
        self.process.close()

    def restart(self, mode: str = "fast") -> None:
        self.stop(mode)
        self.start()

    def create_database(self) -> Database:
        """Make an empty database."""
        database = Database(self, self._new_name())
        self._create(database.name)
        return database

    def create_migrated_database(self, upgrade: Callable[[str], object]) -> Database:
        """Make a database with our tables; `upgrade(url)` is called once per server, the rest are copies."""
        if self._template is None:
            template = self.create_database()
            upgrade(template.url)
            self._template = template.name
        database = Database(self, self._new_name())
        self._copy(self._template, database.name)
        return database

    def create_database_in(self, folder: Path) -> Database:
        """Make an empty database whose tables lie in this folder, which the server's account owns."""
        database = Database(self, self._new_name())
        self._create_in(folder, database.name)
        return database

    def drop_database(self, name: str) -> None:
        """Remove a database that this server object made."""
        if name not in self._databases:
            raise LookupError(f"{name} is not a database of these tests")
        self._drop(name)
        self._databases.discard(name)

    def _administer(self, sql: str) -> list[tuple[Any, ...]]:
        """Run a statement over a connection that is kept: most tests begin and end with one."""
        if self._office is not None:
            try:
                return _answers(self._office, sql)
            except self.lost:
                self._leave()
        self._office = self.connect()
        return _answers(self._office, sql)

    def _leave(self) -> None:
        if self._office is not None:
            with suppress(self.lost):
                self._office.close()
            self._office = None

    def _new_name(self) -> str:
        name = f"{self._prefix}_{next(self._numbers)}"
        self._databases.add(name)
        return name

    @abstractmethod
    def _create(self, name: str) -> None: ...

    @abstractmethod
    def _create_in(self, folder: Path, name: str) -> None: ...

    @abstractmethod
    def _copy(self, template: str, name: str) -> None: ...

    @abstractmethod
    def _drop(self, name: str) -> None: ...


def _answers(connection: Any, sql: str) -> list[tuple[Any, ...]]:
    with closing(connection.cursor()) as cursor:
        cursor.execute(sql)
        return [tuple(row) for row in cursor.fetchall()] if cursor.description else []


class Process(ABC):
    """How a server is started and ended: our own child, a container, or not at all."""

    folder: Path | None = None
    """Where our own child works."""

    @abstractmethod
    def start(self) -> None: ...

    @abstractmethod
    def stop(self, mode: str) -> None: ...

    @abstractmethod
    def close(self) -> None: ...

    @abstractmethod
    def ended_within(self, seconds: float) -> bool:
        """Wait so long, or until the process has ended; return whether it has."""

    @abstractmethod
    def log_tail(self) -> str:
        """Return the end of what the server said."""

    def wait_ready(self, ready: Callable[[], object], *not_yet: type[Exception]) -> None:
        """Call `ready` until it raises none of `not_yet`; raise `Unavailable` when the server ended instead."""
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                ready()
            except not_yet as error:
                if self.ended_within(0.02) or time.monotonic() > deadline:
                    raise Unavailable(f"the server did not come up: {error}\n{self.log_tail()}") from error
            else:
                return


class Borrowed(Process):
    """A server at an address from the environment: somebody else's to stop."""

    def start(self) -> None:
        pytest.skip("stops its database server, which is possible only where the tests started it themselves")

    def stop(self, mode: str) -> None:
        self.start()

    def close(self) -> None:
        """Leave it as it is."""

    def ended_within(self, seconds: float) -> bool:
        return True  # it is there already, or it is not

    def log_tail(self) -> str:
        return ""
