"""Look at everything that an operator would want checked at three in the morning; nothing is changed.

`look` asks the database: does it answer, are its tables ours, may we do what a processor does, what does it say of
itself. Then it reads `Facts` once, and each of `checks` says what is wrong with them.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Table, delete, false, func, insert, select, update

from models import job_errors, job_events, job_types, jobs, notifications, processors, schedules, webhooks
from processor.db import schema
from processor.db.database import Database
from processor.diagnosis import Diagnosis, ok, problem, warning
from processor.errors import DatabaseError, SchemaError
from processor.queue import leases, lookup, purge
from processor.queue.checks import CHECKS, COUNTED, Facts, Row
from processor.queue.keeping import Keeps
from processor.queue.rules import Rules
from processor.queue.where import is_final
from processor.queue.words import span

OVERDUE = 86_400.0
"""Seconds past their time after which rows should have been deleted."""
MOST_OFF = 5.0
"""Seconds by which this host's clock may differ from the database's."""


def look(
    database: Database, keeps: Keeps, rules: Mapping[str, Rules], clock: Callable[[], datetime]
) -> Iterator[Diagnosis]:
    """Check everything, in order. `keeps` and `rules` are this configuration's, `clock` gives this host's instant."""
    try:
        lookup.database_now(database)  # the first takes as long as it takes to connect
        ahead = (clock() - lookup.database_now(database)).total_seconds()
        yield ok("database", f"{database.address} answers.")
        schema.check(database)
        yield ok("tables", f"They are at revision {schema.REVISIONS[-1]}, as this version needs them.")
    except DatabaseError as error:
        check = "tables" if isinstance(error, SchemaError) else "database"
        yield problem(check, error.message, error.remedy)
        return
    yield _clock(ahead)
    yield from _rights(database)
    for check, verb in database.dialect.checks():
        yield from _or_ok(check, _ask(database, check, verb))
    facts = read(database, keeps, rules)
    for check, fine, find in CHECKS:
        yield from _or_ok(check, list(find(facts)), fine(facts))


def _or_ok(check: str, found: list[Diagnosis], fine: str = "Nothing is wrong with it.") -> list[Diagnosis]:
    return found or [ok(check, fine)]


def _clock(seconds: float) -> Diagnosis:
    if abs(seconds) <= MOST_OFF:
        return ok("clock", f"This host and the database differ by less than {MOST_OFF:.0f} s.")
    off = f"{span(abs(seconds))} {'ahead of' if seconds > 0 else 'behind'} the database's"
    text = f"This host's clock is {off}. Jobs follow the database's; times in logs do not fit."
    return warning("clock", text, "Let both follow a time server (chrony, systemd-timesyncd).")


def _ask(database: Database, check: str, verb: Callable[[Connection], Iterator[Diagnosis]]) -> list[Diagnosis]:
    try:
        with database.read() as connection:
            return list(verb(connection))
    except DatabaseError as error:
        return [warning(check, f"It cannot be looked at: {error.message}", error.remedy)]


# --- rights --------------------------------------------------------------------------------------------------------

_NEEDED: tuple[tuple[Table, str], ...] = (
    (jobs, "INSERT UPDATE DELETE"),
    (job_events, "INSERT DELETE"),
    (job_errors, "INSERT DELETE"),
    (notifications, "INSERT UPDATE DELETE"),
    (processors, "INSERT UPDATE DELETE"),
    (job_types, "INSERT UPDATE"),
    (schedules, "INSERT UPDATE DELETE"),
    (webhooks, "UPDATE"),
)


def _rights(database: Database) -> Iterator[Diagnosis]:
    """Send each statement that a processor needs, in a form that concerns no row."""
    missing = []
    for table, rights in _NEEDED:
        for right in rights.split():
            try:
                database.write(lambda connection, table=table, right=right: connection.execute(_idle(table, right)))  # type: ignore[misc]
            except DatabaseError as error:
                missing.append((f"{right} on {table.name}", error))
    if not missing:
        yield ok("rights", "This user may do what a processor does.")
        return
    names = ", ".join(name for name, _ in missing)
    yield problem("rights", f"This user may not do what a processor does: {names}. {missing[0][1].message}", _GRANT)


_GRANT = "Grant SELECT, INSERT, UPDATE and DELETE on the tables; SQLite: let the user write the file and its folder."


def _idle(table: Table, right: str) -> Any:
    key = next(iter(table.primary_key))
    if right == "INSERT":
        return insert(table).from_select(list(table.c), select(*table.c).where(false()))
    statement = update(table).values({key: key}) if right == "UPDATE" else delete(table)
    return statement.where(false())


# --- what the tables say -------------------------------------------------------------------------------------------


def read(database: Database, keeps: Keeps, rules: Mapping[str, Rules]) -> Facts:
    """Read what the checks ask about. Raises `DatabaseUnreachable`."""
    keeps = replace(keeps, others=purge.run_elsewhere(database, keeps.types))
    lives = lookup.processors_page(database, limit=COUNTED)
    alive = [row for row in lives if not row["lease_over"]]
    return Facts(
        alive=alive,
        late=[row for row in lives if row["lease_over"]],
        active=lookup.active(database),
        oldest=lookup.oldest_due(database),
        types={row["name"]: row for row in lookup.types(database)},
        told=_told(alive),
        rules=rules,
        orphans=len(leases.orphans(database, limit=COUNTED)),
        overdue=purge.overdue(database, keeps, OVERDUE),
        ageless=_ageless(database),
    )


def _told(alive: list[Row]) -> dict[str, Rules]:
    told: dict[str, Rules] = {}
    for row in alive:
        if row["status"] != "live":
            continue
        try:
            types = json.loads(row["types"])
            told |= {name: Rules.from_facts(facts) for name, facts in types.items()}
        except (AttributeError, TypeError, ValueError):
            continue  # what no program here wrote
    return told


def _ageless(database: Database) -> int:
    """Count rows that somebody ended by hand without an instant."""
    some = select(jobs.c.id).where(is_final(), jobs.c.finished_at.is_(None)).limit(COUNTED).subquery()
    with database.read() as connection:
        return int(connection.execute(select(func.count()).select_from(some)).scalar_one())
