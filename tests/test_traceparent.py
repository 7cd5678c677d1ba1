"""What is a W3C traceparent, and what is not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import get_current_span
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from processor.traceparent import current, valid

GOOD = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def hexadecimal(length: int) -> st.SearchStrategy[str]:
    return st.text("0123456789abcdef", min_size=length, max_size=length)


parts = st.tuples(hexadecimal(2), hexadecimal(32), hexadecimal(16), hexadecimal(2))
rows = st.one_of(st.text(max_size=200), parts.map("-".join), st.from_regex(r"\A[0-9a-fA-F-]{50,60}\Z"))


@given(parts)
def test_what_the_standard_allows_is_valid(pieces: tuple[str, ...]) -> None:
    version, trace, span, _ = pieces
    allowed = version != "ff" and int(trace, 16) != 0 and int(span, 16) != 0
    assert (valid("-".join(pieces)) is not None) == allowed


@given(rows)
def test_what_is_valid_is_taken_by_opentelemetry_and_nothing_is_an_error(text: str) -> None:
    found = valid(text)
    assert found in (text, None)
    if found is not None:
        context = get_current_span(TraceContextTextMapPropagator().extract({"traceparent": text})).get_span_context()
        assert (context.is_valid, f"{context.trace_id:032x}") == (True, text[3:35])


@pytest.mark.parametrize(
    "text", [None, "", GOOD.upper(), GOOD + "\n", GOOD + "-more", GOOD[:-1], " " + GOOD, "ü" + GOOD]
)
def test_what_is_none(text: str | None) -> None:
    assert valid(text) is None


def test_a_later_version_may_say_more() -> None:
    assert valid("01" + GOOD[2:] + "-more") == "01" + GOOD[2:] + "-more"


def test_the_active_span_is_what_a_job_belongs_to() -> None:
    assert current() is None
    with TracerProvider(shutdown_on_exit=False).get_tracer("test").start_as_current_span("producer") as span:
        text = current()
        context = span.get_span_context()
    assert text is not None
    assert valid(text) == text
    assert text[:52] == f"00-{context.trace_id:032x}-{context.span_id:016x}"
