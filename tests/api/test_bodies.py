"""What is sent is read in one way only, and every refusal says what to do."""

import json
from typing import Any

import httpx
import pytest

from tests.api.conftest import Api
from tests.api.test_socket import talking

JSON = {"Content-Type": "application/json"}


def made(api: Api, body: bytes) -> httpx.Response:
    answer = api.client.post("/api/v1/jobs", content=body, headers=JSON)
    assert answer.headers["content-type"].startswith("application/"), answer.text
    return answer


def job(payload: str) -> bytes:
    return f'{{"type": "work", "payload": {payload}}}'.encode()


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b'{"type": "work", "type": "few"}', "twice"),
        (job('{"to": "ann", "to": "bob"}'), "twice"),
        (job('[[{"a": 1, "b": 2, "\\u0061": 3}]]'), "twice"),
        (job("NaN"), "NaN"),
        (job("-Infinity"), "Infinity"),
        (b'{"type": "work", "delay_seconds": NaN}', "NaN"),
        (job("1e999"), "finite"),
        (job("9" * 5000), "digits"),
        (job("[" * 101 + "]" * 101), "levels"),
        (job("[" * 900 + "]" * 900), "levels"),
        (job("[" * 100_000 + "]" * 100_000), "levels"),
        (job('"\\u0000"'), "\\u0000"),
        (job('{"\\ud800": 1}'), "\\ud800"),
        (b'{"type": "work"', "no JSON"),
        (b'{"type": "w\xff"}', "UTF-8"),
        ('{"type": "work"}'.encode("utf-16"), "UTF-8"),
        (b"", ""),
    ],
)
def test_what_two_readers_would_read_differently_is_refused(api: Api, body: bytes, why: str) -> None:
    answer = made(api, body)
    assert answer.status_code == 422, answer.text
    assert why in answer.json()["detail"]
    assert answer.json()["remedy"]
    assert api.queue.rows("SELECT count(*) FROM jobs") == [(0,)]


@pytest.mark.parametrize(
    ("payload", "kept"),
    [
        ("[" * 31 + "]" * 31, None),
        ('"\\ud83d\\ude00"', "\N{GRINNING FACE}"),
        ('[{"a": 1}, {"a": 2}]', [{"a": 1}, {"a": 2}]),
        ("9" * 30, int("9" * 30)),
        ("1e300", 1e300),
        ('"\\\\u0000"', "\\u0000"),
        ("null", None),
    ],
)
def test_what_every_reader_reads_alike_is_kept(api: Api, payload: str, kept: Any) -> None:
    answer = made(api, job(payload))
    assert answer.status_code == 202, answer.text
    assert api.client.get("/api/v1/jobs/1").json()["payload"] == (json.loads(payload) if kept is None else kept)


def test_as_many_levels_are_kept_as_the_database_takes(api: Api) -> None:
    levels = 31 if api.queue.kind == "mariadb" else 100
    assert made(api, job("[" * levels + "]" * levels)).status_code == 202
    assert json.dumps(api.client.get("/api/v1/jobs/1").json()["payload"]) == "[" * levels + "]" * levels
    assert made(api, job("[" * (levels + 1) + "]" * (levels + 1))).status_code == 422


def test_a_schedule_and_each_of_many_jobs_are_read_as_strictly(api: Api) -> None:
    assert api.client.put("/api/v1/schedules/there", json={"type": "work", "cron": "@daily"}).status_code == 201
    for method, path, body in (
        ("PUT", "schedules/s", '{"type": "work", "cron": "@daily", "payload": "\\u0000"}'),
        ("PUT", "schedules/there", f'{{"payload": {"[" * 950 + "]" * 950}}}'),
        ("PUT", "schedules/s", '{"type": "work", "cron": "@daily", "payload": [1, {"a": 1, "a": 2}]}'),
        ("POST", "jobs/batch", '{"jobs": [{"type": "work"}, {"type": "work", "payload": "\\ud800"}]}'),
        ("POST", "jobs/bulk", '{"verb": "delete", "types": ["other"], "types": ["work"]}'),
    ):
        answer = api.client.request(method, f"/api/v1/{path}", content=body, headers=JSON)
        assert answer.status_code == 422, answer.text
    assert api.queue.rows("SELECT count(*) FROM jobs") == [(0,)]


def test_what_is_sent_is_not_sent_back_at_length(api: Api) -> None:
    sent = "k" * 1_000_000
    answer = api.client.post("/api/v1/jobs", json={"type": "work", sent: 1})
    assert answer.status_code == 422
    assert len(answer.content) < 2_000
    assert "kkkk" in answer.json()["detail"]
    with talking(api.client.base_url) as talk:
        talk.say("x" * 60_000)
        assert len(json.dumps(talk.problem())) < 2_000
        talk.connection.send('{"ref": 1, "ref": 2, "do": "unsubscribe"}')
        assert "twice" in talk.problem(None)["detail"]


def test_every_refusal_says_what_to_do(api: Api) -> None:
    ask = api.client.request
    answers = [
        ask("GET", "/nothing"),
        ask("GET", "/page/0/app.js"),
        ask("PUT", "/api/v1/jobs/1"),
        ask("GET", "/api/v1/jobs/1"),
        ask("POST", "/api/v1/jobs", content=b"[" * 17_000_000, headers=JSON),
        ask("POST", "/api/v1/jobs", content=b"x", headers={"Content-Type": "text/plain"}),
        ask("POST", "/api/v1/jobs", content=b"{", headers=JSON),
        ask("GET", f"/api/v1/{'x' * 3000}"),
        ask("GET", "/", headers={"Host": "evil.example"}),
        ask("GET", "/", headers={"Origin": "https://evil.example"}),
        ask("GET", "/api/v1/ws"),
    ]
    api.asks_as("ann")
    answers.append(ask("GET", "/api/v1/jobs"))
    assert [answer.status_code for answer in answers] == [404, 404, 405, 404, 413, 422, 422, 414, 421, 403, 426, 401]
    for answer in answers:
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["remedy"], answer.text
