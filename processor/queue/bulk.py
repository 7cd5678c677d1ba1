"""Change many rows: in the order of their ids, a batch and a short transaction each time.

Each batch goes on behind the last id of the one before: from the beginning again, a million rows took hours. A row that
the database lets nobody change (a trigger of the user's own) stops none of its neighbours; it is named at the end.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from sqlalchemy import Connection, Select, select, update

from models import jobs
from processor.db.database import Database
from processor.errors import Refused, ValuesRefused
from processor.queue.upkeep import BATCH

MOST_NAMED = 10
"""Rows that one refusal names."""


@dataclass(slots=True)
class Done:
    """How many rows were changed; which ones the database lets nobody change, and its words."""

    changed: int = 0
    refused: dict[int, str] = field(default_factory=dict)

    def or_refused(self) -> int:
        """Give how many were changed. Raises `Refused` where there are rows that cannot be."""
        if not self.refused:
            return self.changed
        named = "; ".join(f"job {job_id}: {words}" for job_id, words in list(self.refused.items())[:MOST_NAMED])
        more = f"; and {len(self.refused) - MOST_NAMED:,} more" if len(self.refused) > MOST_NAMED else ""
        raise Refused(
            f"{self.changed:,} jobs were changed, and {len(self.refused):,} more the database lets nobody change"
            f" ({named}{more}).",
            "Correct those rows, or what refuses them (a trigger, perhaps), and repeat the command.",
        )


def change(database: Database, wanted: list[Any], values: dict[str, Any]) -> Done:
    """Write the same values into all rows that are wanted."""
    return in_batches(
        database,
        wanted,
        lambda connection, ids: connection.execute(update(jobs).where(jobs.c.id.in_(ids)).values(values)),
    )


def in_batches(database: Database, wanted: list[Any], verb: Callable[[Connection, list[int]], object]) -> Done:
    """Run a verb over all rows that are wanted; it gets the ids of rows that are locked."""

    def run(connection: Connection, where: list[Any]) -> list[int]:
        ids = lock(connection, [*wanted, *where])
        if ids:
            verb(connection, ids)
        return ids

    def one_by_one(ids: list[int]) -> None:
        for job_id in ids:
            try:
                done.changed += len(database.write(partial(run, where=[jobs.c.id == job_id])))
            except ValuesRefused as error:
                done.refused[job_id] = error.cause

    done, behind = Done(), list[Any]()
    while True:
        try:
            ids = database.write(partial(run, where=behind))
            done.changed += len(ids)
        except ValuesRefused:
            with database.read() as connection:
                ids = list(connection.execute(_next([*wanted, *behind])).scalars())
            one_by_one(ids)
        if len(ids) < BATCH:
            return done
        behind = [jobs.c.id > ids[-1]]


def lock(connection: Connection, wanted: list[Any]) -> list[int]:
    """Lock the next rows in the order of their ids: who locks in one order cannot deadlock."""
    return list(connection.execute(_next(wanted).with_for_update()).scalars())


def _next(wanted: list[Any]) -> Select[Any]:
    return select(jobs.c.id).where(*wanted).order_by(jobs.c.id).limit(BATCH)
