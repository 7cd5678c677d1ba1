"""Delete old rows in a thread of its own: what a bite waits for must not delay a claim or a settle.

Every processor does it, without a leader: who comes second finds the rows locked, or gone. It works at most a twentieth
of the time, and has a connection only while it walks: after a bite that took ten milliseconds it rests for two hundred,
after a walk through everything for a minute, or for as long as that walk took.
"""

import random
import threading
import time
from collections.abc import Callable
from dataclasses import replace

from processor.db import Database
from processor.errors import DatabaseError, DatabaseUnreachable, ValuesRefused
from processor.happenings import DeletionRefused, Happenings, RowsDeleted
from processor.queue import purge
from processor.queue.keeping import Keeps
from processor.settings import Settings
from processor.work.incarnation import open_database

SHARE = 20
"""After a bite it rests so many times as long as the bite took."""
LONGEST_BREATH = 1.0
"""Seconds of the longest rest between two bites."""
PAUSE = 60.0
LONGEST_PAUSE = 3600.0
"""Seconds from the end of a walk to the next, at least and at most."""
SAID_AGAIN = 3600.0
"""Seconds between two lines about rows of one kind that the database lets nobody delete."""


class Retention:
    def __init__(self, settings: Settings, happenings: Happenings) -> None:
        self._settings = settings
        self._happenings = happenings
        self._ending = threading.Event()
        self._thread: threading.Thread | None = None
        self._said: dict[str, float] = {}

    def start(self, keeps: Callable[[], Keeps]) -> None:
        """Begin at once; `keeps` gives for how long rows are kept, as the settings in force say."""
        self._thread = threading.Thread(target=self._run, args=(keeps,), name="retention", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._ending.set()
        if self._thread is not None:
            self._thread.join(1.0)

    def _run(self, keeps: Callable[[], Keeps]) -> None:
        rest = 0.0
        while not self._ending.wait(rest):
            began = time.monotonic()
            try:
                with open_database(self._settings, connections=1) as database:
                    self._walk(database, keeps)
            except DatabaseUnreachable:
                pass  # the loop says it
            except DatabaseError as error:  # this user may not
                self._complain("all", error.message)
            except Exception as error:  # noqa: BLE001 - a row that nobody could foresee must not end this for good
                self._complain("all", f"A row cannot be read: {error!r}")
            took = time.monotonic() - began
            rest = min(max(PAUSE, took), LONGEST_PAUSE) * random.uniform(0.8, 1.2)  # noqa: S311

    def _walk(self, database: Database, keeps: Callable[[], Keeps]) -> None:
        """Walk once through everything that is old enough."""
        others, read_at = purge.run_elsewhere(database, keeps().types), time.monotonic()
        for walk in purge.walks():
            while not walk.over and not self._ending.is_set():
                began = time.monotonic()
                if began - read_at > PAUSE:  # a walk may take an hour, and a new processor bring new types
                    others, read_at = purge.run_elsewhere(database, keeps().types), began
                try:
                    bite = purge.bite(database, walk, replace(keeps(), others=others))
                except ValuesRefused as error:  # a row that cannot be compared keeps those of its own kind alone
                    self._complain(walk.kind, error.message)
                    break
                self._tell(walk.kind, bite.deleted, began)
                if bite.refusal is not None:
                    self._complain(walk.kind, bite.refusal)
                self._ending.wait(min(SHARE * (time.monotonic() - began), LONGEST_BREATH))
        self._forget_processors(database)

    def _forget_processors(self, database: Database) -> None:
        began = time.monotonic()
        try:
            self._tell("processors", purge.processors_that_ended(database), began)
        except ValuesRefused as refusal:
            self._complain("processors", refusal.message)

    def _tell(self, kind: str, rows: int, began: float) -> None:
        if rows:
            self._happenings.emit(RowsDeleted(kind, rows, time.monotonic() - began))

    def _complain(self, kind: str, error: str) -> None:
        instant = time.monotonic()
        if instant - self._said.get(kind, -SAID_AGAIN) >= SAID_AGAIN:
            self._said[kind] = instant
            self._happenings.emit(DeletionRefused(kind, error))
