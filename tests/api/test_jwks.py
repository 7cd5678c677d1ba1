"""Keys from an address: kept, read again when they change, and never as often as strangers ask."""

import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from processor.api import jwks, jwts
from processor.api.app import application
from processor.api.jwks import Keyring, KeysUnavailable
from processor.api.jwts import Jwts
from processor.api.problems import Problem
from processor.errors import Unauthorized
from processor.happenings import KeysUnreadable
from processor.identity import Jwt
from processor.queue import lookup, tokens
from processor.settings import load
from tests.api import provider as p
from tests.api.conftest import Api, serving
from tests.api.test_access import Clock
from tests.patience import eventually
from tests.queue.conftest import Queue

NEW = p.private_key("ES256")


def now() -> datetime:
    return datetime.fromtimestamp(p.NOW, UTC)


@pytest.fixture
def provider() -> Iterator[p.Provider]:
    with p.providing(p.jwk(p.RSA, "RS256", "one")) as provider:
        yield provider


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def failed() -> list[str]:
    return []


@pytest.fixture
def by(provider: p.Provider, clock: Clock, failed: list[str]) -> Jwts:
    section = Jwt.model_validate({"jwks": provider.address, "issuer": p.ISSUER, "audience": p.AUDIENCE})
    return Jwts(section, Keyring(lambda: jwks.from_address(provider.address), failed.append, clock))


def owner(by: Jwts, private: Any = p.RSA, algorithm: str = "RS256", kid: str | None = "one") -> str | None:
    return by.identity(p.signed(p.claims(), private, algorithm, kid), now).owner


def test_keys_are_read_once_and_kept(by: Jwts, provider: p.Provider) -> None:
    assert provider.asked == 0
    assert [owner(by) for _ in range(5)] == ["ann"] * 5
    assert provider.asked == 1


def test_a_new_key_is_found_and_one_that_was_taken_back_ends(by: Jwts, provider: p.Provider, clock: Clock) -> None:
    owner(by)
    provider.keys = [p.jwk(NEW, "ES256", "two")]
    clock.now = jwks.PAUSE
    assert owner(by, NEW, "ES256", "two") == "ann"
    with pytest.raises(Unauthorized, match="a key that is not known"):
        owner(by)
    assert provider.asked == 2


def test_a_key_that_was_taken_back_ends_within_an_hour(by: Jwts, provider: p.Provider, clock: Clock) -> None:
    owner(by)
    provider.keys = [p.jwk(NEW, "ES256", "two")]
    clock.now = jwks.LONGEST - 1
    assert owner(by) == "ann"
    clock.now = jwks.LONGEST
    with pytest.raises(Unauthorized):
        owner(by)


def test_a_new_key_without_a_name_is_found(by: Jwts, provider: p.Provider, clock: Clock) -> None:
    provider.keys = [p.jwk(p.private_key("ES256"), "ES256", None)]
    with pytest.raises(Unauthorized, match="its signature is wrong"):
        owner(by, NEW, "ES256", None)
    provider.keys = [p.jwk(NEW, "ES256", None)]
    clock.now = jwks.PAUSE
    assert owner(by, NEW, "ES256", None) == "ann"


def test_unknown_keys_make_us_ask_once_a_minute(by: Jwts, provider: p.Provider, clock: Clock) -> None:
    owner(by)
    for minute in range(3):
        clock.now = jwks.PAUSE * minute
        for number in range(50):
            with pytest.raises(Unauthorized, match="a key that is not known"):
                owner(by, p.RSA, "RS256", f"unknown {number}")
        assert provider.asked == 1 + minute
    clock.now = jwks.PAUSE * 2 + 59.9
    with pytest.raises(Unauthorized):
        owner(by, p.RSA, "RS256", "unknown")
    assert provider.asked == 3


def test_wrong_signatures_under_a_known_name_make_nobody_ask(by: Jwts, provider: p.Provider, clock: Clock) -> None:
    owner(by)
    clock.now = jwks.PAUSE
    with pytest.raises(Unauthorized, match="its signature is wrong"):
        by.identity(p.signed(p.claims())[:-20] + "A" * 20, now)
    assert provider.asked == 1


def test_many_at_once_ask_once(by: Jwts, provider: p.Provider) -> None:
    threads = [threading.Thread(target=owner, args=(by,)) for _ in range(jwks.MOST_WAITING)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert provider.asked == 1


def all_taken(ring: Keyring) -> bool:
    is_free = ring._places.acquire(blocking=False)
    if is_free:
        ring._places.release()
    return not is_free


def test_only_so_many_wait_for_an_answer(clock: Clock) -> None:
    asked, answers = threading.Event(), threading.Event()

    def read() -> list[jwks.Key]:
        asked.set()
        assert answers.wait(20)
        return []

    ring = Keyring(read, lambda why: None, clock)
    threads = [threading.Thread(target=ring.renew) for _ in range(jwks.MOST_WAITING)]
    for thread in threads:
        thread.start()
    assert asked.wait(20)
    try:
        eventually(lambda: all_taken(ring), "all places taken")
        late = threading.Thread(target=ring.renew, daemon=True)
        late.start()
        eventually(lambda: not late.is_alive(), "one who comes later is not held up")
    finally:
        answers.set()
        for thread in threads:
            thread.join()


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        ((500, {}, b""), "it answers 500"),
        ((302, {"Location": "http://127.0.0.1:1/"}, b""), "it answers 302"),
        ((200, {}, b"<html>"), "it is no JWK set"),
        ((200, {}, b'{"keys": []}'), "no public key"),
        ((200, {}, b" " * (jwks.MOST_BYTES + 1)), "more than 262,144 bytes"),
    ],
)
def test_what_is_no_answer_leaves_the_old_keys(
    by: Jwts, provider: p.Provider, clock: Clock, failed: list[str], answer: Any, why: str
) -> None:
    owner(by)
    provider.answer, clock.now = answer, jwks.LONGEST
    assert owner(by) == "ann"
    assert why in failed[0]
    assert provider.asked == 2
    owner(by)
    assert provider.asked == 2
    clock.now += jwks.PAUSE
    owner(by)
    assert provider.asked == 3, "the next try is a minute later"


def test_an_answer_that_never_ends_is_cut_off(provider: p.Provider, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jwks, "DEADLINE", 0.2)
    released = threading.Event()
    provider.reply = lambda: (released.wait(20) and (200, {}, b"")) or (500, {}, b"")  # type: ignore[method-assign]
    with pytest.raises(KeysUnavailable, match="it does not answer"):
        jwks.from_address(provider.address)
    released.set()


def test_while_there_are_no_keys_nobody_is_blamed(by: Jwts, provider: p.Provider, clock: Clock) -> None:
    provider.answer = (503, {}, b"")
    with pytest.raises(Problem) as refused:
        owner(by)
    assert (refused.value.status, provider.asked) == (503, 1)
    with pytest.raises(Problem):
        owner(by)
    assert provider.asked == 1
    provider.answer, clock.now = None, jwks.PAUSE_WITHOUT
    assert owner(by) == "ann"


# --- in the server ---------------------------------------------------------------------------------------------------

CONFIGURATION = """
[types.work]
python = "some.module:work"
[jwt]
jwks = "{address}"
issuer = "{issuer}"
audience = ["{audience}"]
scopes = {{"jobs:write" = "read write", "jobs:see" = "read", "ops" = "admin"}}
"""


@pytest.fixture
def told() -> list[object]:
    return []


@pytest.fixture
def api(queue: Queue, provider: p.Provider, tmp_path: Any, told: list[object]) -> Iterator[Api]:
    path = tmp_path / "jobtable.toml"
    path.write_text(CONFIGURATION.format(address=provider.address, issuer=p.ISSUER, audience=p.AUDIENCE))
    settings = load(path, flags={"database.url": queue.given.url})
    app = application(settings, is_loopback=True, tell=told.append)
    with serving(app) as address, httpx.Client(base_url=address, timeout=30) as client:
        api = Api(queue, settings, app, client)
        yield api
        for opened in api.opened:
            opened.close()


def shown_by(api: Api, **said: Any) -> httpx.Client:
    """Ask with a JWT that is valid by the database's clock."""
    at = lookup.database_now(api.queue.database).timestamp()
    return api.with_token(p.signed(p.claims(at, **{"scope": "jobs:write", **said})))


def test_owners_by_jwt_never_meet(api: Api) -> None:
    ann, bob = shown_by(api), shown_by(api, sub="bob")
    job = api.make(ann)
    assert api.queue.rows("SELECT owner FROM jobs") == [("ann",)]
    assert ann.get(f"/api/v1/jobs/{job}").status_code == 200
    assert bob.get(f"/api/v1/jobs/{job}").status_code == 404
    assert bob.post(f"/api/v1/jobs/{job}/cancel").status_code == 404
    assert bob.get("/api/v1/jobs").json()["items"] == []
    _, text = tokens.create(api.queue.database, owner="ann", scopes=("read",))
    assert api.with_token(text).get(f"/api/v1/jobs/{job}").status_code == 200, "tokens of ours open as ever"
    assert shown_by(api, scope="ops", sub=None).get(f"/api/v1/jobs/{job}").json()["owner"] == "ann"


def test_a_jwt_opens_what_its_scopes_say(api: Api) -> None:
    reads = shown_by(api, scope="jobs:see")
    assert reads.get("/api/v1/jobs").status_code == 200
    assert reads.post("/api/v1/jobs", json={"type": "work"}).status_code == 403
    assert reads.get("/api/v1/processors").status_code == 403
    assert shown_by(api, scope="admin write read").get("/api/v1/jobs").status_code == 403, "the table has no such names"


def test_with_jwts_this_machine_is_closed_before_the_first_token(api: Api) -> None:
    assert api.client.get("/api/v1/jobs").status_code == 401
    assert api.queue.rows("SELECT count(*) FROM api_tokens") == [(0,)]


def test_an_expired_jwt_is_refused_by_the_databases_clock_and_ends_its_stream(api: Api) -> None:
    at = lookup.database_now(api.queue.database)
    refused = shown_by(api, exp=(at - timedelta(seconds=31)).timestamp()).get("/api/v1/jobs")
    assert (refused.status_code, "it has expired" in refused.json()["detail"]) == (401, True)
    ends = shown_by(api, exp=(at - timedelta(seconds=26)).timestamp())
    job = api.make(shown_by(api))
    live = {"Accept": "text/event-stream"}
    with ends.stream("GET", f"/api/v1/jobs/{job}/events", headers=live) as answer:
        assert answer.status_code == 200
        assert "event: dropped" in answer.iter_lines()


def test_who_tries_jwts_is_sent_away(api: Api) -> None:
    client = shown_by(api, aud="other")
    answers = [client.get("/api/v1/jobs") for _ in range(11)]
    assert [answer.status_code for answer in answers] == [401] * 10 + [429]
    assert "it is for another audience" in answers[0].json()["detail"]
    assert shown_by(api).get("/api/v1/jobs").status_code == 200, "who has a valid one is let in"


def test_keys_that_cannot_be_read_are_told_and_no_token_is(api: Api, provider: p.Provider, told: list[object]) -> None:
    provider.answer = (500, {}, b"")
    client = shown_by(api)
    answer = client.get("/api/v1/jobs")
    assert (answer.status_code, answer.headers["content-type"]) == (503, "application/problem+json")
    assert told == [KeysUnreadable(provider.address, "it answers 500")]
    assert client.headers["Authorization"][20:60] not in answer.text + repr(told)
    assert jwts.MOST_BYTES < 64 * 1024, "the server reads headers of that size"
    huge = api.with_token("a" * 20_000).get("/api/v1/jobs")
    assert (huge.status_code, "16,384" in huge.json()["detail"]) == (401, True)
