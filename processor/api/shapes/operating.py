"""Types, processors and schedules: what concerns everybody."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, StringConstraints

from processor.api.shapes.fields import SMALL, Given, Instant, Name, such_as


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
    model_config = such_as({"max_concurrent": 4, "rate": "10/min"})

    max_concurrent: int | None = Field(default=None, ge=0, le=1_000_000)
    rate: str | None = Field(default=None, max_length=50, description='such as 10/min, or "unlimited"')


class TypePause(Given):
    model_config = such_as({"seconds": 600})

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
    model_config = such_as({"type": "report.write", "cron": "0 6 * * 1-5", "time_zone": "Europe/Berlin"})

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
