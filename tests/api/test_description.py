"""The description of the API, and every operation of it put to the test by what it says of itself."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

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


def test_every_body_has_an_example_that_is_taken(api: Api) -> None:
    described = api.client.get("/api/v1/openapi.json").json()
    api.client.put("/api/v1/schedules/none", json={"type": "work", "cron": "@daily"})
    shown = set()
    for path, operations in described["paths"].items():
        for method, operation in operations.items():
            if "requestBody" in operation:
                shown.add(f"{method} {path}")
                for example in _examples(described, operation):
                    api.make()
                    filled = re.sub(r"{job_id}", "1", path).replace("{name}", "work").replace("{webhook_id}", "0" * 8)
                    answer = api.client.request(method, filled, json=example)
                    assert answer.status_code in (200, 201, 202, 404), f"{method} {path}: {answer.text}"
    assert len(shown) >= 11, shown
    assert described["components"]["schemas"]["Problem"]["examples"][0].keys() >= {"status", "detail", "remedy"}


def _examples(described: Any, operation: Any) -> list[Any]:
    schema = operation["requestBody"]["content"]["application/json"]["schema"]
    named = [one["$ref"] for one in (schema, *schema.get("anyOf", ())) if "$ref" in one]
    examples = described["components"]["schemas"][named[0].rpartition("/")[2]].get("examples", [])
    assert examples, f"{named[0]} has no example"
    return list(examples)


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
