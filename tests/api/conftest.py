"""The API on each kind of database, served on a real socket and asked as programs ask it."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from fastapi import FastAPI

from processor.api.app import application
from processor.api.server import listening
from processor.queue import tokens
from processor.settings import Settings, load
from tests.patience import eventually
from tests.queue.conftest import Queue, queue

__all__ = ["Api", "api", "queue", "serving"]

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
    app: FastAPI
    client: httpx.Client
    opened: list[httpx.Client] = field(default_factory=list)

    def asks_as(self, owner: str | None, *scopes: str) -> httpx.Client:
        _, text = tokens.create(self.queue.database, owner=owner, scopes=scopes or ("read", "write"))
        return self.with_token(text)

    def with_token(self, text: str) -> httpx.Client:
        headers = {"Authorization": f"Bearer {text}"}
        self.opened.append(httpx.Client(base_url=self.client.base_url, headers=headers, timeout=30))
        return self.opened[-1]

    def make(self, client: httpx.Client | None = None, **job: Any) -> int:
        answer = (client or self.client).post("/api/v1/jobs", json={"type": "work", **job})
        assert answer.status_code == 202, answer.text
        return int(answer.json()["id"])


@pytest.fixture
def api(queue: Queue, tmp_path: Path) -> Iterator[Api]:
    path = tmp_path / "jobtable.toml"
    path.write_text(CONFIGURATION)
    settings = load(path, flags={"database.url": queue.given.url})
    app = application(settings, is_loopback=True)
    with serving(app) as address, httpx.Client(base_url=address, timeout=30) as client:
        api = Api(queue, settings, app, client)
        yield api
        for opened in api.opened:
            opened.close()


@contextmanager
def serving(app: FastAPI) -> Iterator[str]:
    """Serve an application on a free port of this machine; give its address."""
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, access_log=False, lifespan="on"))
    with listening(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        eventually(lambda: server.started or not thread.is_alive(), "the server")
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()
