"""`jobtable serve` and `jobtable run` as processes of their own, in a folder, as a person has them."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from click.testing import CliRunner

from processor.cli.root import root
from tests.cli.conftest import environment
from tests.patience import eventually

DEEDS = Path(__file__).parent
SETTINGS = """
[database]
url = "{url}"
[processor]
max_concurrent = 6
max_processes = 6
poll_interval = 0.05
heartbeat_interval = 0.3
grace = 0.3
drain_timeout = 0.3
pythonpath = ["{deeds}"]
run_dir = "{folder}/run"
[retry]
delay = 0.05
[metrics]
listen = ""
[types."chapter.analyse"]
python = "deeds:tell"
jobs_per_worker = 50
[types."chapter.count"]
python = "deeds:count"
[types."report.daily"]
python = "deeds:fail"
jobs_per_worker = 50
[types."mail.send"]
python = "deeds:tell"
jobs_per_worker = 50
[types."thumbnail.make"]
python = "deeds:tell"
max_concurrent = 1
"""


class Site:
    """A folder with settings and a migrated database; what is started there ends with it."""

    def __init__(self, folder: Path, url: str) -> None:
        self.folder = folder
        self.address = ""
        self._started: list[subprocess.Popen[bytes]] = []
        (folder / "jobtable.toml").write_text(SETTINGS.format(url=url, deeds=DEEDS, folder=folder), "utf-8")

    def start(self, command: str, *words: str) -> subprocess.Popen[bytes]:
        with self.log(command).open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", "processor", "--config", "jobtable.toml", command, *words],
                cwd=self.folder,
                env=environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        self._started.append(process)
        return process

    def log(self, command: str) -> Path:
        return self.folder / f"{command}.log"

    def serve(self, *words: str, listen: str = "127.0.0.1:0") -> subprocess.Popen[bytes]:
        """Start a server and wait until it answers at `address`."""
        server = self.start("serve", "--listen", listen, *words)

        def says() -> re.Match[str] | None:
            assert server.poll() is None, self.log("serve").read_text()
            return re.search(r'"server_started", "address": "([^"]+)"', self.log("serve").read_text())

        self.address = eventually(says, "the server")[1]
        return server

    def command(self, *words: object) -> str:
        """Run another command, in this process."""
        clean = {name: None for name in os.environ if name.startswith("JOBTABLE_")}
        done = CliRunner().invoke(root, ["--config", str(self.folder / "jobtable.toml"), *map(str, words)], env=clean)
        assert done.exit_code == 0, done.stderr
        return done.stdout.strip()

    def enqueue(self, type_: str, *words: str, **payload: Any) -> int:
        return int(self.command("enqueue", type_, "--payload", json.dumps(payload), *words))

    def end(self, process: subprocess.Popen[bytes]) -> None:
        """End a process in order."""
        process.send_signal(signal.SIGTERM)
        process.wait(30)

    def close(self) -> None:
        for process in self._started:
            if process.poll() is None:
                process.terminate()
        for process in self._started:
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
