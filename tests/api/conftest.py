"""The API on each kind of database, asked as programs ask it."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from starlette.testclient import TestClient

from processor.api.app import application
from processor.queue import tokens
from processor.settings import Settings, load
from tests.queue.conftest import Queue, queue

__all__ = ["Api", "api", "queue"]

CONFIGURATION = """
[types.few]
python = "some.module:few"
queue_limit = 2
[types.work]
python = "some.module:work"
"""


@dataclass
class Api:
    """`client` asks without a token; `asks_as` gives one that asks with a token of these scopes."""

    queue: Queue
    settings: Settings
    client: TestClient

    def asks_as(self, owner: str | None, *scopes: str) -> TestClient:
        _, text = tokens.create(self.queue.database, owner=owner, scopes=scopes or ("read", "write"))
        return self.with_token(text)

    def with_token(self, text: str) -> TestClient:
        client = TestClient(self.client.app, base_url="http://localhost", raise_server_exceptions=False)
        client.headers["Authorization"] = f"Bearer {text}"
        return client

    def make(self, client: TestClient | None = None, **job: Any) -> int:
        answer = (client or self.client).post("/api/v1/jobs", json={"type": "work", **job})
        assert answer.status_code == 202, answer.text
        return int(answer.json()["id"])


@pytest.fixture
def api(queue: Queue, tmp_path: Any) -> Iterator[Api]:
    path = tmp_path / "jobtable.toml"
    path.write_text(CONFIGURATION)
    settings = load(path, flags={"database.url": queue.given.url})
    app = application(settings)
    with TestClient(app, base_url="http://localhost", raise_server_exceptions=False) as client:
        yield Api(queue, settings, client)
    app.state.service.database.close()
