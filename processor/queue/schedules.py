"""What people and configurations want of schedules: write, pause, resume, remove, list them.

The row decides when it fires, whoever wrote it. A configuration writes its own rows alone, which carry it as their
`source`: one that a person made, or changed by our commands, is theirs.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, delete, insert, select, update

from models import jobs, now, schedules
from processor.db.database import Database
from processor.errors import DatabaseError, DatabaseUnreachable, NotFound, Refused, SchemaError, ValuesRefused
from processor.timetable import Timetable, plan

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Schedule:
    """A schedule as somebody wants it. `payload` is JSON text; exactly one of `cron` and `every_seconds` is there."""

    name: str
    type: str
    payload: str = "{}"
    priority: int = 5
    owner: str | None = None
    subject: str | None = None
    cron: str | None = None
    every_seconds: float | None = None
    time_zone: str = "UTC"
    jitter_seconds: float = 0.0
    catch_up: str = "once"
    catch_up_limit: int = 100
    skip_if_running: bool = False


_WANTED = tuple(field.name for field in fields(Schedule))
UNPLANNED = {"next_at": None, "planned_at": None, "planned_for": None}
"""What lets the next processor that looks plan the next firing anew."""


TAKEN = "A person made or changed the schedule of this name, so that of the configuration is not used."


def keep(database: Database, wanted: Sequence[Schedule], source: str) -> dict[str, str]:
    """Write what a configuration wants, and remove what it wants no more; give what is not in force, and why.

    Raises `DatabaseError` where this user may not, or nobody may, remove a row.
    """
    refused = {}
    for schedule in wanted:
        try:
            if not _keep_one(database, schedule, source):
                refused[schedule.name] = TAKEN
        except (DatabaseUnreachable, SchemaError):
            raise
        except DatabaseError as refusal:  # refused, or a right that is missing
            refused[schedule.name] = refusal.message
    left = (schedules.c.source == source, schedules.c.name.not_in([schedule.name for schedule in wanted]))
    with database.read() as connection:  # first, since a processor may have no right to delete
        has_left = connection.execute(select(schedules.c.name).where(*left).limit(1)).first() is not None
    if has_left:
        database.write(lambda connection: connection.execute(delete(schedules).where(*left)))
    return refused


def _keep_one(database: Database, schedule: Schedule, source: str) -> bool:
    def verb(connection: Connection) -> bool:
        there = _locked(connection, schedule.name)
        if there is None:
            connection.execute(insert(schedules).values(**asdict(schedule), source=source))
        elif there["source"] is None:
            return False
        elif there["source"] != source or _differs(schedule, there):
            _change(connection, schedule.name, {**asdict(schedule), "source": source})
        return True

    try:
        return database.write(verb)
    except ValuesRefused:  # mostly another processor, with the same configuration, was faster
        return database.write(verb)


def _differs(schedule: Schedule, there: Row) -> bool:
    return any(there[name] != value for name, value in asdict(schedule).items())


def put(database: Database, name: str, **changes: Any) -> bool:
    """Make a schedule, or change what is given of one; tell whether it is new. From now on it is a person's.

    Raises `Refused` for what would never fire, `ValuesRefused` naming what the database does not take.
    """

    def verb(connection: Connection) -> bool:
        there = _locked(connection, name)
        before: Row = {"name": name} if there is None else {key: there[key] for key in _WANTED}
        for one, other in (("cron", "every_seconds"), ("every_seconds", "cron")):
            if changes.get(one) is not None:
                before[other] = None
        schedule = _checked({**before, **changes})
        if there is None:
            connection.execute(insert(schedules).values(asdict(schedule)))
        else:
            _change(connection, name, {**asdict(schedule), "source": None, "error": None})
        return there is None

    return database.write(verb)


def _checked(values: Row) -> Schedule:
    try:
        if values.get("type") is None:
            raise ValueError("it names no type")
        schedule = Schedule(**values)
        Timetable.read(asdict(schedule))
    except ValueError as error:
        raise Refused(
            f"The schedule {values['name']!r} cannot be written: {error}. Nothing was changed.",
            "A schedule has a type, and either a cron expression or an interval.",
        ) from error
    return schedule


def pause(database: Database, name: str) -> None:
    """Let a schedule fire no more until it is resumed. Raises `NotFound`."""
    _must_change(database, name, {"paused": True, **UNPLANNED})


def resume(database: Database, name: str) -> None:
    """Let a schedule fire again, from now on: what fell due while it was paused was not missed. Raises `NotFound`."""
    _must_change(database, name, {"paused": False, **UNPLANNED})


def remove(database: Database, name: str) -> None:
    """Remove a schedule; its jobs stay. Raises `NotFound`."""
    if not database.write(lambda connection: connection.execute(_remove(name)).rowcount):
        raise not_found(name)


def _remove(name: str) -> Any:
    return delete(schedules).where(schedules.c.name == name)


def page(database: Database, name: str | None = None) -> list[Row]:
    """Read schedules by name, each with the state of its latest job, and the database's clock as `instant`."""
    latest = select(jobs.c.status).where(jobs.c.id == schedules.c.last_job_id).scalar_subquery()
    statement = select(*schedules.c, latest.label("last_job_status"), now().label("instant"))
    statement = statement.order_by(schedules.c.name)
    if name is not None:
        statement = statement.where(schedules.c.name == name)
    with database.read() as connection:
        return [dict(row._mapping) for row in connection.execute(statement)]


def upcoming(row: Row, count: int) -> list[datetime]:
    """Give the next firings of a schedule that was read with `page`: none while it is paused or nobody can read it."""
    if row["paused"] or row["next_at"] is None or row["planned_at"] is None:
        return []
    try:
        timetable = Timetable.read(row)
    except ValueError:
        return []
    found, planned = [row["next_at"]], row["planned_at"]
    while len(found) < count and (following := plan(timetable, row["name"], planned)) is not None:
        found.append(following.at)
        planned = following.planned
    return found


def not_found(name: str) -> NotFound:
    return NotFound(f"There is no schedule {name!r}. Nothing was changed.", "See `jobtable schedules`.")


def _locked(connection: Connection, name: str) -> Row | None:
    row = connection.execute(select(*schedules.c).where(schedules.c.name == name).with_for_update()).first()
    return None if row is None else dict(row._mapping)


def _change(connection: Connection, name: str, values: Row) -> int:
    changed = update(schedules).where(schedules.c.name == name).values(**values, updated_at=now())
    return connection.execute(changed).rowcount


def _must_change(database: Database, name: str, values: Row) -> None:
    if not database.write(lambda connection: _change(connection, name, values)):
        raise not_found(name)
