import json
import socket
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from email.message import Message

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from processor import happenings as h
from processor.errors import StartRefused
from processor.health import AT_ONCE, Endpoint, Health, Pulse
from processor.metrics import Metrics

STARTED = h.ProcessorStarted("p1", "host", "sqlite", ("mail",), 3)


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def pulse(clock: Clock) -> Pulse:
    return Pulse(clock)


@pytest.fixture
def health(pulse: Pulse) -> Health:
    return Health(pulse, stuck_after=60)


@pytest.fixture
def endpoint(health: Health) -> Iterator[Endpoint]:
    metrics = Metrics()
    metrics(STARTED)
    endpoint = Endpoint(("127.0.0.1", 0), metrics.registry, health)
    yield endpoint
    endpoint.stop()


def ask(endpoint: Endpoint, path: str, method: str = "GET", **headers: str) -> tuple[int, Message, str]:
    host, port = endpoint.address
    request = urllib.request.Request(f"http://{host}:{port}{path}", method=method, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, answer.headers, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers, error.read().decode()


def why(endpoint: Endpoint, path: str) -> tuple[int, str | None]:
    status, headers, body = ask(endpoint, path)
    assert headers["Content-Type"] == "application/json"
    assert body.count("\n") == 1
    assert body.endswith("\n")
    return status, json.loads(body).get("reason")


def test_it_is_alive_while_the_loop_turns(endpoint: Endpoint, pulse: Pulse, clock: Clock) -> None:
    clock.now += 59
    assert why(endpoint, "/healthz") == (200, None)
    clock.now += 2
    assert why(endpoint, "/healthz") == (503, "the main loop has not turned for 61 s")
    pulse.beat()
    assert why(endpoint, "/healthz") == (200, None)


def test_it_is_ready_while_it_takes_jobs(endpoint: Endpoint, health: Health) -> None:
    found = [why(endpoint, "/readyz")]
    for happening in (
        STARTED,
        h.DatabaseLost("away"),
        h.DatabaseReturned(3.0),
        h.ProcessorFenced("p1", 0),
        STARTED,
        h.DrainStarted("p1", 1, 30.0),
    ):
        health(happening)
        found.append(why(endpoint, "/readyz"))
    assert found == [
        (503, "not registered yet"),
        (200, None),
        (503, "the database cannot be reached"),
        (200, None),
        (503, "not registered yet"),
        (200, None),
        (503, "draining"),
    ]


def test_a_stuck_processor_is_not_ready(endpoint: Endpoint, health: Health, clock: Clock) -> None:
    health(STARTED)
    clock.now += 100
    assert why(endpoint, "/readyz")[0] == 503


def test_a_database_that_is_away_is_no_reason_to_restart(endpoint: Endpoint, health: Health) -> None:
    health(STARTED)
    health(h.DatabaseLost("away"))
    assert why(endpoint, "/healthz") == (200, None)


def test_metrics_are_prometheus_text_or_openmetrics_for_who_asks(endpoint: Endpoint) -> None:
    _, headers, text = ask(endpoint, "/metrics")
    assert headers["Content-Type"].startswith("text/plain; version=")
    assert "\njobtable_slots 3.0\n" in text
    _, headers, text = ask(endpoint, "/metrics", Accept="application/openmetrics-text; version=1.0.0")
    assert headers["Content-Type"].startswith("application/openmetrics-text")
    assert "jobtable_slots" in {family.name for family in text_string_to_metric_families(text)}


def test_other_paths_and_methods_are_refused(endpoint: Endpoint) -> None:
    assert ask(endpoint, "/etc/passwd")[0] == 404
    assert ask(endpoint, "/metrics", "POST")[0] == 501
    status, headers, body = ask(endpoint, "/healthz", "HEAD")
    assert (status, body) == (200, "")
    assert int(headers["Content-Length"]) > 0


def test_the_answer_tells_nothing_about_python(endpoint: Endpoint) -> None:
    assert ask(endpoint, "/healthz")[1]["Server"].strip() == "jobtable"


def test_a_port_in_use_is_refused_with_the_setting_to_change(endpoint: Endpoint, health: Health) -> None:
    with pytest.raises(StartRefused, match="in use") as refused:
        Endpoint(endpoint.address, Metrics().registry, health)
    assert f"127.0.0.1:{endpoint.address[1]}" in refused.value.message
    assert "[metrics] listen" in refused.value.remedy


def test_an_address_that_is_not_ours_is_refused(health: Health) -> None:
    with pytest.raises(StartRefused, match=r"Metrics cannot be served on 192\.0\.2\.1:9750"):
        Endpoint(("192.0.2.1", 9750), Metrics().registry, health)


def test_the_port_is_free_after_stop(health: Health) -> None:
    first = Endpoint(("127.0.0.1", 0), Metrics().registry, health)
    first.stop()
    second = Endpoint(first.address, Metrics().registry, health)
    assert ask(second, "/healthz")[0] == 200
    second.stop()
    assert "metrics" not in [thread.name for thread in threading.enumerate()]


def test_clients_that_say_nothing_cost_a_bounded_number_of_threads(endpoint: Endpoint) -> None:
    before = threading.active_count()
    silent = [socket.create_connection(endpoint.address, timeout=10) for _ in range(AT_ONCE * 3)]
    try:
        refused = 0
        for client in silent[AT_ONCE:]:
            refused += client.recv(1) == b""  # closed at once: its turn was refused
        assert refused == AT_ONCE * 2
        assert threading.active_count() <= before + AT_ONCE
    finally:
        for client in silent:
            client.close()
