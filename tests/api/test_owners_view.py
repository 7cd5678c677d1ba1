"""What an owner reads of its own work over HTTP: numbers, notifications; and what anybody may ask of a server."""

from typing import Any

import pytest

from processor.api import service
from processor.errors import DatabaseUnreachable
from processor.outcome import Kind
from processor.queue.settle import settle
from tests.api.conftest import Api
from tests.api.test_events import LIVE, frames
from tests.api.test_socket import refused, talking, token
from tests.patience import eventually
from tests.queue.conftest import verdict_of

NOTIFICATIONS = "/api/v1/notifications"


def end(api: Api, owner: str, kind: Kind, **facts: Any) -> int:
    api.queue.insert("type, payload, owner", f"'work', '{{}}', '{owner}'")
    [job] = api.queue.claim(types="work")
    settle(api.queue.database, [verdict_of(job, kind, **facts)])
    return job.id


def test_statistics_are_of_the_owner_and_of_one_type_where_it_is_named(api: Api) -> None:
    ended = [end(api, "ann", kind) for kind in (Kind.RETURNED, Kind.RETURNED, Kind.RETURNED, Kind.RAISED)]
    end(api, "bob", Kind.RAISED)
    api.make(owner="ann", type="few")
    ann = api.asks_as("ann", "read")
    said = ann.get("/api/v1/statistics").json()
    assert said["counts"] == {"work": {"completed": 3, "failed": 1}, "few": {"pending": 1}}
    assert (said["finished"], said["success_rate"]) == ({"completed": 3, "failed": 1, "cancelled": 0}, 0.75)
    assert [job["id"] for job in said["recent"]] == ended[::-1]
    assert all(job["seconds"] >= 0 for job in said["recent"])
    for times in (said["times"], said["times_of"]["work"]):
        for spread in (times["ran"], times["waited"]):
            assert 0 <= spread["p50"] <= spread["p95"] <= spread["p99"]
    assert sum(bucket["finished"] for bucket in said["buckets"]) == 4
    few = ann.get("/api/v1/statistics?type=few&seconds=60").json()
    assert (few["counts"], few["success_rate"], few["seconds"]) == ({"few": {"pending": 1}}, None, 60)
    admin = api.asks_as(None, "admin")
    assert admin.get("/api/v1/statistics").json()["finished"]["failed"] == 2
    assert admin.get("/api/v1/statistics?owner=bob").json()["finished"] == {"completed": 0, "failed": 1, "cancelled": 0}


def test_notifications_are_listed_by_pages_and_read_one_by_one_or_all(api: Api) -> None:
    jobs = [end(api, "ann", Kind.RAISED, error_message="it broke") for _ in range(5)]
    end(api, "bob", Kind.RETURNED)
    ann = api.asks_as("ann", "read", "write")
    page = ann.get(NOTIFICATIONS, params={"limit": 3}).json()
    end(api, "ann", Kind.RETURNED)
    rest = ann.get(NOTIFICATIONS, params={"limit": 3, "cursor": page["next"]}).json()
    listed = page["items"] + rest["items"]
    assert [one["job_id"] for one in listed] == jobs[::-1], "what comes in meanwhile neither skips nor repeats any"
    assert rest["next"] is None
    assert ("it broke" in listed[0]["message"], listed[0]["status"], listed[0]["read_at"]) == (True, "failed", None)
    one = f"{NOTIFICATIONS}/{listed[0]['id']}/read"
    assert [ann.post(one).json()["marked"] for _ in range(2)] == [1, 0]
    assert listed[0]["id"] not in {left["id"] for left in ann.get(f"{NOTIFICATIONS}?unread=true").json()["items"]}
    assert ann.get(NOTIFICATIONS, params={"unread": True, "cursor": page["next"]}).status_code == 404
    assert ann.post(f"{NOTIFICATIONS}/read").json() == {"marked": 5}
    assert ann.get(f"{NOTIFICATIONS}?unread=true").json() == {"items": [], "next": None}
    assert len(api.asks_as("bob", "read").get(f"{NOTIFICATIONS}?unread=true").json()["items"]) == 1


def test_it_says_that_it_lives_and_whether_it_can_work(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    api.asks_as("ann")
    for method in ("GET", "HEAD"):
        assert [api.client.request(method, path).status_code for path in ("/healthz", "/readyz")] == [200, 200]

    def away(database: object) -> None:
        raise DatabaseUnreachable("postgresql://ann@db.example/jobs", "connection refused")

    monkeypatch.setattr("processor.db.schema.check", away)
    answer = api.client.get("/readyz")
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
    assert "db.example" not in answer.text
    assert api.client.get("/healthz").status_code == 200


def test_one_owner_leaves_room_for_the_others(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "MOST_OF_ONE", 2)
    texts = {owner: token(api, owner, "read" if owner else "admin") for owner in ("ann", "bob", None)}
    ann, bob, admin = (api.with_token(text) for text in texts.values())
    with ann.stream("GET", "/api/v1/changes", headers=LIVE) as first:
        live = frames(first)
        assert next(live)["event"] == "ready"
        with talking(api.client.base_url, texts["ann"]) as talk:
            talk.say("subscribe", to="changes")
            assert "of one owner" in talk.problem()["detail"]
            for path in ("changes", "notifications"):
                assert api.with_token(texts["ann"]).get(f"/api/v1/{path}", headers=LIVE).status_code == 429
            assert refused(api, texts["ann"])["status"] == 429
            for other in (bob, admin):
                for _ in range(3):
                    with other.stream("GET", "/api/v1/changes", headers=LIVE) as answer:
                        assert answer.status_code == 200
    eventually(lambda: not api.app.state.service.places, "ann has gone")
    with ann.stream("GET", "/api/v1/changes", headers=LIVE) as answer:
        assert answer.status_code == 200


def test_no_more_listen_than_the_server_has_room_for(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "MOST_STREAMS", 1)
    api.make()
    with api.client.stream("GET", "/api/v1/changes", headers=LIVE) as first:
        live = frames(first)
        assert next(live)["event"] == "ready"
        for path in ("changes", "notifications", "jobs/1/events"):
            answer = api.client.get(f"/api/v1/{path}", headers=LIVE)
            assert (answer.status_code, int(answer.headers["Retry-After"]) > 0) == (429, True), path
        assert refused(api)["status"] == 429
        assert api.client.get("/api/v1/jobs/1/events").status_code == 200, "a page is no stream"
