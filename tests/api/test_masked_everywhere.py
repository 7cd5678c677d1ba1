"""No answer, stream or message shows what lies under a secret's name, wherever in the table that is.

Two servers look at the same rows: one that hides nothing, to see that the secret is there to be shown, and one that
hides. A path that is added later is walked, too.
"""

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from processor.api.app import application
from processor.outcome import Kind
from processor.queue.events import Event, Told, store
from processor.queue.settle import settle
from tests.api.conftest import Api, serving
from tests.api.test_events import LIVE, frames
from tests.api.test_socket import talking
from tests.api.test_two_owners import NOT_API, paths
from tests.queue.conftest import verdict_of

CANARY = "hunter2"
PAYLOAD = {"to": "ann", "deep": [{"api_key": CANARY}], "Password": {"in": [CANARY]}}
SAID = f"password={CANARY}"
TOLD = (Event("log", "info", None, SAID), Event("output", None, None, SAID), Event("progress", None, 50.0, SAID))
SHOW = {
    *("GET /jobs", "GET /jobs/latest", "GET /jobs/{job_id:int}", "GET /jobs/{job_id:int}/result"),
    *("GET /jobs/{job_id:int}/errors", "GET /jobs/{job_id:int}/events", "GET /changes", "GET /notifications"),
    *("GET /statistics", "GET /schedules", "GET /schedules/{name}", "GET /webhooks", "GET /webhooks/{webhook_id}"),
    *("PATCH /jobs/{job_id:int}", "POST /jobs/{job_id:int}/cancel", "POST /jobs/{job_id:int}/pause"),
    *("POST /jobs/{job_id:int}/resume", "POST /jobs/{job_id:int}/retry", "POST /jobs/{job_id:int}/run-now"),
    *("PUT /schedules/{name}", "POST /schedules/{name}/pause", "POST /schedules/{name}/resume"),
    *(
        "PATCH /webhooks/{webhook_id}",
        "POST /webhooks/{webhook_id}/pause",
        "POST /webhooks/{webhook_id}/resume",
        "POST /webhooks/{webhook_id}/rotate",
    ),
}
"""What has texts or JSON of users in it."""
QUERIES = {"/jobs/latest": "?subject=s", "/changes": "?after=0"}
BODIES: dict[str, Any] = {
    "PATCH /jobs/{job_id:int}": {"priority": 1},
    "PATCH /webhooks/{webhook_id}": {"name": "mine"},
    "PUT /schedules/{name}": {"priority": 1},
}


@pytest.fixture
def frank(api: Api) -> Iterator[httpx.Client]:
    """Ask a server that hides nothing."""
    settings = api.settings.model_copy(update={"serve": api.settings.serve.model_copy(update={"mask": ()})})
    app = application(settings, is_loopback=True)
    with serving(app) as address, httpx.Client(base_url=address, timeout=30) as client:
        yield client


def fill(api: Api) -> None:
    """Put the secret wherever users write: job 1 runs, 2 failed, 3 completed, 4 waits, 5 is paused, 6 comes later."""
    for more in ({}, {}, {}, {}, {}, {"delay_seconds": 3600}):
        api.make(payload=PAYLOAD, subject="s", **more)
    api.client.post("/api/v1/jobs/5/pause")
    ends: tuple[tuple[Kind, dict[str, Any]] | None, ...] = (
        None,
        (Kind.RAISED, dict.fromkeys(("error_type", "error_message", "error_detail"), SAID)),
        (Kind.RETURNED, {"result": json.dumps(PAYLOAD)}),
    )
    for end in ends:
        [job] = api.queue.claim(types="work", jobs=1)
        assert not store(api.queue.database, [Told(job.id, "p1", job.claim_no, job.attempt, TOLD)])
        if end is not None:
            settle(api.queue.database, [verdict_of(job, end[0], **end[1])])
    made = {"type": "work", "cron": "0 0 1 1 *", "payload": PAYLOAD}
    assert api.client.put("/api/v1/schedules/yearly", json=made).status_code == 201
    hook = api.client.post("/api/v1/webhooks", json={"url": f"https://hooks.example/x?token={CANARY}"})
    assert hook.status_code == 201, hook.text


def walk(client: httpx.Client, api: Api) -> set[str]:
    """Ask for everything; give the paths whose answers had the secret."""
    [[hook]] = api.queue.rows("SELECT id FROM webhooks")
    found = set()
    for method, path in sorted(sorted(paths(), reverse=True), key=lambda one: one[0] != "GET"):  # cancel comes last
        name = f"{method} {path}"
        if method in ("WS", "HEAD", "DELETE") or name in NOT_API or "{id" in path:
            continue
        for job in range(1, 7) if "{job_id" in path else [0]:
            filled = path.replace("{webhook_id}", hook).replace("{name}", "yearly").replace("{job_id:int}", str(job))
            answer = client.request(method, f"/api/v1{filled}{QUERIES.get(path, '')}", json=BODIES.get(name))
            assert answer.status_code < 500, f"{name}: {answer.text}"
            if CANARY in answer.text:
                found.add(name)
    return found


def test_no_answer_shows_a_secret(api: Api) -> None:
    fill(api)
    assert walk(api.client, api) == set()


def test_without_patterns_all_of_these_show_it(api: Api, frank: httpx.Client) -> None:
    """See that the test above looks where there is something to see."""
    fill(api)
    assert walk(frank, api) == SHOW


@pytest.fixture(params=[False, True], ids=["hidden", "shown"])
def told(request: pytest.FixtureRequest, api: Api, frank: httpx.Client) -> tuple[httpx.Client, bool]:
    """Give who asks, and whether the secret is shown."""
    fill(api)
    return (frank if request.param else api.client), request.param


def test_no_stream_shows_a_secret(told: tuple[httpx.Client, bool]) -> None:
    client, is_shown = told
    for path, last in (("/jobs/2/events", "end"), ("/changes?after=0", "output"), ("/notifications?after=0", None)):
        with client.stream("GET", f"/api/v1{path}", headers=LIVE) as answer:
            heard = []
            for frame in frames(answer):
                heard.append(frame["data"])
                if frame["event"] in (last, "notification"):
                    break
        assert (CANARY in "".join(heard)) is is_shown, path


def test_no_message_shows_a_secret(told: tuple[httpx.Client, bool]) -> None:
    client, is_shown = told
    with talking(client.base_url) as talk:
        for do, job in (("pause", 4), ("resume", 4), ("run-now", 6), ("retry", 3), ("cancel", 1)):
            talk.say(do, job=job)
            assert (CANARY in json.dumps(talk.hear())) is is_shown, do
    subscriptions: tuple[tuple[dict[str, Any], str], ...] = (
        ({"to": "job", "job": 2}, "end"),
        ({"to": "changes", "after": 0}, "output"),
        ({"to": "notifications", "after": 0}, "notification"),
    )
    for asked, last in subscriptions:
        with talking(client.base_url, max_queue=None) as talk:
            talk.say("subscribe", **asked)
            heard = [talk.hear()]
            while heard[-1]["event"] != last:
                heard.append(talk.hear())
            assert (CANARY in json.dumps(heard)) is is_shown, asked
