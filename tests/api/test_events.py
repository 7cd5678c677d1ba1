"""What jobs tell, live: once, in order, whatever is cut off, whichever server is asked."""

import json
import random
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import httpx
import pytest

from processor.api import feed
from processor.api.app import application
from processor.errors import DatabaseUnreachable
from processor.outcome import Kind
from processor.queue import tokens
from processor.queue.events import Event, Told, store
from processor.queue.settle import settle
from tests.api.conftest import Api, serving
from tests.patience import eventually
from tests.queue.conftest import Queue, verdict_of

LIVE = {"Accept": "text/event-stream"}


def tell(queue: Queue, job: Any, *texts: str) -> None:
    said = tuple(Event("log", "info", None, text) for text in texts)
    assert not store(queue.database, [Told(job.id, "p1", job.claim_no, job.attempt, said)])


def frames(answer: httpx.Response) -> Iterator[dict[str, str]]:
    """Read server-sent events; comments are left out."""
    frame: dict[str, str] = {}
    for line in answer.iter_lines():
        if not line:
            if frame:
                yield frame
            frame = {}
        elif not line.startswith(":"):
            name, _, value = line.partition(": ")
            frame[name] = value


def stored(queue: Queue, job_id: int) -> list[tuple[Any, ...]]:
    return queue.rows(f"SELECT number, kind, text FROM job_events WHERE job_id = {job_id} ORDER BY number")


def test_what_was_told_is_replayed_and_what_is_told_now_follows(api: Api) -> None:
    api.make()
    [job] = api.queue.claim(types="work")
    tell(api.queue, job, "one", "two")
    with api.client.stream("GET", "/api/v1/jobs/1/events", headers=LIVE) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        live = frames(answer)
        first = [next(live) for _ in range(3)]
        assert [frame["event"] for frame in first] == ["state", "log", "log"]
        assert [json.loads(frame["data"])["text"] for frame in first[1:]] == ["one", "two"]
        tell(api.queue, job, "password=canary")
        assert "canary" not in next(live)["data"]
        settle(api.queue.database, [verdict_of(job, Kind.RETURNED, result="1")])
        assert json.loads(next(live)["data"])["level"] == "completed"
        assert next(live) == {"event": "end", "data": '{"status": "completed", "reason": "done"}'}
        assert list(live) == []
    again = api.client.get("/api/v1/jobs/1/events", headers={**LIVE, "Last-Event-ID": "5"})
    assert again.status_code == 204, "a browser that gets this asks no more"


def test_who_is_ahead_of_a_job_hears_what_comes_from_now_on(api: Api) -> None:
    """As after a backup was restored: the job has told less than the client has heard."""
    api.make()
    [job] = api.queue.claim(types="work")
    with api.client.stream("GET", "/api/v1/jobs/1/events?after=1000", headers=LIVE) as answer:
        feed = api.app.state.service.feed
        eventually(lambda: [one.place for one in feed._listeners] == [1], "it goes on from what the job has told")
        settle(api.queue.database, [verdict_of(job, Kind.RETURNED, result="1")])
        assert [frame.get("id", frame["event"]) for frame in frames(answer)] == ["2", "end"]


def test_a_client_that_is_cut_off_gets_every_event_once_from_any_server(api: Api) -> None:
    """Two servers, one of which restarts; cuts at random; what the client saw is what the table has."""
    api.make()
    [job] = api.queue.claim(types="work")
    chance = random.Random(7)

    def work() -> None:
        for number in range(60):
            tell(api.queue, job, *(f"{number}.{n}" for n in range(chance.randrange(1, 6))))
        settle(api.queue.database, [verdict_of(job, Kind.RETURNED, result="1")])

    worker = threading.Thread(target=work)
    seen: list[tuple[int, str, str | None]] = []
    with ExitStack() as stack:
        other = stack.enter_context(serving(application(api.settings, api.queue.database, is_loopback=True)))
        third = ExitStack()
        restarting = third.enter_context(serving(application(api.settings, api.queue.database, is_loopback=True)))
        worker.start()
        ended = False
        for turn in range(10_000):
            if turn == 5:
                third.close()
                restarting = stack.enter_context(
                    serving(application(api.settings, api.queue.database, is_loopback=True))
                )
            address = chance.choice([str(api.client.base_url), other, restarting])
            position = {"Last-Event-ID": str(seen[-1][0])} if seen else {}
            with httpx.stream("GET", f"{address}/api/v1/jobs/1/events", headers={**LIVE, **position}) as answer:
                if answer.status_code == 204:
                    ended = True
                for frame in frames(answer):
                    if "id" not in frame:
                        break
                    event = json.loads(frame["data"])
                    seen.append((int(frame["id"]), event["kind"], event["text"]))
                    if chance.random() < 0.1:
                        break
            if ended:
                break
        worker.join()
    assert seen == stored(api.queue, 1)
    assert len(seen) > 100


@pytest.mark.parametrize("place", ["9" * 5000, "9" * 300, "-1", "1.5", "1 2", "last"])
def test_a_place_that_no_stream_gave_is_none(api: Api, place: str) -> None:
    api.make()
    api.client.post("/api/v1/jobs/1/cancel")
    with api.client.stream("GET", "/api/v1/jobs/1/events", headers={**LIVE, "Last-Event-ID": place}) as answer:
        assert answer.status_code == 200
        assert [frame["event"] for frame in frames(answer)] == ["state", "end"]


def test_two_who_listen_from_different_places_hear_each_what_is_behind_theirs(api: Api) -> None:
    api.make()
    [job] = api.queue.claim(types="work")
    tell(api.queue, job, "a", "b", "c")
    with ExitStack() as stack:
        asked = [{**LIVE, "Last-Event-ID": str(place)} for place in (0, 3, 4)]
        streams = [
            stack.enter_context(api.client.stream("GET", "/api/v1/jobs/1/events", headers=headers)) for headers in asked
        ]
        eventually(lambda: len(api.app.state.service.feed) == len(streams))
        tell(api.queue, job, "d")
        settle(api.queue.database, [verdict_of(job, Kind.RETURNED, result="1")])
        heard = [[int(frame["id"]) for frame in frames(stream) if "id" in frame] for stream in streams]
    assert heard == [[1, 2, 3, 4, 5, 6], [4, 5, 6], [5, 6]]


def test_another_owner_hears_nothing(api: Api) -> None:
    ann, bob = api.asks_as("ann"), api.asks_as("bob")
    job = api.make(ann)
    assert bob.get(f"/api/v1/jobs/{job}/events", headers=LIVE).status_code == 404


def test_a_token_that_is_revoked_ends_its_streams(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("processor.api.standing.PAUSE", 0.05)
    token, text = tokens.create(api.queue.database, owner="ann", scopes=("read", "write"))
    client = api.with_token(text)
    job = api.make(client)
    with client.stream("GET", f"/api/v1/jobs/{job}/events", headers=LIVE) as answer:
        tokens.revoke(api.queue.database, token.id)
        [frame] = list(frames(answer))
    assert frame == {"event": "dropped", "data": '{"why": "the token is no longer valid"}'}


def test_who_takes_nothing_is_cut_off_and_costs_no_memory(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("processor.api.live.PATIENCE", 0.2)
    monkeypatch.setattr(feed, "PAGE", 50)
    api.make()
    [job] = api.queue.claim(types="work")
    for _ in range(20):
        tell(api.queue, job, *("x" * 20_000 for _ in range(50)))
    served = api.app.state.service.feed
    seen: list[int] = []
    with api.client.stream("GET", "/api/v1/jobs/1/events", headers=LIVE) as answer:
        eventually(lambda: len(served), "its place")
        [listener] = served._listeners
        given: list[int] = []

        def is_cut_off() -> bool:  # nothing is read meanwhile
            given.append(len(listener.given))
            return not len(served)

        eventually(is_cut_off)
        assert 0 < max(given) <= 50
        with pytest.raises(httpx.RemoteProtocolError):
            seen += [int(frame["id"]) for frame in frames(answer)]
    settle(api.queue.database, [verdict_of(job, Kind.RETURNED, result="1")])
    assert seen == list(range(1, len(seen) + 1)), "what was sent before is whole"
    with api.client.stream("GET", f"/api/v1/jobs/1/events?after={len(seen)}", headers=LIVE) as answer:
        rest = [int(frame["id"]) for frame in frames(answer) if "id" in frame]
    assert [*seen, *rest] == [number for number, *_ in stored(api.queue, 1)]


def test_a_stream_outlives_a_database_that_is_away(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("processor.api.standing.PAUSE", 0.05)
    monkeypatch.setattr("processor.api.reader.PAUSE_AFTER_ERROR", 0.05)
    api.make()
    [job] = api.queue.claim(types="work")
    away, reader, door = threading.Event(), threading.Event(), threading.Event()
    monkeypatch.setattr(feed.news, "heads", failing_while(away, reader, feed.news.heads))
    monkeypatch.setattr(tokens, "any_exist", failing_while(away, door, tokens.any_exist))
    with api.client.stream("GET", "/api/v1/jobs/1/events", headers=LIVE) as answer:
        live = frames(answer)
        assert next(live)["event"] == "state"
        away.set()
        assert reader.wait(20), "the reader met it"
        assert door.wait(20), "the look at the token met it"
        tell(api.queue, job, "meanwhile")
        away.clear()
        assert json.loads(next(live)["data"])["text"] == "meanwhile"


def failing_while(away: threading.Event, looked: threading.Event, verb: Any) -> Any:
    def maybe(database: Any, *given: Any, **named: Any) -> Any:
        if away.is_set():
            looked.set()
            raise DatabaseUnreachable("the database", "it is away")
        return verb(database, *given, **named)

    return maybe


def test_a_bug_in_the_reader_is_told_and_ends_the_streams(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    api.make()
    heard: list[object] = []
    monkeypatch.setattr(api.app.state.service.feed, "_failed", heard.append)
    with api.client.stream("GET", "/api/v1/jobs/1/events", headers=LIVE) as answer:
        monkeypatch.setattr(feed.news, "heads", None)
        [frame] = list(frames(answer))
    assert frame["event"] == "dropped"
    assert [type(error) for error in heard] == [TypeError]


def test_a_job_that_is_deleted_ends_its_stream(api: Api) -> None:
    api.make()
    with api.client.stream("GET", "/api/v1/jobs/1/events", headers=LIVE) as answer:
        assert api.client.delete("/api/v1/jobs/1").status_code == 204
        assert list(frames(answer)) == [{"event": "end", "data": '{"status": "deleted", "reason": null}'}]
