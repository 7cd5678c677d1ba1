"""What the loop waits for, with a valve.

Descriptors that bring work from children lie behind a selector of their own, which is itself one descriptor of the
main one: taking that out stops all reading from children at once, when the daemon is slow to read what we have for
it. The control channel and the signals stay in the main selector, so a stop or a kill is never held up."""

from __future__ import annotations

import selectors
from collections.abc import Callable

READ, WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE
Callback = Callable[[int], object]


class Sources:
    def __init__(self) -> None:
        self._main = selectors.DefaultSelector()
        self._children = selectors.DefaultSelector()
        self._open = False
        self.valve(open=True)

    def register_main(self, descriptor: int, callback: Callback) -> None:
        self._main.register(descriptor, READ, callback)

    def modify_main(self, descriptor: int, writing: bool) -> None:
        _modify(self._main, descriptor, READ | WRITE if writing else READ)

    def register(self, descriptor: int, callback: Callback, writing: bool = False) -> None:
        self._children.register(descriptor, WRITE if writing else READ, callback)

    def modify(self, descriptor: int, writing: bool) -> None:
        _modify(self._children, descriptor, READ | WRITE if writing else READ)

    def unregister(self, descriptor: int) -> None:
        self._children.unregister(descriptor)

    def valve(self, open: bool) -> None:
        """Let the children be heard, or not."""
        if open and not self._open:
            self._main.register(self._children.fileno(), READ, self._hear_children)
        elif self._open and not open:
            self._main.unregister(self._children.fileno())
        self._open = open

    def wait(self, seconds: float | None) -> None:
        """Wait until something happens or the time is over, and call whom it concerns."""
        for key, mask in self._main.select(seconds):
            key.data(mask)

    def _hear_children(self, _: int) -> None:
        for key, mask in self._children.select(0):
            current = self._children.get_map().get(key.fd)
            if current is not None and current.data is key.data:  # not closed by a callback before it
                key.data(mask)

    is_reading = staticmethod(lambda mask: mask & READ)
    is_writing = staticmethod(lambda mask: mask & WRITE)


def _modify(selector: selectors.BaseSelector, descriptor: int, events: int) -> None:
    key = selector.get_key(descriptor)
    if key.events != events:
        selector.modify(descriptor, events, key.data)
