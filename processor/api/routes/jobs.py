"""Jobs: list them, look at one."""

import json
from typing import Annotated, Any

from fastapi import APIRouter, Query, Response
from pydantic import AfterValidator, AwareDatetime, BeforeValidator

from processor.api import shapes
from processor.api.access import Caller
from processor.api.cursors import cursor_after, read_cursor
from processor.api.service import Guarded, Reader, Served, Service
from processor.api.values import shown
from processor.errors import Refused
from processor.lifecycle import Status
from processor.masking import masked_body, masked_text
from processor.queue import lookup
from processor.queue.deliveries import TYPE as DELIVERY
from processor.queue.explain import Finding
from processor.queue.explain import explain as explain_job
from processor.queue.lookup import Filter

router = APIRouter(prefix="/jobs", tags=["jobs"], route_class=Guarded)
MOST = 200
"""Items of a page."""
Limit = Annotated[int, Query(ge=1, le=MOST, description="items of this page")]
Cursor = Annotated[str | None, Query(max_length=200, description="`next` of the page before")]
InstantInUtc = Annotated[AwareDatetime, AfterValidator(shapes.in_utc)]
InstantQuery = Annotated[InstantInUtc | None, BeforeValidator(shapes.no_number), Query()]
NameQuery = Annotated[shapes.Name | None, Query()]


@router.get("", response_model=shapes.Jobs)
def listing(
    service: Served,
    caller: Reader,
    status: Annotated[list[shapes.StatusName], Query()] = [],  # noqa: B006 - FastAPI copies it
    type: Annotated[list[shapes.Name], Query()] = [],  # noqa: B006
    owner: NameQuery = None,
    subject: NameQuery = None,
    key: NameQuery = None,
    text: Annotated[shapes.Sought | None, Query(description="part of a name or an error")] = None,
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
        for name in ("error_type", "error_message", "error_detail", "progress_message")
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
    return whole(service, lookup.latest_of(service.database, subject, owner=caller.owner, type_=type))


@router.get("/{job_id:int}", response_model=shapes.Job)
def one(job_id: shapes.JobId, service: Served, caller: Reader) -> Any:
    """Give a job with all that its row says."""
    return whole(service, lookup.job(service.database, job_id, owner=caller.owner))


def whole(service: Service, row: lookup.Row) -> lookup.Row:
    """Give a row with all its columns for an answer."""
    values = {name: shown(row[name], service.mask) for name in ("payload", "result")}
    if row["type"] == DELIVERY:
        values["payload"] = masked_body(values["payload"], service.mask)  # an error's text is in it
    return {**summary(service, row), **values, "children": lookup.children(service.database, row["id"])}


@router.get("/{job_id:int}/result", responses={200: {"content": {"application/json": {}}}})
def result(job_id: shapes.JobId, service: Served, caller: Reader) -> Response:
    """Give what the handler returned, and nothing around it. 409 while the job has no result."""
    # written here, in a thread: a large one would stop all others for a second
    row = lookup.job(service.database, job_id, owner=caller.owner)
    if row["status"] != Status.COMPLETED:
        raise not_now(row, "it has no result")
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
    findings = [{"rule": one.rule, "blocks": one.blocks, "text": words_for(caller, one)} for one in found.findings]
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


def words_for(caller: Caller, finding: Finding) -> str:
    """Give the words of a finding; an owner gets them without the jobs of others and the names of processors."""
    if caller.reaches_all or finding.rule in _NAMES_NOBODY:
        return finding.text
    return _WITHOUT_NAMES.get(finding.rule, "Others come before it, perhaps.")


def not_now(row: lookup.Row, otherwise: str) -> Refused:
    """Say that the state of a job does not allow what was asked for."""
    return Refused(f"Job {row['id']} is {row['status']}, so {otherwise}.", f"See /api/v1/jobs/{row['id']}.")
