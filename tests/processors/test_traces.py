"""Jobs in traces: a real processor, a real OTLP/HTTP collector on loopback, plain INSERTs."""

import json
import signal
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from tests.patience import eventually
from tests.processors.running import Site

TRACE = "0af7651916cd43dd8448eb211c80319c"
PRODUCER = "b7ad6b7169203331"
PARENT = f"00-{TRACE}-{PRODUCER}-01"


class Listening(ThreadingHTTPServer):
    def handle_error(self, *_: Any) -> None:
        pass  # who waited no longer has hung up


class Collector:
    """Takes spans over OTLP/HTTP; one that `hangs` takes the connection and goes no further until it may `leave`."""

    def __init__(self, hangs: bool = False) -> None:
        self.spans: list[Span] = []
        self.services: set[str] = set()
        self.asked = threading.Event()
        self.leave = threading.Event()
        collector = self

        class Answer(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                collector.asked.set()
                if hangs:
                    collector.leave.wait()
                if self.headers.get("Content-Encoding") is None:
                    request = ExportTraceServiceRequest.FromString(body)
                    said = [pair for resource in request.resource_spans for pair in resource.resource.attributes]
                    collector.services |= {pair.value.string_value for pair in said if pair.key == "service.name"}
                    scopes = [scope for resource in request.resource_spans for scope in resource.scope_spans]
                    collector.spans += [span for scope in scopes for span in scope.spans]
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self.server = Listening(("127.0.0.1", 0), Answer)
        self.endpoint = f"http://127.0.0.1:{self.server.server_address[1]}/v1/traces"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def named(self, name: str) -> list[Span]:
        return [span for span in self.spans if span.name == name]

    def close(self) -> None:
        self.leave.set()
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def collector() -> Iterator[Collector]:
    collector = Collector()
    yield collector
    collector.close()


TYPES = """
[types.told]
python = "traced:told"
[types.spanned]
python = "traced:spanned"
max_attempts = 2
[types.told_command]
command = ["/bin/sh", "-c", 'echo "{\\"result\\": \\"$TRACEPARENT $JOBTABLE_TRACE_PARENT\\"}" >&3']
"""


def traced(site: Site, endpoint: str) -> None:
    site.write(types=f'[traces]\nenabled = true\nendpoint = "{endpoint}"\n{TYPES}')


def result(site: Site, job_id: int) -> Any:
    [(value,)] = site.db.rows(f"SELECT result FROM jobs WHERE id = {job_id}")
    try:
        return json.loads(value)
    except (TypeError, ValueError):
        return value  # PostgreSQL's driver has decoded it


def facts(span: Span) -> dict[str, Any]:
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in span.attributes}


def test_without_traces_a_handler_gets_the_traceparent_of_its_row(site: Site) -> None:
    site.write(types=TYPES)
    mine, none, bad, command = (
        site.insert("told", {"trace_parent": PARENT}),
        site.insert("told"),
        site.insert("told", {"trace_parent": "00-no-such-01"}),
        site.insert("told_command", {"trace_parent": PARENT}),
    )
    site.insert("told", {"trace_parent": "neither"})
    processor = site.start("--drain")
    assert processor.wait() == 0
    assert [result(site, job) for job in (mine, none, bad)] == [PARENT, None, None]
    assert result(site, command) == f"{PARENT} {PARENT}"
    assert [line["type"] for line in processor.events("trace_parent_ignored")] == ["told"]


def test_a_producer_its_attempts_and_their_handler_are_one_trace(site: Site, collector: Collector) -> None:
    traced(site, collector.endpoint)
    hidden = {"owner": "hidden owner", "key": "hidden key", "subject": "hidden subject"}
    job = site.insert("spanned", {"trace_parent": PARENT, **hidden}, endpoint=collector.endpoint)
    processor = site.start()
    site.await_status("completed", job)
    site.await_status("completed", job + 1)
    processor.signal(signal.SIGTERM)
    assert processor.wait() == 0
    first, second = sorted(collector.named("process spanned"), key=lambda span: int(facts(span)["jobtable.attempt"]))
    [inside], [child] = collector.named("in the handler"), collector.named("process told")
    assert {span.trace_id.hex() for span in (first, second, inside, child)} == {TRACE}
    assert [span.parent_span_id.hex() for span in (first, second)] == [PRODUCER, PRODUCER]
    assert (inside.parent_span_id, child.parent_span_id) == (second.span_id, second.span_id)
    assert (first.status.code, second.status.code) == (Status.STATUS_CODE_ERROR, Status.STATUS_CODE_UNSET)
    assert first.kind == Span.SPAN_KIND_CONSUMER
    assert [event.name for event in first.events] == ["claimed", "started", "settled"]
    assert (
        facts(second).items()
        >= {
            "messaging.system": "jobtable",
            "messaging.destination.name": "spanned",
            "messaging.message.id": str(job),
            "messaging.operation.name": "process",
            "messaging.operation.type": "process",
            "jobtable.attempt": 2,
            "jobtable.outcome": "completed",
            "jobtable.reason": "done",
        }.items()
    )
    assert facts(second)["jobtable.wait_seconds"] >= 0
    assert (facts(first)["error.type"], "error.type" in facts(second)) == ("retry", False)
    assert not [text for text in ("not yet", "hidden", collector.endpoint) if text in str(collector.spans)]


def test_a_job_without_a_producers_span_begins_a_trace(site: Site, collector: Collector) -> None:
    traced(site, collector.endpoint)
    job = site.insert("told")
    site.drain()
    [span] = collector.named("process told")
    assert span.parent_span_id == b""
    assert result(site, job)[:52] == f"00-{span.trace_id.hex()}-{span.span_id.hex()}"


@pytest.mark.parametrize("db", ["sqlite"], indirect=True)
@pytest.mark.parametrize(("given", "seen"), [({}, "jobtable"), ({"OTEL_SERVICE_NAME": "the shop"}, "the shop")])
def test_the_variables_of_the_sdk_count(
    site: Site, collector: Collector, monkeypatch: pytest.MonkeyPatch, given: dict[str, str], seen: str
) -> None:
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    traced(site, collector.endpoint)
    site.insert("told")
    site.drain()
    assert collector.services == {seen}


@pytest.mark.parametrize("db", ["sqlite"], indirect=True)
def test_a_collector_that_refuses_costs_no_job(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "50")  # milliseconds: it is asked at once
    collector = Collector()
    collector.close()
    traced(site, collector.endpoint)
    jobs = [site.insert("told") for _ in range(3)]
    processor = site.start()
    for job in jobs:
        site.await_status("completed", job)
    assert "refused" in processor.await_event("spans_refused")["error"]
    processor.signal(signal.SIGTERM)
    assert processor.wait() == 0


@pytest.mark.parametrize("db", ["sqlite"], indirect=True)
def test_a_collector_that_hangs_costs_no_job(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "50")  # milliseconds: it is asked at once
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "3600")  # seconds: who waits for it is seen to hang
    collector = Collector(hangs=True)
    try:
        traced(site, collector.endpoint)
        site.insert("told")
        processor = site.start()
        eventually(collector.asked.is_set, "the collector was asked")
        later = site.insert("told")
        site.await_status("completed", later)
        processor.signal(signal.SIGTERM)
        assert processor.wait() == 0
    finally:
        collector.close()


@pytest.mark.parametrize("db", ["sqlite"], indirect=True)
def test_a_disabled_sdk_leaves_the_traceparent_of_the_row(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    traced(site, "http://127.0.0.1:9/v1/traces")
    mine, none = site.insert("told", {"trace_parent": PARENT}), site.insert("told")
    assert site.start("--drain").wait() == 0
    assert [result(site, job) for job in (mine, none)] == [PARENT, None]


@pytest.mark.parametrize("db", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("OTEL_BSP_MAX_QUEUE_SIZE", "10", "max_queue_size"),
        ("OTEL_SPAN_EVENT_COUNT_LIMIT", "abc", "OTEL_SPAN_EVENT_COUNT_LIMIT"),
    ],
)
def test_a_variable_that_the_sdk_refuses_is_named(
    site: Site, monkeypatch: pytest.MonkeyPatch, name: str, value: str, says: str
) -> None:
    monkeypatch.setenv(name, value)
    traced(site, "http://127.0.0.1:9/v1/traces")
    processor = site.start("--drain")
    assert processor.wait() != 0
    assert "Nothing was started" in processor.tail()
    assert says in processor.tail()
    assert "Traceback" not in processor.tail()


def test_a_replay_passes_the_traceparent_on(site: Site) -> None:
    site.write(types=TYPES)
    job = site.insert("told", {"trace_parent": PARENT})
    assert PARENT in site.command("replay", str(job))
