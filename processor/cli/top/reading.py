"""What `jobtable top` reads: what is cheap each time, what counts rows only as often as it is cheap beside the rest.

Every statement stands for itself and none keeps a transaction open.
"""

import json
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from processor.cli.shown import Row
from processor.lifecycle import FINAL, Status
from processor.queue import lookup
from processor.queue.living import rules_of_all
from processor.queue.rules import NO_RULES, Rules
from processor.queue.statistics import latest, statistics
from processor.queue.upcoming import running, upcoming

if TYPE_CHECKING:
    from processor.db import Database
    from processor.queue.statistics import Statistics
    from processor.settings import Settings

SHOWN = 100
"""Rows of each list; who looks for another one filters."""
WINDOW = 3600.0
FAILED_WINDOW = 86_400.0
COUNT_SECONDS = 1.0
SHARE = 10
"""Counting rests at least so many times as long as it took: a table of a million rows is not counted all the time."""


@dataclass(frozen=True, slots=True)
class Counted:
    """What needs to count rows."""

    statistics: "Statistics"
    active: dict[tuple[str, str], int]
    rules: dict[str, Rules]

    def number(self, status: str, type_: str | None = None) -> int:
        """Count the jobs in a state that is not final, of one type or of all."""
        return sum(n for (one, name), n in self.active.items() if one == status and type_ in (None, name))


@dataclass(frozen=True, slots=True)
class Overview:
    """What is seen at one moment.

    `said` is what people set, by type; `live` the types that processors run; `waiting` begins with what is to run next.
    """

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

    def rules(self, type_: str) -> Rules:
        """Give the rules of a type that are in force, on all processors."""
        return self.counted.rules.get(type_, NO_RULES).in_force(self.said.get(type_))

    def rate_free_at(self, type_: str) -> datetime | None:
        """Give until when nothing of a type is started, because its rate is used up."""
        row, rate = self.said.get(type_, {}), self.rules(type_).rate
        free_at: datetime | None = row.get("rate_free_at")
        holds = rate is not None and row.get("rate_free_for") == rate  # else it was changed since
        return free_at if holds and free_at is not None and free_at > self.now else None

    @property
    def is_anybody_alive(self) -> bool:
        return not all(row["lease_over"] for row in self.processors)

    def is_full(self, type_: str) -> bool:
        """Tell whether no processor that runs a type has a slot left."""
        able = [row for row in self.processors if takes(row) and type_ in json.loads(row["types"])]
        return all(row["running"] >= row["max_concurrent"] for row in able)


def takes(processor: Row) -> bool:
    """Tell whether a processor starts jobs: it lives, and does not drain."""
    return processor["status"] == "live" and not processor["drain_requested"] and not processor["lease_over"]


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
        live = frozenset(name for row in processors if takes(row) for name in json.loads(row["types"]))
        said = {row["name"]: row for row in lookup.types(self.database)}
        counted = self._count(live)
        return Overview(
            now=lookup.database_now(self.database).astimezone(UTC),
            processors=processors,
            running=running(self.database, text=self.text or None, limit=SHOWN),
            waiting=self._waiting(live, said, counted),
            failed=[row for row in latest(self.database, Status.FAILED, seconds=FAILED_WINDOW) if self._wanted(row)],
            said=said,
            live=live,
            counted=counted,
        )

    def count_again(self) -> None:
        """Let the next reading count: something was changed."""
        self._count_again_at = 0.0

    def _waiting(self, live: frozenset[str], said: dict[str, Row], counted: Counted) -> list[Row]:
        due = {type_ for status, type_ in counted.active if status == Status.PENDING}
        open_ = {type_ for type_ in due & live if not said.get(type_, {}).get("is_paused")}
        text = self.text or None
        return upcoming(self.database, open_=open_, closed=due - open_, text=text, limit=SHOWN)

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
