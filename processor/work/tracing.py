"""A span for each attempt, exported in the background.

The loop opens a span when it dispatches a job and hears of its end as everybody does, by happenings. Spans wait in a
bounded queue for a thread of the SDK; where the collector is away they are dropped, and the loop never waits for it.
`OTEL_*` variables count as ever; `[traces] endpoint` comes before them.
"""

import logging
import os
import threading
import time
from typing import Any

from processor import happenings as h
from processor.errors import StartRefused
from processor.happenings import Happenings
from processor.lifecycle import Status
from processor.queue.taking import ClaimedJob
from processor.sections import Traces
from processor.traceparent import written

FAREWELL = 3.0
"""Seconds that the last spans have to leave when a processor stops."""
COMPLAINT_PAUSE = 60.0
"""Seconds between two log lines about a collector that is away."""


class Tracing:
    """The open spans of one processor. Raises `StartRefused`: no extra `otel`, or a wrong variable."""

    def __init__(self, traces: Traces, happenings: Happenings) -> None:
        try:
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
            from opentelemetry.sdk.resources import Resource
            from opentelemetry.sdk.trace import TracerProvider
            from opentelemetry.sdk.trace.export import BatchSpanProcessor
        except ImportError as error:
            raise StartRefused(
                f"[traces] enabled = true needs OpenTelemetry: {error}. Nothing was started.",
                "pip install 'jobtable[otel]', or set enabled = false.",
            ) from error
        _hear_complaints(happenings)
        service = {} if "OTEL_SERVICE_NAME" in os.environ else {"service.name": "jobtable"}
        try:
            self._provider = TracerProvider(resource=Resource.create(service), shutdown_on_exit=False)
            self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=traces.endpoint)))
        except ValueError as error:  # the SDK logs some wrong variables, and raises about others
            raise StartRefused(
                f"A variable OTEL_… cannot be used: {str(error).rstrip('.')}. Nothing was started.",
                "Correct or unset it.",
            ) from error
        self._tracer = self._provider.get_tracer("jobtable")
        self._spans: dict[tuple[int, int], Any] = {}
        happenings.listen(self._listen)

    def begin(self, job: ClaimedJob, parent: str | None) -> str | None:
        """Open the span of an attempt and give its traceparent; where the SDK makes none, that of the row."""
        from opentelemetry.trace import SpanKind
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        carrier = {} if parent is None else {"traceparent": parent}
        span = self._tracer.start_span(
            f"process {job.type}",
            context=TraceContextTextMapPropagator().extract(carrier, context=_nothing()),
            kind=SpanKind.CONSUMER,
            attributes=_facts(job),
        )
        span.add_event("claimed")
        self._spans[job.id, job.attempt] = span
        context = span.get_span_context()
        return written(context) if context.is_valid else parent  # OTEL_SDK_DISABLED: there are no spans

    def stop(self) -> None:
        """End what is open and let the last spans leave, but not for long."""
        for span in self._spans.values():
            span.end()
        self._spans.clear()
        leaving = threading.Thread(target=self._provider.shutdown, name="traces", daemon=True)
        leaving.start()
        leaving.join(FAREWELL)

    def _listen(self, happening: object) -> None:
        if isinstance(happening, h.JobStarted):
            span = self._spans.get((happening.job, happening.attempt))
            if span is not None:
                span.add_event("started")
        elif isinstance(happening, h.JobSettled):
            self._end(happening.job, happening.attempt, happening.status, happening.reason)
        elif isinstance(happening, h.OutcomeStale):
            self._end(happening.job, happening.attempt, "refused", "stale")

    def _end(self, job: int, attempt: int, outcome: str, reason: str) -> None:
        from opentelemetry.trace import StatusCode

        span = self._spans.pop((job, attempt), None)
        if span is None:
            return
        span.add_event("settled")
        span.set_attributes({"jobtable.outcome": outcome, "jobtable.reason": reason})
        if outcome in (Status.FAILED, "refused") or reason == "retry":
            span.set_attribute("error.type", reason)
            span.set_status(StatusCode.ERROR, reason)  # no message: it may hold what the payload held
        span.end()


def _facts(job: ClaimedJob) -> dict[str, str | int | float]:
    """Name an attempt by the semantic conventions of messaging."""
    return {
        "messaging.system": "jobtable",
        "messaging.destination.name": job.type,
        "messaging.message.id": str(job.id),
        "messaging.operation.name": "process",
        "messaging.operation.type": "process",
        "jobtable.attempt": job.attempt,
        "jobtable.wait_seconds": job.wait_seconds,
    }


def _nothing() -> Any:
    from opentelemetry.context import Context

    return Context()


def _hear_complaints(happenings: Happenings) -> None:
    """Turn what the SDK logs into a line of ours, now and then."""
    logger = logging.getLogger("opentelemetry")
    logger.handlers[:] = [_Complaints(happenings)]
    logger.propagate = False


class _Complaints(logging.Handler):
    def __init__(self, happenings: Happenings) -> None:
        super().__init__(logging.WARNING)
        self._happenings = happenings
        self._said_at = float("-inf")

    def emit(self, record: logging.LogRecord) -> None:
        if time.monotonic() - self._said_at >= COMPLAINT_PAUSE:
            self._said_at = time.monotonic()
            self._happenings.emit(h.SpansRefused(record.getMessage()))
