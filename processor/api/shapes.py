"""What goes in and comes out, as the description of the API shows it."""

from datetime import UTC, datetime
from typing import Annotated, Any, Literal, get_args

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
)

from models.types import NAME_LENGTH

Row = dict[str, Any]
LARGEST = 2**53 - 1
"""The largest number that every reader of JSON keeps; no table has as many rows."""
SMALL = 32_767
JobId = Annotated[int, Field(ge=1, le=LARGEST, description="number of the job")]


def _storable(text: str) -> str:
    if "\0" in text or any("\ud800" <= letter <= "\udfff" for letter in text):
        raise ValueError("it has a letter that no database keeps (NUL, or half of a surrogate)")
    return text


Name = Annotated[
    str,
    StringConstraints(min_length=1, max_length=NAME_LENGTH, pattern=r"^[^\x00]*[^\x00 ]$"),
    AfterValidator(_storable),
]
"""As the columns have it: no NUL, and no space at its end, which MariaDB would compare as if it were not there."""
Sought = Annotated[
    str, StringConstraints(min_length=1, max_length=200, pattern=r"^[^\x00]*$"), AfterValidator(_storable)
]
"""Part of a name or an error. SQLite would read it up to a NUL alone, and find all rows."""
Instant = Annotated[datetime, BeforeValidator(lambda value: value.replace(tzinfo=UTC) if _is_naive(value) else value)]
StatusName = Literal["pending", "scheduled", "waiting", "paused", "running", "completed", "failed", "cancelled"]
EventKind = Literal["state", "log", "output", "progress"]


def _is_naive(value: Any) -> bool:
    return isinstance(value, datetime) and value.tzinfo is None


def no_number(value: Any) -> Any:
    """Refuse a number of seconds where an instant is wanted."""
    if isinstance(value, str) and value.replace(".", "").replace("-", "").isdigit():
        raise ValueError("expected an instant such as 2026-01-31T08:00:00Z")
    return value


def in_utc(value: datetime) -> datetime:
    """Give an instant in UTC; at the ends of the calendar there is none."""
    try:
        return value.astimezone(UTC)
    except OverflowError:
        raise ValueError("expected an instant within the years 1 to 9999 in UTC") from None


def _a_text(value: Any) -> Any:
    if not isinstance(value, str):
        raise ValueError("expected a text such as 2026-01-31T08:00:00Z")
    return value


Moment = Annotated[
    AwareDatetime,
    BeforeValidator(_a_text),
    AfterValidator(in_utc),
    WithJsonSchema({"type": "string", "format": "date-time", "pattern": "^(19[7-9][0-9]|[2-9][0-9]{3})-"}),
]
"""The table keeps instants from 1970 on."""


class Given(BaseModel):
    """What a request gives: nothing but these fields."""

    model_config = ConfigDict(extra="forbid")

    @field_validator("*", mode="before")
    @classmethod
    def _of_its_kind(cls, value: Any, info: ValidationInfo) -> Any:
        """Refuse what would be read as something else: texts and truths as numbers, numbers as truths."""
        assert info.field_name is not None
        annotation = cls.model_fields[info.field_name].annotation
        kinds = {annotation, *get_args(annotation)}
        if kinds & {int, float} and isinstance(value, bool | str):
            raise ValueError("expected a number")
        if bool in kinds and not isinstance(value, bool):
            raise ValueError("expected true or false")
        return value


def _such_as(*examples: Row) -> ConfigDict:
    return ConfigDict(json_schema_extra={"examples": list(examples)})


class NewJob(Given):
    model_config = _such_as({"type": "mail.send", "payload": {"to": "ann"}, "key": "welcome:ann"})

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
    model_config = _such_as({"jobs": [{"type": "page.draw", "payload": {"page": page}} for page in (1, 2)]})

    jobs: list[NewJob] = Field(min_length=1, max_length=1_000, description="all are made, or none")
    parent: NewJob | None = Field(
        default=None, description="a job that waits for all of them and ends with their results, such as of type batch"
    )


class JobChange(Given):
    model_config = _such_as({"priority": 9})

    priority: int = Field(ge=-SMALL, le=SMALL, description="higher runs first")


class Cleanup(Given):
    model_config = _such_as({"which": "completed", "older_than_seconds": 604_800, "dry_run": True})

    which: Literal["completed", "failed", "all"] = Field(description="finished jobs: cancelled ones are of `all`")
    type: Name | None = None
    subject: Name | None = None
    older_than_seconds: float | None = Field(default=None, ge=0, le=1e10, allow_inf_nan=False)
    dry_run: bool = Field(default=False, description="count only")


class Bulk(Given):
    model_config = _such_as({"verb": "retry", "statuses": ["failed"], "types": ["mail.send"], "dry_run": True})

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


class JobEvent(BaseModel):
    number: int
    attempt: int
    kind: str
    level: str | None
    percent: float | None
    text: str | None
    created_at: Instant


class Change(JobEvent):
    id: int = Field(description="number of the event among those of all jobs")
    job_id: int
    type: str
    owner: str | None


class Changes(BaseModel):
    items: list[Change]
    next: int | None = Field(description="give it as `after`; null: the end of the table is not known yet, ask again")


class JobEvents(BaseModel):
    items: list[JobEvent]
    next: int | None = Field(description="give it as `after`; null: these are the latest")


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


class Notification(BaseModel):
    id: int
    job_id: int
    type: str
    owner: str | None
    subject: str | None
    status: str
    reason: str | None
    message: str | None
    created_at: Instant
    read_at: Instant | None


class Notifications(BaseModel):
    items: list[Notification]
    next: str | None


class MarkedRead(BaseModel):
    marked: int = Field(description="how many were unread")


class Type(BaseModel):
    name: str
    configured: bool = Field(description="in the configuration of this server")
    handled: bool = Field(description="a living processor runs it")
    paused: bool
    paused_until: Instant | None
    max_concurrent: int | None = Field(description="running at once, on all processors")
    rate: str | None = Field(description="so many starts in a time, such as 10/min")
    queue_limit: int | None = Field(description="so many may wait until a new one is refused")


class Types(BaseModel):
    items: list[Type]


class TypeChange(Given):
    model_config = _such_as({"max_concurrent": 4, "rate": "10/min"})

    max_concurrent: int | None = Field(default=None, ge=0, le=1_000_000)
    rate: str | None = Field(default=None, max_length=50, description='such as 10/min, or "unlimited"')


class TypePause(Given):
    model_config = _such_as({"seconds": 600})

    seconds: float | None = Field(default=None, gt=0, le=1e9, allow_inf_nan=False, description="null: until resumed")


class Processor(BaseModel):
    id: str
    name: str
    host: str
    pid: int
    version: str
    status: str
    types: list[str]
    max_concurrent: int
    running: int
    started_at: Instant
    beat_at: Instant
    beat_age_seconds: float
    lease_over: bool
    ended_at: Instant | None
    ended_by: str | None


class Processors(BaseModel):
    items: list[Processor]


PlainName = Annotated[str, StringConstraints(pattern="^[A-Za-z0-9][A-Za-z0-9_.:-]{0,99}$")]


class ScheduleChange(Given):
    model_config = _such_as({"type": "report.write", "cron": "0 6 * * 1-5", "time_zone": "Europe/Berlin"})

    type: Name | None = Field(default=None, description="type of the jobs it makes")
    payload: Any = None
    priority: int = Field(default=5, ge=-SMALL, le=SMALL)
    owner: Name | None = None
    subject: Name | None = None
    cron: Name | None = Field(default=None, description="five fields, six with seconds in front, or @daily")
    every_seconds: float | None = Field(default=None, gt=0, le=1e9, allow_inf_nan=False, description="instead of cron")
    time_zone: Name = "UTC"
    jitter_seconds: float = Field(default=0, ge=0, le=1e6, allow_inf_nan=False)
    catch_up: Literal["none", "once", "all"] = "once"
    catch_up_limit: int = Field(default=100, ge=1, le=1000)
    skip_if_running: bool = False


class Schedule(BaseModel):
    name: str
    type: str
    payload: Any
    priority: int
    owner: str | None
    subject: str | None
    cron: str | None
    every_seconds: float | None
    time_zone: str
    jitter_seconds: float
    catch_up: str
    catch_up_limit: int
    skip_if_running: bool
    paused: bool
    source: str | None = Field(description="the configuration it comes from; null: from a person")
    next_at: Instant | None
    upcoming: list[Instant] = Field(description="the next firings, as far as they are planned")
    last_at: Instant | None
    last_job_id: int | None
    last_job_status: str | None
    error: str | None


class Schedules(BaseModel):
    items: list[Schedule]


class Session(BaseModel):
    """Who asks, and what they may."""

    owner: str | None = Field(description="whose jobs are reached; null: all owners")
    all_owners: bool
    scopes: list[str]
    csrf: str | None = Field(description="what requests with the cookie that change something carry as X-CSRF-Token")
    is_open: bool = Field(description="there is no token yet: everybody on this machine may do everything")
    read_only: bool = Field(description="this server changes nothing")
    expires_at: Instant | None = Field(description="when the session ends")


class Ticket(BaseModel):
    """What opens one WebSocket, once."""

    ticket: str = Field(description="sent as the subprotocol `ticket.TICKET`")
    expires_at: Instant


class NewWebhook(Given):
    model_config = _such_as(
        {"url": "https://example.org/hook", "type": "mail.send", "outcome": "failed", "name": "the shop"}
    )

    url: str = Field(
        min_length=1, max_length=2000, pattern="^https?://", description="a public address; redirects are not followed"
    )
    owner: Name | None = Field(
        default=None, description="of whose jobs it tells; null: of all, which needs `admin`; a token gives its own"
    )
    type: Name | None = Field(default=None, description="of which type it tells; null: of all")
    outcome: Literal["any", "completed", "failed", "cancelled"] = Field(
        default="any", description="of which end it tells"
    )
    with_result: bool = Field(default=False, description="tell what the handler returned, up to 64 KiB")
    name: Name | None = Field(default=None, description="what it is for")


class WebhookChange(Given):
    """What is given is changed, and nothing else."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"url": "https://example.org/new", "outcome": "any"}]}
    )

    url: str = Field(
        default_factory=str,
        min_length=1,
        max_length=2000,
        pattern="^https?://",
        description="what waits goes here, too",
    )
    type: Name | None = Field(default=None, description="of which type it tells; null: of all")
    outcome: Literal["any", "completed", "failed", "cancelled"] = Field(
        default_factory=lambda: "any", description="of which end it tells"
    )
    with_result: bool = Field(default_factory=bool, description="tell what the handler returned, up to 64 KiB")
    name: Name | None = Field(default=None, description="what it is for")


class WebhookRotation(Given):
    model_config = _such_as({"keep_seconds": 3600})

    keep_seconds: float = Field(
        default=86_400, ge=0, le=1e9, allow_inf_nan=False, description="for so long the former secret signs, too"
    )


class Webhook(BaseModel):
    id: str
    name: str | None
    owner: str | None = Field(description="of whose jobs it tells; null: of all")
    type: str | None = Field(description="of which type it tells; null: of all")
    outcome: str
    url: str
    with_result: bool
    created_at: Instant
    failures: int = Field(description="tries in a row that failed")
    held_until: Instant | None = Field(description="after a failed try nothing is tried before this")
    paused_at: Instant | None
    paused_reason: str | None = Field(description="asked, or gone: the address answered 410")
    former_secret_until: Instant | None = Field(description="until when two secrets sign")
    last_job_id: int | None = Field(description="the latest delivery")
    last_job_status: str | None


class WebhookMade(Webhook):
    secret: str = Field(description="signs what is sent, after the Standard Webhooks convention; shown this once")


class Webhooks(BaseModel):
    items: list[Webhook]


class Spread(BaseModel):
    p50: float
    p95: float
    p99: float


class Times(BaseModel):
    ran: Spread | None = Field(description="seconds that the latest tries took")
    waited: Spread | None = Field(description="seconds between being due and the start")


class Bucket(BaseModel):
    begins_at: Instant
    finished: int
    failed: int = Field(description="of these")


class Statistics(BaseModel):
    seconds: float = Field(description="the window, which ends now")
    counts: dict[str, dict[str, int]] = Field(
        description="by type and status: all that have not ended, and those that ended in the window"
    )
    finished: dict[str, int] = Field(description="by status, in the window")
    success_rate: float | None = Field(description="share of completed in completed and failed")
    times: Times
    times_of: dict[str, Times]
    sampled: bool = Field(description="more jobs finished than times were read of")
    bucket_seconds: int
    buckets: list[Bucket]
    recent: list[JobSummary]


class Waiting(BaseModel):
    """Jobs of one type that wait in one state for one reason."""

    type: str
    status: StatusName
    reason: str | None
    jobs: int
    oldest: int = Field(description="number of the oldest of them")
    since: Instant
    why: list[str] | None = Field(description="what keeps the oldest; null: ask of the job")


class Backlog(BaseModel):
    items: list[Waiting]
