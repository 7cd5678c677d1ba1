"""How an explanation says states, jobs, instants and spans."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

NAMED = 3
"""Of many jobs so many are named."""


def state(row: Any) -> str:
    return f"{row['status']} ({row['reason']})" if row["reason"] else str(row["status"])


def names(ids: Sequence[int]) -> str:
    shown = listed([str(id) for id in ids[:NAMED]])
    return f"{'job' if len(ids) == 1 else 'jobs'} {shown}{' and others' if len(ids) > NAMED else ''}"


def listed(names: Sequence[str]) -> str:
    return ", ".join(list(names)[:10]) or "nothing"


def instant(instant: datetime) -> str:
    return f"{instant.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def within(instant: datetime, later: datetime) -> str:
    return f"in {span((later - instant).total_seconds())}"


def ago(instant: datetime, earlier: datetime | None) -> str:
    return "some time" if earlier is None else f"{span((instant - earlier).total_seconds())} ago"


def span(seconds: float) -> str:
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(0.0, seconds):.1f} s"
