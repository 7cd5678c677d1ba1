"""Jobs: as they are asked for, and as they are shown."""

from typing import Any, Literal

from pydantic import BaseModel, Field

from processor.api.shapes.fields import SMALL, Given, Instant, JobId, Moment, Name, Sought, StatusName, such_as


class NewJob(Given):
    model_config = such_as({"type": "mail.send", "payload": {"to": "ann"}, "key": "welcome:ann"})

    type: Name = Field(description="what sort of job; names the handler")
    payload: Any = Field(default_factory=dict, description="JSON for the handler")
    priority: int = Field(default=5, ge=-SMALL, le=SMALL, description="higher runs first")
    delay_seconds: float | None = Field(default=None, ge=0, le=1e9, allow_inf_nan=False, description="not before")
    run_at: Moment | None = Field(default=None, description="not before this instant")
    expires_at: Moment | None = Field(default=None, description="too late to start after this instant")
    owner: Name | None = Field(default=None, description="whom it belongs to; a token with an owner gives its own")
    key: Name | None = Field(default=None, description="your identity for the work: an equal one is not done twice")
    subject: Name | None = Field(default=None, description="what it is about, such as chapter:123")
    concurrency_key: Name | None = Field(default=None, description="lane: those of a lane run one at a time")
    max_attempts: int | None = Field(default=None, ge=1, le=SMALL)
    timeout_seconds: float | None = Field(default=None, gt=0, le=1e9, allow_inf_nan=False)
    parent_id: JobId | None = Field(default=None, description="the job that waits for this one")
    fail_on: str | None = Field(default=None, pattern="^(any|all|[1-9][0-9]{0,8})$")
    on_complete: Name | None = Field(default=None, description="type of the job that follows when it completes")
    on_failure: Name | None = Field(default=None, description="type of the job that follows when it fails")
    trace_parent: Name | None = Field(default=None, description="W3C traceparent of the producer")


class Batch(Given):
    model_config = such_as({"jobs": [{"type": "page.draw", "payload": {"page": page}} for page in (1, 2)]})

    jobs: list[NewJob] = Field(min_length=1, max_length=1_000, description="all are made, or none")
    parent: NewJob | None = Field(
        default=None, description="a job that waits for all of them and ends with their results, such as of type batch"
    )


class JobChange(Given):
    model_config = such_as({"priority": 9})

    priority: int = Field(ge=-SMALL, le=SMALL, description="higher runs first")


class Cleanup(Given):
    model_config = such_as({"which": "completed", "older_than_seconds": 604_800, "dry_run": True})

    which: Literal["completed", "failed", "all"] = Field(description="finished jobs: cancelled ones are of `all`")
    type: Name | None = None
    subject: Name | None = None
    older_than_seconds: float | None = Field(default=None, ge=0, le=1e10, allow_inf_nan=False)
    dry_run: bool = Field(default=False, description="count only")


class Bulk(Given):
    model_config = such_as({"verb": "retry", "statuses": ["failed"], "types": ["mail.send"], "dry_run": True})

    verb: Literal["cancel", "pause", "resume", "retry", "run-now", "delete"]
    statuses: list[StatusName] = Field(default_factory=list, max_length=8)
    types: list[Name] = Field(default_factory=list, max_length=100)
    owner: Name | None = None
    subject: Name | None = None
    key: Name | None = None
    text: Sought | None = Field(default=None, description="part of a name or an error")
    parent: JobId | None = None
    created_after: Moment | None = None
    created_before: Moment | None = None
    dry_run: bool = Field(default=False, description="count only")


class Steered(BaseModel):
    jobs: int = Field(description="how many were changed, or would be")
    dry_run: bool


class JobSummary(BaseModel):
    id: int
    type: str
    status: StatusName
    reason: str | None
    priority: int
    owner: str | None
    subject: str | None
    key: str | None
    attempt: int
    progress: float | None
    progress_message: str | None
    created_at: Instant
    run_at: Instant | None
    started_at: Instant | None
    finished_at: Instant | None
    seconds: float | None = Field(description="how long the latest attempt ran, or has been running")
    error_type: str | None
    error_message: str | None


class Job(JobSummary):
    payload: Any
    result: Any
    error_detail: str | None
    concurrency_key: str | None
    max_attempts: int | None
    timeout_seconds: float | None
    expires_at: Instant | None
    parent_id: int | None
    fail_on: str | None
    on_complete: str | None
    on_failure: str | None
    trace_parent: str | None
    cancel_requested: bool
    crashes: int
    processor_id: str | None
    claim_no: int | None
    duplicate_of: int | None
    cpu_seconds: float | None
    max_rss_bytes: int | None
    event_no: int = Field(description="number of the latest event")
    children: dict[str, int] = Field(description="children by status")


class Jobs(BaseModel):
    items: list[JobSummary]
    next: str | None = Field(description="cursor of the next page; null: this was the last one")


class Made(BaseModel):
    id: int
    new: bool = Field(description="false: a job of the same work was there already")


class ManyMade(BaseModel):
    parent: int | None = Field(description="the job that waits for them, where one was given")
    jobs: list[Made] = Field(description="in the order given; empty where they have a parent: list them by it")


class Deleted(BaseModel):
    jobs: int = Field(description="how many were deleted, or would be")
    dry_run: bool


class JobError(BaseModel):
    attempt: int
    processor_id: str | None
    reason: str | None
    error_type: str | None
    error_message: str | None
    error_detail: str | None
    seconds: float | None
    created_at: Instant


class JobErrors(BaseModel):
    items: list[JobError]


class Finding(BaseModel):
    rule: str
    blocks: bool
    text: str


class Explanation(BaseModel):
    job: int
    type: str
    status: StatusName
    reason: str | None
    runnable: bool
    findings: list[Finding]
