"""What jobs tell, and what owners are told."""

from pydantic import BaseModel, Field

from processor.api.shapes.fields import Instant


class JobEvent(BaseModel):
    number: int
    attempt: int
    kind: str
    level: str | None
    percent: float | None
    text: str | None
    created_at: Instant


class JobEvents(BaseModel):
    items: list[JobEvent]
    next: int | None = Field(description="give it as `after`; null: these are the latest")


class Change(JobEvent):
    id: int = Field(description="number of the event among those of all jobs")
    job_id: int
    type: str
    owner: str | None


class Changes(BaseModel):
    items: list[Change]
    next: int | None = Field(description="give it as `after`; null: the end of the table is not known yet, ask again")


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
