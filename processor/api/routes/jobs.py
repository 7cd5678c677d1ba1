"""Jobs: make, list, look at, steer, delete."""

import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from pydantic import AfterValidator, AwareDatetime, BeforeValidator

from processor.api import shapes
from processor.api.access import Caller
from processor.api.cursors import cursor_after, read_cursor
from processor.api.masking import masked_text
from processor.api.service import Guarded, Reader, Served, Service, Writer, one_job, say_where
from processor.api.values import json_text, shown
from processor.errors import Refused
from processor.lifecycle import FINAL, Status
from processor.queue import control, lookup
from processor.queue import enqueue as queue
from processor.queue.batches import enqueue_batch
from processor.queue.explain import Finding
from processor.queue.explain import explain as explain_job
from processor.queue.lookup import Filter
from processor.queue.rules import Rules

router = APIRouter(prefix="/jobs", tags=["jobs"], route_class=Guarded)
MOST = 200
"""Items of a page."""
Limit = Annotated[int, Query(ge=1, le=MOST, description="items of this page")]
Cursor = Annotated[str | None, Query(max_length=200, description="`next` of the page before")]
InstantInUtc = Annotated[AwareDatetime, AfterValidator(shapes.in_utc)]
InstantQuery = Annotated[InstantInUtc | None, BeforeValidator(shapes.no_number), Query()]
NameQuery = Annotated[shapes.Name | None, Query()]


@router.post(
    "",
    status_code=HTTPStatus.ACCEPTED,
    response_model=shapes.Made,
    responses={200: {"model": shapes.Made, "description": "a job of the same work is there already"}},
)
def make(new: shapes.NewJob, request: Request, response: Response, service: Served, caller: Writer) -> shapes.Made:
    """Make a job; where one with an equal `key` waits or runs already, give that one."""
    job = _new_job(new, caller)
    _need_parent(service, caller, job)
    made = queue.enqueue(service.database, job, rules=_rules(service, caller, [job])[job.type])
    response.status_code = HTTPStatus.ACCEPTED if made.new else HTTPStatus.OK
    say_where(request, response, made.id)
    return shapes.Made(id=made.id, new=made.new)


@router.post(
    "/batch",
    status_code=HTTPStatus.ACCEPTED,
    response_model=shapes.ManyMade,
    responses={200: {"model": shapes.ManyMade, "description": "the parent is there already"}},
)
def make_many(batch: shapes.Batch, request: Request, response: Response, service: Served, caller: Writer) -> Any:
    """Make many jobs, all or none; with a `parent` they are its children."""
    new = [_new_job(one, caller) for one in batch.jobs]
    if batch.parent is not None:
        return _make_family(_new_job(batch.parent, caller), new, (request, response), service, caller)
    for job in {(job.parent_id, job.owner): job for job in new}.values():
        _need_parent(service, caller, job)
    made = queue.enqueue_many(service.database, new, _rules(service, caller, new))
    return {"parent": None, "jobs": [{"id": one.id, "new": one.new} for one in made]}


def _make_family(
    parent: queue.NewJob, children: list[queue.NewJob], told: tuple[Request, Response], service: Service, caller: Caller
) -> Any:
    if any(child.parent_id is not None for child in children):
        raise Refused("A job of the batch has a `parent_id`. Nothing was enqueued.", "Its parent is the batch.")
    _need_parent(service, caller, parent)
    rules = _rules(service, caller, [parent, *children])
    types = Counter(job.type for job in (parent, *children))
    for type_, count in types.items():
        limit = rules[type_].queue_limit
        if limit is not None:
            queue.refuse_if_full(service.database, type_, limit, count)
    known = parent.key is not None and rules[parent.type].dedupe != "none"
    there = queue.same_work(service.database, parent, rules[parent.type]) if known else None
    if there is None:
        there = enqueue_batch(service.database, parent, enumerate(children, 1))
    else:
        told[1].status_code = HTTPStatus.OK
    say_where(*told, there)
    return {"parent": there, "jobs": []}


def _new_job(new: shapes.NewJob, caller: Caller) -> queue.NewJob:
    """Give the job as the queue takes it, of the caller's owner. Raises `Refused` where it names another one."""
    if caller.owner is not None and new.owner not in (None, caller.owner):
        raise Refused(
            f"The token belongs to {caller.owner!r}, so its jobs do, too. Nothing was enqueued.", "Leave `owner` out."
        )
    given = new.model_dump(exclude={"payload"})
    owner = new.owner if caller.owner is None else caller.owner
    return queue.NewJob(**{**given, "owner": owner, "payload": json_text(new.payload)})


def _rules(service: Service, caller: Caller, new: Sequence[queue.NewJob]) -> dict[str, Rules]:
    """Give the rules of the jobs' types; who has an owner is not told of an equal job of another one."""
    rules = service.rules({job.type for job in new})
    if caller.reaches_all:
        return rules
    return {type_: replace(own, across_owners=False) for type_, own in rules.items()}


def _need_parent(service: Service, caller: Caller, job: queue.NewJob) -> None:
    """Refuse a parent that does not exist for the owner of a job, or that waits for nobody any more."""
    if job.parent_id is None:
        return
    status = lookup.job(service.database, job.parent_id, owner=job.owner or caller.owner)["status"]
    if status in FINAL:
        raise Refused(f"Job {job.parent_id} is {status}, so it would not wait for this one.", "Leave `parent_id` out.")


@router.get("", response_model=shapes.Jobs)
def listing(
    service: Served,
    caller: Reader,
    status: Annotated[list[shapes.StatusName], Query()] = [],  # noqa: B006 - FastAPI copies it
    type: Annotated[list[shapes.Name], Query()] = [],  # noqa: B006
    owner: NameQuery = None,
    subject: NameQuery = None,
    key: NameQuery = None,
    text: Annotated[str | None, Query(min_length=1, max_length=200, description="part of a name or an error")] = None,
    parent: Annotated[shapes.JobId | None, Query()] = None,
    created_after: InstantQuery = None,
    created_before: InstantQuery = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Any:
    """List jobs, newest first. Pages neither skip nor repeat a job while others come in.

    With a `text` a page looks at 10,000 jobs at most: it may be short, or empty, and have a `next`.
    """
    which = Filter(
        statuses=tuple(Status(name) for name in dict.fromkeys(status)),
        types=tuple(dict.fromkeys(type)),
        owner=owner if caller.owner is None else caller.owner,
        subject=subject,
        key=key,
        text=text,
        parent_id=parent,
        created_after=created_after,
        created_before=created_before,
    )
    if caller.owner is not None and owner not in (None, caller.owner):
        return {"items": [], "next": None}
    asked = _asked(which)
    before = read_cursor(cursor, asked)
    reach = lookup.text_floor(service.database, which, before_id=before)
    rows = lookup.jobs_page(service.database, which, limit=limit + 1, before_id=before, floor=reach or 0)
    items = [summary(service, row) for row in rows[:limit]]
    floor = items[-1]["id"] if len(rows) > limit else reach
    return {"items": items, "next": None if floor is None else cursor_after(floor, asked)}


def _asked(which: Filter) -> list[Any]:
    return [getattr(which, name) for name in which.__slots__]


def summary(service: Service, row: lookup.Row) -> lookup.Row:
    """Give a row for an answer: what people wrote into errors and messages is masked."""
    hidden = {
        name: masked_text(row[name], service.mask)
        for name in ("error_message", "error_detail", "progress_message")
        if row.get(name)
    }
    return {**row, **hidden}


@router.get("/latest", response_model=shapes.Job)
def latest(
    service: Served,
    caller: Reader,
    subject: Annotated[shapes.Name, Query(description="what it is about")],
    type: NameQuery = None,
) -> Any:
    """Give the latest job of a subject."""
    row = lookup.latest_of(service.database, subject, owner=caller.owner, type_=type)
    return _whole(service, caller, row["id"])


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


@router.get("/{job_id:int}", response_model=shapes.Job)
def one(job_id: shapes.JobId, service: Served, caller: Reader) -> Any:
    """Give a job with all that its row says."""
    return _whole(service, caller, job_id)


def _whole(service: Service, caller: Caller, job_id: int) -> lookup.Row:
    row = lookup.job(service.database, job_id, owner=caller.owner)
    values = {name: shown(row[name], service.mask) for name in ("payload", "result")}
    return {**summary(service, row), **values, "children": lookup.children(service.database, job_id)}


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
        raise _not_now(row, "it cannot be deleted")


@router.get("/{job_id:int}/result", responses={200: {"content": {"application/json": {}}}})
def result(job_id: shapes.JobId, service: Served, caller: Reader) -> Response:
    """Give what the handler returned, and nothing around it. 409 while the job has no result."""
    # written here, in a thread: a large one would stop all others for a second
    row = lookup.job(service.database, job_id, owner=caller.owner)
    if row["status"] != Status.COMPLETED:
        raise _not_now(row, "it has no result")
    return Response(json.dumps(shown(row["result"], service.mask)), media_type="application/json")


@router.get("/{job_id:int}/errors", response_model=shapes.JobErrors)
def errors(job_id: shapes.JobId, service: Served, caller: Reader) -> Any:
    """Give the failed attempts, oldest first."""
    lookup.job(service.database, job_id, owner=caller.owner)
    return {"items": [summary(service, row) for row in lookup.errors(service.database, job_id)]}


@router.get("/{job_id:int}/explain", response_model=shapes.Explanation)
def explain(job_id: shapes.JobId, service: Served, caller: Reader) -> Any:
    """Say why a job does not run: every rule that keeps it, by the claim's own code."""
    lookup.job(service.database, job_id, owner=caller.owner)
    found = explain_job(service.database, job_id, max_payload_bytes=service.max_payload_bytes)
    findings = [
        {"rule": one.rule, "blocks": one.blocks, "text": one.text if caller.reaches_all else _for_an_owner(one)}
        for one in found.findings
    ]
    return {**{name: getattr(found, name) for name in shapes.Explanation.model_fields}, "findings": findings}


_NAMES_NOBODY = frozenset({"cancel", "children", "batch", "paused", "due", "malformed", "waiting", "rate"})
_WITHOUT_NAMES = {
    "running": "It runs.",
    "processor": "No processor is alive.",
    "type": "No processor that is alive runs its type.",
    "duplicate": "An equal job is to give it its result.",
    "lane": "Its lane is held, or others of the lane come first.",
    "limit": "As many of its type run as may.",
    "slots": "Every processor that runs its type is full.",
}


def _for_an_owner(finding: Finding) -> str:
    """Give the words of a finding to an owner, without the jobs of others and the names of processors."""
    if finding.rule in _NAMES_NOBODY:
        return finding.text
    return _WITHOUT_NAMES.get(finding.rule, "Others come before it, perhaps.")


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
    row = _whole(service, caller, job_id)
    if not changed and not again(row):
        raise _not_now(row, otherwise)
    return row


def _not_now(row: lookup.Row, otherwise: str) -> Refused:
    return Refused(f"Job {row['id']} is {row['status']}, so {otherwise}.", f"See /api/v1/jobs/{row['id']}.")
