"""`jobtable enqueue`: put one job in, as any program does with an INSERT."""

from datetime import datetime
from typing import TYPE_CHECKING

import click

from processor.cli.given import duration, instant
from processor.cli.given import payload as payload_text
from processor.cli.session import Session, configured, pass_session
from processor.cli.shown import visible

if TYPE_CHECKING:
    from processor.db import Database
    from processor.queue.rules import Rules


@click.command()
@configured
@click.argument("type_", metavar="TYPE")
@click.option("--payload", type=payload_text, default="{}", metavar="JSON|@FILE|-", help="What the handler gets.")
@click.option("--priority", type=int, default=5, show_default=True, help="Higher runs first; customary are 1 to 10.")
@click.option("--in", "delay", type=duration, metavar="DURATION", help="Run it so much later (90s, 10m, 2h, 7d).")
@click.option("--at", type=instant, metavar="INSTANT", help="Run it at this instant (2030-01-31T08:00Z).")
@click.option("--owner", metavar="TEXT", help="Whom it belongs to, and who is notified.")
@click.option("--key", metavar="TEXT", help="Your name for the work: the same work is done once.")
@click.option("--subject", metavar="TEXT", help="What it is about, such as chapter:123.")
@click.option("--lane", metavar="TEXT", help="Jobs of a type in one lane run one after the other.")
@click.option("--max-attempts", type=int, metavar="N", help="Tries before it counts as failed (default: its type's).")
@click.option("--timeout", type=duration, metavar="DURATION", help="Time limit of a try (default: its type's).")
@pass_session
def enqueue(
    session: Session,
    type_: str,
    payload: str,
    priority: int,
    delay: float | None,
    at: datetime | None,
    owner: str | None,
    key: str | None,
    subject: str | None,
    lane: str | None,
    max_attempts: int | None,
    timeout: float | None,
) -> None:
    """Insert a job of TYPE and print its id; with a --key, the id of the same work where that is there already."""
    from processor.queue import enqueue as queue

    if delay is not None and at is not None:
        raise click.UsageError("--in and --at are two answers to one question; give one of them.")
    with session.database() as database:
        job = queue.NewJob(
            type=type_,
            payload=payload,
            priority=priority,
            delay_seconds=delay if at is None else _until(database, at),
            owner=owner,
            key=key,
            subject=subject,
            concurrency_key=lane,
            max_attempts=max_attempts,
            timeout_seconds=timeout,
        )
        enqueued = queue.enqueue(database, job, rules=_rules(session, database, type_))
        click.echo(enqueued.id)
    if not enqueued.new:
        click.echo(
            f"note: job {enqueued.id} is the same work (its key is {visible(key)}); no other was made.", err=True
        )
    _warn_of_strangers(session, type_)


def _rules(session: Session, database: "Database", type_: str) -> "Rules":
    """Give the rules of a type: of this configuration, else as a living processor tells them."""
    from processor.cli.jobs import told_rules
    from processor.work.roster import rules_of

    own = session.settings.types.get(type_)
    return told_rules(database, type_) if own is None else rules_of(own)


def _until(database: "Database", at: datetime) -> float:
    """Give the seconds until an instant by the clock that decides about it, which is the database's."""
    from processor.queue import lookup

    return (at - lookup.database_now(database)).total_seconds()


def _warn_of_strangers(session: Session, type_: str) -> None:
    """A misspelled type is no error, since another processor may know it; but it should not go unseen."""
    known = session.settings.types
    if known and type_ not in known and not session.settings.processor.modules:
        note = f"note: {visible(type_)} is no type of this configuration; the job waits until a processor knows it."
        click.echo(note, err=True)
