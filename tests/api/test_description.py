"""The description of the API, and every operation of it put to the test by what it says of itself."""

import warnings
from typing import Any

import pytest

from tests.api.conftest import Api

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import schemathesis

EXAMPLES = 15
"""Requests of each kind to each operation, on each database."""


def test_every_path_is_described(api: Api) -> None:
    described = api.client.get("/api/v1/openapi.json").json()
    assert described["openapi"].startswith("3.1")
    operations = [op for path in described["paths"].values() for op in path.values()]
    assert len(operations) > 30
    assert all(op["summary"] and op["description"] for op in operations)
    assert len({op["operationId"] for op in operations}) == len(operations)


def test_no_answer_of_the_description_loads_anything_from_elsewhere(api: Api) -> None:
    assert "http://" not in api.client.get("/api/v1/openapi.json").text.replace("http://localhost", "")


@pytest.mark.parametrize("token", ["none", "admin", "owner"])
def test_every_operation_keeps_its_promises(api: Api, token: str) -> None:
    """No 500, no answer that the description does not know, whatever is sent."""
    headers: dict[str, Any] = {}
    if token != "none":
        client = api.asks_as(None, "admin") if token == "admin" else api.asks_as("ann", "read", "write")
        headers = {"Authorization": client.headers["Authorization"]}
    api.make(api.asks_as(None, "admin") if token != "none" else None, owner="ann", subject="s")
    schema = schemathesis.openapi.from_url(f"{api.client.base_url}/api/v1/openapi.json", headers=headers)
