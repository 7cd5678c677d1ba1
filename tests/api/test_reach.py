"""Who may do what: two owners never meet, scopes hold, and without a token only this machine is let in."""

from typing import Any

import pytest

from processor.queue import tokens
from tests.api.conftest import Api

VERBS = ("cancel", "pause", "resume", "retry", "run-now")


def test_what_belongs_to_another_owner_does_not_exist(api: Api) -> None:
    ann, bob = api.asks_as("ann"), api.asks_as("bob")
    job = api.make(ann, subject="s", payload={"secret of ann": 1})
    path = f"/api/v1/jobs/{job}"
    requests: list[tuple[str, str, Any]] = [
        ("GET", path, None),
        ("PATCH", path, {"priority": 1}),
        ("DELETE", path, None),
        *(("GET", f"{path}/{part}", None) for part in ("result", "errors", "events", "explain")),
        *(("POST", f"{path}/{verb}", None) for verb in VERBS),
        ("GET", "/api/v1/jobs/latest?subject=s", None),
        ("POST", "/api/v1/jobs", {"type": "work", "parent_id": job}),
    ]
    before = api.queue.rows("SELECT * FROM jobs")
    for method, address, body in requests:
        answer = bob.request(method, address, json=body)
        assert answer.status_code == 404, f"{method} {address}: {answer.text}"
        missing = bob.request(method, address.replace(f"/{job}", "/999999"), json=body)
        assert missing.status_code == 404
    for address in ("/api/v1/jobs", "/api/v1/jobs?owner=ann", "/api/v1/jobs?text=s", "/api/v1/notifications"):
        assert bob.get(address).json()["items"] == []
    assert bob.post("/api/v1/jobs/cleanup", json={"which": "all"}).json()["jobs"] == 0
    assert "ann" not in bob.get("/api/v1/statistics").text
    assert api.queue.rows("SELECT * FROM jobs") == before
    assert ann.get(path).status_code == 200


def test_a_job_carries_the_owner_of_its_token(api: Api) -> None:
    ann = api.asks_as("ann")
    api.make(ann)
    assert api.queue.rows("SELECT owner FROM jobs") == [("ann",)]
    answer = ann.post("/api/v1/jobs", json={"type": "work", "owner": "bob"})
    assert answer.status_code == 409
    assert api.queue.rows("SELECT count(*) FROM jobs") == [(1,)]


def test_an_owner_learns_nothing_of_others_from_an_explanation(api: Api) -> None:
    ann, bob = api.asks_as("ann"), api.asks_as("bob")
    first = api.make(ann, concurrency_key="lane")
    [running] = api.queue.claim(types="work", jobs=1)
    assert running.id == first
    mine = api.make(bob, concurrency_key="lane")
    told = bob.get(f"/api/v1/jobs/{mine}/explain").json()
    assert "lane" in {finding["rule"] for finding in told["findings"]}
    assert f"{first}" not in " ".join(finding["text"] for finding in told["findings"])
    admin = api.asks_as(None, "admin").get(f"/api/v1/jobs/{mine}/explain").json()
    assert f"job {first}" in " ".join(finding["text"] for finding in admin["findings"])


def test_a_job_waits_for_children_of_its_own_owner_only(api: Api) -> None:
    parent = api.make(api.asks_as("bob"))
    admin = api.asks_as(None, "admin")
    refused = admin.post("/api/v1/jobs", json={"type": "work", "owner": "ann", "parent_id": parent})
    assert refused.status_code == 404


@pytest.mark.parametrize(
    "headers",
    [{"Origin": "https://evil.example"}, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"}],
    ids=["origin", "null", "site"],
)
def test_a_page_elsewhere_changes_nothing(api: Api, headers: dict[str, str]) -> None:
    """Not even where everybody on this machine may do everything, as its browser may."""
    job = api.make()
    assert api.client.post(f"/api/v1/jobs/{job}/cancel", headers=headers).status_code == 403
    assert api.queue.status(job) == ("pending", None)


def test_a_stranger_is_turned_away_before_its_body_is_read(api: Api) -> None:
    tokens.create(api.queue.database, owner="ann", scopes=("write",))
    answer = api.client.post("/api/v1/jobs", content=b"[" * 1_000_000, headers={"Content-Type": "application/json"})
    assert answer.status_code == 401


def test_scopes_hold(api: Api) -> None:
    reader, writer = api.asks_as("ann", "read"), api.asks_as("ann", "write")
    assert reader.get("/api/v1/jobs").status_code == 200
    refused = reader.post("/api/v1/jobs", json={"type": "work"})
    assert (refused.status_code, "scope write" in refused.json()["detail"]) == (403, True)
    assert writer.get("/api/v1/jobs").status_code == 403
    for method, path in (
        ("POST", "/api/v1/types/work/pause"),
        ("PATCH", "/api/v1/types/work"),
        ("GET", "/api/v1/schedules"),
        ("PUT", "/api/v1/schedules/s"),
        ("GET", "/api/v1/processors"),
        ("POST", "/api/v1/processors/p1/drain"),
    ):
        assert writer.request(method, path, json={}).status_code == 403, path
    admin = api.asks_as(None, "admin")
    assert admin.get("/api/v1/schedules").status_code == 200
    assert admin.post("/api/v1/jobs", json={"type": "work", "owner": "bob"}).status_code == 202


def test_who_may_only_write_reads_nothing_by_it(api: Api) -> None:
    """A token that a producer has, say, tells nobody what its owner's jobs are about, or how they ended."""
    told = {"payload": {"said": "deep"}, "owner": "ann", "subject": "s"}
    waits, ended, failed, later = (api.make(**told, **more) for more in ({}, {}, {}, {"delay_seconds": 600}))
    api.queue.rows("UPDATE jobs SET progress_message = 'deep', result = '\"deep\"'")
    api.queue.rows(f"UPDATE jobs SET status = 'completed' WHERE id = {ended}")
    texts = ", ".join(f"{name} = 'deep'" for name in ("error_type", "error_message", "error_detail"))
    api.queue.rows(f"UPDATE jobs SET status = 'failed', {texts} WHERE id = {failed}")
    writer = api.asks_as("ann", "write")
    for job in (waits, ended, failed, later):
        for method, part in (("PATCH", ""), *(("POST", f"/{verb}") for verb in VERBS)):
            answer = writer.request(method, f"/api/v1/jobs/{job}{part}", json={"priority": 1} if not part else None)
            assert answer.status_code in (200, 409), answer.text
            assert "deep" not in answer.text, part
            if answer.status_code == 200:
                assert (answer.json()["id"], answer.json()["payload"]) == (job, None)
    asked = {"verb": "delete", "text": "deep", "dry_run": True}
    assert writer.post("/api/v1/jobs/bulk", json=asked).status_code == 403, "a count would tell, letter by letter"
    reader = api.asks_as("ann", "read", "write")
    assert reader.post("/api/v1/jobs/bulk", json=asked).status_code == 200
    assert reader.post(f"/api/v1/jobs/{waits}/pause").json()["payload"] == told["payload"]


def test_a_token_is_needed_as_soon_as_there_is_one(api: Api) -> None:
    assert api.client.get("/api/v1/jobs").status_code == 200
    token, text = tokens.create(api.queue.database, owner="ann", scopes=("read",))
    refused = api.client.get("/api/v1/jobs")
    assert (refused.status_code, refused.headers["WWW-Authenticate"]) == (401, "Bearer")
    client = api.with_token(text)
    assert client.get("/api/v1/jobs").status_code == 200
    tokens.revoke(api.queue.database, token.id)
    assert client.get("/api/v1/jobs").status_code == 401
    assert api.client.get("/api/v1/jobs").status_code == 401, "all revoked is not open again"


def test_an_address_that_fails_too_often_waits(api: Api) -> None:
    tokens.create(api.queue.database, owner="ann", scopes=("read",))
    client = api.with_token("jt_wrong_wrong")
    answers = [client.get("/api/v1/jobs") for _ in range(12)]
    assert [answer.status_code for answer in answers] == [401] * 10 + [429] * 2
    assert ("minute" in answers[-1].json()["remedy"], answers[-1].headers["Retry-After"]) == (True, "60")
    assert api.asks_as("ann").get("/api/v1/jobs").status_code == 200, "nobody is kept out by the failures of others"


@pytest.mark.parametrize(
    "host", ["evil.example", "localhost.evil.example", "127.0.0.1.nip.io", "", "localhost@evil", "[::1]x", "*"]
)
def test_a_host_that_is_not_ours_is_turned_away(api: Api, host: str) -> None:
    answer = api.client.get("/api/v1/jobs", headers={"Host": host})
    assert answer.status_code == 421


@pytest.mark.parametrize("host", ["localhost", "localhost:9760", "127.0.0.1:9760", "LOCALHOST"])
def test_our_own_names_are_let_in(api: Api, host: str) -> None:
    assert api.client.get("/api/v1/jobs", headers={"Host": host}).status_code == 200


def test_answers_carry_what_browsers_must_know(api: Api) -> None:
    for path in ("/api/v1/jobs", "/nothing", "/api/v1/jobs/999"):
        headers = api.client.get(path).headers
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert "default-src 'none'" in headers["Content-Security-Policy"]


def test_a_body_without_end_is_cut_off(api: Api) -> None:
    answer = api.client.post("/api/v1/jobs", content=b" " * (17 * 1024**2))
    assert answer.status_code == 413
