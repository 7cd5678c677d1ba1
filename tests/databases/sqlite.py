"""SQLite for the tests: files in a folder, with the face of a server."""

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from sqlalchemy import make_url

from tests.databases.machine import Account, new_folder
from tests.databases.server import Borrowed, Server


class SQLite(Server):
    """Nothing runs here. "Stopped" means that one connection holds the write lock of every file: nobody can write."""

    kind = "sqlite"
    lost = sqlite3.OperationalError

    def __init__(self) -> None:
        super().__init__("Python's own library", Borrowed())
        self._folder = new_folder(Account())
        self._locks: list[sqlite3.Connection] = []

    @property
    def version(self) -> str:
        return sqlite3.sqlite_version

    def url(self, database: str) -> str:
        return f"sqlite:///{self._path(database)}"

    def client_command(self, url: str) -> list[str] | None:
        client = shutil.which("sqlite3")
        if client is None:
            return None
        return [client, "-batch", "-bail", "-cmd", ".timeout 10000", str(make_url(url).database)]

    def kill_backends(self, database: str | None = None) -> int:
        return 0  # there are none

    def start(self) -> None:
        while self._locks:
            self._locks.pop().close()

    def stop(self, mode: str = "fast") -> None:
        for name in sorted(self._databases):
            if self._path(name).exists():
                lock = self.connect(name)
                self._locks.append(lock)
                lock.execute("BEGIN EXCLUSIVE")

    @property
    def folder(self) -> Path:
        return self._folder

    def close(self) -> None:
        self.start()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _path(self, name: str) -> Path:
        return self._folder / f"{name}.db"

    def connect(self, database: str | None = None, patience: float = 10.0) -> sqlite3.Connection:
        return sqlite3.connect(self._path(database or "administration"), timeout=patience, isolation_level=None)

    def _create(self, name: str) -> None:
        self._path(name).touch()

    def _create_in(self, folder: Path, name: str) -> None:
        self._path(name).symlink_to(folder / name)
        self._path(name).touch()

    def _copy(self, template: str, name: str) -> None:
        with closing(self.connect(template)) as source, closing(self.connect(name)) as target:
            source.backup(target)

    def _drop(self, name: str) -> None:
        for file in self._folder.glob(f"{name}.db*"):
            file.unlink()


def from_library() -> tuple[str, Callable[[], Server]]:
    return "Python's own library", SQLite
