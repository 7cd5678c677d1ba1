"""The description of the API, and every operation of it put to the test by what it says of itself."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from processor.api import failures
from tests.api.conftest import Api

EXAMPLES = 3
"""Requests that are made up at random for each operation, beside those for each border of what it takes."""


def test_every_operation_is_described(api: Api) -> None:
    described = api.client.get("/api/v1/openapi.json").json()
    assert described["openapi"].startswith("3.1")
    operations = [operation for path in described["paths"].values() for operation in path.values()]
    assert len(operations) > 30
    assert all(operation["summary"] and operation["description"] for operation in operations)
    assert len({operation["operationId"] for operation in operations}) == len(operations)


@pytest.mark.parametrize(
    ("who", "phases"), [("anybody", "examples,coverage,fuzzing"), ("admin", "coverage"), ("owner", "coverage")]
)
@pytest.mark.timeout(400)
def test_every_operation_keeps_its_promises(
    api: Api, who: str, phases: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No 500, no answer that the description does not know, nothing taken that it refuses, whatever is sent."""
    monkeypatch.setattr(failures, "MOST_FAILURES", 1_000_000)  # it tries wrong tokens and wants a 401 for each
    clients = {"anybody": lambda: api.client, "admin": lambda: api.asks_as(None, "admin")}
    client = clients.get(who, lambda: api.asks_as("ann"))()
    api.make(client, subject="s", key="k")
    token = client.headers.get("Authorization")
    ran = subprocess.run(
        [
            str(Path(sys.executable).with_name("schemathesis")),
            "run",
            str(api.client.base_url.join("/api/v1/openapi.json")),
            *("--checks", "all", "--phases", phases, "--max-examples", str(EXAMPLES)),
            *("--generation-deterministic", "--no-color"),
            *(("--header", f"Authorization: {token}") if token else ()),
        ],
        cwd=tmp_path,
        env={**os.environ, "HOME": str(tmp_path), "COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout[-20_000:] + ran.stderr
    generated = re.search(r"([0-9]+) generated, ([0-9]+) passed", ran.stdout)
    assert generated is not None, ran.stdout[-2000:]
    assert int(generated[2]) > 200
