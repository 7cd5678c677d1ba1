"""Jobs: make one, many, or a family."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from http import HTTPStatus
from typing import Any

from fastapi import APIRouter, Request, Response

from models.types import NAME_LENGTH
from processor.api import shapes
from processor.api.access import Caller
from processor.api.service import Guarded, Served, Service, Writer, say_where, service_of
from processor.api.values import json_text
from processor.errors import Refused
from processor.lifecycle import FINAL
from processor.queue import enqueue as queue
from processor.queue import lookup
from processor.queue.batches import enqueue_batch
from processor.queue.rules import Rules
from processor.traceparent import valid

router = APIRouter(prefix="/jobs", tags=["jobs"], route_class=Guarded)


@router.post(
    "",
    status_code=HTTPStatus.ACCEPTED,
    response_model=shapes.Made,
    responses={200: {"model": shapes.Made, "description": "a job of the same work is there already"}},
)
def make(new: shapes.NewJob, request: Request, response: Response, service: Served, caller: Writer) -> shapes.Made:
    """Make a job; where one with an equal `key` waits or runs already, give that one."""
    job = _new_job(new, caller, request)
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
    new = [_new_job(one, caller, request) for one in batch.jobs]
    if batch.parent is not None:
        return _make_family(_new_job(batch.parent, caller, request), new, (request, response), service, caller)
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


def _new_job(new: shapes.NewJob, caller: Caller, request: Request) -> queue.NewJob:
    """Give the job as the queue takes it, of the caller's owner. Raises `Refused` where it names another one."""
    if caller.owner is not None and new.owner not in (None, caller.owner):
        raise Refused(
            f"The token belongs to {caller.owner!r}, so its jobs do, too. Nothing was enqueued.", "Leave `owner` out."
        )
    if new.delay_seconds is not None and new.run_at is not None:
        raise Refused(
            "`delay_seconds` and `run_at` are two answers to one question. Nothing was enqueued.", "Give one."
        )
    given = new.model_dump(exclude={"payload"})
    owner = new.owner if caller.owner is None else caller.owner
    given["trace_parent"] = new.trace_parent or valid(request.headers.get("traceparent", "")[:NAME_LENGTH])
    return queue.NewJob(**{**given, "owner": owner, "payload": json_text(new.payload, service_of(request).mask)})


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
