"""What becomes of the last spans when a processor stops."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Status

from processor.happenings import Happenings, OutcomeStale
from processor.queue.taking import ClaimedJob
from processor.sections import Traces
from processor.work import tracing
from processor.work.tracing import Tracing
from tests.patience import eventually
from tests.processors.test_traces import Collector, collector, facts

__all__ = ["collector"]

TRACES = Path(__file__).parents[2] / "docs" / "traces.md"
JOB = ClaimedJob(7, 1, "told", 1, "{}", 2, None, None, None, None, None, None, 0, None, False, 0.5)


def begun(collector: Collector, happenings: Happenings | None = None) -> Tracing:
    """Give the spans of a processor, of which one is open."""
    found = Tracing(Traces(enabled=True, endpoint=collector.endpoint), happenings or Happenings())
    found.begin(JOB, None)
    return found


@contextmanager
def hanging() -> Iterator[Collector]:
    collector = Collector(hangs=True)
    yield collector
    collector.close()


def leaving() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "traces"]


def test_a_span_that_is_open_when_a_processor_stops_leaves_with_it(collector: Collector) -> None:
    begun(collector).stop()
    [span] = collector.named("process told")
    assert "jobtable.outcome" not in facts(span)
    assert [event.name for event in span.events] == ["claimed"]


def test_an_attempt_that_came_too_late_says_so(collector: Collector) -> None:
    happenings = Happenings()
    spans = begun(collector, happenings)
    happenings.emit(OutcomeStale(JOB.id, JOB.type, JOB.attempt, "returned"))
    spans.stop()
    [span] = collector.named("process told")
    assert (facts(span)["jobtable.outcome"], facts(span)["jobtable.reason"]) == ("refused", "stale")
    assert span.status.code == Status.STATUS_CODE_ERROR


def test_a_stop_waits_for_the_last_spans_to_leave() -> None:
    with hanging() as collector:
        stopping = threading.Thread(target=begun(collector).stop)
        stopping.start()
        eventually(collector.asked.is_set, "the collector was asked")
        assert stopping.is_alive()
        collector.leave.set()
        stopping.join()
        assert len(collector.spans) == 1


def test_a_stop_does_not_wait_for_a_collector_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracing, "FAREWELL", 0.01)
    with hanging() as collector:
        begun(collector).stop()
        assert leaving(), "they still try to, and nobody waits"
        collector.leave.set()
        eventually(lambda: not leaving(), "they have left")


def test_the_documentation_says_how_long_the_last_spans_have() -> None:
    assert f"gives the last ones {tracing.FAREWELL:g} s" in TRACES.read_text()
