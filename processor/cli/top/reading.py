"""What `jobtable top` reads: what is cheap each time, what counts rows only as often as it is cheap beside the rest.

Every statement stands for itself and none keeps a transaction open.
"""

import json
import time
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from processor.cli.shown import Row
from processor.lifecycle import FINAL, Status
from processor.queue import lookup
from processor.queue.living import rules_of_all
from processor.queue.lookup import Filter
from processor.queue.statistics import latest, statistics

if TYPE_CHECKING:
    from processor.db import Database
    from processor.queue.rules import Rules
    from processor.queue.statistics import Statistics
    from processor.settings import Settings

SHOWN = 100
"""Rows of each list; who looks for another one filters."""
WINDOW = 3600.0
FAILED_WINDOW = 86_400.0
COUNT_SECONDS = 1.0
SHARE = 10
"""Counting rests at least so many times as long as it took: a table of a million rows is not counted all the time."""

WAITING = (Status.PENDING, Status.WAITING, Status.SCHEDULED, Status.PAUSED)


@dataclass(frozen=True, slots=True)
class Counted:
    """What needs to count rows."""

    statistics: "Statistics"
    active: dict[tuple[str, str], int]
    rules: dict[str, "Rules"]

    def number(self, status: str, type_: str | None = None) -> int:
        """Count the jobs in a state that is not final, of one type or of all."""
        return sum(n for (one, name), n in self.active.items() if one == status and type_ in (None, name))


@dataclass(frozen=True, slots=True)
class Overview:
    """What is seen at one moment. `said` is what people set, by type; `live` the types that processors run."""

    now: datetime
    processors: list[Row]
    running: list[Row]
    waiting: list[Row]
    failed: list[Row]
    said: dict[str, Row]
    live: frozenset[str]
    counted: Counted

    @property
    def types(self) -> list[str]:
        """Name the types that work was done for lately, is to be done for, or could be done."""
        unfinished = {type_ for _, type_ in self.counted.active}
        return sorted({*self.counted.statistics.counts, *unfinished, *self.live, *self.said})

    def is_paused(self, type_: str) -> bool:
        return bool(self.said.get(type_, {}).get("is_paused"))

    def limit(self, type_: str) -> int | None:
        """Give how many of a type may run at once, on all processors."""
        by_people = self.said.get(type_, {}).get("max_concurrent")
        rules = self.counted.rules.get(type_)
        own = None if rules is None else rules.max_concurrent
        return own if by_people is None else int(by_people)


@dataclass
class Reader:
    """Reads the overview again and again; `text` narrows the jobs to those with a part like this."""

    settings: "Settings"
    database: "Database"
    text: str = ""
    _counted: Counted | None = None
    _count_again_at: float = field(default=0.0)

    def read(self) -> Overview:
        """Read what there is to see. Raises `DatabaseError`."""
        processors = lookup.processors_page(self.database, limit=SHOWN)
        alive = [json.loads(row["types"]) for row in processors if not row["lease_over"]]
        live = frozenset(name for types in alive for name in types)
        which = Filter(text=self.text or None)
        return Overview(
            now=lookup.database_now(self.database).astimezone(UTC),
            processors=processors,
            running=self._jobs(replace(which, statuses=(Status.RUNNING,))),
            waiting=self._jobs(replace(which, statuses=WAITING)),
            failed=[row for row in latest(self.database, Status.FAILED, seconds=FAILED_WINDOW) if self._wanted(row)],
            said={row["name"]: row for row in lookup.types(self.database)},
            live=live,
            counted=self._count(live),
        )

    def count_again(self) -> None:
        """Let the next reading count: something was changed."""
        self._count_again_at = 0.0

    def _jobs(self, which: Filter) -> list[Row]:
        return lookup.jobs_page(self.database, which, limit=SHOWN)

    def _wanted(self, row: Row) -> bool:
        return any(self.text.lower() in str(row[name] or "").lower() for name in lookup.TEXT_COLUMNS)

    def _count(self, live: frozenset[str]) -> Counted:
        began = time.monotonic()
        if self._counted is None or began >= self._count_again_at:
            self._counted = self._counted_now(live)
            took = time.monotonic() - began
            self._count_again_at = began + max(COUNT_SECONDS, SHARE * took)
        return self._counted

    def _counted_now(self, live: frozenset[str]) -> Counted:
        found = statistics(self.database, seconds=WINDOW)
        active = {
            (status, type_): number
            for type_, of_each in found.counts.items()
            for status, number in of_each.items()
            if Status(status) not in FINAL
        }
        return Counted(found, active, rules_of_all(self.database, self.settings.types, live.union(found.counts)))
