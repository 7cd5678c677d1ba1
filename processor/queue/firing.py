"""Make jobs by the clock. Every processor tries, and each firing makes its jobs once.

A look reads all schedules and says which want attention. Each of these is seen to in a short transaction of its own: it
locks the row, passing by one that somebody holds, asks once more what is to be done, and writes the jobs and the next
firing in one commit. Whoever comes later finds a row that wants nothing. The database's clock decides.

A row that nobody can read says so in its `error`; neither it nor one whose job the database refuses stops the others.
"""

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from functools import lru_cache
from typing import Any

from sqlalchemy import Connection, select, update

from models import jobs, now, processors, schedules
from processor.db.database import Database
from processor.db.dialects import Dialect, letters
from processor.errors import ValuesRefused
from processor.lifecycle import FINAL
from processor.queue.enqueue import NewJob, count_waiting, insert_job, insert_jobs
from processor.queue.schedules import UNPLANNED, not_found
from processor.timetable import Late, Plan, Timetable, fall_due, plan

PORTION_LETTERS = 2 * 1024**2
"""Of the payloads of one statement; MariaDB takes 16 MiB unless told otherwise."""
Row = Mapping[str, Any]
Limit = Callable[[str], int | None]
"""Gives the `queue_limit` of a type; raises `KeyError` for a type of which this processor knows nothing."""


class Need(StrEnum):
    NOTHING = "nothing"
    ERROR = "error"  # nobody can read it, and it does not say so yet
    REST = "rest"  # it is paused and still has a next firing
    PLAN = "plan"  # it is new, or its timetable was changed
    FIRE = "fire"


@dataclass(frozen=True, slots=True)
class Look:
    """Schedules that want attention, the most overdue first; those that nobody can read, and why.

    `seconds` until the next firing of the others; `paused` and `ready` count rows.
    """

    wanting: tuple[str, ...] = ()
    unreadable: tuple[tuple[str, str], ...] = ()
    seconds: float = math.inf
    ready: int = 0
    paused: int = 0


@dataclass(frozen=True, slots=True)
class Attended:
    """What was done for one schedule. `held`: nothing, because somebody holds its row, or removed it.

    `jobs` were made, the last of them `job`, `late` seconds after its time; or none, because (`skipped`): `missed` it
    came too late and is not caught up, `running` the last job is not over, `full` its type is at its `queue_limit`.
    `error`: nobody can read the schedule, or the database refuses its job.
    """

    type: str = ""
    held: bool = False
    jobs: int = 0
    job: int | None = None
    late: float = 0.0
    skipped: str | None = None
    error: str | None = None


def look(database: Database) -> Look:
    """Read all schedules."""
    timing = [schedules.c[name] for name in _TIMING]
    statement = select(*timing, now().label("instant")).order_by(
        schedules.c.next_at.is_(None), schedules.c.next_at, schedules.c.name
    )
    with database.read() as connection:
        rows = [dict(row._mapping) for row in connection.execute(statement)]
    wanting = tuple(row["name"] for row in rows if _need(row) is not Need.NOTHING)
    live = [(row, _timetable(row)) for row in rows if not row["paused"]]
    unreadable = tuple((row["name"], found) for row, found in live if isinstance(found, str))
    ahead = [row["next_at"] - row["instant"] for row, found in live if row["next_at"] and not isinstance(found, str)]
    seconds = min((wait.total_seconds() for wait in ahead if wait.total_seconds() > 0), default=math.inf)
    return Look(wanting, unreadable, seconds, len(live) - len(unreadable), len(rows) - len(live))


def attend(database: Database, name: str, limit: Limit) -> Attended:
    """Do what one schedule needs now.

    Raises `ValuesRefused` where the database lets nobody change the row, `DatabaseUnreachable`.
    """
    try:
        return database.write(lambda connection: _attend(connection, database.dialect, name, limit))
    except ValuesRefused as refusal:
        message = refusal.message
        return database.write(lambda connection: _excuse(connection, name, message))


def fire_now(database: Database, name: str) -> int:
    """Make a job of a schedule now, beside its firings, whether it is paused or not; give the job's id.

    Raises `NotFound`, `ValuesRefused`.
    """

    def verb(connection: Connection) -> int:
        row = _locked(connection, name)
        if row is None:
            raise not_found(name)
        job_id = insert_job(connection, database.dialect, _job(row, row["instant"]))
        _write(connection, name, {"last_at": row["instant"], "last_job_id": job_id})
        return job_id

    return database.write(verb)


# --- what a row needs ------------------------------------------------------------------------------------------------

_DEFINITION = ("cron", "every_seconds", "time_zone", "jitter_seconds")
_TIMING = ("name", "paused", "next_at", "planned_at", "planned_for", "error", *_DEFINITION)


def _need(row: Row) -> Need:
    if row["paused"]:
        return Need.NOTHING if row["next_at"] is None else Need.REST
    timetable = _timetable(row)
    if isinstance(timetable, str):  # unless a processor could that knows more time zones
        is_said = row["error"] == timetable and row["next_at"] is None
        return Need.NOTHING if is_said or row["planned_for"] == _definition(row) else Need.ERROR
    if row["next_at"] is None or row["planned_at"] is None or row["planned_for"] != _definition(row):
        return Need.PLAN
    return Need.FIRE if row["next_at"] <= row["instant"] else Need.NOTHING


def _definition(row: Row) -> str:
    return _read(*(row[name] for name in _DEFINITION))[0]


def _timetable(row: Row) -> Timetable | str:
    """Give the timetable, or why it cannot be read."""
    return _read(*(row[name] for name in _DEFINITION))[1]


@lru_cache(maxsize=10_000)
def _read(*values: Any) -> tuple[str, Timetable | str]:
    """Write the definition down, and read it; once, since a look may come to thousands of rows."""
    definition = json.dumps(values, default=str)
    try:
        return definition, Timetable.read(dict(zip(_DEFINITION, values, strict=True)))
    except ValueError as error:
        return definition, str(error)


# --- doing it --------------------------------------------------------------------------------------------------------


def _locked(connection: Connection, name: str, *, skip: bool = False) -> Row | None:
    """Lock a row, unless (`skip`) somebody holds it."""
    statement = select(*schedules.c, now().label("instant")).where(schedules.c.name == name)
    row = connection.execute(statement.with_for_update(skip_locked=skip)).first()
    return None if row is None else dict(row._mapping)


def _attend(connection: Connection, dialect: Dialect, name: str, limit: Limit) -> Attended:
    row = _locked(connection, name, skip=True)
    if row is None:
        return Attended(held=True)
    need, timetable = _need(row), _timetable(row)
    if need is Need.REST:
        _write(connection, name, UNPLANNED)
    elif need is Need.ERROR:
        _write(connection, name, {**UNPLANNED, "error": str(timetable)})
        return Attended(row["type"], error=str(timetable))
    elif isinstance(timetable, Timetable):
        if need is Need.FIRE:
            return _fire(connection, dialect, row, timetable, limit)
        if need is Need.PLAN:
            _write(connection, name, {**_planned(row, plan(timetable, name, row["instant"])), "error": None})
    return Attended(row["type"])


def _fire(connection: Connection, dialect: Dialect, row: Row, timetable: Timetable, limit: Limit) -> Attended:
    """Make the jobs that fell due, and plan the next firing."""
    name, late = row["name"], Late(row["catch_up"], row["catch_up_limit"])
    firings, last = fall_due(timetable, name, row["planned_at"], row["instant"], late)
    next_ = _planned(row, plan(timetable, name, last))
    firings, skipped = _allowed(connection, row, firings, limit)
    if skipped is not None:
        _write(connection, name, {**next_, "error": None})
        return Attended(row["type"], skipped=skipped)
    *earlier, latest = firings
    size = max(1, PORTION_LETTERS // (letters(row["payload"]) + 1000))
    for start in range(0, len(earlier), size):
        insert_jobs(connection, dialect, [_job(row, planned) for planned in earlier[start : start + size]])
    job_id = insert_job(connection, dialect, _job(row, latest))
    _write(connection, name, {**next_, "last_at": firings[-1], "last_job_id": job_id, "error": None})
    late_by = max(0.0, (row["instant"] - timetable.fires_at(name, firings[-1])).total_seconds())
    return Attended(row["type"], jobs=len(firings), job=job_id, late=late_by)


def _allowed(
    connection: Connection, row: Row, firings: list[datetime], limit: Limit
) -> tuple[list[datetime], str | None]:
    """Give the firings that may make a job, or why none may."""
    if not firings:
        return [], "missed"
    if row["skip_if_running"]:
        if _last_goes_on(connection, row["last_job_id"]):
            return [], "running"
        firings = firings[-1:]
    most = _queue_limit(connection, row["type"], limit)
    room = len(firings) if most is None else most - count_waiting(connection, row["type"], most)
    return firings[-room:] if room > 0 else [], None if room > 0 else "full"


def _last_goes_on(connection: Connection, job_id: int | None) -> bool:
    if job_id is None:
        return False
    status = connection.execute(select(jobs.c.status).where(jobs.c.id == job_id)).scalar()
    return status is not None and status not in FINAL


def _queue_limit(connection: Connection, type_: str, limit: Limit) -> int | None:
    """Give the queue's limit as this processor knows it, else as a living one that runs the type tells it."""
    try:
        return limit(type_)
    except KeyError:
        alive = (processors.c.status == "live", processors.c.lease_until > now())
        told = connection.execute(select(processors.c.types).where(*alive)).scalars()
        limits = (_told_limit(types, type_) for types in told)
        return next((most for most in limits if most is not None), None)


def _told_limit(types: str, type_: str) -> int | None:
    """Read what a processor tells of a type; what no program here wrote tells nothing."""
    try:
        limit = json.loads(types)[type_]["queue_limit"]
    except (KeyError, TypeError, ValueError):
        return None
    return limit if isinstance(limit, int) else None


def _job(row: Row, planned: datetime) -> NewJob:
    """Give the job of a firing; its key names the schedule and the instant it is for."""
    return NewJob(
        type=row["type"],
        payload=row["payload"],
        priority=row["priority"],
        owner=row["owner"],
        key=f"{row['name']}@{_stamp(planned)}",
        subject=row["subject"] or f"schedule:{row['name']}",
    )


def _stamp(instant: datetime) -> str:
    return instant.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _planned(row: Row, next_: Plan | None) -> dict[str, Any]:
    if next_ is None:
        return dict(UNPLANNED)
    return {"next_at": next_.at, "planned_at": next_.planned, "planned_for": _definition(row)}


def _excuse(connection: Connection, name: str, refusal: str) -> Attended:
    """Say that the database refuses the job, and try again at the next firing."""
    row = _locked(connection, name, skip=True)
    if row is None:
        return Attended(held=True)
    timetable = _timetable(row)
    next_ = UNPLANNED if isinstance(timetable, str) else _planned(row, plan(timetable, name, row["instant"]))
    _write(connection, name, {**next_, "error": refusal})
    return Attended(row["type"], error=refusal)


def _write(connection: Connection, name: str, values: dict[str, Any]) -> None:
    connection.execute(update(schedules).where(schedules.c.name == name).values(values))
