"""The WebSocket: subscribe, steer, go on where it was cut off; and who is not let in, or no more."""

import dataclasses
import json
import random
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Origin, Subprotocol

from processor.api import conversation, messages
from processor.api.app import application
from processor.api.routes import socket
from processor.outcome import Kind
from processor.queue import tokens
from processor.queue.settle import settle
from tests.api.conftest import Api, serving
from tests.api.test_changes import JOBS, WORKERS, _work_much, work, written
from tests.api.test_events import stored, tell
from tests.api.test_session import browser
from tests.patience import eventually
from tests.queue.conftest import verdict_of

Given = dict[str, Any]


class Talk:
    """One side of a WebSocket."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection

    def say(self, do: str, ref: int | str = 1, **more: Any) -> None:
        self.connection.send(json.dumps({"do": do, "ref": ref, **more}))

    def hear(self, ref: int | str | None = 1) -> Given:
        """Give the next frame, which has this `ref`; signs of life are left out."""
        while True:
            heard: Given = json.loads(self.connection.recv(timeout=30))
            if heard["event"] != "alive":
                assert heard.pop("ref") == ref, heard
                return heard

    def problem(self, ref: int | str | None = 1) -> Given:
        heard = self.hear(ref)
        assert heard["event"] == "problem", heard
        said: Given = heard["data"]
        return said

    def end(self) -> tuple[int, str]:
        """Read until the server closes; give its code, and why."""
        try:
            while True:
                self.connection.recv(timeout=30)
        except ConnectionClosed as closed:
            code = closed.rcvd
        assert code is not None
        return code.code, code.reason


@contextmanager
def talking(
    address: Any,
    token: str | None = None,
    *,
    ticket: str | None = None,
    origin: str | None = None,
    cookie: str | None = None,
    **how: Any,
) -> Iterator[Talk]:
    offered = [socket.PROTOCOL, *([f"ticket.{ticket}"] if ticket else [])]
    headers = {**({"Authorization": f"Bearer {token}"} if token else {}), **({"Cookie": cookie} if cookie else {})}
    with connect(
        f"{str(address).replace('http', 'ws', 1).rstrip('/')}/api/v1/ws",
        subprotocols=[Subprotocol(name) for name in offered],
        additional_headers=headers,
        origin=Origin(origin) if origin else None,
        proxy=None,
        compression=None,
        **how,
    ) as connection:
        assert connection.subprotocol == socket.PROTOCOL
        yield Talk(connection)


def token(api: Api, owner: str | None, *scopes: str) -> str:
    return tokens.create(api.queue.database, owner=owner, scopes=scopes or ("read", "write"))[1]


def refused(api: Api, *given: Any, **how: Any) -> Given:
    with pytest.raises(InvalidStatus) as error, talking(api.client.base_url, *given, **how):
        pass
    said: Given = json.loads(bytes(error.value.response.body or b""))
    assert said["status"] == error.value.response.status_code
    return said


def test_a_job_is_replayed_and_followed_to_its_end(api: Api) -> None:
    job_id = api.make(api.asks_as("ann"))
    [job] = api.queue.claim(types="work")
    tell(api.queue, job, "first", "password=deep")
    with talking(api.client.base_url, token(api, "ann", "read")) as talk:
        talk.say("subscribe", to="job", job=job_id)
        assert talk.hear() == {"event": "ready", "id": 0, "data": {}}
        heard = [talk.hear() for _ in range(3)]
        settle(api.queue.database, [verdict_of(job, Kind.RETURNED, result="1")])
        heard.append(talk.hear())
        assert talk.hear() == {"event": "end", "data": {"status": "completed", "reason": "done"}}
        talk.say("subscribe", to="job", job=job_id, after=3)  # the ref is free again
        assert [talk.hear()["event"] for _ in range(3)] == ["ready", "state", "end"]
    assert [(one["id"], one["event"]) for one in heard] == [row[:2] for row in stored(api.queue, job_id)]
    assert heard[1]["data"]["text"] == "first"
    assert "deep" not in json.dumps(heard)


def test_what_all_jobs_tell_by_type_beside_notifications(api: Api) -> None:
    with talking(api.client.base_url, token(api, "ann", "read")) as talk:
        talk.say("subscribe", "c", to="changes", types=["few"], kinds=["state"])
        assert talk.hear("c") == {"event": "ready", "id": 0, "data": {}}
        talk.say("subscribe", "n", to="notifications")
        assert talk.hear("n") == {"event": "ready", "id": 0, "data": {}}
        for type_, owner in (("few", "bob"), ("work", "ann"), ("few", "ann")):
            work(api.queue, type_=type_, owner=owner)
        heard: dict[str, list[Given]] = {"c": [], "n": []}
        while len(heard["c"]) < 2 or len(heard["n"]) < 2:
            one = json.loads(talk.connection.recv(timeout=30))
            heard[one["ref"]].append(one)
        assert [one["id"] for one in heard["c"]] == written(api.queue, "job_id = 3 AND kind = 'state'")
        assert {(one["data"]["job_id"], one["data"]["type"]) for one in heard["c"]} == {(3, "few")}
        assert [one["data"]["job_id"] for one in heard["n"]] == [2, 3]
        talk.say("unsubscribe", "c")
        assert talk.hear("c") == {"event": "end", "data": {"status": "unsubscribed", "reason": None}}
        work(api.queue, type_="few")
        assert talk.hear("n")["data"]["job_id"] == 4


def test_who_hears_nothing_is_told_that_all_is_well(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("processor.api.frames.KEEP_ALIVE", 0.05)
    with talking(api.client.base_url, token(api, "ann", "read")) as talk:
        talk.say("subscribe", to="changes")
        assert talk.hear()["event"] == "ready"
        work(api.queue, owner="bob")
        [latest] = written(api.queue)[-1:]
        eventually(lambda: json.loads(talk.connection.recv(timeout=30)) == alive(latest))


def alive(place: int) -> Given:
    return {"ref": 1, "event": "alive", "id": place, "data": {}}


@pytest.mark.parametrize(
    ("do", "before", "after"),
    [
        ("cancel", "pending", "cancelled"),
        ("pause", "pending", "paused"),
        ("resume", "paused", "pending"),
        ("retry", "failed", "pending"),
        ("run-now", "scheduled", "pending"),
    ],
)
def test_it_steers(api: Api, do: str, before: str, after: str) -> None:
    job = api.make(api.asks_as("ann"))
    api.queue.rows(f"UPDATE jobs SET status = '{before}'")
    with talking(api.client.base_url, token(api, "ann")) as talk:
        talk.say(do, "steer", job=job)
        heard = talk.hear("steer")
        assert heard["event"] == "done"
        assert (heard["data"]["id"], heard["data"]["status"]) == (job, after)
        assert api.queue.status(job)[0] == after
        talk.say("run-now", "not now", job=job)
        assert talk.problem("not now")["status"] == 409


def test_another_owner_meets_nothing(api: Api) -> None:
    job = api.make(api.asks_as("ann"))
    before = api.queue.rows("SELECT * FROM jobs")
    with talking(api.client.base_url, token(api, "bob")) as talk:
        for do, more in (*((do, {}) for do in socket.VERBS), ("subscribe", {"to": "job"})):
            talk.say(do, job=job, **more)
            of_ann = talk.problem()
            talk.say(do, job=999, **more)
            assert of_ann["status"] == 404
            assert talk.problem() == {**of_ann, "detail": of_ann["detail"].replace(str(job), "999")}
    assert api.queue.rows("SELECT * FROM jobs") == before


def test_who_may_only_read_steers_nothing(api: Api) -> None:
    job = api.make(api.asks_as("ann"))
    with talking(api.client.base_url, token(api, "ann", "read")) as talk:
        talk.say("cancel", job=job)
        assert talk.problem()["status"] == 403
    reads = dataclasses.replace(api.app.state.service, read_only=True)
    api.app.state.service = reads
    with talking(api.client.base_url, token(api, "ann")) as talk:
        talk.say("cancel", job=job)
        assert "only reads" in talk.problem()["detail"]
    assert api.queue.status(job)[0] == "pending"


@pytest.mark.parametrize(
    ("said", "ref", "named"),
    [
        ("", None, "no JSON"),
        ("{", None, "no JSON"),
        ("[" * 60_000, None, "levels"),
        ("[]", None, "not valid"),
        ('"subscribe"', None, "not valid"),
        ('{"do": "cancel", "job": 1}', None, "ref"),
        ('{"do": "cancel", "job": 1, "ref": {}}', None, "ref"),
        ('{"do": "delete", "job": 1, "ref": 7}', 7, "delete"),
        ('{"do": "cancel", "ref": 7}', 7, "job"),
        ('{"do": "cancel", "job": "1", "ref": "a"}', "a", "job"),
        ('{"do": "cancel", "job": 1, "jobs": 1, "ref": "a"}', "a", "jobs"),
        ('{"do": "subscribe", "ref": 7}', 7, "to"),
        ('{"do": "subscribe", "to": "all", "ref": 7}', 7, "all"),
        ('{"do": "subscribe", "to": "job", "job": 1, "after": -1, "ref": 7}', 7, "after"),
        ('{"do": "subscribe", "to": "changes", "kinds": ["other"], "ref": 7}', 7, "kinds"),
        ('{"do": "subscribe", "to": "changes", "types": ["\\u0000"], "ref": 7}', 7, "types"),
    ],
)
def test_what_it_does_not_understand_is_said_and_ends_nothing(api: Api, said: str, ref: Any, named: str) -> None:
    with talking(api.client.base_url) as talk:
        talk.connection.send(said)
        told = talk.problem(ref)
        assert (told["status"], named in told["detail"]) == (422, True), told
        talk.connection.send(b"\x00")
        assert talk.problem(None)["status"] == 422
        talk.say("unsubscribe", "x")
        assert talk.problem("x")["status"] == 404


def test_a_ref_is_had_once_and_there_are_only_so_many(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conversation, "MOST_SUBSCRIPTIONS", 2)
    with talking(api.client.base_url) as talk:
        for ref in (1, 2):
            talk.say("subscribe", ref, to="changes")
            assert talk.hear(ref)["event"] == "ready"
        talk.say("subscribe", 2, to="notifications")
        assert talk.problem(2)["status"] == 409
        talk.say("subscribe", 3, to="notifications")
        assert talk.problem(3)["status"] == 429
        talk.say("unsubscribe", 1)
        assert talk.hear(1)["event"] == "end"
        talk.say("subscribe", 3, to="notifications")
        assert talk.hear(3)["event"] == "ready"


def test_a_message_that_is_too_long_ends_it(api: Api) -> None:
    with talking(api.client.base_url) as talk:
        talk.connection.send(json.dumps("x" * messages.MOST_LETTERS))
        assert talk.end()[0] == 1009


def test_a_ticket_opens_one(api: Api) -> None:
    client, said = browser(api, "ann", "read")
    ticket = client.post("/api/v1/ws-tickets", headers={"X-CSRF-Token": said["csrf"]}).json()["ticket"]
    with talking(api.client.base_url, ticket=ticket) as talk:
        talk.say("subscribe", to="notifications")
        assert talk.hear()["event"] == "ready"
    assert refused(api, ticket=ticket)["status"] == 401


def test_a_cookie_opens_one_for_a_page_of_this_server_alone(api: Api) -> None:
    client, _ = browser(api, "ann", "read")
    cookie = f"jobtable_session={client.cookies['jobtable_session']}"
    address = str(api.client.base_url).rstrip("/")
    with talking(address, cookie=cookie, origin=address) as talk:
        talk.say("subscribe", to="notifications")
        assert talk.hear()["event"] == "ready"
    assert "ticket" in refused(api, cookie=cookie)["remedy"]
    assert refused(api, cookie=cookie, origin="http://elsewhere.example")["status"] == 403


def test_who_may_not_is_not_let_in(api: Api) -> None:
    good = token(api, "ann", "read")
    assert refused(api)["status"] == 401
    assert refused(api, token(api, None, "metrics"))["status"] == 403
    wrong = [refused(api, good[:-1], **({"ticket": "js_0_0"} if odd else {}))["status"] for odd in (0, 1) * 6]
    assert wrong == [401] * 10 + [429] * 2
    with talking(api.client.base_url, good) as talk:
        talk.say("unsubscribe")
        assert talk.problem()["status"] == 404
    answer = api.client.get("/api/v1/ws")
    assert (answer.status_code, answer.headers["upgrade"]) == (426, "websocket")


def test_a_token_that_is_revoked_ends_it_and_does_nothing_more(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    job = api.make(api.asks_as("ann"))
    for delay in (0.05, 60):
        monkeypatch.setattr("processor.api.standing.PAUSE", delay)
        row, text = tokens.create(api.queue.database, owner="ann", scopes=("read", "write"))
        with talking(api.client.base_url, text) as talk:
            talk.say("subscribe", to="changes")
            assert talk.hear()["event"] == "ready"
            tokens.revoke(api.queue.database, row.id)
            if delay == 60:  # nobody has looked meanwhile
                talk.say("cancel", job=job)
            assert talk.end() == (4401, "the token is no longer valid")
    assert api.queue.status(job)[0] == "pending"


def test_the_end_of_the_server_ends_it(api: Api) -> None:
    with talking(api.client.base_url) as talk, talking(api.client.base_url) as silent:
        talk.say("subscribe", to="changes")
        assert talk.hear()["event"] == "ready"
        silent.say("unsubscribe")
        assert silent.problem()
        api.app.state.service.end_streams()
        assert {talk.end()[0], silent.end()[0]} == {1012}


def test_who_takes_nothing_is_let_go_with_a_code(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conversation, "PATIENCE", 3.0)
    api.make()
    [job] = api.queue.claim(types="work")
    for _ in range(12):
        tell(api.queue, job, "x" * 900_000)
    held = api.app.state.service.conversations
    with talking(api.client.base_url, max_queue=1) as talk:
        talk.say("subscribe", to="job", job=1)
        eventually(lambda: len(held) == 1)
        eventually(lambda: not held, "it is given up")
        assert talk.end() == (4408, "what was sent was not taken; come again")
    assert not len(api.app.state.service.feed)


def test_a_bug_is_told_and_answered(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*given: Any) -> Any:
        raise ZeroDivisionError

    told: list[Any] = []
    api.app.state.tell = told.append
    monkeypatch.setitem(socket.VERBS, "cancel", broken)
    with talking(api.client.base_url) as talk:
        talk.say("cancel", job=1)
        heard = talk.problem()
        assert (heard["status"], heard["number"]) == (500, told[0].number)
        assert "ZeroDivisionError" in told[0].error
        monkeypatch.setattr(api.app.state.service.changes, "listening", broken)
        monkeypatch.setattr("processor.api.frames.job_event", broken)
        api.make()
        api.queue.claim(types="work")
        talk.say("subscribe", to="job", job=1)
        assert talk.end() == (1011, "the server met an error of its own; come again")
    assert len(told) == 2


def test_a_client_that_is_cut_off_gets_every_event_once_from_any_server(api: Api) -> None:
    """Two servers; four processors at once; cuts at random; what the client saw is what the table has."""
    secret = token(api, None, "admin")
    chance = random.Random(3)
    workers = [threading.Thread(target=_work_much, args=(api.queue, number)) for number in range(WORKERS)]
    seen: list[int] = []
    with ExitStack() as stack:
        other = stack.enter_context(serving(application(api.settings, api.queue.database, is_loopback=True)))
        for one in workers:
            one.start()
        while len(seen) < WORKERS * JOBS * 4:
            with talking(chance.choice([api.client.base_url, other]), secret, close_timeout=0) as talk:
                talk.say("subscribe", to="changes", after=seen[-1] if seen else 0)
                assert talk.hear()["event"] == "ready"
                while chance.random() > 0.02 and len(seen) < WORKERS * JOBS * 4:
                    seen.append(talk.hear()["id"])
        for one in workers:
            one.join()
    assert seen == written(api.queue)
