"""A server as users run it: a process of its own, killed without warning, started anew where it was."""

import json
import os
import signal
import subprocess
import sys

from tests.patience import eventually
from tests.processors.running import ROOT, Site


class Server:
    """`jobtable serve` at a site; `port` stays the same over restarts."""

    def __init__(self, site: Site, name: str) -> None:
        self._site = site
        self._log = site.folder / f"{name}.log"
        self.port = 0
        self.start()

    def start(self) -> None:
        """Start it, and wait until it answers."""
        arguments = ["--config", str(self._site.config), "serve", "--listen", f"127.0.0.1:{self.port}"]
        with self._log.open("w") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "processor", *arguments],
                stdout=subprocess.DEVNULL,
                stderr=log,
                cwd=self._site.folder,
                env={**os.environ, "PYTHONPATH": str(ROOT), "JOBTABLE_LOG__FORMAT": "json"},
            )
        self.port = eventually(self._answers_at, f"the server: {self._log.read_text()}")

    def _answers_at(self) -> int | None:
        told = [line for line in self._log.read_text().splitlines() if "server_started" in line and line[-1] == "}"]
        assert told or self._process.poll() is None, f"it ended before it answered: {self._log.read_text()}"
        return int(json.loads(told[0])["address"].rpartition(":")[2]) if told else None

    def kill(self) -> None:
        """End it as a crash would: nobody is told."""
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()
