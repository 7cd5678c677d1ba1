"""Notifications, live: each once, in order, to its owner, whatever is cut off, whichever server is asked."""

import json
import random
import threading
from contextlib import ExitStack

import httpx

from processor.api.app import application
from processor.db.database import Database
from processor.outcome import Kind
from processor.queue.settle import settle
from tests.api.conftest import Api, serving
from tests.api.test_events import LIVE, frames
from tests.queue.conftest import Queue, verdict_of

STREAM = "/api/v1/notifications"
ENDERS, ENDS = 4, 30


def finish(queue: Queue, *owners: str) -> None:
    """Let a job of each of these owners end."""
    queue.insert("type, payload, owner", *(f"'work', '{{}}', '{owner}'" for owner in owners))
    jobs = queue.claim(types="work")
    settle(queue.database, [verdict_of(job, Kind.RETURNED, result="1") for job in jobs])


def written(queue: Queue, owner: str) -> list[int]:
    return [id for (id,) in queue.rows(f"SELECT id FROM notifications WHERE owner = '{owner}' ORDER BY id")]


def test_an_owner_hears_what_comes_from_now_on_and_nothing_of_others(api: Api) -> None:
    finish(api.queue, "ann")
    with api.asks_as("ann", "read").stream("GET", STREAM, headers=LIVE) as answer:
        live = frames(answer)
        assert next(live) == {"id": "1", "event": "ready", "data": "{}"}
        finish(api.queue, "bob")
        finish(api.queue, "ann")
        heard = next(live)
        assert (heard["event"], int(heard["id"])) == ("notification", written(api.queue, "ann")[-1])
        assert json.loads(heard["data"])["owner"] == "ann"


def test_who_comes_again_gets_what_came_meanwhile(api: Api) -> None:
    finish(api.queue, "ann", "ann", "bob", "ann")
    ids = written(api.queue, "ann")
    with api.asks_as("ann", "read").stream("GET", STREAM, headers={**LIVE, "Last-Event-ID": str(ids[0])}) as answer:
        live = frames(answer)
        assert [int(next(live)["id"]) for _ in range(3)] == ids
    with api.asks_as(None, "admin").stream("GET", f"{STREAM}?after=0", headers=LIVE) as answer:
        live = frames(answer)
        assert [next(live)["event"] for _ in range(5)] == ["ready", *["notification"] * 4]


def test_the_end_of_the_server_ends_it(api: Api) -> None:
    with api.client.stream("GET", STREAM, headers=LIVE) as answer:
        live = frames(answer)
        assert next(live)["event"] == "ready"
        api.app.state.service.end_streams()
        assert [frame["event"] for frame in live] == ["dropped"]


def test_a_client_that_is_cut_off_gets_every_notification_once_from_any_server(api: Api) -> None:
    """Two servers; four who end jobs at once; cuts at random; what the client saw is what the table has."""
    ann = api.asks_as("ann", "read")
    headers = {**LIVE, "Authorization": ann.headers["Authorization"]}
    chance = random.Random(11)
    enders = [threading.Thread(target=_end_many, args=(api.queue, number)) for number in range(ENDERS)]
    with ann.stream("GET", STREAM, headers=LIVE) as answer:
        place = next(frames(answer))["id"]
    seen: list[int] = []
    with ExitStack() as stack:
        other = stack.enter_context(serving(application(api.settings, api.queue.database, is_loopback=True)))
        addresses = [str(api.client.base_url), other]
        for one in enders:
            one.start()
        while len(seen) < ENDERS * ENDS:
            headers["Last-Event-ID"] = place
            with httpx.stream("GET", f"{chance.choice(addresses)}{STREAM}", headers=headers, timeout=30) as answer:
                for frame in frames(answer):
                    if frame["event"] == "notification":
                        seen.append(int(frame["id"]))
                        place = frame["id"]
                    if chance.random() < 0.05 or len(seen) == ENDERS * ENDS:
                        break
        for one in enders:
            one.join()
    assert seen == written(api.queue, "ann")


def _end_many(queue: Queue, number: int) -> None:
    own = Queue(queue.given)
    own.register(f"e{number}")
    with Database(queue.given.url) as database:
        for _ in range(ENDS):
            own.insert("type, payload, owner", f"'work{number}', '{{}}', 'ann'")
            jobs = own.claim(f"e{number}", types=f"work{number}")
            settle(database, [verdict_of(job, Kind.RETURNED, f"e{number}", result="1") for job in jobs])
    own.database.close()
