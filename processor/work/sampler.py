"""Count rows for the metrics in a thread of its own: a count over a million rows must not delay a claim.

It takes at most a twentieth of one connection: after a count that took a second it rests for twenty.
"""

import threading
import time
from collections.abc import Callable, Mapping

from processor.db import Database
from processor.errors import DatabaseError
from processor.happenings import Happenings, Sampled, TypeUnknown
from processor.queue import lookup
from processor.settings import Settings
from processor.work.incarnation import open_database

SHARE = 20


class Sampler:
    def __init__(self, settings: Settings, happenings: Happenings) -> None:
        self._settings = settings
        self._happenings = happenings
        self._interval = settings.processor.sample_interval
        self._ending = threading.Event()
        self._thread: threading.Thread | None = None
        self._said: set[str] = set()

    def start(self, types: Callable[[], Mapping[str, int | None]]) -> None:
        """Begin counting; `types` gives what the processor can run, with how many of each may wait."""
        self._thread = threading.Thread(target=self._run, args=(types,), name="sampler", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._ending.set()
        if self._thread is not None:
            self._thread.join(self._interval)

    def _run(self, types: Callable[[], Mapping[str, int | None]]) -> None:
        with open_database(self._settings, connections=1) as database:
            pause = 0.0
            while not self._ending.wait(pause):
                before = time.monotonic()
                try:
                    self._sample(database, types())
                except DatabaseError:
                    pass  # the loop says that the database is away
                pause = max(self._interval, SHARE * (time.monotonic() - before))

    def _sample(self, database: Database, types: Mapping[str, int | None]) -> None:
        rows = lookup.active(database)
        waiting = {type_: count for (status, type_), count in rows.items() if status == "pending"}
        unhandled = {type_: count for type_, count in waiting.items() if type_ not in types}
        limits = {type_: limit for type_, limit in types.items() if limit is not None}
        self._happenings.emit(Sampled(rows, lookup.oldest_due(database), unhandled, limits))
        for type_, count in unhandled.items():
            if type_ not in self._said:
                self._said.add(type_)
                self._happenings.emit(TypeUnknown(type_, count))
