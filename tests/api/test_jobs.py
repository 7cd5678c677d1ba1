"""Jobs over HTTP: what is made, listed, steered; what is refused, and how."""

import contextlib
import json
from typing import Any

import pytest

from processor.outcome import Kind
from processor.queue.settle import settle
from tests.api.conftest import Api
from tests.queue.conftest import verdict_of

PROBLEM = "application/problem+json"


def end(api: Api, kind: Kind = Kind.RETURNED, **facts: Any) -> int:
    [job] = api.queue.claim(types="work few", jobs=1)
    settle(api.queue.database, [verdict_of(job, kind, **facts)])
    return job.id


def test_a_job_is_made_and_told_where_it_is(api: Api) -> None:
    answer = api.client.post("/api/v1/jobs", json={"type": "work", "payload": {"n": 1}, "priority": 9})
    assert answer.status_code == 202
    assert answer.json() == {"id": 1, "new": True}
    assert (answer.headers["Location"], answer.headers["X-Job-ID"]) == ("/api/v1/jobs/1", "1")
    job = api.client.get("/api/v1/jobs/1").json()
    assert (job["type"], job["payload"], job["priority"], job["status"]) == ("work", {"n": 1}, 9, "pending")
    assert job["created_at"].endswith("Z")


def test_an_equal_key_gives_the_job_that_is_there(api: Api) -> None:
    first = api.client.post("/api/v1/jobs", json={"type": "work", "key": "k"})
    again = api.client.post("/api/v1/jobs", json={"type": "work", "key": "k"})
    assert (first.status_code, again.status_code) == (202, 200)
    assert again.json() == {"id": 1, "new": False}


def test_a_full_queue_says_when_to_come_again(api: Api) -> None:
    for _ in range(2):
        api.make(type="few")
    answer = api.client.post("/api/v1/jobs", json={"type": "few"})
    assert (answer.status_code, answer.headers["content-type"]) == (429, PROBLEM)
    assert int(answer.headers["Retry-After"]) > 0
    assert "The queue of the type 'few' is full" in answer.json()["detail"]
    assert answer.json()["remedy"]


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({}, "type: "),
        ({"type": ""}, "type: "),
        ({"type": "work", "priority": 10**14}, "priority: "),
        ({"type": "work", "colour": "red"}, "colour: "),
        ({"type": "work", "owner": "a "}, "owner: "),
        ({"type": "work", "subject": "a\0b"}, "subject: "),
        ({"type": "work", "run_at": "2026-01-01T00:00:00"}, "run_at: "),
        ({"type": "work", "fail_on": "some"}, "fail_on: "),
        ({"type": "work", "run_at": "9999-12-31T23:59:59-14:00"}, "run_at: "),
    ],
)
def test_what_is_not_valid_is_named_and_nothing_is_made(api: Api, given: dict[str, Any], named: str) -> None:
    answer = api.client.post("/api/v1/jobs", json=given)
    assert (answer.status_code, answer.headers["content-type"]) == (422, PROBLEM)
    assert named in answer.json()["detail"]
    assert api.queue.rows("SELECT count(*) FROM jobs") == [(0,)]


def test_two_answers_to_when_it_is_to_run_are_refused(api: Api) -> None:
    both = {"type": "work", "delay_seconds": 5, "run_at": "2030-01-01T00:00:00Z"}
    answer = api.client.post("/api/v1/jobs", json=both)
    assert (answer.status_code, answer.json()["remedy"]) == (409, "Give one.")
    assert api.queue.rows("SELECT count(*) FROM jobs") == [(0,)]


REFUSES = {
    "postgresql": (
        "CREATE FUNCTION no() RETURNS trigger AS $$ BEGIN RAISE EXCEPTION 'not today' USING ERRCODE = '23514'; END $$"
        " LANGUAGE plpgsql",
        "CREATE TRIGGER no BEFORE INSERT ON jobs FOR EACH ROW WHEN (NEW.subject = 'bad') EXECUTE FUNCTION no()",
    ),
    "mariadb": (
        "CREATE TRIGGER no BEFORE INSERT ON jobs FOR EACH ROW BEGIN IF NEW.subject = 'bad' THEN"
        " SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'not today'; END IF; END",
    ),
    "sqlite": (
        "CREATE TRIGGER no BEFORE INSERT ON jobs WHEN NEW.subject = 'bad' BEGIN SELECT RAISE(ABORT, 'not today'); END",
    ),
}
"""What lets the database itself refuse a row."""


@pytest.mark.parametrize("parent", [{}, {"parent": {"type": "batch"}}], ids=["alone", "family"])
def test_of_many_the_one_that_the_database_refuses_is_named_and_none_is_made(api: Api, parent: dict[str, Any]) -> None:
    for statement in REFUSES[api.queue.kind]:
        api.queue.rows(statement)
    jobs = [{"type": "work"}, {"type": "work", "subject": "bad"}, {"type": "work"}]
    answer = api.client.post("/api/v1/jobs/batch", json={"jobs": jobs, **parent})
    assert (answer.status_code, answer.headers["content-type"]) == (422, PROBLEM)
    assert ("Line 2: " if parent else "Job 2 of 3: ") in answer.json()["detail"]
    assert "not today" in answer.json()["detail"]
    assert api.queue.rows("SELECT count(*) FROM jobs") == [(0,)]


@pytest.mark.parametrize("body", [b"{", b"", b"[1]", b"\xff", b'{"type": "work", "payload": NaN}'])
def test_a_body_that_is_no_job_is_refused(api: Api, body: bytes) -> None:
    answer = api.client.post("/api/v1/jobs", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code in (400, 422)
    assert answer.headers["content-type"] == PROBLEM


def test_many_are_made_all_or_none(api: Api) -> None:
    made = api.client.post("/api/v1/jobs/batch", json={"jobs": [{"type": "work"}, {"type": "few"}]})
    assert (made.status_code, made.json()) == (
        202,
        {"parent": None, "jobs": [{"id": 1, "new": True}, {"id": 2, "new": True}]},
    )
    refused = api.client.post("/api/v1/jobs/batch", json={"jobs": [{"type": "work"}, {"type": "few"}, {"type": "few"}]})
    assert refused.status_code == 429
    assert api.queue.rows("SELECT count(*) FROM jobs") == [(2,)]


def test_a_parent_waits_for_a_batch(api: Api) -> None:
    body = {"parent": {"type": "batch"}, "jobs": [{"type": "work"}] * 3}
    made = api.client.post("/api/v1/jobs/batch", json=body).json()
    assert api.client.get(f"/api/v1/jobs/{made['parent']}").json()["children"] == {"pending": 3}
    children = api.client.get("/api/v1/jobs", params={"parent": made["parent"]}).json()["items"]
    assert [job["type"] for job in children] == ["work"] * 3


def test_pages_neither_skip_nor_repeat_while_jobs_come_in(api: Api) -> None:
    there = [api.make() for _ in range(7)]
    seen, cursor = [], None
    while True:
        page = api.client.get("/api/v1/jobs", params={"limit": 3, **({"cursor": cursor} if cursor else {})}).json()
        seen += [job["id"] for job in page["items"]]
        cursor = page["next"]
        api.make()
        if cursor is None:
            break
    assert seen == sorted(there, reverse=True)


@pytest.mark.parametrize("cursor", ["x", "MTIuYWJj", "____", "0" * 200, "é"])
def test_a_cursor_that_no_page_gave_is_refused(api: Api, cursor: str) -> None:
    answer = api.client.get("/api/v1/jobs", params={"cursor": cursor})
    assert (answer.status_code, answer.headers["content-type"]) == (404, PROBLEM)


def test_a_cursor_is_good_for_its_own_list_only(api: Api) -> None:
    for _ in range(3):
        api.make()
    cursor = api.client.get("/api/v1/jobs", params={"limit": 1}).json()["next"]
    assert api.client.get("/api/v1/jobs", params={"limit": 2, "cursor": cursor}).status_code == 200
    assert api.client.get("/api/v1/jobs", params={"type": "work", "cursor": cursor}).status_code == 404


def test_filters_narrow_the_list(api: Api) -> None:
    api.make(subject="chapter:1", owner="ann")
    api.make(type="few", subject="chapter:2", owner="bob")
    end(api)

    def ids(**params: Any) -> list[int]:
        return [job["id"] for job in api.client.get("/api/v1/jobs", params=params).json()["items"]]

    assert ids(subject="chapter:1") == [1]
    assert ids(type=["few", "other"]) == [2]
    assert ids(owner="bob") == [2]
    assert ids(text="APTER:2") == [2]
    assert ids(status="completed") in ([1], [2])
    assert ids(created_after="2999-01-01T00:00:00Z") == []


@pytest.mark.parametrize("text", ["\0", "a\0b", "a" * 201])
def test_a_text_that_no_database_keeps_is_not_looked_for(api: Api, text: str) -> None:
    api.make()
    listed = api.client.get("/api/v1/jobs", params={"text": text})
    deleted = api.client.post("/api/v1/jobs/bulk", json={"verb": "delete", "text": text})
    for answer in (listed, deleted):
        assert answer.status_code == 422, answer.text
        assert "text: " in answer.json()["detail"]
    assert api.queue.rows("SELECT count(*) FROM jobs") == [(1,)]


def test_a_job_is_steered(api: Api) -> None:
    job = api.make()
    steps = [
        ("pause", "paused"),
        ("resume", "pending"),
        ("cancel", "cancelled"),
        ("retry", "pending"),
    ]
    for verb, status in steps:
        answer = api.client.post(f"/api/v1/jobs/{job}/{verb}")
        assert (answer.status_code, answer.json()["status"]) == (200, status), verb
    assert api.client.patch(f"/api/v1/jobs/{job}", json={"priority": 7}).json()["priority"] == 7
    later = api.make(delay_seconds=3600)
    api.client.post(f"/api/v1/jobs/{later}/run-now")
    assert [one.id for one in api.queue.claim(types="work")] == [job, later]


def test_a_move_that_its_state_does_not_allow_is_a_conflict(api: Api) -> None:
    job = api.make()
    end(api, result="7")
    for verb in ("cancel", "pause", "resume", "run-now"):
        answer = api.client.post(f"/api/v1/jobs/{job}/{verb}")
        assert (answer.status_code, answer.headers["content-type"]) == (409, PROBLEM), verb
        assert f"Job {job} is completed" in answer.json()["detail"]


def test_a_running_job_is_asked_to_stop_once_and_again(api: Api) -> None:
    job = api.make()
    api.queue.claim(types="work")
    for _ in range(2):
        answer = api.client.post(f"/api/v1/jobs/{job}/cancel")
        assert (answer.status_code, answer.json()["cancel_requested"]) == (200, True)
    assert api.client.delete(f"/api/v1/jobs/{job}").status_code == 409


def test_result_errors_events_and_explanation(api: Api) -> None:
    api.make()
    assert api.client.get("/api/v1/jobs/1/result").status_code == 409
    end(api, result='{"words": 3}')
    assert api.client.get("/api/v1/jobs/1/result").json() == {"words": 3}
    api.make()
    end(api, Kind.RAISED, error_type="ValueError", error_message="no", error_detail="stack")
    errors = api.client.get("/api/v1/jobs/2/errors").json()["items"]
    assert [(error["attempt"], error["error_type"]) for error in errors] == [(1, "ValueError")]
    assert set(api.client.get("/api/v1/jobs/2/events").json()) == {"items", "next"}
    told = api.client.get("/api/v1/jobs/2/explain").json()
    assert (told["job"], told["runnable"]) == (2, False)


def test_clean_up_counts_first(api: Api) -> None:
    api.make()
    api.make()
    end(api)
    body = {"which": "completed", "dry_run": True}
    assert api.client.post("/api/v1/jobs/cleanup", json=body).json() == {"jobs": 1, "dry_run": True}
    assert api.client.post("/api/v1/jobs/cleanup", json={"which": "all"}).json() == {"jobs": 1, "dry_run": False}
    assert len(api.client.get("/api/v1/jobs").json()["items"]) == 1


def test_secrets_are_masked_wherever_they_are_shown(api: Api) -> None:
    api.make(payload={"to": "ann", "deep": [{"api_key": "canary"}], "Password": "canary"})
    end(api, Kind.RAISED, error_type="E", error_message="password=canary", error_detail='{"token": "canary"}')
    for path in ("/api/v1/jobs/1", "/api/v1/jobs", "/api/v1/jobs/1/errors", "/api/v1/notifications"):
        assert "canary" not in api.client.get(path).text, path


@pytest.mark.parametrize(
    "payload",
    ["[" * 5000 + "]" * 5000, '{"n": 1e999}', '{"n": ' + "9" * 5000 + "}", '"\\ud800"'],
    ids=["deep", "huge", "long", "half"],
)
def test_a_payload_that_somebody_inserted_never_breaks_an_answer(api: Api, payload: str) -> None:
    text = payload.replace("\\", "\\\\") if api.queue.kind == "mariadb" else payload
    with contextlib.suppress(Exception):  # some the database itself refuses
        api.queue.insert("type, payload", f"'work', '{text}'")
    if not api.queue.rows("SELECT id FROM jobs"):
        return
    answer = api.client.get("/api/v1/jobs/1")
    assert answer.status_code == 200
    json.loads(answer.text)


def test_the_latest_job_of_a_subject(api: Api) -> None:
    assert api.client.get("/api/v1/jobs/latest", params={"subject": "s"}).status_code == 404
    api.make(subject="s")
    api.make(subject="s")
    assert api.client.get("/api/v1/jobs/latest", params={"subject": "s"}).json()["id"] == 2


def test_a_job_belongs_to_the_trace_of_its_request(api: Api) -> None:
    parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    for header, kept in ((parent, parent), ("no trace", None)):
        made = api.client.post("/api/v1/jobs", json={"type": "work"}, headers={"traceparent": header})
        assert api.client.get(f"/api/v1/jobs/{made.json()['id']}").json()["trace_parent"] == kept


@pytest.mark.parametrize(
    ("method", "path", "listed"),
    [
        ("GET", "jobs/999", "jobs"),
        ("POST", "jobs/999/cancel", "jobs"),
        ("GET", "jobs/latest?subject=none", "jobs"),
        ("GET", "webhooks/01234567", "webhooks"),
        ("DELETE", "webhooks/01234567", "webhooks"),
        ("POST", "schedules/none/fire", "schedules"),
        ("POST", "processors/none/drain", "processors"),
    ],
)
def test_what_is_not_there_names_the_request_that_lists_what_is(api: Api, method: str, path: str, listed: str) -> None:
    answer = api.client.request(method, f"/api/v1/{path}")
    assert (answer.status_code, answer.json()["remedy"]) == (404, f"See GET /api/v1/{listed}.")
