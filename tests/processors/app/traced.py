"""Handlers that say to which trace they belong."""


def told(job):
    return job.trace_parent


def spanned(job):
    """Fail once; then make a span of its own, as instrumented code does, and enqueue a job."""
    if job.attempt == 1:
        raise RuntimeError("not yet")
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(OTLPSpanExporter(endpoint=job.payload["endpoint"])))
    context = TraceContextTextMapPropagator().extract({"traceparent": job.trace_parent})
    with provider.get_tracer("handler").start_as_current_span("in the handler", context=context):
        pass
    provider.shutdown()
    job.enqueue("told")
