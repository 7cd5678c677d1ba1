"""A real Prometheus for the tests: its own port and folder, loopback only, ended with the test."""

import json
import shutil
import signal
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.databases.machine import Account, Kept, free_port, new_folder
from tests.patience import PATIENCE, eventually

EMPTY = "global: {scrape_interval: 1h}\n"


class Sample(NamedTuple):
    labels: dict[str, str]
    value: float


class Prometheus:
    """A server with this configuration; `config` may name rules beside it."""

    def __init__(self, config: Path) -> None:
        program = shutil.which("prometheus")
        if program is None:
            pytest.skip("prometheus is NOT installed, deployment/ was not run with it: apt-get install prometheus")
        self.listen = f"127.0.0.1:{free_port()}"
        folder = new_folder(Account())
        command = [
            program,
            f"--config.file={config}",
            f"--storage.tsdb.path={folder / 'data'}",
            f"--web.listen-address={self.listen}",
            "--log.level=warn",
        ]
        self._server = Kept(command, folder, Account(), fast=signal.SIGTERM, kill=signal.SIGKILL)
        self._server.start()
        eventually(self._is_ready, "Prometheus is ready")

    def _is_ready(self) -> bool:
        assert not self._server.ended_within(0), self._server.log_tail()
        try:
            with urllib.request.urlopen(f"http://{self.listen}/-/ready", timeout=PATIENCE):
                return True
        except (urllib.error.URLError, ConnectionError):
            return False

    def ask(self, path: str, **parameters: str) -> dict[str, Any]:
        """Ask its API; a question that it cannot parse is answered, too."""
        form = urllib.parse.urlencode(parameters).encode() if parameters else None
        try:
            with urllib.request.urlopen(f"http://{self.listen}/api/v1/{path}", form, PATIENCE) as answer:
                text = answer.read()
        except urllib.error.HTTPError as error:
            with error:
                text = error.read()
        told: dict[str, Any] = json.loads(text)
        return told

    def query(self, expression: str) -> list[Sample]:
        """Evaluate an expression at this moment."""
        answer = self.ask("query", query=expression)
        assert answer["status"] == "success", f"{expression}: {answer.get('error')}"
        return [Sample(one["metric"], float(one["value"][1])) for one in answer["data"]["result"]]

    def firing(self) -> dict[str, list[dict[str, str]]]:
        """Give the alerts that fire, each with the labels it fires for."""
        alerts = self.ask("alerts")["data"]["alerts"]
        found: dict[str, list[dict[str, str]]] = {}
        for one in (alert for alert in alerts if alert["state"] == "firing"):
            found.setdefault(one["labels"]["alertname"], []).append(one["labels"])
        return found

    def await_alert(self, name: str, **labels: str) -> None:
        """Wait until an alert fires for these labels."""

        def seen() -> bool:
            return any(labels.items() <= found.items() for found in self.firing().get(name, []))

        eventually(seen, f"{name} {labels} fires; what does: {sorted(self.firing())}")

    def close(self) -> None:
        self._server.stop("fast")
        self._server.close()
