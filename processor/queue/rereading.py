"""Read a row as a claim would, and leave it as it is: for somebody who runs it without the queue."""

from dataclasses import dataclass, replace

from sqlalchemy import select

from models import jobs
from processor.db.database import Database
from processor.errors import NotFound
from processor.lifecycle import FINAL, NOT_STARTED, Status
from processor.queue.taking import ClaimedJob, claimed, columns


@dataclass(frozen=True, slots=True)
class Reread:
    """A row that nobody claimed: the job as a handler would get it, and where the row is."""

    job: ClaimedJob
    status: Status
    processor_id: str | None


def reread(database: Database, job_id: int, *, max_payload_bytes: int) -> Reread:
    """Read a job as the try that comes next where it waits, else as its latest try once more. Raises `NotFound`."""
    statement = select(jobs.c.status, jobs.c.processor_id, *columns(database.dialect, max_payload_bytes)).where(
        jobs.c.id == job_id
    )
    with database.read() as connection:
        row = connection.execute(statement).first()
    if row is None:
        raise NotFound(f"There is no job {job_id}. Nothing was run.", "See `jobtable list`.")
    status, processor_id, *facts = row
    return Reread(_tried(claimed(facts, 0), Status(status)), Status(status), processor_id)


def _tried(job: ClaimedJob, status: Status) -> ClaimedJob:
    """Count this try, and not the deaths of the one that it repeats."""
    attempt = job.attempt + 1 if status in NOT_STARTED else max(1, job.attempt)
    return replace(job, attempt=attempt, crashes=max(0, job.crashes - (status in FINAL)))
