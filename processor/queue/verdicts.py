"""What a verdict writes: the job's row, its error, its notification, and the jobs it enqueued.

Set statements, each put together once for each kind of database and kept: building one takes SQLAlchemy 1 to 5 ms, as
long as the database takes to run it for a hundred jobs. All rows of a batch travel as one JSON parameter.
"""

from collections.abc import Sequence
from functools import cache
from typing import Any

from sqlalchemy import Connection, case, insert, literal_column, null, select, update

from models import job_errors, jobs, now
from processor.db.dialects import INTEGER, NUMBER, TEXT, Dialect, document
from processor.judge import FAILURE, Verdict
from processor.lifecycle import FINAL, Reason, Status
from processor.outcome import Kind
from processor.queue import states
from processor.queue.enqueue import NewJob, insert_jobs
from processor.queue.notifications import notify
from processor.queue.settlement import Settlement


def write(connection: Connection, dialect: Dialect, ours: Sequence[Settlement]) -> None:
    """Write verdicts about jobs whose rows are locked and ours, in the caller's transaction."""
    _update_jobs(connection, dialect, ours)
    _insert_errors(connection, dialect, [settlement for settlement in ours if settlement.verdict.failed])
    notify(connection, dialect, [_notification(settlement) for settlement in ours if settlement.verdict.notify])
    _insert_enqueued(connection, dialect, ours)


def did_its_work(verdict: Verdict) -> bool:
    """Tell whether the job's own work is done, though it may wait for its children."""
    waits = verdict.reason is Reason.CHILDREN and verdict.outcome.kind is Kind.RETURNED
    return verdict.status is Status.COMPLETED or waits


_VERDICT = {
    "id": INTEGER,
    "status": TEXT,
    "reason": TEXT,
    "delay": NUMBER,
    "given_back": INTEGER,
    "crashes": INTEGER,
    "result": TEXT,
    "error_type": TEXT,
    "error_message": TEXT,
    "error_detail": TEXT,
    "cpu_seconds": NUMBER,
    "max_rss_bytes": INTEGER,
}


def _update_jobs(connection: Connection, dialect: Dialect, ours: Sequence[Settlement]) -> None:
    ids = [settlement.job_id for settlement in ours]
    connection.execute(_update(dialect), {"given": document(map(_verdict, ours)), "ids": ids})
    states.tell(connection, dialect, ids)


def _verdict(settlement: Settlement) -> dict[str, Any]:
    verdict, outcome = settlement.verdict, settlement.verdict.outcome
    completed = did_its_work(verdict)
    return {
        "id": settlement.job_id,
        "status": verdict.status.value,
        "reason": verdict.reason.value,
        "delay": verdict.delay,
        "given_back": verdict.given_back,
        "crashes": verdict.crashes,
        "result": outcome.result if completed else None,
        "error_type": None if completed else outcome.error_type,
        "error_message": None if completed else outcome.error_message,
        "error_detail": None if completed else outcome.error_detail,
        "cpu_seconds": outcome.cpu_seconds,
        "max_rss_bytes": outcome.max_rss_bytes,
    }


@cache
def _update(dialect: Dialect) -> Any:
    given = dialect.table(_VERDICT)
    final = given.c.status.in_([literal_column(f"'{status.value}'") for status in sorted(FINAL)])
    completed = given.c.status == literal_column(f"'{Status.COMPLETED.value}'")
    return (
        update(jobs)
        .where(jobs.c.id == given.c.id, dialect.among(jobs.c.id))
        .values(
            {
                jobs.c.status: given.c.status,
                jobs.c.reason: given.c.reason,
                jobs.c.run_at: case((given.c.delay.is_not(None), dialect.after(given.c.delay)), else_=jobs.c.run_at),
                jobs.c.attempt: jobs.c.attempt - given.c.given_back,
                jobs.c.crashes: given.c.crashes,
                jobs.c.finished_at: case((final, now()), else_=null()),
                jobs.c.progress: case((completed, 100.0), else_=jobs.c.progress),
                jobs.c.result: dialect.json(given.c.result),
                jobs.c.error_type: given.c.error_type,
                jobs.c.error_message: given.c.error_message,
                jobs.c.error_detail: given.c.error_detail,
                jobs.c.cpu_seconds: given.c.cpu_seconds,
                jobs.c.max_rss_bytes: given.c.max_rss_bytes,
                **states.NUMBERED,
            }
        )
    )


_ERROR = {
    "job_id": INTEGER,
    "attempt": INTEGER,
    "processor_id": TEXT,
    "reason": TEXT,
    "error_type": TEXT,
    "error_message": TEXT,
    "error_detail": TEXT,
    "seconds": NUMBER,
}


def _insert_errors(connection: Connection, dialect: Dialect, failed: Sequence[Settlement]) -> None:
    if failed:
        connection.execute(_errors(dialect), {"given": document(map(_error, failed))})


@cache
def _errors(dialect: Dialect) -> Any:
    given = dialect.table(_ERROR)
    return insert(job_errors).from_select(list(_ERROR), select(given))


def _error(settlement: Settlement) -> dict[str, Any]:
    outcome = settlement.verdict.outcome
    return {
        "job_id": settlement.job_id,
        "attempt": settlement.attempt,
        "processor_id": settlement.processor_id,
        "reason": _error_reason(settlement.verdict),
        "error_type": outcome.error_type,
        "error_message": outcome.error_message,
        "error_detail": outcome.error_detail,
        "seconds": outcome.seconds,
    }


def _error_reason(verdict: Verdict) -> str:
    """Name the failure itself, also where the job is going to be tried again."""
    return (verdict.reason if verdict.final else FAILURE[verdict.outcome.kind]).value


def _notification(settlement: Settlement) -> dict[str, Any]:
    verdict = settlement.verdict
    return {
        "job_id": settlement.job_id,
        "type": settlement.type,
        "owner": settlement.owner,
        "subject": settlement.subject,
        "status": verdict.status.value,
        "reason": verdict.reason.value,
        "message": None if verdict.status is Status.COMPLETED else verdict.outcome.error_message,
    }


def _with_owner(wish: dict[str, Any], settlement: Settlement) -> dict[str, Any]:
    """Give a child the owner of its parent, where its handler named none."""
    is_child = wish.get("parent_id") == settlement.job_id and settlement.owner is not None
    return {"owner": settlement.owner, **wish} if is_child else wish


def _insert_enqueued(connection: Connection, dialect: Dialect, ours: Sequence[Settlement]) -> None:
    """Jobs that a job enqueued appear with its completion, or not at all: a failed try leaves none behind."""
    wished = [
        NewJob.from_message(_with_owner(wish, settlement))
        for settlement in ours
        if did_its_work(settlement.verdict)
        for wish in settlement.verdict.outcome.enqueue
    ]
    if wished:
        insert_jobs(connection, dialect, wished)
