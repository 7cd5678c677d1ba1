"""What one owner has in the table: jobs in every state, and all that hangs on them, with a secret in each text.

The deeds are done as users do them: through the API, and by a processor that claims, tells and settles. Names that
two owners may well choose alike (types, keys, lanes) are the same for both.
"""

import itertools
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import httpx

from processor.outcome import Kind
from processor.queue.events import Event, Told, store
from processor.queue.settle import settle
from tests.api.conftest import Api
from tests.api.test_session import browser
from tests.queue.conftest import verdict_of

PROCESSOR = "worker"
"""Who claims; it has to be registered."""
_number = itertools.count(1)


@dataclass
class World:
    """One owner, with a client of its own that shows a token, or the cookie of a session."""

    api: Api
    owner: str
    is_browser: bool = False
    client: httpx.Client = field(init=False)

    def __post_init__(self) -> None:
        if self.is_browser:
            self.client, said = browser(self.api, self.owner, "read", "write")
            self.client.headers["X-CSRF-Token"] = said["csrf"]
        else:
            self.client = self.api.asks_as(self.owner, "read", "write")

    @property
    def secret(self) -> str:
        return f"private{self.owner}"

    def ids(self, table: str, column: str = "id") -> list[Any]:
        where = (
            f"WHERE job_id IN (SELECT id FROM jobs WHERE owner = '{self.owner}')"
            if table in ("job_events", "job_errors")
            else f"WHERE owner = '{self.owner}'"
        )
        return [id for (id,) in self.api.queue.rows(f"SELECT {column} FROM {table} {where} ORDER BY {column}")]

    def ends(self) -> dict[str, int]:
        """Give the number of the latest thing that each stream tells."""
        return {"changes": self.ids("job_events")[-1], "notifications": self.ids("notifications")[-1]}

    def rows(self) -> dict[str, list[tuple[Any, ...]]]:
        """Give everything that the owner has, to compare it later."""
        found = {}
        for table in ("jobs", "job_events", "job_errors", "notifications", "webhooks"):
            ids = ", ".join(repr(id) for id in self.ids(table)) or "NULL"
            found[table] = self.api.queue.rows(f"SELECT * FROM {table} WHERE id IN ({ids}) ORDER BY id")
        return found

    def make(self, **job: Any) -> int:
        told = {"payload": {"said": self.secret}, "subject": f"about {self.secret}", **job}
        return self.api.make(self.client, **told)

    def claim(self, type_: str) -> Any:
        [job] = self.api.queue.claim(PROCESSOR, types=type_, jobs=1)
        said = (Event("log", "info", None, self.secret), Event("progress", None, 50.0, self.secret))
        assert not store(self.api.queue.database, [Told(job.id, PROCESSOR, job.claim_no, job.attempt, said)])
        return job

    def run(self, kind: Kind, **facts: Any) -> None:
        type_ = f"run{next(_number)}"
        self.make(type=type_)
        settle(self.api.queue.database, [verdict_of(self.claim(type_), kind, PROCESSOR, **facts)])

    def post(self, path: str, **body: Any) -> None:
        answer = self.client.post(f"/api/v1{path}", json=body or None)
        assert answer.is_success, answer.text


def pending(world: World) -> None:
    world.make()


def pending_by_key(world: World) -> None:
    world.post(
        "/jobs", type="work", key="same 0", payload={"said": world.secret}
    )  # the second time it is the first one


def scheduled(world: World) -> None:
    world.make(delay_seconds=3600)


def paused(world: World) -> None:
    world.post(f"/jobs/{world.make()}/pause")


def cancelled(world: World) -> None:
    world.post(f"/jobs/{world.make()}/cancel")


def running(world: World) -> None:
    type_ = f"run{next(_number)}"
    world.make(type=type_)
    world.claim(type_)


def completed(world: World) -> None:
    world.run(Kind.RETURNED, result=json.dumps({"found": world.secret}))


def failed(world: World) -> None:
    texts = dict.fromkeys(("error_type", "error_message", "error_detail"), world.secret)
    world.run(Kind.RAISED, **texts)


def in_a_lane(world: World) -> None:
    """Of the lane, which other owners use, too, one runs and the next waits."""
    for _ in range(2):
        world.make(type="lane", concurrency_key="shared")
    world.api.queue.take(PROCESSOR, types="lane")


def family(world: World) -> None:
    parent = world.make(type="batch", key=None)
    for _ in range(2):
        world.make(parent_id=parent, on_complete=f"after{next(_number)}")


def webhook(world: World) -> None:
    world.post("/webhooks", url=f"https://hooks.example/{world.secret}", name=world.secret, type="nothing")


DEEDS: tuple[Callable[[World], None], ...] = (
    pending,
    pending_by_key,
    scheduled,
    paused,
    cancelled,
    running,
    completed,
    failed,
    in_a_lane,
    family,
    webhook,
)
