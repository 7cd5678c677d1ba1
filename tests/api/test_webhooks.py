"""Webhooks over the API: made, steered, and never met by another owner."""

from typing import Any

import httpx

from processor.outcome import Kind
from processor.queue import targets
from processor.queue.deliveries import TYPE
from processor.queue.settle import settle
from tests.api.conftest import Api
from tests.queue.conftest import verdict_of

PATH = "/api/v1/webhooks"
URL = "https://hooks.example/x"


def make(client: httpx.Client, **more: Any) -> dict[str, Any]:
    answer = client.post(PATH, json={"url": URL, **more})
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


def test_a_webhook_lives_from_its_making_to_its_end(api: Api) -> None:
    ann = api.asks_as("ann")
    made = make(ann, type="work", outcome="failed", with_result=True, name="the shop")
    secret = made.pop("secret")
    expected = {"owner": "ann", "type": "work", "outcome": "failed", "name": "the shop", "url": URL, "paused_at": None}
    assert expected.items() <= made.items()
    mine = f"{PATH}/{made['id']}"
    assert ann.get(mine).json() == made
    assert ann.get(PATH).json() == {"items": [made]}

    test = ann.post(f"{mine}/test")
    assert (test.status_code, test.headers["Location"]) == (202, f"/api/v1/jobs/{test.json()['id']}")
    assert ann.post(f"{mine}/pause").json()["paused_reason"] == "asked"
    assert ann.get(test.headers["Location"]).json()["status"] == "paused"
    resumed = ann.post(f"{mine}/resume").json()
    assert (resumed["paused_at"], resumed["last_job_id"]) == (None, test.json()["id"])
    rotated = ann.post(f"{mine}/rotate", json={"keep_seconds": 60})
    assert rotated.json()["former_secret_until"] is not None
    target = targets.target(api.queue.database, made["id"], "ann")
    assert target is not None and target.secrets == (rotated.json()["secret"], secret)
    assert ann.post(f"{mine}/rotate").status_code == 200
    everything = (
        ann.get(PATH).text + ann.get(mine).text + ann.get("/api/v1/jobs").text + ann.get(test.headers["Location"]).text
    )
    assert "whsec_" not in everything

    assert ann.delete(mine).status_code == 204
    assert ann.get(mine).status_code == 404
    assert ann.get(test.headers["Location"]).json()["status"] == "cancelled"


def test_what_is_given_of_a_webhook_is_changed(api: Api) -> None:
    ann = api.asks_as("ann")
    made = make(ann, type="work", outcome="failed", name="the shop")
    del made["secret"]
    mine = f"{PATH}/{made['id']}"
    given = {"url": f"{URL}/new", "type": None, "outcome": "any", "with_result": True, "name": None}
    changed = ann.patch(mine, json=given)
    assert changed.status_code == 200, changed.text
    assert changed.json() == {**made, **given} == ann.get(mine).json()
    assert ann.patch(mine, json={"name": "other"}).json() == {**made, **given, "name": "other"}
    assert ann.patch(mine, json={}).json() == {**made, **given, "name": "other"}


def test_what_cannot_be_told_is_not_changed_to(api: Api) -> None:
    ann = api.asks_as("ann")
    made = make(ann)
    before = api.queue.rows("SELECT * FROM webhooks")
    wrong: list[tuple[dict[str, Any], int, str]] = [
        *REFUSED,
        *(({name: None}, 422, name) for name in ("url", "outcome", "with_result")),
        ({"owner": "ann"}, 422, "owner"),
        ({"url": ""}, 422, "url"),
    ]
    for given, status, says in wrong:
        answer = ann.patch(f"{PATH}/{made['id']}", json={"name": "other", **given})
        assert answer.status_code == status, f"{given}: {answer.text}"
        assert says in answer.json()["detail"]
    assert api.queue.rows("SELECT * FROM webhooks") == before


def test_an_address_that_comes_back_as_it_was_shown_stays(api: Api) -> None:
    made = make(api.client, owner="ann", url=f"{URL}?token=abcdef")
    answer = api.client.patch(f"{PATH}/{made['id']}", json={"url": made["url"], "name": "other"})
    assert (answer.json()["url"], answer.json()["name"]) == (f"{URL}?token=***", "other")
    target = targets.target(api.queue.database, made["id"], "ann")
    assert target is not None and target.url == f"{URL}?token=abcdef"


def test_an_address_with_a_secret_that_is_not_shown_is_not_written(api: Api) -> None:
    """Somebody changes the path of an address that was shown with stars."""
    made = make(api.client, owner="ann", url=f"{URL}?token=abcdef")
    moved = f"{URL}/new?token=***"
    for answer in (
        api.client.patch(f"{PATH}/{made['id']}", json={"url": moved}),
        api.client.post(PATH, json={"url": moved, "owner": "ann"}),
    ):
        assert answer.status_code == 409
        assert answer.json()["detail"] == "The address has ***, which is how a secret is shown. Nothing was changed."
    target = targets.target(api.queue.database, made["id"], "ann")
    assert target is not None and target.url == f"{URL}?token=abcdef"


def test_what_was_sent_is_found_among_the_jobs(api: Api) -> None:
    ann = api.asks_as("ann")
    made, other = make(ann), make(ann)
    job = api.make(ann)
    settle(api.queue.database, [verdict_of(claimed, Kind.RETURNED) for claimed in api.queue.claim(types="work")])
    listed = ann.get("/api/v1/jobs", params={"type": TYPE, "subject": f"webhook:{made['id']}"}).json()["items"]
    assert [one["key"].startswith(f"msg_{made['id']}_{job}_") for one in listed] == [True]
    sent = ann.get(f"/api/v1/jobs/{listed[0]['id']}").json()["payload"]
    assert (sent["type"], sent["data"]["id"]) == ("job.completed", job)
    assert len(ann.get("/api/v1/jobs", params={"type": TYPE}).json()["items"]) == 2
    assert other["id"] != made["id"]


def test_what_is_hidden_in_an_error_is_hidden_in_what_is_told_of_it(api: Api) -> None:
    ann = api.asks_as("ann")
    make(ann)
    job = api.make(ann)
    failed = [verdict_of(one, Kind.RAISED, error_message="token=abcdef") for one in api.queue.claim(types="work")]
    settle(api.queue.database, failed)
    assert ann.get(f"/api/v1/jobs/{job}").json()["error_message"] == "token=***"
    [told] = ann.get("/api/v1/jobs", params={"type": TYPE}).json()["items"]
    assert ann.get(f"/api/v1/jobs/{told['id']}").json()["payload"]["data"]["error_message"] == "token=***"


def test_webhooks_of_another_owner_do_not_exist(api: Api) -> None:
    ann, bob, admin = api.asks_as("ann"), api.asks_as("bob"), api.asks_as(None, "admin")
    of_ann, of_all = make(ann), make(admin)
    before = api.queue.rows("SELECT * FROM webhooks ORDER BY id")
    for made in (of_ann, of_all):
        mine = f"{PATH}/{made['id']}"
        requests = [("GET", mine), ("DELETE", mine), ("PATCH", mine), *(("POST", f"{mine}/{verb}") for verb in VERBS)]
        for method, address in requests:
            body = {"name": "mine"} if method == "PATCH" else None
            answer = bob.request(method, address, json=body)
            assert answer.status_code == 404, f"{method} {address}: {answer.text}"
            missing = bob.request(method, address.replace(made["id"], "00000000"), json=body)
            assert answer.json()["detail"].replace(made["id"], "") == missing.json()["detail"].replace("00000000", "")
    assert bob.get(PATH).json() == {"items": []}
    assert [one["id"] for one in ann.get(PATH).json()["items"]] == [of_ann["id"]]
    assert {one["id"] for one in admin.get(PATH).json()["items"]} == {of_ann["id"], of_all["id"]}
    assert api.queue.rows("SELECT * FROM webhooks ORDER BY id") == before
    assert bob.get("/api/v1/jobs").json()["items"] == []


VERBS = ("pause", "resume", "rotate", "test")


def test_an_owner_makes_its_own_alone(api: Api) -> None:
    ann = api.asks_as("ann")
    assert make(ann, owner="ann")["owner"] == "ann"
    answer = ann.post(PATH, json={"url": URL, "owner": "bob"})
    assert (answer.status_code, "belongs to 'ann'" in answer.json()["detail"]) == (409, True)


def test_of_all_owners_an_operator_decides(api: Api) -> None:
    admin, writer = api.asks_as(None, "admin"), api.asks_as(None, "read", "write")
    of_all = make(admin)
    assert writer.post(PATH, json={"url": URL}).status_code == 403
    make(writer, owner="bob")
    mine = f"{PATH}/{of_all['id']}"
    assert writer.get(mine).status_code == 200
    for method, address in [("DELETE", mine), *(("POST", f"{mine}/{verb}") for verb in VERBS)]:
        assert writer.request(method, address).status_code == 403, address
    assert writer.patch(mine, json={"name": "mine"}).status_code == 403
    assert admin.patch(mine, json={"name": "ours"}).json()["name"] == "ours"
    assert all(admin.post(f"{mine}/{verb}").is_success for verb in VERBS)


def test_who_may_only_read_changes_nothing(api: Api) -> None:
    made = make(api.asks_as("ann"))
    reader = api.asks_as("ann", "read")
    assert reader.get(f"{PATH}/{made['id']}").status_code == 200
    assert reader.post(PATH, json={"url": URL}).status_code == 403
    assert reader.delete(f"{PATH}/{made['id']}").status_code == 403
    assert reader.patch(f"{PATH}/{made['id']}", json={"name": "other"}).status_code == 403
    assert all(reader.post(f"{PATH}/{made['id']}/{verb}").status_code == 403 for verb in VERBS)


REFUSED: list[tuple[dict[str, Any], int, str]] = [
    ({"url": "http://127.0.0.1:9760/api/v1/jobs"}, 409, "private network"),
    ({"url": "http://localhost/"}, 409, "private network"),
    ({"url": "https://[::ffff:10.0.0.1]/"}, 409, "private network"),
    ({"url": "https://ann:secret@hooks.example/"}, 409, "a user or a password"),
    ({"url": "ftp://hooks.example/"}, 422, "url"),
    ({"type": TYPE}, 409, "never tells of"),
    ({"outcome": "done"}, 422, "outcome"),
    ({"secret": "mine"}, 422, "secret"),
]


def test_who_may_not_read_lets_nobody_be_told(api: Api) -> None:
    """What a webhook tells are errors and results: who may not read them has none sent to itself either."""
    made = make(api.asks_as("ann"))
    writer = api.asks_as("ann", "write")
    asked = [("POST", ""), ("PATCH", f"/{made['id']}"), *(("POST", f"/{made['id']}/{do}") for do in ("rotate", "test"))]
    for method, path in asked:
        answer = writer.request(method, f"{PATH}{path}", json={} if "/" in path else {"url": URL, "with_result": True})
        assert answer.status_code == 403, path
        assert "the scope read" in answer.json()["detail"]
    assert len(api.asks_as("ann").get(PATH).json()["items"]) == 1


def test_what_cannot_be_told_is_refused(api: Api) -> None:
    for given, status, says in REFUSED:
        answer = api.client.post(PATH, json={"url": URL, **given})
        assert answer.status_code == status, f"{given}: {answer.text}"
        assert says in answer.json()["detail"]
    assert api.queue.rows("SELECT * FROM webhooks") == []


def test_whoever_tests_too_often_is_told_to_wait(api: Api) -> None:
    ann = api.asks_as("ann")
    mine = f"{PATH}/{make(ann)['id']}"
    assert [ann.post(f"{mine}/test").status_code for _ in range(10)] == [202] * 10
    answer = ann.post(f"{mine}/test")
    assert (answer.status_code, answer.json()["detail"][:8]) == (429, "10 tests")
    assert "Retry-After" in answer.headers


def test_secrets_in_an_address_are_masked(api: Api) -> None:
    made = make(api.client, url=f"{URL}?token=abcdef&a=b")
    assert made["url"] == f"{URL}?token=***&a=b"
    assert "abcdef" not in api.client.get(PATH).text
