"""W3C traceparent: the one line of text by which a job belongs to a trace.

    00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01

Version, trace, parent span, flags (https://www.w3.org/TR/trace-context/#traceparent-header). Standard library only,
Python 3.9 and later: handlers' interpreters import this module.
"""

from __future__ import annotations

import re
import sys

_SHAPE = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(?:-[!-~]*)?")
_LENGTH = len("00-") + 32 + len("-") + 16 + len("-01")


def valid(text: str | None) -> str | None:
    """Give the text where it is a traceparent, else None; later versions may say more after the flags."""
    if text is None or _SHAPE.fullmatch(text) is None:
        return None
    return None if text.startswith("00") and len(text) != _LENGTH else text


def current() -> str | None:
    """Give the traceparent of the span that is active here; None without one, or where OpenTelemetry is not in use."""
    trace = sys.modules.get("opentelemetry.trace")  # who has a span has imported it
    if trace is None:
        return None
    context = trace.get_current_span().get_span_context()
    return written(context) if context.is_valid else None


def written(context: object) -> str:
    """Write OpenTelemetry's SpanContext as text."""
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{int(context.trace_flags):02x}"  # type: ignore[attr-defined]
