"""The job that does nothing, so that only the queue is measured."""

from typing import Any


async def nothing(job: Any) -> None:
    """Return at once."""
