"""`jobtable enqueue`: put one job in, as any program does with an INSERT; or a job and all its children."""

import os
from datetime import datetime
from typing import TYPE_CHECKING

import click

from processor.cli.given import ID, as_json, duration, instant, name
from processor.cli.given import payload as payload_text
from processor.cli.session import Session, configured, pass_session
from processor.cli.shown import visible, write_json
from processor.errors import Refused
from processor.lifecycle import FINAL
from processor.traceparent import valid

if TYPE_CHECKING:
    from processor.db import Database
    from processor.queue.enqueue import Enqueued, NewJob
    from processor.queue.rules import Rules


@click.command()
@configured
@click.argument("type_", metavar="[TYPE]", required=False)
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
@click.option("--parent", type=ID, metavar="ID", help="The job that waits for this one.")
@click.option("--batch", metavar="FILE|-", help="A job in JSON on each line: the children of this one (TYPE: batch).")
@click.option("--fail-on", metavar="any|all|N", help="So many failed children fail it (default: any).")
@click.option("--on-complete", type=name, metavar="TYPE", help="Type of the job that follows when it completes.")
@click.option("--on-failure", type=name, metavar="TYPE", help="Type of the job that follows when it fails.")
@click.option("--wait", is_flag=True, help="Follow it and end as it ends: 0 completed, 1 not; 124 not in time.")
@click.option("--wait-timeout", type=duration, metavar="DURATION", help="With --wait: at most so long.")
@as_json
@pass_session
def enqueue(
    session: Session,
    type_: str | None,
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
    parent: int | None,
    batch: str | None,
    fail_on: str | None,
    on_complete: str | None,
    on_failure: str | None,
    wait: bool,
    wait_timeout: float | None,
    as_json: bool,
) -> int:
    """Insert a job of TYPE and print its id; with a --key, the id of the same work where that is there already.

    With a --batch it waits for all jobs of a file and ends with their results; a line is {"type": "…", "payload": …}.
    With --wait its result is printed instead of its id.
    """
    from processor.queue import enqueue as queue

    if type_ is None and batch is None:
        raise click.UsageError("Missing argument 'TYPE'.")
    if delay is not None and at is not None:
        raise click.UsageError("--in and --at are two answers to one question; give one of them.")
    if fail_on is not None and not queue.FAIL_ON.fullmatch(fail_on):
        raise click.UsageError(f"--fail-on is any, all, or a number of children; got {fail_on!r}.")
    if wait_timeout is not None and not wait:
        raise click.UsageError("--wait-timeout says how long --wait waits; give both.")
    type_ = type_ or "batch"
    with session.database() as database:
        if parent is not None:
            _need_open(database, parent)
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
            parent_id=parent,
            fail_on=fail_on,
            on_complete=on_complete,
            on_failure=on_failure,
            trace_parent=valid(os.environ.get("TRACEPARENT")),
        )
        if batch is None:
            enqueued = queue.enqueue(database, job, rules=_rules(session, database, type_))
        else:
            enqueued = _enqueue_batch(session, database, job, batch)
        if not enqueued.new:
            note = f"note: job {enqueued.id} is the same work (its key is {visible(key)}); no other was made."
            click.echo(note, err=True)
        _warn_of_strangers(session, type_)
        if wait:
            from processor.cli import wait as waiting

            return waiting.wait(session.settings, database, enqueued, wait_timeout, as_json)
    if as_json:
        write_json({"id": enqueued.id, "new": enqueued.new})
    else:
        click.echo(enqueued.id)
    return 0


def _enqueue_batch(session: Session, database: "Database", parent: "NewJob", path: str) -> "Enqueued":
    """Insert a job and the children that a file names, unless a job of the same work is there."""
    from collections import Counter

    from processor.cli.batch import Batch, opened
    from processor.queue import enqueue as queue
    from processor.queue.batches import enqueue_batch

    given = {"owner": parent.owner, "delay_seconds": parent.delay_seconds, "trace_parent": parent.trace_parent}
    defaults = {"priority": parent.priority, **{name: value for name, value in given.items() if value is not None}}
    with opened(path) as file:
        batch = Batch(file, defaults)
        types = batch.check()
        rules = {type_: _rules(session, database, type_) for type_ in {*types, parent.type}}
        there = queue.same_work(database, parent, rules[parent.type]) if parent.key is not None else None
        if there is not None and rules[parent.type].dedupe != "none":
            return queue.Enqueued(there, new=False)
        for type_, count in (types + Counter([parent.type])).items():
            limit = rules[type_].queue_limit
            if limit is not None:
                queue.refuse_if_full(database, type_, limit, count)
        parent_id = enqueue_batch(database, parent, batch.jobs())
    click.echo(f"note: job {parent_id} waits for its children: {types.total():,}.", err=True)
    for type_ in sorted(types):
        _warn_of_strangers(session, type_)
    return queue.Enqueued(parent_id)


def _need_open(database: "Database", parent: int) -> None:
    """Refuse a parent that is not there, or waits for nobody any more."""
    from processor.queue import lookup

    status = lookup.job(database, parent)["status"]
    if status in FINAL:
        raise Refused(
            f"Job {parent} is {status}, so it would not wait for this one. Nothing was enqueued.",
            "Leave --parent out, or name a job that has not ended.",
        )


def _rules(session: Session, database: "Database", type_: str) -> "Rules":
    """Give the rules of a type: of this configuration, else as a living processor tells them."""
    from processor.queue.living import rules_of

    return rules_of(database, session.settings.types, type_)


def _until(database: "Database", at: datetime) -> float:
    """Give the seconds until an instant by the clock that decides about it, which is the database's."""
    from processor.queue import lookup

    return (at - lookup.database_now(database)).total_seconds()


def _warn_of_strangers(session: Session, type_: str) -> None:
    """A misspelled type is no error, since another processor may know it; but it should not go unseen."""
    known = session.settings.types
    if known and type_ != "batch" and type_ not in known and not session.settings.processor.modules:
        note = f"note: {visible(type_)} is no type of this configuration; the job waits until a processor knows it."
        click.echo(note, err=True)
