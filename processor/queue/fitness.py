"""Whether a claimed row can be run at all, decided before anything is started for it."""

import re
from collections.abc import Container

from processor.outcome import Kind, Outcome
from processor.queue.taking import ClaimedJob

_ESCAPE = re.compile(
    r"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"  # a letter in two halves
    r"|\\u(0000|[dD][89a-fA-F][0-9a-fA-F]{2})"
    r"|\\.",
    re.DOTALL,
)


def unfit(job: ClaimedJob, known: Container[str], max_payload_bytes: int) -> Outcome | None:
    """Say why a claimed row cannot be run; None: it can. `known` are the types of this processor."""
    if job.expired:
        message = "Its expires_at had passed before a slot was free."
        return Outcome(Kind.EXPIRED, error_type="Expired", error_message=message)
    if job.type not in known:
        message = f"Its type {job.type!r} is not quite one this processor runs; a space at its end, perhaps."
        return Outcome(Kind.MALFORMED, error_type="TypeUnknown", error_message=message)
    if job.payload is None:
        message = (
            f"The payload has {job.payload_bytes:,} bytes; [processor] max_payload_bytes allows {max_payload_bytes:,}."
            " Put a reference to the data into the payload, or raise the limit."
        )
        return Outcome(Kind.MALFORMED, error_type="PayloadTooLarge", error_message=message)
    letter = no_letter(job.payload)
    if letter is not None:
        message = (
            f"The payload has {letter} in a text, which is no letter: not every database, or handler, can read it."
        )
        return Outcome(Kind.MALFORMED, error_type="PayloadNotText", error_message=message)
    return None


def no_letter(payload: str) -> str | None:
    r"""Find an escape that stands for no letter: `\u0000`, half a surrogate pair; PostgreSQL refuses both by itself."""
    if "\\u" not in payload:
        return None
    return next((found[0] for found in _ESCAPE.finditer(payload) if found[1] is not None), None)
