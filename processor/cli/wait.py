"""What `jobtable enqueue --wait` does: follow the job on the error output, and end as it ends, with its result."""

from contextlib import suppress
from typing import TYPE_CHECKING, Any

import click

from processor.cli.follow import follow, patiently
from processor.cli.jobs import state, trouble
from processor.cli.life import event_line
from processor.cli.shown import Row, decoded, span, visible, write_json
from processor.errors import DatabaseUnreachable
from processor.lifecycle import FINAL, NOT_STARTED, Reason, Status

if TYPE_CHECKING:
    from processor.db import Database
    from processor.queue.enqueue import Enqueued
    from processor.settings import Settings

TIME_IS_OVER = 124
"""The exit code where the time to wait is over and the job goes on; timeout(1) has it, too."""

ANSWER = (
    "type",
    "status",
    "reason",
    "attempt",
    "duplicate_of",
    "created_at",
    "started_at",
    "finished_at",
    "result",
    "error_type",
    "error_message",
)


def wait(settings: "Settings", database: "Database", enqueued: "Enqueued", seconds: float | None, as_json: bool) -> int:
    """Follow a job until it ends, or for so many seconds, and write how it ended; give the exit code.

    The job is left alone, whatever happens here. An interrupt is passed on, having said how to go on.
    """
    click.echo(f"job {enqueued.id} is waited for", err=True)
    try:
        _say_what_keeps_it(settings, database, enqueued.id)
        row = _followed_to_its_end(database, enqueued.id, seconds)
    except KeyboardInterrupt:
        click.echo(f"\nnote: {_goes_on(enqueued.id)}", err=True)
        raise
    if as_json:
        write_json(_answer(enqueued, row))
    return _end(enqueued.id, row, seconds, as_json)


def _say_what_keeps_it(settings: "Settings", database: "Database", job_id: int) -> None:
    """Say at once what keeps the job from running, such as that nobody runs its type."""
    from processor.queue.explain import explain

    most = settings.processor.max_payload_bytes
    with suppress(DatabaseUnreachable):  # who follows says so
        found = explain(database, job_id, max_payload_bytes=most)
        blocking = [finding for finding in found.findings if finding.blocks and found.status in NOT_STARTED]
        for finding in blocking:
            click.echo(f"note: job {job_id} does not run yet. {visible(finding.text)}", err=True)


def _followed_to_its_end(database: "Database", job_id: int, seconds: float | None) -> Row:
    """Write what the job tells; give all its columns, or what was last seen of it where the database is away."""
    from processor.queue import lookup

    def hear(event: Row) -> None:
        click.echo(event_line(event), err=True)
        if (event["level"], event["text"]) == (Status.WAITING, Reason.DUPLICATE):
            _say_whose_result(database, job_id)

    head = follow(database, job_id, hear, seconds=seconds) or {"status": "not seen", "reason": None}
    if head["status"] in FINAL:
        return patiently(lambda: lookup.job(database, job_id))
    with suppress(DatabaseUnreachable):  # the time is over: nobody waits for it any longer
        return lookup.job(database, job_id)
    return head


def _say_whose_result(database: "Database", job_id: int) -> None:
    from processor.queue import lookup

    row = patiently(lambda: lookup.job(database, job_id))
    if row["duplicate_of"] is not None:
        text = f"note: job {job_id} is the same work as job {row['duplicate_of']}; it gets the result of that one."
        click.echo(text, err=True)


def _end(job_id: int, row: Row, seconds: float | None, as_json: bool) -> int:
    if row["status"] not in FINAL:
        click.echo(f"note: after {span(seconds)} it is {state(row)}. {_goes_on(job_id)}", err=True)
        return TIME_IS_OVER
    if row["status"] != Status.COMPLETED:
        why = f": {visible(trouble(row))}" if trouble(row) else ""
        click.echo(f"error: Job {job_id} is {state(row)}{why}. See `jobtable show {job_id}`.", err=True)
        return 1
    result = decoded(row)["result"]
    if result is not None and not as_json:
        write_json(result)
    return 0


def _goes_on(job_id: int) -> str:
    return f"Job {job_id} goes on. Follow it: jobtable logs {job_id} -f. Stop it: jobtable cancel {job_id}."


def _answer(enqueued: "Enqueued", row: Row) -> dict[str, Any]:
    shown = {**dict.fromkeys(ANSWER), **decoded(row)}
    return {"id": enqueued.id, "new": enqueued.new, **{name: shown[name] for name in ANSWER}}
