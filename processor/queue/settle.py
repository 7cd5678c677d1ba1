"""Write verdicts: fenced, in batches, one transaction with errors, notifications and enqueued jobs.

Every row is matched by its claim (job, processor, claim number, still `running`). A claim that owns nothing any more
is stale: an answer with a name, not an error, and never tried again. Sending a batch twice changes nothing: what the
first sending wrote is recognised by the claim that the row still carries.

Nothing holds up a batch. A row that somebody else holds locked (a person's open transaction, a stopped processor) is
left for the next time. A batch that the database refuses is halved until the one outcome it will not store stands
alone; that job fails as `unstorable`, its neighbours are settled.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Connection, and_, case, insert, literal_column, null, select, update

from models import job_errors, jobs, notifications, now
from processor.db.database import Database
from processor.db.dialects import INTEGER, NUMBER, TEXT, Dialect, letters
from processor.errors import ValuesRefused
from processor.judge import FAILURE, Verdict
from processor.lifecycle import FINAL, Reason, Status
from processor.outcome import Kind, Outcome
from processor.queue.enqueue import NewJob, insert_jobs
from processor.queue.where import is_


@dataclass(frozen=True, slots=True)
class Settlement:
    """One verdict and the claim it is about. `again` says that it was sent before and the answer was lost."""

    job_id: int
    processor_id: str
    claim_no: int
    type: str
    attempt: int
    owner: str | None
    subject: str | None
    verdict: Verdict
    again: bool = False

    @property
    def size(self) -> int:
        """Roughly how many letters are to be written."""
        outcome = self.verdict.outcome
        return sum(letters(text) for text in (outcome.result, outcome.error_message, outcome.error_detail) if text)


@dataclass(frozen=True, slots=True)
class Settled:
    """What became of a batch: accepted as written, refused as stale, held by others, refused by the database."""

    accepted: tuple[Settlement, ...] = ()
    stale: tuple[Settlement, ...] = ()
    held: tuple[Settlement, ...] = ()
    unstorable: tuple[tuple[Settlement, str], ...] = ()

    def __add__(self, other: "Settled") -> "Settled":
        return Settled(
            self.accepted + other.accepted,
            self.stale + other.stale,
            self.held + other.held,
            self.unstorable + other.unstorable,
        )


def settle(database: Database, batch: Sequence[Settlement]) -> Settled:
    """Settle a batch; the slots of everything in the answer are free, but for what others hold.

    Raises `DatabaseUnreachable`; the batch may have been written then: send it again, marked `again`.
    """
    if not batch:
        return Settled()
    try:
        return database.write(lambda connection: _write(connection, database.dialect, batch))
    except ValuesRefused as refusal:
        if len(batch) > 1:
            middle = len(batch) // 2
            return settle(database, batch[:middle]) + settle(database, batch[middle:])
        return _settle_unstorable(database, batch[0], refusal)


def _settle_unstorable(database: Database, settlement: Settlement, refusal: ValuesRefused) -> Settled:
    if settlement.verdict.reason is Reason.UNSTORABLE:
        raise refusal
    outcome = Outcome(
        Kind.PROTOCOL,
        error_type="ResultNotStorable",
        error_message=f"The database cannot store what this attempt returned or said: {refusal.message}",
        seconds=settlement.verdict.outcome.seconds,
    )
    notify = settlement.verdict.notify_failure
    verdict = Verdict(Status.FAILED, Reason.UNSTORABLE, outcome, failed=True, notify=notify)
    settled = settle(database, [replace(settlement, verdict=verdict)])
    return settled + Settled(unstorable=((settlement, refusal.message),))


def _write(connection: Connection, dialect: Dialect, batch: Sequence[Settlement]) -> Settled:
    owned = _lock(connection, dialect, batch)
    ours = [_final_word(settlement, owned[settlement.job_id]) for settlement in batch if settlement.job_id in owned]
    if ours:
        _update_jobs(connection, dialect, ours)
        _insert_errors(connection, dialect, ours)
        _insert_notifications(connection, dialect, ours)
        _insert_enqueued(connection, dialect, ours)
    missing = [settlement for settlement in batch if settlement.job_id not in owned]
    return Settled(accepted=tuple(ours)) + _explain(connection, dialect, missing)


def _explain(connection: Connection, dialect: Dialect, missing: Sequence[Settlement]) -> Settled:
    """Say why rows were not to be had: written before by this very claim, held by others, or not ours any more."""
    if not missing:
        return Settled()
    given = _claims(dialect, missing)
    rows = connection.execute(select(jobs.c.id, jobs.c.status, jobs.c.reason).join(given, _is_claimed_by(given)))
    claimed = {row.id: (row.status, row.reason) for row in rows}
    written = [one for one in missing if one.again and claimed.get(one.job_id) in _own_words(one)]
    held = [one for one in missing if claimed.get(one.job_id, ("", ""))[0] == Status.RUNNING]
    stale = [one for one in missing if one not in written and one not in held]
    return Settled(tuple(written), tuple(stale), tuple(held))


def _own_words(settlement: Settlement) -> set[tuple[str, str]]:
    """What the row says if this settlement was written: its verdict, or that a cancel came before a further try."""
    verdict = settlement.verdict
    words = {(verdict.status.value, verdict.reason.value)}
    return words if verdict.final else words | {(Status.CANCELLED.value, Reason.ASKED.value)}


_CLAIM = {"id": INTEGER, "processor_id": TEXT, "claim_no": INTEGER}


def _claims(dialect: Dialect, batch: Iterable[Settlement]) -> Any:
    rows = [
        {"id": settlement.job_id, "processor_id": settlement.processor_id, "claim_no": settlement.claim_no}
        for settlement in batch
    ]
    return dialect.rows(_CLAIM, rows)


def _is_claimed_by(given: Any) -> Any:
    return and_(
        jobs.c.id == given.c.id,
        jobs.c.processor_id == given.c.processor_id,
        jobs.c.claim_no == given.c.claim_no,
    )


def _lock(connection: Connection, dialect: Dialect, batch: Sequence[Settlement]) -> dict[int, bool]:
    """Lock the rows that the claims still own and nobody else holds; tell where a cancel was asked for."""
    given = _claims(dialect, batch)
    rows = connection.execute(
        select(jobs.c.id, jobs.c.cancel_requested)
        .join(given, _is_claimed_by(given))
        .where(is_(Status.RUNNING), dialect.among(jobs.c.id, [settlement.job_id for settlement in batch]))
        .order_by(jobs.c.id)
        .with_for_update(of=jobs, skip_locked=True)
    )
    return {row.id: row.cancel_requested for row in rows}


def _final_word(settlement: Settlement, cancel_requested: bool) -> Settlement:
    """A cancel that came in the meantime wins over any further try; work that is done stays done."""
    verdict = settlement.verdict
    if not cancel_requested or verdict.final:
        return settlement
    cancelled = replace(
        verdict, status=Status.CANCELLED, reason=Reason.ASKED, given_back=0, delay=None, notify=verdict.notify_failure
    )
    return replace(settlement, verdict=cancelled)


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


def _verdict_row(settlement: Settlement) -> dict[str, Any]:
    verdict, outcome = settlement.verdict, settlement.verdict.outcome
    completed = verdict.status is Status.COMPLETED
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


def _update_jobs(connection: Connection, dialect: Dialect, ours: Sequence[Settlement]) -> None:
    given = dialect.rows(_VERDICT, [_verdict_row(settlement) for settlement in ours])
    final = given.c.status.in_([literal_column(f"'{status.value}'") for status in sorted(FINAL)])
    completed = given.c.status == literal_column(f"'{Status.COMPLETED.value}'")
    connection.execute(
        update(jobs)
        .where(jobs.c.id == given.c.id, dialect.among(jobs.c.id, [settlement.job_id for settlement in ours]))
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


def _insert_errors(connection: Connection, dialect: Dialect, ours: Sequence[Settlement]) -> None:
    rows = [
        {
            "job_id": settlement.job_id,
            "attempt": settlement.attempt,
            "processor_id": settlement.processor_id,
            "reason": _error_reason(settlement.verdict),
            "error_type": settlement.verdict.outcome.error_type,
            "error_message": settlement.verdict.outcome.error_message,
            "error_detail": settlement.verdict.outcome.error_detail,
            "seconds": settlement.verdict.outcome.seconds,
        }
        for settlement in ours
        if settlement.verdict.failed
    ]
    if rows:
        given = dialect.rows(_ERROR, rows)
        connection.execute(insert(job_errors).from_select(list(_ERROR), select(given)))


def _error_reason(verdict: Verdict) -> str:
    """Name the failure itself, also where the job is going to be tried again."""
    return (verdict.reason if verdict.final else FAILURE[verdict.outcome.kind]).value


_NOTIFICATION = {
    "job_id": INTEGER,
    "type": TEXT,
    "owner": TEXT,
    "subject": TEXT,
    "status": TEXT,
    "reason": TEXT,
    "message": TEXT,
}


def _insert_notifications(connection: Connection, dialect: Dialect, ours: Sequence[Settlement]) -> None:
    rows = [
        {
            "job_id": settlement.job_id,
            "type": settlement.type,
            "owner": settlement.owner,
            "subject": settlement.subject,
            "status": settlement.verdict.status.value,
            "reason": settlement.verdict.reason.value,
            "message": None
            if settlement.verdict.status is Status.COMPLETED
            else settlement.verdict.outcome.error_message,
        }
        for settlement in ours
        if settlement.verdict.notify
    ]
    notify(connection, dialect, rows)


def notify(connection: Connection, dialect: Dialect, rows: Sequence[dict[str, Any]]) -> None:
    """Insert notifications, in the transaction of the final states they tell of."""
    if rows:
        given = dialect.rows(_NOTIFICATION, rows)
        connection.execute(insert(notifications).from_select(list(_NOTIFICATION), select(given)))


def _insert_enqueued(connection: Connection, dialect: Dialect, ours: Sequence[Settlement]) -> None:
    """Jobs that a job enqueued appear with its completion, or not at all: a failed try leaves none behind."""
    wished = [
        NewJob.from_message(wish)
        for settlement in ours
        if settlement.verdict.status is Status.COMPLETED
        for wish in settlement.verdict.outcome.enqueue
    ]
    if wished:
        insert_jobs(connection, dialect, wished)
