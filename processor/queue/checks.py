"""What can be wrong with a queue, as pure functions of facts that were read from its tables."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from processor.diagnosis import Diagnosis, problem, warning
from processor.lifecycle import NOT_STARTED, Status
from processor.queue.keeping import NOTIFICATIONS
from processor.queue.rules import Rules
from processor.queue.words import listed, span

LATE = 900.0
"""Seconds that a due job may wait; the alert JobtableJobsWaitTooLong has the same number."""
COUNTED = 1000
"""Rows that are counted of what may be very many."""
Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Facts:
    """What was read. `rules` are those of this configuration, `told` those of each living processor by type."""

    alive: list[Row] = field(default_factory=list)
    late: list[Row] = field(default_factory=list)
    active: Mapping[tuple[str, str], int] = field(default_factory=dict)
    oldest: Mapping[str, float] = field(default_factory=dict)
    types: Mapping[str, Row] = field(default_factory=dict)
    told: Mapping[str, Rules] = field(default_factory=dict)
    rules: Mapping[str, Rules] = field(default_factory=dict)
    orphans: int = 0
    overdue: Mapping[str, int] = field(default_factory=dict)
    ageless: int = 0

    def waiting(self, type_: str) -> int:
        return sum(self.active.get((status.value, type_), 0) for status in NOT_STARTED)

    def due(self) -> dict[str, int]:
        """Count the pending rows of each type."""
        return {type_: count for (status, type_), count in self.active.items() if status == Status.PENDING}

    def held(self) -> dict[str, Row]:
        """Give the types that somebody paused, or limited to none."""
        return {name: row for name, row in self.types.items() if row["is_paused"] or row["max_concurrent"] == 0}


def _processors(facts: Facts) -> Iterator[Diagnosis]:
    if not facts.alive:
        count = sum(facts.active.values())
        find = problem if count else warning
        yield find("processors", f"No processor is alive. Not ended: {_jobs(count)}.", "Start one: `jobtable run`.")
    elif all(row["status"] == "draining" for row in facts.alive):
        yield warning("processors", "All processors are about to stop.", "Start one: `jobtable run`.")
    for row in facts.late:
        text = (
            f"The processor {row['name']} on {row['host']} has not beaten for {span(row['beat_age_seconds'])}, longer"
            f" than its lease. Running under its name: {_jobs(row['running'])}."
        )
        yield warning("processors", text, "Look at its log and its machine. Others settle what it ran.")


def _orphans(facts: Facts) -> Iterator[Diagnosis]:
    if facts.orphans:
        text = f"Running by the table, though their processor has ended: {_jobs(facts.orphans, COUNTED)}."
        remedy = "A living processor settles them within seconds. Where they stay: its log, and that of their own."
        yield (warning if facts.alive else problem)("orphans", text, remedy)


def _handled(facts: Facts) -> Iterator[Diagnosis]:
    strange = {type_: count for type_, count in facts.due().items() if type_ not in facts.told}
    for type_, count in sorted(strange.items()) if facts.alive else ():
        remedy = "A misspelled type: `jobtable cancel --type NAME`. A missing [types.NAME]: add it, and send SIGHUP."
        yield problem("types", f"No living processor runs the type {type_!r}; due: {_jobs(count)}.", remedy)


def _paused(facts: Facts) -> Iterator[Diagnosis]:
    for name, row in facts.held().items():
        if not (count := facts.waiting(name)):
            continue
        if not row["is_paused"]:
            remedy = f"`jobtable types set {name} --max-concurrent default`"
            yield warning(
                "paused", f"None of the type {name!r} may start (max_concurrent 0); waiting: {_jobs(count)}.", remedy
            )
            continue
        until = f" until {row['paused_until']:%Y-%m-%d %H:%M:%S} UTC" if row["paused_until"] else ""
        text = f"The type {name!r} is paused{until}; waiting: {_jobs(count)}."
        yield warning("paused", text, f"Meant so? Else `jobtable types resume {name}`.")


def _rules(facts: Facts) -> Iterator[Diagnosis]:
    for name, row in facts.types.items():
        try:
            Rules().in_force(row).parsed_rate()
        except ValueError as error:
            text = f"Nothing of the type {name!r} starts: its rate in job_types cannot be read; {error}."
            yield problem("rules", text, f"`jobtable types set {name} --rate 10/min`, or `--rate default`")


def _queues(facts: Facts) -> Iterator[Diagnosis]:
    for name, rules in sorted({**facts.told, **facts.rules}.items()):
        if rules.queue_limit is not None and (count := facts.waiting(name)) >= rules.queue_limit:
            text = (
                f"The queue of the type {name!r} is full: {count:,} wait, and queue_limit is {rules.queue_limit:,}."
                " `jobtable enqueue` refuses more."
            )
            yield warning("queues", text, "Let them be worked off, or raise queue_limit and send SIGHUP.")


def _backlog(facts: Facts) -> Iterator[Diagnosis]:
    held = facts.held()
    due = facts.due()
    for type_, seconds in sorted(facts.oldest.items()):
        if seconds > LATE and type_ in due and type_ in facts.told and type_ not in held:
            text = f"The oldest due job of the type {type_!r} has waited for {span(seconds)}; {due[type_]:,} are due."
            yield warning("backlog", text, "Why: `jobtable explain ID`. Too few slots: raise max_concurrent.")


def _retention(facts: Facts) -> Iterator[Diagnosis]:
    for kind, count in facts.overdue.items():
        what = kind if kind == NOTIFICATIONS else f"{kind} jobs"
        text = f"Should have been deleted a day ago: {what}, {count:,}{' or more' if count >= COUNTED else ''}."
        remedy = "Does a processor run? Does its log say deletion_refused? By hand: `jobtable purge`."
        yield warning("retention", text, remedy)
    if facts.ageless:
        text = f"Ended by hand without finished_at, and so never deleted: {_jobs(facts.ageless, COUNTED)}."
        yield warning("retention", text, _AGE)


_AGE = (
    "UPDATE jobs SET finished_at = created_at"
    " WHERE status IN ('completed', 'failed', 'cancelled') AND finished_at IS NULL"
)


def _jobs(count: int, most: int | None = None) -> str:
    more = " or more" if most is not None and count >= most else ""
    return f"{count:,}{more} job{'' if count == 1 else 's'}"


def _alive(facts: Facts) -> str:
    return f"Alive: {listed([row['name'] for row in facts.alive])}."


def _run(facts: Facts) -> str:
    types = f"Every due job has a living processor that runs its type. Types that are run: {listed(list(facts.told))}."
    return types if facts.alive else "Nobody runs any: no processor is alive."


CHECKS: tuple[tuple[str, Callable[[Facts], str], Callable[[Facts], Iterator[Diagnosis]]], ...] = (
    ("processors", _alive, _processors),
    ("orphans", lambda facts: "Whatever runs belongs to a living processor.", _orphans),
    ("types", _run, _handled),
    ("paused", lambda facts: "No job waits for a type that is paused.", _paused),
    ("rules", lambda facts: "What job_types says can be read.", _rules),
    ("queues", lambda facts: "No queue is full.", _queues),
    ("backlog", lambda facts: f"No job has been due for longer than {span(LATE)}.", _backlog),
    ("retention", lambda facts: "No row is a day past its time.", _retention),
)
"""Each check of the facts: its name, what is said where it finds nothing, and what it finds."""
