"""What became of the work lately, and what waits."""

from pydantic import BaseModel, Field

from processor.api.shapes.fields import Instant, StatusName
from processor.api.shapes.jobs import JobSummary


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
