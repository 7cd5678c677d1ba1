"""Say what became of the jobs, and compare it with the plan."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import click

from processor.cli.demo.plan import CLOCK, Planned
from processor.cli.jobs import state
from processor.cli.shown import Column, Row, counted, span, visible, write_table
from processor.db import Database
from processor.queue import lookup

ALL = 1_000_000


@dataclass
class Ended:
    """What the table says at the end, oldest job first."""

    jobs: list[Row]
    notifications: list[Row]
    deviations: list[str] = field(default_factory=list)

    def of(self, type_: str) -> Row:
        return next(job for job in self.jobs if job["type"] == type_)


def read(database: Database, planned: Sequence[Planned], pages: Path) -> Ended:
    """Read how everything ended, and what is not as planned."""
    jobs = lookup.jobs_page(database, lookup.Filter(), limit=ALL)[::-1]
    ended = Ended(jobs, lookup.notifications_page(database, limit=ALL))
    put_in = [job for job in jobs if job["type"] != CLOCK]
    ended.deviations = [*_deviations(put_in, planned), *_missing(ended, pages)]
    return ended


def _deviations(jobs: list[Row], planned: Sequence[Planned]) -> Iterator[str]:
    if len(jobs) != len(planned):
        yield f"{len(planned)} rows were put in, {len(jobs)} are in the table"
    for job, plan in zip(jobs, planned, strict=False):
        status, *reasons = plan.ends
        if (job["status"], job["attempt"]) != (status, plan.attempts) or job["reason"] not in reasons:
            name = f"job {job['id']} ({plan.type}{f' {plan.subject}' if plan.subject else ''})"
            planned_end = f"{status} ({' or '.join(reasons)}) at try {plan.attempts}"
            became = f"{state(job)} at try {job['attempt']}, planned was {planned_end}"
            yield f"{name} is {became}: {visible(job['error_message'] or 'no error')}"


def _missing(ended: Ended, pages: Path) -> Iterator[str]:
    if len(ended.notifications) != len(ended.jobs):
        yield f"{len(ended.jobs)} jobs ended and {len(ended.notifications)} notifications were written"
    if not (pages / "index.html").is_file():
        yield f"there is no {pages / 'index.html'}"
    if not any(job["type"] == CLOCK for job in ended.jobs):
        yield "the schedule made no job"


COLUMNS = (
    Column("outcome", lambda row: row["outcome"], styled=True),
    Column("type", lambda row: row["type"]),
    Column("jobs", lambda row: str(len(row["seconds"])), right=True),
    Column("shortest", lambda row: span(min(row["seconds"])), right=True),
    Column("median", lambda row: span(median(row["seconds"])), right=True),
    Column("longest", lambda row: span(max(row["seconds"])), right=True),
)


def write_outcomes(ended: Ended) -> None:
    """Write a line for each sort of end."""
    groups: dict[tuple[str, str], list[float]] = {}
    for job in ended.jobs:
        groups.setdefault((state(job), job["type"]), []).append(job["seconds"] or 0.0)
    rows = [{"outcome": outcome, "type": type_, "seconds": ran} for (outcome, type_), ran in sorted(groups.items())]
    write_table(COLUMNS, rows, empty="")


def write_notifications(ended: Ended) -> None:
    """Write how many there are, and those that a person would look at first."""
    click.echo(f"{counted(len(ended.notifications), 'notification')}, written with each final state; for example:")
    for told in [told for told in ended.notifications if told["status"] != "completed"][:3]:
        click.echo(f"  {told['type']} {told['status']}: {visible(told['message'] or told['reason'])}")
