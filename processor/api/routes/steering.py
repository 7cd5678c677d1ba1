"""Jobs: steer one, delete one, clean up many."""

from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from fastapi import APIRouter

from processor.api import shapes
from processor.api.access import Caller
from processor.api.routes.jobs import not_now, whole
from processor.api.service import Guarded, Served, Service, Writer, one_job
from processor.lifecycle import FINAL, Status
from processor.queue import control, lookup
from processor.queue.lookup import Filter

READ = ("payload", "result", "subject", "key", "progress_message", "error_type", "error_message", "error_detail")
"""What takes the scope `read`: who may only write is told how a job stands, and not what it is about."""
router = APIRouter(prefix="/jobs", tags=["jobs"], route_class=Guarded)


@router.patch("/{job_id:int}", response_model=shapes.Job)
def change(job_id: shapes.JobId, given: shapes.JobChange, service: Served, caller: Writer) -> Any:
    """Change the priority of a job that has not ended."""

    def verb(database: Any, which: Filter) -> int:
        return control.reprioritise(database, which, given.priority)

    return _steer(service, caller, job_id, verb, "its priority cannot be changed")


@router.delete("/{job_id:int}", status_code=HTTPStatus.NO_CONTENT)
def delete(job_id: shapes.JobId, service: Served, caller: Writer) -> None:
    """Delete a job that does not run, with its events, errors and notifications."""
    if not control.remove(service.database, one_job(caller, job_id)):
        row = lookup.job(service.database, job_id, owner=caller.owner)
        raise not_now(row, "it cannot be deleted")


@router.post("/cleanup", response_model=shapes.Deleted)
def clean_up(given: shapes.Cleanup, service: Served, caller: Writer) -> Any:
    """Delete finished jobs with their events, errors and notifications; `dry_run` counts only."""
    statuses = tuple(sorted(FINAL)) if given.which == "all" else (Status(given.which),)
    which = Filter(
        statuses=statuses,
        types=(given.type,) if given.type else (),
        owner=caller.owner,
        subject=given.subject,
        older_than=given.older_than_seconds,
    )
    verb = lookup.count if given.dry_run else control.remove
    return {"jobs": verb(service.database, which), "dry_run": given.dry_run}


@router.post("/{job_id:int}/cancel", response_model=shapes.Job)
def cancel(job_id: shapes.JobId, service: Served, caller: Writer) -> Any:
    """Cancel a job: what waits ends at once, what runs is asked to stop and then killed."""

    def verb(database: Any, which: Filter) -> int:
        cancelled, asked = control.cancel(database, which, service.notifies)
        return cancelled + asked

    return _steer(service, caller, job_id, verb, "it cannot be cancelled", again=lambda row: row["cancel_requested"])


@router.post("/{job_id:int}/pause", response_model=shapes.Job)
def pause(job_id: shapes.JobId, service: Served, caller: Writer) -> Any:
    """Keep a job that waits from being run until it is resumed."""
    return _steer(service, caller, job_id, control.pause, "it cannot be paused")


@router.post("/{job_id:int}/resume", response_model=shapes.Job)
def resume(job_id: shapes.JobId, service: Served, caller: Writer) -> Any:
    """Let a paused job be run again."""
    return _steer(service, caller, job_id, control.resume, "it cannot be resumed")


@router.post("/{job_id:int}/retry", response_model=shapes.Job)
def retry(job_id: shapes.JobId, service: Served, caller: Writer) -> Any:
    """Put a finished job back as if it were new; its errors and events are kept."""
    return _steer(service, caller, job_id, control.retry, "it cannot be retried")


@router.post("/{job_id:int}/run-now", response_model=shapes.Job)
def run_now(job_id: shapes.JobId, service: Served, caller: Writer) -> Any:
    """Let a job that was to run later be run now."""
    return _steer(service, caller, job_id, control.run_now, "it is not waiting for a time")


def _steer(
    service: Service,
    caller: Caller,
    job_id: int,
    verb: Callable[[Any, Filter], int],
    otherwise: str,
    *,
    again: Callable[[lookup.Row], bool] = lambda row: False,
) -> lookup.Row:
    """Change one job and give it. Raises `NotFound`, or `Refused` where its state does not allow it."""
    changed = verb(service.database, one_job(caller, job_id))
    row = whole(service, lookup.job(service.database, job_id, owner=caller.owner))
    if not changed and not again(row):
        raise not_now(row, otherwise)
    return row if caller.may("read") else {**row, **dict.fromkeys(READ)}
