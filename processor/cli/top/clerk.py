"""The thread that talks to the database, so that the screen never waits for it."""

import asyncio
import queue
import threading
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")

Order = tuple[Callable[[], Any], asyncio.AbstractEventLoop, "asyncio.Future[Any]"]


class Clerk:
    """Does one thing after the other. Its thread holds nobody up who leaves while the database hangs."""

    def __init__(self) -> None:
        self._orders: queue.SimpleQueue[Order] = queue.SimpleQueue()
        threading.Thread(target=self._work, name="clerk", daemon=True).start()

    async def do(self, call: Callable[[], T]) -> T:
        """Have it called in the thread; give what it gives, raise what it raises."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[T] = loop.create_future()
        self._orders.put((call, loop, answer))
        return await answer

    def _work(self) -> None:
        while True:
            call, loop, answer = self._orders.get()
            try:
                done = (answer.set_result, call())
            except Exception as error:  # noqa: BLE001 - whoever asked is told
                done = (answer.set_exception, error)
            try:
                loop.call_soon_threadsafe(_tell, answer, *done)
            except RuntimeError:  # the screen is gone
                return


def _tell(answer: "asyncio.Future[Any]", tell: Callable[[Any], None], what: Any) -> None:
    if not answer.done():
        tell(what)
