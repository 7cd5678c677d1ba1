"""What all jobs tell, live: each event once, in order, to who may hear it, from whichever server."""

import json
import random
import threading
from contextlib import ExitStack
from typing import Any

import httpx
import pytest

from processor.api.app import application
from processor.outcome import Kind
from processor.queue.events import Event, Told, store
from processor.queue.settle import settle
from tests.api.conftest import Api, serving
from tests.api.test_events import LIVE, frames
from tests.patience import eventually
from tests.queue.conftest import Queue, verdict_of

STREAM = "/api/v1/changes"
WORKERS, JOBS = 4, 20


def work(queue: Queue, processor_id: str = "p1", type_: str = "work", owner: str = "ann") -> None:
    """Let a job be claimed, say two things, and end."""
    queue.insert("type, payload, owner", f"'{type_}', '{{}}', '{owner}'")
    [job] = queue.claim(processor_id, types=type_, jobs=1)
    said = (Event("log", "info", None, "password=deep"), Event("progress", None, 50.0, "half"))
    assert not store(queue.database, [Told(job.id, processor_id, job.claim_no, job.attempt, said)])
    settle(queue.database, [verdict_of(job, Kind.RETURNED, processor_id, result="1")])


def written(queue: Queue, where: str = "1 = 1") -> list[int]:
    rows = queue.rows(f"SELECT e.id FROM job_events e JOIN jobs j ON j.id = e.job_id WHERE {where} ORDER BY e.id")
    return [id for (id,) in rows]


def test_an_owner_hears_what_its_own_jobs_tell_from_now_on(api: Api) -> None:
    work(api.queue)
    with api.asks_as("ann", "read").stream("GET", STREAM, headers=LIVE) as answer:
        live = frames(answer)
        assert next(live) == {"id": str(written(api.queue)[-1]), "event": "ready", "data": "{}"}
        work(api.queue, owner="bob")
        work(api.queue)
        heard = [next(live) for _ in range(4)]
    assert [int(frame["id"]) for frame in heard] == written(api.queue, "owner = 'ann'")[4:]
    assert [frame["event"] for frame in heard] == ["state", "log", "progress", "state"]
    told = [json.loads(frame["data"]) for frame in heard]
    assert {(one["job_id"], one["type"], one["owner"]) for one in told} == {(3, "work", "ann")}
    assert [one["number"] for one in told] == [1, 2, 3, 4]
    assert "deep" not in heard[1]["data"]


def test_who_listens_beside_others_hears_what_is_its_own(api: Api) -> None:
    asked = {"ann": "kind=log", "bob": "kind=state&type=few", None: "type=work"}
    with ExitStack() as stack:
        lives = {}
        for owner, choice in asked.items():
            client = api.asks_as(owner, "read" if owner else "admin")
            lives[owner] = frames(stack.enter_context(client.stream("GET", f"{STREAM}?{choice}", headers=LIVE)))
            next(lives[owner])
        for type_, owner in (("work", "bob"), ("few", "ann"), ("few", "bob"), ("work", "ann")):
            work(api.queue, type_=type_, owner=owner)
        expected = {
            "ann": written(api.queue, "owner = 'ann' AND kind = 'log'"),
            "bob": written(api.queue, "owner = 'bob' AND kind = 'state' AND type = 'few'"),
            None: written(api.queue, "type = 'work'"),
        }
        for owner, ids in expected.items():
            assert [int(next(lives[owner])["id"]) for _ in ids] == ids, owner


def test_who_is_ahead_of_the_table_hears_what_comes_from_now_on(api: Api) -> None:
    """As after a backup was restored: its ids are lower than those which clients have heard."""
    work(api.queue)
    [*_, last] = written(api.queue)
    with api.asks_as("ann", "read").stream("GET", f"{STREAM}?after=1000000", headers=LIVE) as answer:
        live = frames(answer)
        assert [next(live)["id"], next(live)] == ["1000000", {"id": str(last), "event": "ready", "data": "{}"}]
        work(api.queue)
        assert [int(next(live)["id"]) for _ in range(4)] == written(api.queue)[4:]


def test_a_page_ahead_of_the_table_says_from_where_to_go_on(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("processor.api.routes.changes.WAIT", 10.0)
    client = api.asks_as("ann", "read")
    work(api.queue)
    [*_, last] = written(api.queue)
    assert client.get(STREAM, params={"after": 1_000_000}).json() == {"items": [], "next": last}


@pytest.mark.parametrize(
    ("asked", "where"),
    [
        ("", "1 = 1"),
        ("&type=work&type=few", "type IN ('work', 'few')"),
        ("&kind=state", "kind = 'state'"),
        ("&type=few&kind=log&kind=progress", "type = 'few' AND kind IN ('log', 'progress')"),
    ],
)
def test_who_may_hear_all_chooses_types_and_kinds(api: Api, asked: str, where: str) -> None:
    for type_, owner in (("work", "ann"), ("few", "bob"), ("other", "ann"), ("few", "ann")):
        work(api.queue, type_=type_, owner=owner)
    expected = written(api.queue, where)
    assert 0 < len(expected) <= 16
    with api.asks_as(None, "admin").stream("GET", f"{STREAM}?after=0{asked}", headers=LIVE) as answer:
        live = frames(answer)
        assert next(live)["event"] == "ready"
        assert [int(next(live)["id"]) for _ in expected] == expected
        work(api.queue, type_="few")
        assert int(next(live)["id"]) == written(api.queue, where)[len(expected)]


def test_what_is_not_known_is_refused(api: Api) -> None:
    for asked in ("kind=unknown", "after=-1", "after=x"):
        answer = api.client.get(f"{STREAM}?{asked}", headers=LIVE)
        assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json")


def test_who_does_not_listen_asks_for_pages(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("processor.api.tails.PAGE", 3)
    begin = eventually(lambda: api.client.get(STREAM).json()["next"] is not None and api.client.get(STREAM).json())
    assert begin == {"items": [], "next": 0}
    for owner in ("ann", "bob", "ann"):
        work(api.queue, owner=owner)
    ann, seen, place = api.asks_as("ann", "read"), [], 0
    while True:
        page = ann.get(STREAM, params={"after": place}).json()
        if not page["items"]:
            break
        seen += [item["id"] for item in page["items"]]
        place = page["next"]
    assert seen == written(api.queue, "owner = 'ann'")
    assert place == seen[-1]


def test_who_hears_nothing_learns_from_where_to_go_on(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """An owner with little to hear would else have all that others said meanwhile gone through when it comes again."""
    monkeypatch.setattr("processor.api.frames.KEEP_ALIVE", 0.05)
    with api.asks_as("ann", "read").stream("GET", STREAM, headers=LIVE) as answer:
        lines = answer.iter_lines()
        assert next(line for line in lines if line.startswith("id: ")) == "id: 0"  # a sign of life may come first
        work(api.queue, owner="bob")
        latest = f"id: {written(api.queue)[-1]}"  # numbers may have gaps
        assert next(line for line in lines if line == latest)


def test_who_was_far_behind_catches_up_in_small_bites(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("processor.api.tails.REACH", 5)
    monkeypatch.setattr("processor.api.tails.PAGE", 2)
    for owner in ("bob", "ann", "bob", "bob", "ann"):
        work(api.queue, owner=owner)
    with api.asks_as("ann", "read").stream("GET", f"{STREAM}?after=0", headers=LIVE) as answer:
        live = frames(answer)
        next(live)
        assert [int(next(live)["id"]) for _ in range(8)] == written(api.queue, "owner = 'ann'")


def test_a_client_that_is_cut_off_gets_every_event_once_from_any_server(api: Api) -> None:
    """Two servers; four processors at once; cuts at random; what the client saw is what the table has."""
    headers = {**LIVE, "Authorization": api.asks_as(None, "admin").headers["Authorization"]}
    chance = random.Random(5)
    workers = [threading.Thread(target=_work_much, args=(api.queue, number)) for number in range(WORKERS)]
    expected = WORKERS * JOBS * 4
    seen: list[tuple[int, Any]] = []
    place = "0"
    with ExitStack() as stack:
        other = stack.enter_context(serving(application(api.settings, api.queue.database, is_loopback=True)))
        addresses = [str(api.client.base_url), other]
        for one in workers:
            one.start()
        while len(seen) < expected:
            headers["Last-Event-ID"] = place
            with httpx.stream("GET", f"{chance.choice(addresses)}{STREAM}", headers=headers, timeout=30) as answer:
                for frame in frames(answer):
                    if frame["event"] != "ready":
                        seen.append((int(frame["id"]), json.loads(frame["data"])))
                        place = frame["id"]
                    if chance.random() < 0.02 or len(seen) == expected:
                        break
        for one in workers:
            one.join()
    assert [id for id, _ in seen] == written(api.queue)
    numbers: dict[int, list[int]] = {}
    for _, told in seen:
        numbers.setdefault(told["job_id"], []).append(told["number"])
    assert set(map(tuple, numbers.values())) == {(1, 2, 3, 4)}  # of each job in its own order


def _work_much(queue: Queue, number: int) -> None:
    own = Queue(queue.given)
    own.register(f"w{number}")
    for _ in range(JOBS):
        work(own, f"w{number}", f"work{number}")
    own.database.close()
