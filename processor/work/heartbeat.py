"""Keep the lease while everything else is busy: a thread and a connection of its own.

Each beat renews the lease in the database, tells the supervisor how long it may go on, gives back claims whose answer
was lost, compares what the database says this processor runs with what it knows, and hears whether somebody asked it
to drain. A processor that passed its own deadline never renews that incarnation: others may already have its jobs. It
is fenced, and comes back as a new one.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from processor.db import Database
from processor.errors import DatabaseError
from processor.happenings import ClaimsReleased, Happenings, HeartbeatMissed, HeartbeatSent
from processor.queue import leases

MARGIN = 15.0
"""Seconds of the lease that are not counted on: a call to a frozen server returned 11 s late when it was measured."""


STOP_SECONDS = 5.0
"""How long to wait for a beat that is under way; a frozen database must not hold up the end."""


@dataclass(frozen=True, slots=True)
class Holdings:
    """What the daemon knows it holds, for comparison: (job, claim) pairs, and the newest claim it has taken in."""

    known: tuple[tuple[int, int], ...]
    newest_claim: int
    abandoned: tuple[int, ...]


class Heartbeat(threading.Thread):
    """Beats until `stop`; `fenced` is set when this incarnation is over, `audit` has what the two sides do not share.

    `drain_asked` is set once somebody asked for it in the database.
    `registered_at` is the monotonic time at which the registration was sent: the lease counts from there.
    """

    def __init__(
        self,
        database: Database,
        processor_id: str,
        *,
        interval: float,
        lease: float,
        renew: Callable[[float], None],
        holdings: Callable[[], Holdings],
        wake: Callable[[], None],
        happenings: Happenings,
        registered_at: float,
    ) -> None:
        super().__init__(name="heartbeat", daemon=True)
        self._database = database
        self._processor_id = processor_id
        self._interval = interval
        self._lease = lease
        self._usable = lease - min(MARGIN, lease / 4)
        self.renew = renew
        self._holdings = holdings
        self._wake = wake
        self._happenings = happenings
        self._ending = threading.Event()
        self.fenced = threading.Event()
        self.drain_asked = threading.Event()
        self.audit: leases.Audit | None = None
        self.beaten_at = registered_at
        self._good_until = registered_at + self._usable
        self.renew(self.remaining)

    @property
    def remaining(self) -> float:
        """Seconds until this incarnation is over unless it beats."""
        return max(0.0, self._good_until - time.monotonic())

    def run(self) -> None:
        with self._database:
            self._beat_until_the_end()

    def _beat_until_the_end(self) -> None:
        while not self._ending.wait(self._interval) and not self.fenced.is_set():
            try:
                self._beat()
            except DatabaseError as error:
                self._happenings.emit(HeartbeatMissed(error.message))
            if time.monotonic() >= self._good_until:
                self._end_incarnation()

    def _beat(self) -> None:
        sent_at = time.monotonic()
        if sent_at >= self._good_until or not leases.beat(self._database, self._processor_id, self._lease):
            self._end_incarnation()
            return
        if self._ending.is_set():
            return  # it took so long that a new life has begun: what the daemon holds now is not of this one
        self.beaten_at = sent_at
        self._good_until = sent_at + self._usable
        self.renew(self.remaining)
        self._happenings.emit(HeartbeatSent(time.monotonic() - sent_at))
        self._compare()
        self._hear()

    def _hear(self) -> None:
        if not self.drain_asked.is_set() and leases.is_asked_to_drain(self._database, self._processor_id):
            self.drain_asked.set()
            self._wake()

    def _compare(self) -> None:
        holdings = self._holdings()
        released = leases.release(self._database, self._processor_id, holdings.abandoned)
        if released:
            self._happenings.emit(ClaimsReleased(released, "abandoned"))
        audit = leases.audit(
            self._database, self._processor_id, holdings.known, holdings.newest_claim, holdings.abandoned
        )
        if audit:
            self.audit = audit
            self._wake()

    def _end_incarnation(self) -> None:
        self.fenced.set()
        self._wake()

    def stop(self) -> None:
        self._ending.set()
        self.join(STOP_SECONDS)
