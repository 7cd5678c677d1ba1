"""`jobtable replay`: one job, here and now, before the eyes of whoever asks; the queue does not notice."""

import sys
import time
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import click

from processor.cli.given import ID, as_json, duration
from processor.cli.given import payload as payload_text
from processor.cli.root import INTERRUPTED
from processor.cli.session import Session, configured, pass_session
from processor.cli.shown import visible, write_json
from processor.errors import NotFound
from processor.lifecycle import FINAL, Status

if TYPE_CHECKING:
    from processor.queue.events import Event
    from processor.queue.rereading import Reread
    from processor.queue.taking import ClaimedJob
    from processor.settings import Settings
    from processor.work.roster import Roster


@click.command()
@configured
@click.argument("job_id", metavar="ID", type=ID)
@click.option("--dry", is_flag=True, help="Show what would be run, and run nothing.")
@click.option("--payload", type=payload_text, metavar="JSON|@FILE|-", help="Run it with this payload instead.")
@click.option("--timeout", type=duration, metavar="DURATION", help="With this time limit instead (90s, 10m, 2h).")
@as_json
@pass_session
def replay(session: Session, job_id: int, dry: bool, payload: str | None, timeout: float | None, as_json: bool) -> int:
    """Run a job's payload here and now, with its handler and limits; the table stays as it is.

    What the handler does outside is real. The exit code is 0 if the job would be completed. With --json, what it tells
    goes to the standard error.
    """
    from processor.happenings import Happenings
    from processor.queue.rereading import reread

    if timeout == 0:
        raise click.UsageError("A time limit of 0 lets nothing run; give --timeout more.")
    settings = session.settings
    with session.database() as database:
        row = reread(database, job_id, max_payload_bytes=settings.processor.max_payload_bytes)
    told = Told(as_json)
    happenings = Happenings(told.hear)
    roster = _roster(settings, row, happenings)
    job = _changed(row.job, payload, timeout, settings.processor.max_payload_bytes)
    _warn(row, dry)
    return _plan(settings, roster, row, job, told) if dry else _run(settings, roster, database, happenings, job, told)


class Told:
    """What happened on the way: printed as it comes, and kept where it belongs into the answer."""

    def __init__(self, as_json: bool) -> None:
        self.as_json = as_json
        self.events: list[dict[str, Any]] = []
        self.held: float | None = None
        self.unusable: str | None = None
        self.began = 0.0

    def hear(self, happening: object) -> None:
        """Listen to the happenings that a processor would log."""
        from processor.happenings import HandlerUnusable, SupervisorNotice, TypeHeld

        if isinstance(happening, TypeHeld):
            self.held = max(self.held or 0.0, happening.seconds)
        elif isinstance(happening, HandlerUnusable):
            self.unusable = happening.error
        elif isinstance(happening, SupervisorNotice):
            note(happening.text)

    def say(self, event: "Event") -> None:
        """Print what the job reports: seconds since the start, level or kind, text."""
        from processor.cli.life import event_text

        row = asdict(event)
        if self.as_json:
            self.events.append(row)
        click.echo(f"{time.monotonic() - self.began:7.2f} {event_text(row)}", err=self.as_json)


def note(text: str) -> None:
    click.echo(f"note: {visible(text)}", err=True)


def _roster(settings: "Settings", row: "Reread", happenings: Any) -> "Roster":
    """Ask what the job's type is. Raises `NotFound` where it is not configured here."""
    from processor.work.replay import alone
    from processor.work.roster import call_up

    type_ = row.job.type
    roster = call_up(alone(settings, type_), happenings)
    if type_ in roster.types:
        return roster
    import difflib

    built_in = {name for name, runnable in roster.types.items() if runnable.is_nothing}
    known = sorted({*settings.types, *roster.types} - built_in)
    close = difflib.get_close_matches(type_, known, 1)
    hint = f"Did you mean {visible(close[0])}? " if close else ""
    here = f"Types here: {', '.join(map(visible, known))}." if known else "No type is configured here."
    raise NotFound(
        f"Job {row.job.id} has the type {visible(type_)}, which is not configured here. Nothing was run.",
        f"{hint}{here} Give the configuration that has it with --config.",
    )


def _changed(job: "ClaimedJob", payload: str | None, timeout: float | None, most: int) -> "ClaimedJob":
    """Put in what was given instead; a job that came too late is run all the same, which is said."""
    if job.expired:
        note("its expires_at has passed: a processor would let it fail as expired, without running it")
        job = replace(job, expired=False)
    if timeout is not None:
        job = replace(job, timeout_seconds=timeout)
    if payload is not None:
        size = len(payload.encode("utf-8", "surrogatepass"))
        job = replace(job, payload=payload if size <= most else None, payload_bytes=size)
    return job


def _warn(row: "Reread", dry: bool) -> None:
    if dry:
        return
    if row.status is Status.RUNNING:
        note(
            f"job {row.job.id} is running at this moment, by processor {row.processor_id};"
            " this is a second run beside it, and what both do outside happens twice"
        )
    elif row.status not in FINAL:
        note(f"job {row.job.id} is {row.status}: a processor will run it, too, when its turn comes")


def _plan(settings: "Settings", roster: "Roster", row: "Reread", job: "ClaimedJob", told: Told) -> int:
    from processor.cli.plan import plan, write_plan

    found = plan(settings, roster.types[job.type], job, row.status, told.unusable)
    if told.as_json:
        write_json(found)
    else:
        write_plan(found)
    return 1 if found["problems"] else 0


def _run(settings: "Settings", roster: "Roster", database: Any, happenings: Any, job: "ClaimedJob", told: Told) -> int:
    from processor.cli.ended import answer, write_ended
    from processor.work.replay import Replay

    replayed = Replay(settings, roster, database, happenings, told.say)
    told.began = time.monotonic()
    verdict = replayed.run(job)
    policy = roster.types[job.type].policy
    most = job.max_attempts if job.max_attempts is not None else policy.max_attempts
    found = answer(job, most, verdict, held=told.held, interrupted=replayed.interrupted)
    if told.as_json:
        write_json({**found, "events": told.events})
    else:
        sys.stdout.flush()
        write_ended(found)
    if replayed.interrupted:
        return INTERRUPTED
    return 0 if verdict.status is Status.COMPLETED else 1
