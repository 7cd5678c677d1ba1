"""A file system of a few megabytes with one database on it, so that a test can fill it."""

import errno
import os
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.databases.server import Database, Server

NO_MOUNT = "none can be mounted here, though we are root"
"""What a sandbox refuses to root, too: no set-up of ours can give it."""


class SmallDisk:
    def __init__(self, folder: Path) -> None:
        self._filler = folder / "filler"

    def fill(self) -> None:
        """Take every byte that is left."""
        with self._filler.open("ab", buffering=0) as file:
            for block in (1 << 20, 1 << 12):
                try:
                    while True:
                        file.write(bytes(block))
                except OSError as error:
                    if error.errno != errno.ENOSPC:
                        raise

    def make_room(self) -> None:
        self._filler.unlink()


@contextmanager
def on_a_small_disk(
    server: Server, megabytes: int, upgrade: Callable[[str], object]
) -> Iterator[tuple[Database, SmallDisk]]:
    """Give a migrated database alone on a disk; skip where nobody may mount one or the server is elsewhere."""
    if server.folder is None:
        pytest.skip("fills the disk of its database server, which is possible only where the tests started it")
    owner = server.folder.stat()
    disk = Path(tempfile.mkdtemp(prefix="disk-", dir=server.folder))
    _mount(disk, f"size={megabytes}m,uid={owner.st_uid},gid={owner.st_gid},mode=0700")
    try:
        database = server.create_database_in(disk)
        upgrade(database.url)
        yield database, SmallDisk(disk)
        database.drop()
    finally:
        subprocess.run(["umount", "--lazy", str(disk)], check=True)


def _mount(disk: Path, options: str) -> None:
    if os.geteuid() != 0:
        pytest.skip("fills a disk of its own, and only root may mount one")
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "none", str(disk)], capture_output=True, text=True)
    if done.returncode != 0:
        pytest.skip(f"fills a disk of its own, and {NO_MOUNT}: {done.stderr.strip()}")
