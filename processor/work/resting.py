"""How a loop waits, in one place: for the supervisor's frames, for signals, for time."""

import selectors

from processor.work.crew import Crew
from processor.work.signals import Signals


def rest(signals: Signals, crew: Crew | None, seconds: float) -> None:
    """Wait until a frame or a wake-up comes, so many seconds at most."""
    with selectors.DefaultSelector() as selector:
        selector.register(signals, selectors.EVENT_READ)
        if crew is not None and not crew.lost:
            unsent = selectors.EVENT_WRITE if crew.has_unsent else 0
            selector.register(crew, selectors.EVENT_READ | unsent)
        selector.select(max(0.0, seconds))
