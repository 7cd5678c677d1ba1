"""One life of a processor: an id of its own, a lock file, a supervisor, a row, a heartbeat.

The lock file is the proof of death for others on the same machine: it carries the id, and whoever can lock it knows
that daemon and supervisor are both gone. A file that is missing, or carries another id, proves nothing: it may be
another machine's, or another container's.
"""

import contextlib
import fcntl
import json
import os
import socket
import tempfile
import time
import uuid
from collections.abc import Callable
from pathlib import Path

from processor.db import Database
from processor.errors import StartRefused
from processor.happenings import Happenings, ProcessorStarted
from processor.queue import leases
from processor.settings import Settings
from processor.version import our_version
from processor.work.crew import Crew
from processor.work.heartbeat import Heartbeat, Holdings
from processor.work.roster import Roster

UNSEEN = "replay-"
"""How the id of an incarnation begins that the database never hears of."""


class Incarnation:
    """Begins with its lock and its supervisor; `register` makes the row and starts the heartbeat.

    An `unseen` one is never registered: it has no lock, because there is no row whose death could have to be proved.
    Raises `StartRefused` where lock files cannot be written.
    """

    def __init__(self, run_dir: Path | None, *, unseen: bool = False) -> None:
        self.id = f"{UNSEEN if unseen else ''}{uuid.uuid4()}"
        self._lock = None if unseen else Lock(run_dir or default_run_dir(), self.id)
        self.crew = self._new_crew()
        self._heartbeat: Heartbeat | None = None

    @property
    def registered(self) -> bool:
        return self._heartbeat is not None

    @property
    def is_over(self) -> bool:
        """Tell whether others may have taken what this incarnation ran; a beat that hangs does not hide it."""
        return self._heartbeat is not None and not (self._heartbeat.is_alive() and self._heartbeat.remaining > 0)

    @property
    def is_asked_to_drain(self) -> bool:
        """Tell whether the latest heartbeats heard that somebody wants this processor to end in order."""
        return self._heartbeat is not None and self._heartbeat.drain_asked.is_set()

    @property
    def beaten_at(self) -> float:
        """When the latest heartbeat that reached the database was sent, by the monotonic clock."""
        return self._heartbeat.beaten_at if self._heartbeat is not None else 0.0

    def register(
        self,
        settings: Settings,
        roster: Roster,
        database: Database,
        *,
        holdings: Callable[[], Holdings],
        wake: Callable[[], None],
        happenings: Happenings,
    ) -> None:
        """Make the row and begin to beat. Raises `DatabaseError`; it can be tried again."""
        processor, registered_at = settings.processor, time.monotonic()
        leases.register(database, self._row(settings, roster), processor.lease)
        self._heartbeat = Heartbeat(
            open_database(settings, connections=1),
            self.id,
            interval=processor.heartbeat_interval,
            lease=processor.lease,
            renew=self._renew,
            holdings=holdings,
            wake=wake,
            happenings=happenings,
            registered_at=registered_at,
        )
        self._heartbeat.start()
        happenings.emit(
            ProcessorStarted(
                self.id,
                processor.name,
                database.address,
                tuple(sorted(roster.types)),
                processor.max_concurrent,
                roster.unusable,
            )
        )

    def _renew(self, seconds: float) -> None:
        self.crew.renew(seconds)  # whichever supervisor it is by then

    def _row(self, settings: Settings, roster: Roster) -> leases.Registration:
        return leases.Registration(
            id=self.id,
            name=settings.processor.name,
            host=socket.gethostname()[:200],
            pid=os.getpid(),
            version=our_version(),
            types=json.dumps({name: roster.types[name].rules.facts() for name in sorted(roster.types)}),
            max_concurrent=settings.processor.max_concurrent,
            lock_file=str(self._lock.path) if self._lock is not None else None,
        )

    def describe(self, settings: Settings, roster: Roster, database: Database) -> None:
        """Tell what this processor can run since its settings changed."""
        row = self._row(settings, roster)
        leases.describe(database, self.id, row.types, row.max_concurrent)

    def take_audit(self) -> leases.Audit | None:
        """Give what the latest heartbeat found to differ, once."""
        if self._heartbeat is None:
            return None
        audit, self._heartbeat.audit = self._heartbeat.audit, None
        return audit

    def replace_crew(self) -> None:
        """Start a new supervisor under the same lock; the old one is gone."""
        self.crew.dismiss()
        self.crew = self._new_crew()
        if self._heartbeat is not None:
            self.crew.renew(self._heartbeat.remaining)

    def _new_crew(self) -> Crew:
        return Crew(None if self._lock is None else self._lock.descriptor)

    def stop_beating(self) -> None:
        if self._heartbeat is not None:
            self._heartbeat.stop()

    def end(self) -> None:
        """Let the supervisor go and then the lock: in this order, or others could prove death too early."""
        self.crew.dismiss()
        if self._lock is not None:
            self._lock.release()


class Lock:
    """A file that carries the incarnation's id and is locked while daemon or supervisor lives."""

    def __init__(self, folder: Path, processor_id: str) -> None:
        self.path = folder / f"{processor_id}.lock"
        self._released = False
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if folder.stat().st_uid != os.getuid():  # whoever owns it could prove a living processor dead
                raise PermissionError(0, "it belongs to another user")
            self.descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            os.write(self.descriptor, processor_id.encode())
            fcntl.flock(self.descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise StartRefused(
                f"The lock file of this processor cannot be written in {folder}: {error.strerror or error}."
                " Without it others could not tell quickly that it died. Nothing was started.",
                "Make the folder writable for this user, or set [processor] run_dir to one that is.",
            ) from error

    def release(self) -> None:
        if not self._released:
            self._released = True
            remove_lock(str(self.path))
            os.close(self.descriptor)


def remove_lock(lock_file: str | None) -> None:
    """Remove a lock file that proves nothing any more: its processor left in order or was declared dead."""
    if lock_file is not None:
        with contextlib.suppress(OSError):
            os.unlink(lock_file)


def is_proved_dead(lock_file: str | None, processor_id: str) -> bool:
    """Tell whether nobody holds the lock of that incarnation on this machine."""
    if lock_file is None:
        return False
    try:
        descriptor = os.open(lock_file, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return False
    try:
        if os.read(descriptor, 100).decode(errors="replace") != processor_id:
            return False
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return True


def need_workdir(folder: Path | None) -> None:
    """Refuse to start where jobs could not get their private folders: it would fail every job there is."""
    if folder is None:
        return
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder):
            pass
    except OSError as error:
        raise StartRefused(
            f"No private folder can be made for jobs in {folder}: {error.strerror or error}. Nothing was started.",
            "Make the folder writable for this user, or set [processor] workdir to one that is.",
        ) from error


def default_run_dir() -> Path:
    """Give a folder that the processors of this user on this machine share."""
    given = os.environ.get("RUNTIME_DIRECTORY") or os.environ.get("XDG_RUNTIME_DIR")
    if given:
        return Path(given.split(":")[0]) / "jobtable"
    return Path(tempfile.gettempdir()) / f"jobtable-{os.getuid()}"


def open_database(settings: Settings, connections: int = 2) -> Database:
    """Open the database that the settings name."""
    section = settings.database
    return Database(
        section.url,
        schema=section.schema_name,
        connect_timeout=section.connect_timeout,
        connections=connections,
    )
