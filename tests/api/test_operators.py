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
