"""Wait for a happening, not for seconds: the one place where tests poll."""

import time
from collections.abc import Callable
from typing import TypeVar

PATIENCE = 40.0
"""Seconds until a happening that should have come counts as missing; nothing waits that long when all is well."""
BETWEEN = 0.005
T = TypeVar("T")


def eventually(seen: Callable[[], T], what: object = "", patience: float = PATIENCE) -> T:
    """Wait until something is seen, and give it; fail with what was waited for."""
    deadline = time.monotonic() + patience
    while not (found := seen()):
        assert time.monotonic() < deadline, f"not seen within {patience} s: {what or seen}"
        time.sleep(BETWEEN)
    return found
