"""Two owners never meet: whatever one of them asks, by every path, stream and message, the other is not there.

Three things are held, for worlds that are made at random. What an owner reads is the same whether there is another or
not. What is asked about a thing of another is answered as for one that does not exist. And whatever an owner changes,
the other's rows stay as they were. A path or a message that is not treated here fails by its name.
"""

import importlib
import itertools
import json
import pkgutil
import re
from collections.abc import Iterator
from typing import Any, get_args

import httpx
import pytest
from fastapi.routing import iter_route_contexts
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from processor.api import messages, routes
from processor.api.app import PREFIX
from processor.api.routes import socket
from tests.api.conftest import Api
from tests.api.test_events import LIVE, frames
from tests.api.test_socket import Talk, talking
from tests.api.worlds import DEEDS, PROCESSOR, World, completed, failed, pending, pending_by_key, webhook

JSON = dict[str, Any]
BODIES: dict[str, JSON | None] = {
    "PATCH /jobs/{job_id:int}": {"priority": 9},
    "PATCH /webhooks/{webhook_id}": {"name": "mine"},
    "POST /webhooks/{webhook_id}/rotate": {"keep_seconds": 1},
}
"""Of the paths about one thing, what those are sent that need it."""
TOGETHER = {
    "GET /jobs",
    "GET /jobs/latest",
    "POST /jobs",
    "POST /jobs/batch",
    "POST /jobs/bulk",
    "POST /jobs/cleanup",
    "GET /changes",
    "GET /statistics",
    "GET /statistics/waiting",
    "GET /notifications",
    "POST /notifications/read",
    "GET /webhooks",
    "POST /webhooks",
}
"""Paths about many things: `asked_of_many` has what they are asked."""
NOBODYS = {"GET /types", "GET /types/{name}", "GET /session", "POST /session", "DELETE /session", "POST /ws-tickets"}
"""What concerns everybody, or who asks, and has no owner in it."""
PAGE = {f"{method} {path}" for method in ("GET", "HEAD") for path in ("/", "/page/{version}/{name:path}")}
HEALTH = {f"{method} {path}" for method in ("GET", "HEAD") for path in ("/healthz", "/readyz")}
NOT_API = {"GET /metrics", "GET /ws", "WS /ws", *HEALTH, *PAGE}
ADMINS = {
    "PATCH /types/{name}",
    "POST /types/{name}/pause",
    "POST /types/{name}/resume",
    "GET /schedules",
    "GET /schedules/{name}",
    "PUT /schedules/{name}",
    "DELETE /schedules/{name}",
    "POST /schedules/{name}/pause",
    "POST /schedules/{name}/resume",
    "POST /schedules/{name}/fire",
    "GET /processors",
    "POST /processors/{id}/drain",
}
"""What no owner may."""
PASSES = {"seconds", "since", "begins_at", "buckets", "expires_at"}
"""What changes by itself while time passes."""


def paths() -> Iterator[tuple[str, str]]:
    """Give method and path of every route there is."""
    for module in pkgutil.iter_modules(routes.__path__):
        for route in importlib.import_module(f"{routes.__name__}.{module.name}").router.routes:
            for method in getattr(route, "methods", None) or ("WS",):
                yield method, route.path


def about(path: str) -> str | None:
    """Name the table of the things that a path is about one of."""
    if "{job_id" in path:
        return "jobs"
    if path.startswith("/notifications/{"):
        return "notifications"
    return "webhooks" if "{webhook_id" in path else None


def test_every_path_is_treated() -> None:
    named = {f"{method} {path}" for method, path in paths()}
    assert len(named) > 50
    of_one = {name for name in named if about(name.partition(" ")[2])}
    assert named - of_one == TOGETHER | NOBODYS | NOT_API | ADMINS
    assert set(BODIES) <= of_one


def test_the_application_serves_no_other_path(api: Api) -> None:
    """Also what is added to it without a room of its own is seen."""
    served = {
        f"{method} {(route.path or '').removeprefix(PREFIX)}"
        for route in iter_route_contexts(api.app.routes)
        for method in route.methods or ("WS",)
    }
    assert served == {f"{method} {path}" for method, path in paths()} | {"GET /openapi.json"}


def test_every_message_is_treated() -> None:
    assert {kind.__name__ for kind in get_args(messages.Message)} == {
        "SubscribeJob",
        "SubscribeChanges",
        "SubscribeNotifications",
        "Unsubscribe",
        "Steer",
    }


def asked_of_many(other: World) -> Iterator[tuple[str, str, JSON | None]]:
    """Give what an owner asks of many things, with everything in it that is the other's."""
    job, secret = other.ids("jobs")[0], other.secret
    filters: tuple[JSON, ...] = ({}, {"types": ["work"]}, {"key": "same 0"}, {"text": secret}, {"parent": job})
    named = (f"owner={other.owner}", f"subject=about {secret}", f"text={secret}", "key=same 0", f"parent={job}")
    for query in ("", *named):
        yield "GET", f"/jobs?{query}", None
    for query in ("", f"&owner={other.owner}", "&type=work"):
        yield "GET", f"/statistics?seconds=3600{query}", None
    for path in (
        "/statistics/waiting",
        "/notifications",
        "/notifications?unread=true",
        "/webhooks",
        "/changes?after=0",
    ):
        yield "GET", path, None
    yield "GET", f"/jobs/latest?subject=about {secret}", None
    for more in ({}, {"key": "same 0"}, {"owner": other.owner}, {"parent_id": job}):
        yield "POST", "/jobs", {"type": "work", **more}
        yield "POST", "/jobs/batch", {"jobs": [{"type": "work", **more}]}
    for verb, chosen in itertools.product(("pause", "resume", "retry", "run-now", "cancel", "delete"), filters):
        yield "POST", "/jobs/bulk", {"verb": verb, **chosen}
    yield "POST", "/jobs/bulk", {"verb": "delete", "owner": other.owner}
    for more in ({}, {"subject": f"about {secret}"}, {"type": "work"}):
        yield "POST", "/jobs/cleanup", {"which": "all", **more}
    yield "POST", "/notifications/read", None
    yield "POST", "/webhooks", {"url": "https://hooks.example/x", "owner": other.owner}


def ask(client: httpx.Client, method: str, path: str, body: JSON | None = None) -> httpx.Response:
    return client.request(method, f"/api/v1{path}", json=body)


def shows_nothing(text: str, other: World) -> None:
    """See that neither the other's name nor any of its secrets is in an answer, nor the number of a job of its own."""
    assert other.owner not in text, text
    jobs = set(other.ids("jobs"))
    for name, number in re.findall(r'"(job_id|parent_id|duplicate_of|oldest|last_job_id|parent)": ?(\d+)', text):
        assert int(number) not in jobs, f"{name} {number}: {text}"


def named(text: str, id: Any) -> str:
    """Give an answer without the number that was asked about."""
    return re.sub(rf"\b{id}\b", "ID", text)


def shape(answer: httpx.Response) -> dict[str, str]:
    """Give the headers of an answer that say something of it."""
    return {name: value for name, value in answer.headers.items() if name not in ("date", "content-length")}


def lasting(value: Any) -> Any:
    """Give an answer without what changes by itself."""
    if isinstance(value, dict):
        return {name: lasting(item) for name, item in value.items() if name not in PASSES}
    return [lasting(item) for item in value] if isinstance(value, list) else value


def read(me: World) -> dict[str, Any]:
    """Read everything that can be read, as far as nobody else may have to do with it."""
    found = {}
    for path in ("/jobs", "/statistics", "/notifications", "/webhooks", "/changes?after=0", "/session"):
        found[path] = lasting(ask(me.client, "GET", path).json())
    found["/changes?after=0"].pop("next")  # a place among the numbers of all
    for job in me.ids("jobs"):
        for part in ("", "/result", "/errors", "/events"):
            found[f"{job}{part}"] = lasting(ask(me.client, "GET", f"/jobs/{job}{part}").json())
    return found


def walk_one_by_one(me: World, other: World) -> None:
    """Ask about each thing of the other as about one that is not there."""
    for method, path in paths():
        table = about(path)
        if table is None:
            continue
        body = BODIES.get(f"{method} {path}")
        for id in other.ids(table):
            missing = 999_999_999 if isinstance(id, int) else f"{'0' * len(id)}"
            theirs, nothing = (
                ask(me.client, method, re.sub(r"{\w+(:int)?}", str(one), path), body) for one in (id, missing)
            )
            assert theirs.status_code == nothing.status_code == 404, f"{method} {path}: {theirs.text}"
            assert named(theirs.text, id) == named(nothing.text, missing)
            assert shape(theirs) == shape(nothing)


def walk_what_no_owner_may(me: World, other: World) -> None:
    for name in ADMINS:
        method, path = name.split()
        answer = ask(me.client, method, re.sub(r"{\w+}", "work", path), {})
        assert answer.status_code in (403, 422), f"{name}: {answer.text}"
        shows_nothing(answer.text, other)
    for name in NOBODYS - {"POST /session", "DELETE /session"}:
        method, path = name.split()
        shows_nothing(ask(me.client, method, path.replace("{name}", "work")).text, other)
    for path in ("/", "/healthz", "/readyz", "/metrics", "/api/v1/openapi.json"):
        shows_nothing(me.client.get(path).text, other)


def walk_of_many(me: World, other: World) -> None:
    for method, path, body in asked_of_many(other):
        answer = ask(me.client, method, path, body)
        sent = json.dumps(body) + path
        said = answer.text if other.owner not in sent else answer.text.replace(other.owner, "", sent.count(other.owner))
        shows_nothing(said, other)
        if path in ("/jobs", "/jobs/batch", "/webhooks") and {"owner", "parent_id"} & {*str(body).split("'")}:
            assert answer.status_code in (404, 409), f"{path} {body}: {answer.text}"
        if method == "GET" and ("owner=" in path or other.secret in path) and "statistics" not in path:
            assert answer.status_code == 404 or answer.json()["items"] == [], f"{path}: {answer.text}"


def walk_explanations(me: World, other: World) -> None:
    """Why a job does not run may have to do with others; who they are is not told."""
    theirs = {str(id) for id in other.ids("jobs")}
    for job in me.ids("jobs"):
        text = ask(me.client, "GET", f"/jobs/{job}/explain").text
        shows_nothing(text, other)
        for finding in json.loads(text)["findings"]:
            assert not theirs & set(re.findall(r"(?:job|behind|by|of) (\d+)", finding["text"])), finding


def walk_streams(me: World, other: World) -> None:
    """Hear all that there is, up to something that is told after everything else."""
    for path, last in (
        ("/changes", me.ids("job_events")[-1]),
        ("/notifications", (me.ids("notifications") or [0])[-1]),
    ):
        with me.client.stream("GET", f"/api/v1{path}?after=0", headers=LIVE) as answer:
            for frame in frames(answer):
                shows_nothing(json.dumps(frame) + frame["data"], other)
                if int(frame["id"]) >= last:
                    break
    for job in other.ids("jobs"):
        assert me.client.get(f"/api/v1/jobs/{job}/events", headers=LIVE).status_code == 404


def walk_messages(me: World, other: World, talk: Talk) -> None:
    for job, do in itertools.product(other.ids("jobs"), (*socket.VERBS, "subscribe")):
        more = {"to": "job"} if do == "subscribe" else {}
        talk.say(do, job=job, **more)
        of_theirs = talk.problem()
        talk.say(do, job=999_999_999, **more)
        of_nothing = talk.problem()
        assert of_theirs["status"] == 404
        assert named(json.dumps(of_theirs), job) == named(json.dumps(of_nothing), 999_999_999)
    for to, last in me.ends().items():
        talk.say("subscribe", to, to=to, after=0)
        while True:
            heard = talk.hear(to)
            shows_nothing(json.dumps(heard), other)
            if heard["id"] >= last:
                break
        talk.say("unsubscribe", to)
        while talk.hear(to)["event"] != "end":
            pass


names = (f"owner{number}x" for number in itertools.count(100))
deeds = st.lists(st.sampled_from(DEEDS), min_size=1, max_size=4)


@settings(
    max_examples=3, deadline=None, phases=(Phase.explicit, Phase.generate), suppress_health_check=list(HealthCheck)
)
@given(mine=deeds, theirs=deeds)
def test_two_owners_never_meet(api: Api, mine: list[Any], theirs: list[Any]) -> None:
    me, other = World(api, next(names)), World(api, next(names), is_browser=True)
    api.queue.register(PROCESSOR, lease=3600)
    for deed in (pending, completed, failed, *mine):
        deed(me)
    alone = read(me)
    for deed in (pending_by_key, completed, webhook, *theirs):
        deed(other)
    assert read(me) == alone, "the other is to be seen in what an owner reads"

    admin = api.asks_as(None, "admin")
    for one in (me, other):
        found = [item["id"] for item in ask(admin, "GET", f"/jobs?owner={one.owner}&limit=200").json()["items"]]
        assert sorted(found) == one.ids("jobs") != []
    for one, another in ((me, other), (other, me)):
        for deed in (pending_by_key, completed, webhook):  # the walk before cleaned up
            deed(another)
        completed(one)  # streams are heard up to what is told of this
        untouched = another.rows()
        walk_one_by_one(one, another)
        walk_explanations(one, another)
        walk_streams(one, another)
        ticket = ask(one.client, "POST", "/ws-tickets").json()["ticket"]
        with talking(api.client.base_url, ticket=ticket) as talk:
            walk_messages(one, another, talk)
        walk_what_no_owner_may(one, another)
        walk_of_many(one, another)
        assert another.rows() == untouched


@pytest.mark.parametrize("scope", ["read", "metrics"])
def test_who_may_less_changes_nothing(api: Api, scope: str) -> None:
    """Every path that changes something is refused, of one's own things too."""
    me = World(api, "ann")
    api.queue.register(PROCESSOR)
    for deed in DEEDS:
        deed(me)
    before = me.rows()
    client = api.asks_as("ann" if scope == "read" else None, scope)
    assert me.secret not in client.get("/metrics").text
    for method, path in paths():
        if method in ("GET", "HEAD", "WS") and (scope == "read" or f"{method} {path}" in NOT_API):
            continue
        if path in ("/session", "/ws-tickets"):
            continue
        table = about(path)
        for id in me.ids(table) if table else ["work"]:
            answer = ask(client, method, re.sub(r"{\w+(:int)?}", str(id), path), BODIES.get(f"{method} {path}"))
            assert answer.status_code == 403, f"{method} {path}: {answer.text}"
    assert me.rows() == before
