"""Hear the database's notices in a thread of its own, on a connection of its own, and wake the loop.

Nothing depends on it: a notice that is lost, a pooler that swallows them or a connection that died unseen costs one
poll interval. So an error here is answered by connecting again after a pause.
"""

import threading
from collections.abc import Callable

from processor.db import Database
from processor.errors import DatabaseError
from processor.queue.wakeup import CHANNEL

PAUSE = 5.0
"""Seconds between two looks at whether to end, and before connecting again."""


class Listener(threading.Thread):
    def __init__(self, database: Database, wake: Callable[[], None]) -> None:
        super().__init__(name="listener", daemon=True)
        self._database = database
        self._wake = wake
        self._ending = threading.Event()

    def run(self) -> None:
        while not self._ending.is_set():
            try:
                for _ in self._database.notices(CHANNEL, PAUSE, self._ending.is_set):
                    self._wake()
            except DatabaseError:
                self._ending.wait(PAUSE)

    def stop(self) -> None:
        self._ending.set()
