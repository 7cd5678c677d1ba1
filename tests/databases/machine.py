"""Servers from binaries on this machine: whose account, which folder, which port, and the process itself."""

import json
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from tests.databases.server import START_SECONDS, Process, Unavailable

MEMORY = Path("/dev/shm")
MEMORY_NEEDED = 2 << 30  # bytes
_KEEPER = Path(__file__).with_name("keeper.py")


@dataclass(frozen=True)
class Account:
    """The user that a server runs as: database servers refuse to run as root."""

    user: int | None = None
    group: int | None = None

    @property
    def groups(self) -> list[int] | None:
        return None if self.user is None else []

    def run(self, command: list[str], folder: Path) -> None:
        """Run a command to its end, or raise `Unavailable` with what it said."""
        done = subprocess.run(
            command,
            cwd=folder,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=START_SECONDS,
            user=self.user,
            group=self.group,
            extra_groups=self.groups,
        )
        if done.returncode != 0:
            raise Unavailable(f"{command[0]} failed: {(done.stderr or done.stdout).strip()[-600:]}")


def unprivileged(*names: str) -> Account:
    """Choose the first of these users when we are root; otherwise stay who we are."""
    if os.geteuid() != 0:
        return Account()
    for name in (*names, "nobody"):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(entry.pw_uid, entry.pw_gid)
    raise Unavailable(f"we are root, and there is no user {' or '.join((*names, 'nobody'))} to run the server as")


def new_folder(account: Account) -> Path:
    """Make a folder that the account owns and can reach."""
    folder = Path(tempfile.mkdtemp(prefix="jobtable-test-", dir=_place()))
    if account.user is not None and account.group is not None:
        os.chown(folder, account.user, account.group)
    folder.chmod(0o711)  # its socket may be reached, its name cannot be guessed
    return folder


def _place() -> Path:
    """Choose where data lie: TEST_DATA_DIR, memory, or the temporary folder.

    A killed server's writes survive in memory as they do in the page cache of a disk, and nobody waits for a slow disk.
    """
    if named := os.environ.get("TEST_DATA_DIR"):
        return Path(named)
    if MEMORY.is_dir() and os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free > MEMORY_NEEDED:
        return MEMORY
    for parent in (Path(tempfile.gettempdir()), Path("/tmp"), Path("/var/tmp")):
        if all(step.stat().st_mode & 0o001 for step in (parent, *parent.resolve().parents)):
            return parent
    raise Unavailable("no temporary folder can be entered by another user; name one in TEST_DATA_DIR")


def free_port() -> int:
    """Return a port of the loopback interface that nobody uses at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Kept(Process):
    """A server as the child of a keeper, which ends it when the test run ends, however that ends."""

    def __init__(
        self, command: list[str], folder: Path, account: Account, *, fast: signal.Signals, kill: signal.Signals
    ) -> None:
        self._command = command
        self.folder: Path = folder
        self._account = account
        self._signals = {"fast": fast, "kill": kill}
        self._log = folder / "server.log"
        self._keeper: subprocess.Popen[str] | None = None
        self.pid: int | None = None

    def start(self) -> None:
        order = {
            "command": self._command,
            "folder": str(self.folder),
            "log": str(self._log),
            "end": self._signals["fast"],
            "user": self._account.user,
            "group": self._account.group,
            "groups": self._account.groups,
        }
        self._keeper = subprocess.Popen(
            [sys.executable, "-IS", str(_KEEPER), json.dumps(order)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        assert self._keeper.stdout is not None
        self.pid = int(self._keeper.stdout.readline())

    def log_tail(self) -> str:
        return self._log.read_text(errors="replace")[-1000:]

    def stop(self, mode: str) -> None:
        if self._keeper is None:
            return
        assert self._keeper.stdin is not None
        print(int(self._signals[mode]), file=self._keeper.stdin, flush=True)
        self._keeper.wait(START_SECONDS)
        self._let_go()

    def close(self) -> None:
        if self._keeper is not None:
            self._let_go()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _let_go(self) -> None:
        assert self._keeper is not None
        self._keeper.communicate(timeout=START_SECONDS)
        self._keeper = None
        self.pid = None

    def ended_within(self, seconds: float) -> bool:
        assert self._keeper is not None
        try:
            self._keeper.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        return True
