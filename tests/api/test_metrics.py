"""What `/metrics` of the server tells, and to whom."""

import shutil
import subprocess

import httpx
import pytest
from fastapi import FastAPI, WebSocket
from prometheus_client.parser import text_string_to_metric_families
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from processor.api.app import application
from processor.api.numbers import Counted, Numbers
from processor.db import Database
from processor.metrics import Metrics
from processor.settings import load
from tests.api.conftest import Api, serving
from tests.api.test_access import Clock
from tests.patience import eventually
from tests.queue.conftest import Queue


def told(client: httpx.Client) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    answer = client.get("/metrics")
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("text/plain; version=")
    return {
        (sample.name.removeprefix("jobtable_"), frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def value(client: httpx.Client, name: str, **labels: str) -> float | None:
    return told(client).get((name, frozenset(labels.items())))


def test_requests_are_counted_by_the_route_and_never_by_what_was_asked_for(api: Api) -> None:
    job = api.make()
    for path in (f"/api/v1/jobs/{job}", "/api/v1/jobs/777777", "/secret/path", "/api/v1/nothing"):
        api.client.get(path)
    api.client.request("BREW", "/api/v1/jobs")
    one = {"method": "GET", "route": "/jobs/{job_id}"}
    assert value(api.client, "server_requests_total", **one, status="2xx") == 1
    assert value(api.client, "server_requests_total", **one, status="4xx") == 1
    assert value(api.client, "server_requests_total", method="GET", route="other", status="4xx") == 2
    assert value(api.client, "server_requests_total", method="POST", route="/jobs", status="2xx") == 1
    assert value(api.client, "server_request_seconds_count", **one) == 2
    text = api.client.get("/metrics").text
    assert all(word not in text for word in ("777777", "secret", "nothing", "BREW", f"jobs/{job}"))


def test_who_is_refused_is_counted_also_before_the_application(api: Api) -> None:
    metrics = api.asks_as("ann", "metrics")
    for _ in range(10):
        assert api.with_token("wrong").get("/api/v1/jobs").status_code == 401
    assert api.with_token("wrong").get("/api/v1/jobs").status_code == 429
    assert metrics.get("/api/v1/jobs").status_code == 403
    assert metrics.get("/metrics", headers={"Host": "evil.example"}).status_code == 421
    found = {status: value(metrics, "server_refused_total", status=status) for status in ("401", "403", "421", "429")}
    assert found == {"401": 10, "403": 1, "421": 1, "429": 1}


def test_streams_are_counted_while_they_are_open(api: Api) -> None:
    job = api.make()
    assert value(api.client, "server_streams", kind="sse") == 0
    with api.client.stream("GET", f"/api/v1/jobs/{job}/events", headers={"Accept": "text/event-stream"}) as answer:
        lines = answer.iter_lines()
        next(lines)
        assert value(api.client, "server_streams", kind="sse") == 1
    eventually(lambda: value(api.client, "server_streams", kind="sse") == 0, "the end of the stream")
    assert value(api.client, "server_streams", kind="websocket") == 0


def test_the_table_is_counted_by_types_that_are_configured(api: Api) -> None:
    api.make()
    api.make(type="stranger")
    assert value(api.client, "jobs", status="pending", type="work") == 1
    assert value(api.client, "jobs", status="pending", type="other") == 1
    assert value(api.client, "jobs", status="pending", type="few") == 0
    age = value(api.client, "oldest_due_seconds", type="work")
    assert age is not None
    assert 0 <= age < 60
    assert value(api.client, "server_database_up") == 1
    assert "stranger" not in api.client.get("/metrics").text


@pytest.mark.parametrize(
    ("scopes", "status"), [(("metrics",), 200), (("admin",), 200), (("read", "write"), 403), ((), 401)]
)
def test_it_takes_the_scope_metrics(api: Api, scopes: tuple[str, ...], status: int) -> None:
    assert api.client.get("/metrics").status_code == 200, "before the first token this machine is open"
    client = api.asks_as(None, *scopes) if scopes else api.client
    api.asks_as("ann")
    assert client.get("/metrics").status_code == status


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def numbers(queue: Queue, clock: Clock) -> Numbers:
    return Numbers(queue.database, ["work"], 15.0, clock)


def pending(numbers: Numbers) -> float | None:
    numbers.page("")
    return numbers.registry.get_sample_value("jobtable_jobs", {"status": "pending", "type": "work"})


def test_rows_are_counted_no_more_often_than_the_processors_do(queue: Queue, numbers: Numbers, clock: Clock) -> None:
    assert pending(numbers) == 0
    queue.insert("type", "'work'")
    clock.now = 14.9
    assert pending(numbers) == 0
    clock.now = 15.0
    assert pending(numbers) == 1


def test_while_the_database_is_away_nothing_old_is_told_as_new(numbers: Numbers, clock: Clock) -> None:
    assert pending(numbers) == 0
    with Database("postgresql://u:geheim@127.0.0.1:1/d", connect_timeout=1.0) as away:
        numbers._database = away
        clock.now = 15.0
        _, text = numbers.page("")
    assert b"jobtable_server_database_up 0.0" in text
    assert b"jobtable_jobs" not in text
    assert b"geheim" not in text


def test_websockets_are_counted_while_they_are_open_and_when_they_are_refused(numbers: Numbers) -> None:
    app = FastAPI()

    @app.websocket("/api/v1/ws")
    async def ws(socket: WebSocket) -> None:
        if "refuse" in socket.query_params:
            await socket.close()
            return
        await socket.accept()
        await socket.receive_text()

    app.add_middleware(Counted, numbers=numbers, prefix="/api/v1")
    value = numbers.registry.get_sample_value
    is_open = {"kind": "websocket"}
    asked = {"method": "GET", "route": "/ws"}
    with serving(app) as address:
        address = address.replace("http", "ws")
        with connect(f"{address}/api/v1/ws") as socket:
            assert value("jobtable_server_streams", is_open) == 1
            socket.send("end")
        with pytest.raises(InvalidStatus):
            connect(f"{address}/api/v1/ws?refuse=1")
    eventually(lambda: value("jobtable_server_streams", is_open) == 0, "the end of the WebSocket")
    assert value("jobtable_server_requests_total", {**asked, "status": "1xx"}) == 1
    assert value("jobtable_server_requests_total", {**asked, "status": "4xx"}) == 1
    assert value("jobtable_server_refused_total", {"status": "403"}) == 1


def test_a_processor_tells_nothing_else_by_the_same_names(numbers: Numbers, queue: Queue) -> None:
    numbers.page("")
    shared = {"jobtable_jobs", "jobtable_oldest_due_seconds"}
    mine = {family.name for family in numbers.registry.collect() if family.name.startswith("jobtable_")}
    theirs = {family.name for family in Metrics(["work"]).registry.collect()}
    assert mine & theirs == shared
    assert all(name.startswith("jobtable_server_") for name in mine - shared)


def test_mounted_it_has_numbers_of_its_own(queue: Queue) -> None:
    settings = load(None, {}, {"database.url": queue.given.url})
    first = application(settings, queue.database, is_loopback=True)
    second = application(settings, queue.database, is_loopback=True)
    with serving(first) as address:
        httpx.get(f"{address}/healthz")
    asked = {"method": "GET", "route": "/healthz", "status": "2xx"}
    assert first.state.numbers.registry.get_sample_value("jobtable_server_requests_total", asked) == 1
    assert second.state.numbers.registry.get_sample_value("jobtable_server_requests_total", asked) is None


def test_names_and_units_follow_prometheus_conventions(api: Api) -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is NOT installed, metric names were not checked: apt-get install prometheus")
    api.make()
    text = api.client.get("/metrics").content
    checked = subprocess.run([promtool, "check", "metrics"], input=text, capture_output=True, check=False)
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, b"", b"")
    openmetrics = api.client.get("/metrics", headers={"Accept": "application/openmetrics-text; version=1.0.0"})
    assert openmetrics.text.endswith("# EOF\n")
