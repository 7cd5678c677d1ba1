"""`processors`: one row for each daemon incarnation. `job_types`: what people set for a type while processors run."""

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, CheckConstraint, Float, Index, Integer, Table, false, text
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base, check_instant, instant, stamped
from models.types import Identity, Instant, JsonText, LongText, Name


class Processor(Base):
    __tablename__ = "processors"

    id: Mapped[str] = mapped_column(Name, primary_key=True, comment="a new UUID at each start")
    name: Mapped[str] = mapped_column(Name, comment="as configured; may repeat, the id never does")
    host: Mapped[str] = mapped_column(Name, comment="the machine")
    pid: Mapped[int] = mapped_column(Integer, comment="process id on that machine")
    version: Mapped[str] = mapped_column(Name, comment="of jobtable")
    status: Mapped[str] = mapped_column(Name, server_default=text("'live'"), comment="live, draining, stopped or dead")
    types: Mapped[str] = mapped_column(JsonText, comment="JSON: the types it can run, with their rules")
    max_concurrent: Mapped[int] = mapped_column(Integer, comment="slots")
    lock_file: Mapped[str | None] = mapped_column(LongText, comment="held while it or its supervisor lives")
    beat_no: Mapped[int] = mapped_column(Identity, server_default=text("1"), comment="heartbeats so far")
    started_at: Mapped[datetime] = stamped("when it registered")
    beat_at: Mapped[datetime] = stamped("latest heartbeat")
    lease_until: Mapped[datetime] = mapped_column(Instant, comment="others may not touch its jobs before this")
    drain_requested: Mapped[bool] = mapped_column(server_default=false(), comment="anyone may set it: please end")
    ended_at: Mapped[datetime | None] = instant("when it stopped or was declared dead")
    ended_by: Mapped[str | None] = mapped_column(Name, comment="the processor that declared it dead, or itself")

    __table_args__: Any = (
        CheckConstraint("status IN ('live', 'draining', 'stopped', 'dead')", name="processors_status_is_known"),
        CheckConstraint("drain_requested IN (0, 1)", name="processors_drain_requested_is_true_or_false").ddl_if(
            dialect=("mysql", "mariadb", "sqlite")  # type: ignore[arg-type]
        ),
        Index("processors_by_status", "status"),
        {"comment": "one row for each start of a processor"},
    )


class JobType(Base):
    __tablename__ = "job_types"

    name: Mapped[str] = mapped_column(Name, primary_key=True, comment="the type")
    paused: Mapped[bool] = mapped_column(server_default=false(), comment="true: none of it is claimed")
    paused_until: Mapped[datetime | None] = instant("none of it is claimed before this instant")
    max_concurrent: Mapped[int | None] = mapped_column(BigInteger, comment="running at once across all processors")
    rate: Mapped[str | None] = mapped_column(Name, comment="starts in a time, for example 10/min")
    rate_log: Mapped[str | None] = mapped_column(LongText, comment="state of the rate: the latest starts")
    rate_free_at: Mapped[datetime | None] = instant("state of the rate: no start before this instant")
    rate_free_for: Mapped[str | None] = mapped_column(Name, comment="state of the rate: the rate it was found with")
    turns: Mapped[str | None] = mapped_column(LongText, comment="state of fair shares: whose turn was the latest")
    updated_at: Mapped[datetime] = stamped("latest change")

    __table_args__: Any = (
        CheckConstraint("max_concurrent >= 0", name="job_types_max_concurrent_is_not_negative"),
        {"comment": "what people set for a type while processors run; a type without a row has its defaults"},
    )


class Wakeup(Base):
    __tablename__ = "wakeups"

    channel: Mapped[str] = mapped_column(Name, primary_key=True, comment="on which a notice is sent")
    asleep: Mapped[bool] = mapped_column(server_default=false(), comment="true: a processor rests and wants a notice")

    __table_args__: Any = (
        {"comment": "PostgreSQL: who inserts a job sends a notice only while a processor is asleep"},
    )


class Schedule(Base):
    __tablename__ = "schedules"

    name: Mapped[str] = mapped_column(Name, primary_key=True, comment="the schedule")
    type: Mapped[str] = mapped_column(Name, comment="type of the jobs it makes")
    payload: Mapped[str] = mapped_column(JsonText, server_default=text("('{}')"), comment="their payload")
    priority: Mapped[int] = mapped_column(BigInteger, server_default=text("5"), comment="their priority")
    owner: Mapped[str | None] = mapped_column(Name, comment="their owner")
    subject: Mapped[str | None] = mapped_column(Name, comment="their subject; null: schedule:NAME")
    cron: Mapped[str | None] = mapped_column(Name, comment="five or six fields, or @daily")
    every_seconds: Mapped[float | None] = mapped_column(Float(53), comment="instead of cron")
    time_zone: Mapped[str] = mapped_column(Name, server_default=text("'UTC'"), comment="in which cron is read")
    jitter_seconds: Mapped[float] = mapped_column(Float(53), server_default=text("0"), comment="spread of the firings")
    catch_up: Mapped[str] = mapped_column(
        Name, server_default=text("'once'"), comment="firings that were missed: none, once or all"
    )
    catch_up_limit: Mapped[int] = mapped_column(Integer, server_default=text("100"), comment="all: so many at most")
    skip_if_running: Mapped[bool] = mapped_column(server_default=false(), comment="no job while the last one runs")
    paused: Mapped[bool] = mapped_column(server_default=false(), comment="true: does not fire")
    source: Mapped[str | None] = mapped_column(LongText, comment="the configuration it comes from; null: from a person")
    next_at: Mapped[datetime | None] = instant("next firing; null: to be planned")
    planned_at: Mapped[datetime | None] = instant("state: what the next firing is planned for, without its jitter")
    planned_for: Mapped[str | None] = mapped_column(LongText, comment="state: the timetable it was planned with")
    last_at: Mapped[datetime | None] = instant("latest firing")
    last_job_id: Mapped[int | None] = mapped_column(Identity, comment="the job it made")
    error: Mapped[str | None] = mapped_column(LongText, comment="why it does not fire, or made no job; processors say")
    updated_at: Mapped[datetime] = stamped("latest change by a person or a configuration")

    __table_args__: Any = (
        CheckConstraint("type <> ''", name="schedules_type_is_not_empty"),
        CheckConstraint("(cron IS NULL) <> (every_seconds IS NULL)", name="schedules_cron_or_every_seconds"),
        CheckConstraint("every_seconds > 0", name="schedules_every_seconds_is_positive"),
        CheckConstraint("catch_up IN ('none', 'once', 'all')", name="schedules_catch_up_is_known"),
        CheckConstraint("catch_up_limit BETWEEN 1 AND 1000", name="schedules_catch_up_limit_is_1_to_1000"),
        CheckConstraint("priority BETWEEN -32767 AND 32767", name="schedules_priority_is_within_32767"),
        Index("schedules_next", "next_at"),
        {"comment": "what makes jobs by the clock"},
    )


processors: Table = Processor.__table__  # type: ignore[assignment]
job_types: Table = JobType.__table__  # type: ignore[assignment]
wakeups: Table = Wakeup.__table__  # type: ignore[assignment]
schedules: Table = Schedule.__table__  # type: ignore[assignment]

for _column, _sort in (("max_concurrent", "integer"), ("rate", "text"), ("rate_log", "text"), ("turns", "text")):
    job_types.append_constraint(
        CheckConstraint(
            f"typeof({_column}) IN ('{_sort}', 'null')", name=f"job_types_{_column}_is_{_sort}_or_null"
        ).ddl_if(dialect="sqlite")
    )
check_instant(job_types, "paused_until")
check_instant(job_types, "rate_free_at")
for _column in ("next_at", "planned_at", "last_at", "updated_at"):
    check_instant(schedules, _column)
for _column in ("paused", "skip_if_running"):
    _truth = CheckConstraint(f"{_column} IN (0, 1)", name=f"schedules_{_column}_is_true_or_false")
    schedules.append_constraint(_truth.ddl_if(dialect=("mysql", "mariadb", "sqlite")))  # type: ignore[arg-type]
for _column, _sort in (("priority", "integer"), ("catch_up_limit", "integer"), ("name", "text"), ("type", "text")):
    schedules.append_constraint(
        CheckConstraint(f"typeof({_column}) = '{_sort}'", name=f"schedules_{_column}_is_{_sort}").ddl_if(
            dialect="sqlite"
        )
    )
schedules.append_constraint(
    CheckConstraint("typeof(payload) = 'text' AND json_valid(payload)", name="schedules_payload_is_json").ddl_if(
        dialect="sqlite"
    )
)
for _column in ("cron", "time_zone"):
    _brief = CheckConstraint(f"length({_column}) <= 200", name=f"schedules_{_column}_is_at_most_200_letters")
    schedules.append_constraint(_brief.ddl_if(dialect=("postgresql", "sqlite")))  # type: ignore[arg-type]
for _length, _dialects in (("length", ("postgresql", "sqlite")), ("char_length", ("mysql", "mariadb"))):
    _short = CheckConstraint(f"{_length}(name) BETWEEN 1 AND 100", name="schedules_name_has_1_to_100_letters")
    schedules.append_constraint(_short.ddl_if(dialect=_dialects))  # type: ignore[arg-type]
