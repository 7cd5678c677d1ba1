"""Pages elsewhere: those that are named may call the API with a token; all others reach nothing, and no WebSocket."""

import json
import socket
from collections.abc import Iterator

import httpx
import pytest
from websockets.exceptions import InvalidStatus

from processor.api.app import application
from tests.api.conftest import Api, serving
from tests.api.test_session import browser
from tests.api.test_socket import refused, talking, token

APP = "https://app.example.org"


@pytest.fixture
def named(api: Api) -> Iterator[httpx.Client]:
    """Ask a server that names one page elsewhere as that page does."""
    serve = api.settings.serve.model_copy(update={"origins": (APP,)})
    app = application(api.settings.model_copy(update={"serve": serve}), is_loopback=True)
    with serving(app) as address, httpx.Client(base_url=address, headers={"Origin": APP}, timeout=30) as client:
        yield client


def preflight(client: httpx.Client, method: str, *headers: str, path: str = "/api/v1/jobs") -> httpx.Response:
    asked = {"Access-Control-Request-Method": method, "Access-Control-Request-Headers": ", ".join(headers)}
    return client.options(path, headers=asked)


def test_a_page_that_is_named_makes_a_job_and_reads_where_it_is(api: Api, named: httpx.Client) -> None:
    named.headers["Authorization"] = f"Bearer {token(api, 'ann')}"
    for method in ("GET", "POST", "PUT", "PATCH", "DELETE"):
        asked = preflight(named, method, "authorization", "content-type", "last-event-id")
        assert (asked.status_code, asked.headers["Access-Control-Allow-Origin"]) == (200, APP)
    made = named.post("/api/v1/jobs", json={"type": "work"})
    shown = {name.strip() for name in made.headers["Access-Control-Expose-Headers"].split(",")}
    assert (made.status_code, made.headers["Access-Control-Allow-Origin"]) == (202, APP)
    assert {"Location", "X-Job-ID", "Retry-After"} <= shown
    assert "Origin" in made.headers["Vary"]


def test_it_reads_what_is_wrong(api: Api, named: httpx.Client) -> None:
    token(api, "ann")
    for answer in (
        named.get("/api/v1/jobs"),
        named.get("/api/v1/nothing"),
        named.post("/api/v1/jobs", content=b"x" * 17_000_000, headers={"Authorization": f"Bearer {token(api, 'ann')}"}),
    ):
        assert answer.status_code in (401, 404, 413)
        assert answer.headers["Access-Control-Allow-Origin"] == APP


def test_it_acts_by_a_token_alone_and_never_by_a_cookie(api: Api, named: httpx.Client) -> None:
    client, said = browser(api, "ann", "read", "write")
    assert preflight(named, "POST", "x-csrf-token").status_code == 400
    answer = named.get("/api/v1/session", headers={"Cookie": f"jobtable_session={client.cookies['jobtable_session']}"})
    assert answer.json()["csrf"] == said["csrf"]
    assert "Access-Control-Allow-Credentials" not in answer.headers, "a browser keeps the answer from the page"


@pytest.mark.parametrize(
    "origin", ["https://app.example.org.evil.example", "http://app.example.org", "null", "file://"]
)
def test_a_page_that_is_not_named_is_told_nothing(api: Api, named: httpx.Client, origin: str) -> None:
    good = {"Authorization": f"Bearer {token(api, 'ann')}", "Origin": origin}
    for answer in (
        named.get("/api/v1/jobs", headers=good),
        named.post("/api/v1/jobs", json={"type": "work"}, headers=good),
        named.options("/api/v1/jobs", headers={**good, "Access-Control-Request-Method": "POST"}),
    ):
        assert answer.status_code == 403
        assert "Access-Control-Allow-Origin" not in answer.headers
    assert api.queue.rows("SELECT count(*) FROM jobs") == [(0,)]


def test_where_no_page_is_named_none_is_let_in(api: Api) -> None:
    assert preflight(api.client, "POST").status_code == 405
    assert "Access-Control-Allow-Origin" not in api.client.get("/api/v1/jobs").headers


@pytest.mark.parametrize("scheme", ["chrome-extension", "app", "ws", ""])
def test_the_servers_own_name_under_another_scheme_is_another_page(api: Api, scheme: str) -> None:
    own = api.client.base_url
    origin = f"{scheme}://{own.host}:{own.port}"
    assert api.client.get("/api/v1/jobs", headers={"Origin": origin}).status_code == 403
    assert api.client.get("/api/v1/jobs", headers={"Origin": str(own).rstrip("/")}).status_code == 200


def test_of_two_origins_none_counts(api: Api) -> None:
    own = str(api.client.base_url).rstrip("/")
    twice = [("Origin", "https://evil.example"), ("Origin", own)]
    for origins in (twice, twice[::-1]):
        assert api.client.get("/api/v1/jobs", headers=origins).status_code == 403


def test_a_page_elsewhere_opens_no_websocket_even_where_everybody_may(api: Api) -> None:
    with talking(api.client.base_url) as talk:
        talk.say("unsubscribe")
        assert talk.problem()["status"] == 404
    for origin in ("https://evil.example", "null"):
        assert "another origin" in refused(api, origin=origin)["detail"]


def test_a_name_that_is_not_ours_opens_no_websocket(api: Api) -> None:
    """A page elsewhere may let its own name point at this machine."""
    own = api.client.base_url
    evil = f"http://evil.example:{own.port}"
    here = socket.create_connection((own.host, own.port))
    with pytest.raises(InvalidStatus) as error, talking(evil, origin=evil, sock=here):
        pass
    assert error.value.response.status_code == 421
    assert json.loads(bytes(error.value.response.body or b""))["remedy"]
