"""What operators do over HTTP: schedules, types and processors, and what they read there."""

import json
from typing import Any

from tests.api.conftest import Api

SCHEDULE = {"type": "work", "cron": "0 6 * * *", "payload": {"to": "ann", "token": "deep"}, "subject": "daily"}


def kept(api: Api, name: str = "daily") -> Any:
    [[payload]] = api.queue.rows(f"SELECT payload FROM schedules WHERE name = '{name}'")
    return json.loads(payload) if isinstance(payload, str) else payload


def put(api: Api, **given: Any) -> Any:
    return api.client.put("/api/v1/schedules/daily", json=given)


def test_a_schedule_is_made_changed_paused_fired_and_deleted(api: Api) -> None:
    assert api.client.get("/api/v1/schedules/daily").status_code == 404
    made = put(api, **SCHEDULE)
    assert (made.status_code, made.json()["cron"], made.json()["paused"]) == (201, "0 6 * * *", False)
    changed = put(api, every_seconds=60, priority=7)
    assert changed.status_code == 200
    assert [changed.json()[name] for name in ("cron", "every_seconds", "priority", "subject")] == [None, 60, 7, "daily"]
    assert kept(api) == SCHEDULE["payload"]
    fired = api.client.post("/api/v1/schedules/daily/fire")
    assert (fired.status_code, fired.headers["X-Job-ID"]) == (202, str(fired.json()["id"]))
    job = api.client.get(fired.headers["Location"]).json()
    assert [job[name] for name in ("type", "priority", "subject", "status")] == ["work", 7, "daily", "pending"]
    [listed] = api.client.get("/api/v1/schedules").json()["items"]
    assert (listed["name"], listed["last_job_id"], listed["last_job_status"]) == ("daily", job["id"], "pending")
    assert api.client.post("/api/v1/schedules/daily/pause").json()["paused"]
    assert not api.client.post("/api/v1/schedules/daily/resume").json()["paused"]
    assert api.client.delete("/api/v1/schedules/daily").status_code == 204
    assert api.client.get("/api/v1/schedules").json() == {"items": []}


def test_a_schedule_that_would_never_fire_is_refused(api: Api) -> None:
    for wrong in ({"cron": "0 0 31 2 *"}, {"cron": "often"}, {"cron": "@daily", "every_seconds": 5}, {}):
        answer = put(api, **{"type": "work", **wrong})
        assert (answer.status_code, bool(answer.json()["remedy"])) == (409, True), wrong
    assert put(api, cron="@daily").status_code == 409, "it names no type"
    assert put(api, type="work", cron="@daily", time_zone="Mars/Base").status_code == 409
    assert api.queue.rows("SELECT count(*) FROM schedules") == [(0,)]


def test_a_form_that_was_filled_with_masked_values_loses_none(api: Api) -> None:
    """Who edits a schedule sends its payload as it was shown."""
    put(api, **SCHEDULE)
    shown = api.client.get("/api/v1/schedules/daily").json()["payload"]
    assert shown == {"to": "ann", "token": "***"}
    assert put(api, priority=3, payload=shown).json()["priority"] == 3
    assert kept(api) == SCHEDULE["payload"]
    refused = put(api, payload={**shown, "to": "bob"})
    assert (refused.status_code, "***" in refused.json()["detail"]) == (422, True)
    assert kept(api) == SCHEDULE["payload"]
    assert put(api, payload={"to": "bob", "token": "new"}).status_code == 200
    assert kept(api) == {"to": "bob", "token": "new"}


def test_a_payload_of_the_same_words_and_another_kind_is_another_one(api: Api) -> None:
    put(api, type="work", cron="@daily", payload={"n": 1})
    assert put(api, payload={"n": True}).json()["payload"]["n"] is True
    assert kept(api)["n"] is True


def test_no_job_is_made_of_masked_values(api: Api) -> None:
    job = {"type": "work", "payload": {"deep": [{"apiKey": "***"}]}}
    for path, body in (("jobs", job), ("jobs/batch", {"jobs": [job]}), ("jobs/batch", {"jobs": [job], "parent": job})):
        answer = api.client.post(f"/api/v1/{path}", json=body)
        assert (answer.status_code, "apiKey" in answer.json()["detail"]) == (422, True), answer.text
    assert api.queue.rows("SELECT count(*) FROM jobs") == [(0,)]
    api.make(payload={"stars": "***", "token": "**"})


def test_a_type_is_paused_limited_and_let_go_on_every_processor(api: Api) -> None:
    api.queue.register("p2", types='{"work": {}}')
    listed = {one["name"]: one for one in api.client.get("/api/v1/types").json()["items"]}
    assert {"few", "work"} <= set(listed)
    assert (listed["few"]["queue_limit"], listed["few"]["handled"], listed["work"]["handled"]) == (2, False, True)
    path = "/api/v1/types/work"
    limited = api.client.patch(path, json={"max_concurrent": 2, "rate": "10/min"}).json()
    assert (limited["max_concurrent"], limited["rate"]) == (2, "10/min")
    assert api.client.patch(path, json={"max_concurrent": None}).json()["rate"] == "10/min", "what is left out stays"
    assert api.client.patch(path, json={"rate": "often"}).status_code == 409
    assert api.client.get(path).json()["max_concurrent"] is None
    for body, is_timed in ((None, False), ({"seconds": 600}, True)):
        paused = api.client.post(f"{path}/pause", json=body).json()
        assert (paused["paused"], paused["paused_until"] is not None) == (True, is_timed)
        api.make()
        assert api.queue.claim(types="work") == []
        assert not api.client.post(f"{path}/resume").json()["paused"]
    assert len(api.queue.claim(types="work")) == 2
    for method, of in (("GET", ""), ("PATCH", ""), ("POST", "/pause"), ("POST", "/resume")):
        assert api.client.request(method, f"/api/v1/types/nobodys{of}", json={}).status_code == 404


def test_a_processor_is_seen_with_what_it_runs_and_asked_to_end(api: Api) -> None:
    api.queue.register("p2", types='{"work": {}, "few": {}}')
    api.make()
    api.queue.claim("p2", types="work")
    listed = {one["id"]: one for one in api.client.get("/api/v1/processors").json()["items"]}
    assert {id: one["running"] for id, one in listed.items()} == {"p1": 0, "p2": 1}
    one = listed["p2"]
    assert (one["status"], one["types"], one["lease_over"]) == ("live", ["few", "work"], False)
    assert api.client.post("/api/v1/processors/p2/drain").status_code == 202
    asked = {id: bool(is_asked) for id, is_asked in api.queue.rows("SELECT id, drain_requested FROM processors")}
    assert asked == {"p1": False, "p2": True}
    api.queue.rows("UPDATE processors SET status = 'stopped', ended_at = beat_at")
    assert api.client.get("/api/v1/processors").json()["items"] == []
    everyone = api.client.get("/api/v1/processors?everyone=true").json()["items"]
    assert {one["id"]: one["status"] for one in everyone} == {"p1": "stopped", "p2": "stopped"}
