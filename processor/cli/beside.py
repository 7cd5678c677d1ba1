"""The server of `jobtable run --serve`: `jobtable serve` as a child that the processor neither waits for nor dies of.

It has the settings of this call by its environment, where nobody else reads them. It is started again when it ends, and
when the processor has taken over new settings; it ends when its standard input does: with the processor, however that
dies. As process:

    python -m processor.cli.beside
"""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Any

from processor import layers
from processor.errors import DatabaseError, StartRefused
from processor.happenings import ServerLost, SettingsReloaded
from processor.settings import Settings

SHORTEST, LONGEST = 1.0, 30.0
"""Seconds until it is started again; twice as long each time, unless it ran for longer than that."""
PATIENCE = 8.0
"""Seconds for it to end in: its requests have five."""
NOT_FOR_IT = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID")
"""Variables by which systemd speaks with the processor."""


def check(settings: Settings, before: Settings | None = None) -> None:
    """Refuse what would keep the server from starting, as far as that can be known. Raises `StartRefused`.

    `before` are the settings of one that runs: it holds its address itself.
    """
    from processor.api import address
    from processor.db import schema
    from processor.work.incarnation import open_database

    if find_spec("fastapi") is None or find_spec("uvicorn") is None:
        raise StartRefused("The API needs libraries that are not installed.", 'Run pip install "jobtable[web]".')
    if before is None or before.serve.address != settings.serve.address:
        address.listening(settings.serve.address, "--serve-listen").close()
    with contextlib.suppress(DatabaseError), open_database(settings) as database:  # one that is away is waited for
        schema.check(database)
        address.is_open(settings, database)


def environment(config: Path | None, flags: Mapping[str, Any]) -> dict[str, str]:
    """Give the environment in which another call has the settings of this one."""
    found = {name: text for name, text in os.environ.items() if name not in NOT_FOR_IT}
    if config is not None:
        found[layers.CONFIG] = str(config.absolute())
    given = {layers.variable(tuple(key.split("."))): str(value) for key, value in flags.items()}
    return {**found, **given}


class Server:
    """The child, from entering to leaving; `tell` hears when it ended by itself.

    It listens to what happens in the processor: new settings that are in force are those of the next child.
    """

    def __init__(self, settings: Settings, environment: Mapping[str, str], tell: Callable[[object], None]) -> None:
        self._settings = self._considered = settings
        self._environment = dict(environment)
        self._tell = tell
        self._ending = threading.Event()
        self._starting = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._replaced: subprocess.Popen[bytes] | None = None
        self._thread = threading.Thread(target=self._run, name="server", daemon=True)

    def consider(self, settings: Settings) -> Settings:
        """Give new settings back if a server could start with them. Raises `StartRefused`."""
        check(settings.model_copy(update={"database": self._settings.database}), self._settings)  # that one stays
        self._considered = settings
        return settings

    def __call__(self, happening: object) -> None:
        new, old = self._considered, self._settings
        if not isinstance(happening, SettingsReloaded) or new == old:
            return
        if new.database == old.database:  # else the processor goes on with the old one
            self._settings = new
            self._replace()

    def _replace(self) -> None:
        """Let the child end in order; another one follows at once, which reads the settings as they are now."""
        with self._starting:
            self._replaced = self._process
            if self._process is not None and self._process.stdin is not None:
                self._process.stdin.close()

    def __enter__(self) -> "Server":
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        with self._starting:
            self._ending.set()
            process = self._process
        if process is not None and process.stdin is not None:
            process.stdin.close()
        self._thread.join(PATIENCE)
        if process is not None and self._thread.is_alive():
            process.kill()
            self._thread.join(PATIENCE)

    def _run(self) -> None:
        pause = SHORTEST
        while (process := self._start()) is not None:
            begun = time.monotonic()
            code = process.wait()
            if process is self._replaced:
                pause = SHORTEST
                continue
            if time.monotonic() - begun > LONGEST:
                pause = SHORTEST
            if not self._ending.is_set():
                self._tell(ServerLost(code, pause))
            if self._ending.wait(pause):
                return
            pause = min(2 * pause, LONGEST)

    def _start(self) -> "subprocess.Popen[bytes] | None":
        """Start it in a session of its own, so that Ctrl-C is for the processor alone; None: it is to be no more."""
        with self._starting:
            if self._ending.is_set():
                return None
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "processor.cli.beside"],
                env=self._environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                start_new_session=True,
            )
            return self._process


def main() -> None:
    """Serve until the standard input ends."""
    from processor.cli.root import root

    threading.Thread(target=_end_with_input, name="input", daemon=True).start()
    root.main(["serve"], prog_name="jobtable")


def _end_with_input() -> None:
    """End in order when the processor is gone, or else at once."""
    while os.read(0, 4096):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(PATIENCE)
    os._exit(1)


if __name__ == "__main__":
    main()
