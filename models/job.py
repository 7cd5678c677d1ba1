"""`jobs`: the table is the queue. A producer needs only `type`; every other column has a default in the database.

What belongs to a job's type stays NULL here and is resolved at claim: row, else type, else global setting.
"""

from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Float,
    ForeignKeyConstraint,
    Index,
    Integer,
    Table,
    UniqueConstraint,
    false,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base, check_instant, identity, instant, stamped
from models.types import NAME_LENGTH, Identity, JsonText, LongText, Name, now

STATUSES = ("pending", "scheduled", "waiting", "paused", "running", "completed", "failed", "cancelled")
PRIORITY_LIMIT = 32767

WITH_PARTIAL_INDEXES = ("postgresql", "sqlite")
WITHOUT_PARTIAL_INDEXES = ("mysql", "mariadb")
WITHOUT_BOOLEANS = ("mysql", "mariadb", "sqlite")
WITHOUT_LENGTHS = ("postgresql", "sqlite")
"""PostgreSQL could limit a text by its type, but then its refusal does not name the column; nor does "out of range"
for an integer, wherefore what a producer writes is a bigint with a constraint."""


IS_WHOLE_NUMBER = {
    ("postgresql",): "fail_on ~ '^[1-9][0-9]{0,8}$'",
    WITHOUT_PARTIAL_INDEXES: "fail_on REGEXP '^[1-9][0-9]{0,8}$'",
    ("sqlite",): "(fail_on GLOB '[1-9]*' AND fail_on NOT GLOB '*[^0-9]*' AND length(fail_on) <= 9)",
}


class Job(Base):
    __tablename__ = "jobs"

    id: Mapped[int] = identity("number of the job, in order of insertion")
    type: Mapped[str] = mapped_column(Name, comment="what sort of job; names the handler and its limits")
    payload: Mapped[str] = mapped_column(JsonText, server_default=text("('{}')"), comment="JSON for the handler")
    status: Mapped[str] = mapped_column(Name, server_default=text("'pending'"), comment="where the job is")
    reason: Mapped[str | None] = mapped_column(Name, comment="why, where the status alone does not say it")
    priority: Mapped[int] = mapped_column(BigInteger, server_default=text("5"), comment="higher runs first")
    run_at: Mapped[datetime | None] = instant("not before this instant; null: now")
    owner: Mapped[str | None] = mapped_column(Name, comment="whom the job belongs to")
    key: Mapped[str | None] = mapped_column(Name, comment="the caller's identity for the work, for duplicates")
    subject: Mapped[str | None] = mapped_column(Name, comment="what the job is about, for example chapter:123")
    concurrency_key: Mapped[str | None] = mapped_column(Name, comment="lane: at most one of a lane runs")
    max_attempts: Mapped[int | None] = mapped_column(BigInteger, comment="null: as the type says")
    timeout_seconds: Mapped[float | None] = mapped_column(Float(53), comment="null: as the type says")
    expires_at: Mapped[datetime | None] = instant("too late to start after this instant")
    parent_id: Mapped[int | None] = mapped_column(Identity, comment="the job that waits for this one")
    fail_on: Mapped[str | None] = mapped_column(Name, comment="how many failed children fail it: any, all or a number")
    on_complete: Mapped[str | None] = mapped_column(Name, comment="type of the job that follows when it completes")
    on_failure: Mapped[str | None] = mapped_column(Name, comment="type of the job that follows when it fails")
    trace_parent: Mapped[str | None] = mapped_column(Name, comment="W3C traceparent of the producer")
    cancel_requested: Mapped[bool] = mapped_column(server_default=false(), comment="anyone may set it: please stop")
    attempt: Mapped[int] = mapped_column(Integer, server_default=text("0"), comment="number of the latest try")
    crashes: Mapped[int] = mapped_column(
        Integer, server_default=text("0"), comment="tries in a row that took their process down"
    )
    processor_id: Mapped[str | None] = mapped_column(Name, comment="the fence: who claimed it; kept after the end")
    claim_no: Mapped[int | None] = mapped_column(Identity, comment="the fence: which claim; kept after the end")
    created_at: Mapped[datetime] = stamped("when the row was inserted")
    started_at: Mapped[datetime | None] = instant("when the latest try was claimed")
    finished_at: Mapped[datetime | None] = instant("when the final state was written")
    progress: Mapped[float | None] = mapped_column(Float(53), comment="0 to 100, as the handler tells")
    progress_message: Mapped[str | None] = mapped_column(LongText, comment="as the handler tells")
    result: Mapped[str | None] = mapped_column(JsonText, comment="JSON that the handler returned")
    error_type: Mapped[str | None] = mapped_column(LongText, comment="of the latest failed try")
    error_message: Mapped[str | None] = mapped_column(LongText, comment="of the latest failed try")
    error_detail: Mapped[str | None] = mapped_column(LongText, comment="stack or output of the latest failed try")
    duplicate_of: Mapped[int | None] = mapped_column(Identity, comment="the equal job whose result this one has")
    cpu_seconds: Mapped[float | None] = mapped_column(Float(53), comment="of the latest try and its children")
    max_rss_bytes: Mapped[int | None] = mapped_column(Identity, comment="largest process of the latest try")
    event_no: Mapped[int] = mapped_column(Identity, server_default=text("0"), comment="number of the latest event")

    __table_args__: Any = (
        CheckConstraint(f"status IN {STATUSES}", name="jobs_status_is_known"),
        CheckConstraint("type <> ''", name="jobs_type_is_not_empty"),
        CheckConstraint("on_complete <> ''", name="jobs_on_complete_is_not_empty"),
        CheckConstraint("on_failure <> ''", name="jobs_on_failure_is_not_empty"),
        CheckConstraint(
            "char_length(type) = char_length(rtrim(type))", name="jobs_type_has_no_space_at_its_end"
        ).ddl_if(dialect=WITHOUT_PARTIAL_INDEXES),  # type: ignore[arg-type]  # there it compares equal without
        *(
            CheckConstraint(
                f"char_length({quoted}) = char_length(rtrim({quoted}))",
                name=f"jobs_{quoted.strip('`')}_has_no_space_at_its_end",
            ).ddl_if(dialect=WITHOUT_PARTIAL_INDEXES)  # type: ignore[arg-type]
            for quoted in ("owner", "`key`", "concurrency_key", "fail_on", "on_complete", "on_failure")
        ),
        CheckConstraint(
            f"priority BETWEEN -{PRIORITY_LIMIT} AND {PRIORITY_LIMIT}", name="jobs_priority_is_within_32767"
        ),
        CheckConstraint("max_attempts BETWEEN 1 AND 32767", name="jobs_max_attempts_is_1_to_32767"),
        CheckConstraint(
            "timeout_seconds > 0 AND timeout_seconds <= 1000000000", name="jobs_timeout_seconds_is_positive"
        ),
        CheckConstraint("attempt BETWEEN 0 AND 32767", name="jobs_attempt_is_0_to_32767"),
        CheckConstraint("crashes BETWEEN 0 AND 32767", name="jobs_crashes_is_0_to_32767"),
        CheckConstraint("parent_id <> id", name="jobs_parent_id_is_another_job").ddl_if(
            dialect=("postgresql", "sqlite")  # type: ignore[arg-type]  # MariaDB has no check of a number it gives
        ),
        *(
            CheckConstraint(
                f"fail_on IN ('any', 'all') OR {is_number}", name="jobs_fail_on_is_any_all_or_a_number"
            ).ddl_if(dialect=dialects)  # type: ignore[arg-type]
            for dialects, is_number in IS_WHOLE_NUMBER.items()
        ),
        CheckConstraint(
            "status <> 'running' OR (processor_id IS NOT NULL AND claim_no IS NOT NULL)",
            name="jobs_running_has_a_claim",
        ),
        CheckConstraint("cancel_requested IN (0, 1)", name="jobs_cancel_requested_is_true_or_false").ddl_if(
            dialect=WITHOUT_BOOLEANS  # type: ignore[arg-type]
        ),
        {
            "comment": "jobtable: the table is the queue; insert a row with a type to have it run",
            "sqlite_autoincrement": True,  # no id comes twice: what is left of a deleted job belongs to no other
        },
    )


jobs: Table = Job.__table__  # type: ignore[assignment]


for _column in ("run_at", "expires_at", "created_at", "started_at", "finished_at"):
    check_instant(jobs, _column)
_GIVEN_NAMES = (
    "type",
    "owner",
    "key",
    "subject",
    "concurrency_key",
    "fail_on",
    "on_complete",
    "on_failure",
    "trace_parent",
)
for _column in _GIVEN_NAMES:
    jobs.append_constraint(
        CheckConstraint(f"typeof({_column}) IN ('text', 'null')", name=f"jobs_{_column}_is_text").ddl_if(
            dialect="sqlite"
        )
    )
for _column in _GIVEN_NAMES:
    jobs.append_constraint(
        CheckConstraint(f"length({_column}) <= {NAME_LENGTH}", name=f"jobs_{_column}_is_at_most_200_letters").ddl_if(
            dialect=WITHOUT_LENGTHS  # type: ignore[arg-type]
        )
    )
for _column in ("priority", "attempt", "crashes", "max_attempts", "parent_id"):
    jobs.append_constraint(
        CheckConstraint(f"typeof({_column}) IN ('integer', 'null')", name=f"jobs_{_column}_is_a_whole_number").ddl_if(
            dialect="sqlite"
        )
    )
for _column in ("payload", "result"):
    jobs.append_constraint(
        CheckConstraint(f"{_column} IS NULL OR json_valid({_column})", name=f"jobs_{_column}_is_json").ddl_if(
            dialect="sqlite"
        )
    )


def _active(
    name: str, columns: tuple[Any, ...], where: str, *, everywhere: bool = True, on_sqlite: str | None = None
) -> None:
    """Index the active rows only; where a database has no partial index, lead with the status instead.

    `on_sqlite`: the words by which SQLite proves the index, where it says the condition otherwise. `everywhere=False`
    leaves a database that has none without it: another index with the same beginning serves there.
    """
    Index(name, *columns, postgresql_where=text(where), sqlite_where=text(on_sqlite or where)).ddl_if(
        dialect=WITH_PARTIAL_INDEXES  # type: ignore[arg-type]
    )
    if everywhere:
        Index(name, jobs.c.status, *columns).ddl_if(dialect=WITHOUT_PARTIAL_INDEXES)  # type: ignore[arg-type]


_active("jobs_due", (jobs.c.type, jobs.c.priority.desc(), jobs.c.created_at, jobs.c.id), "status = 'pending'")
_active("jobs_pending_ahead", (jobs.c.run_at,), "status = 'pending' AND run_at IS NOT NULL", everywhere=False)
_active("jobs_scheduled", (jobs.c.run_at,), "status = 'scheduled'")
_active("jobs_running", (jobs.c.processor_id, jobs.c.id), "status = 'running'")
_active(
    "jobs_lane",
    (jobs.c.type, jobs.c.concurrency_key, jobs.c.priority.desc(), jobs.c.created_at, jobs.c.id),
    "concurrency_key IS NOT NULL AND status IN ('pending', 'waiting')",
)
_active(
    "jobs_results",
    (jobs.c.type, jobs.c.key, jobs.c.finished_at),
    "key IS NOT NULL AND status = 'completed' AND duplicate_of IS NULL",
    everywhere=False,
)
_active(
    "jobs_waiting_alone",
    (jobs.c.type, jobs.c.id),
    "status = 'waiting' AND duplicate_of IS NULL AND concurrency_key IS NULL",
    everywhere=False,
)
_active("jobs_parents", (jobs.c.id,), "status = 'waiting' AND reason = 'children'", everywhere=False)
_active("jobs_waiting_for", (jobs.c.duplicate_of, jobs.c.id), "status = 'waiting'")
_active("jobs_paused", (jobs.c.type,), "status = 'paused'", everywhere=False)
_active(
    "jobs_cancel_requested",
    (jobs.c.cancel_requested, jobs.c.id),
    "cancel_requested AND status IN ('pending', 'scheduled', 'waiting', 'paused')",
    on_sqlite="cancel_requested = 1 AND status IN ('pending', 'scheduled', 'waiting', 'paused')",
)
_active(
    "jobs_finished",
    (jobs.c.status, jobs.c.finished_at, jobs.c.id),
    "status IN ('completed', 'failed', 'cancelled')",
    everywhere=False,
)
Index("jobs_finished", jobs.c.status, jobs.c.finished_at, jobs.c.id).ddl_if(
    dialect=WITHOUT_PARTIAL_INDEXES  # type: ignore[arg-type]
)

Index(
    "jobs_key",
    jobs.c.type,
    jobs.c.key,
    jobs.c.status,
    jobs.c.finished_at,
    postgresql_where=text("key IS NOT NULL"),
    sqlite_where=text("key IS NOT NULL"),
)
Index(
    "jobs_subject",
    jobs.c.subject,
    jobs.c.id,
    postgresql_where=text("subject IS NOT NULL"),
    sqlite_where=text("subject IS NOT NULL"),
)
Index(
    "jobs_parent",
    jobs.c.parent_id,
    jobs.c.status,
    jobs.c.id,
    postgresql_where=text("parent_id IS NOT NULL"),
    sqlite_where=text("parent_id IS NOT NULL"),
)
Index(
    "jobs_owner",
    jobs.c.owner,
    jobs.c.id,
    postgresql_where=text("owner IS NOT NULL"),
    sqlite_where=text("owner IS NOT NULL"),
)


class JobEvent(Base):
    __tablename__ = "job_events"

    id: Mapped[int] = identity("number of the event among those of all jobs")
    job_id: Mapped[int] = mapped_column(Identity, comment="the job")
    number: Mapped[int] = mapped_column(Identity, comment="1, 2, 3 … within the job, without gaps")
    attempt: Mapped[int] = mapped_column(Integer, comment="the try that said it; of a state: jobs.attempt since then")
    kind: Mapped[str] = mapped_column(Name, comment="progress, log, output or state")
    level: Mapped[str | None] = mapped_column(
        Name, comment="of a log line: debug to error, stdout or stderr; of a state: the status"
    )
    percent: Mapped[float | None] = mapped_column(Float(53), comment="of a progress")
    text: Mapped[str | None] = mapped_column(LongText, comment="what was said; of a state: the reason")
    created_at: Mapped[datetime] = stamped("when it was stored")

    __table_args__: Any = (
        ForeignKeyConstraint(["job_id"], ["jobs.id"], name="job_events_job", ondelete="CASCADE"),
        UniqueConstraint("job_id", "number", name="job_events_number"),
        {
            "comment": "what a job told while it ran, and each change of its status, replayable in order",
            "sqlite_autoincrement": True,  # no id comes twice: who has read up to one misses none
        },
    )


class JobError(Base):
    __tablename__ = "job_errors"

    id: Mapped[int] = identity("number of the error")
    job_id: Mapped[int] = mapped_column(Identity, comment="the job")
    attempt: Mapped[int] = mapped_column(Integer, comment="the try that failed")
    processor_id: Mapped[str | None] = mapped_column(Name, comment="who ran it")
    reason: Mapped[str] = mapped_column(Name, comment="as in jobs.reason")
    error_type: Mapped[str | None] = mapped_column(LongText, comment="class of the exception, or exit code")
    error_message: Mapped[str | None] = mapped_column(LongText, comment="one sentence")
    error_detail: Mapped[str | None] = mapped_column(LongText, comment="stack or output")
    seconds: Mapped[float | None] = mapped_column(Float(53), comment="how long the try ran")
    created_at: Mapped[datetime] = stamped("when it was stored")

    __table_args__: Any = (
        ForeignKeyConstraint(["job_id"], ["jobs.id"], name="job_errors_job", ondelete="CASCADE"),
        Index("job_errors_by_job", "job_id", "id"),
        {"comment": "one row for each failed try of a job"},
    )


class Notification(Base):
    __tablename__ = "notifications"

    id: Mapped[int] = identity("number of the notification")
    job_id: Mapped[int] = mapped_column(Identity, comment="the job that ended")
    type: Mapped[str] = mapped_column(Name, comment="its type")
    owner: Mapped[str | None] = mapped_column(Name, comment="whom it is addressed to")
    subject: Mapped[str | None] = mapped_column(Name, comment="what the job was about")
    status: Mapped[str] = mapped_column(Name, comment="completed, failed or cancelled")
    reason: Mapped[str | None] = mapped_column(Name, comment="as in jobs.reason")
    message: Mapped[str | None] = mapped_column(LongText, comment="one sentence for people")
    created_at: Mapped[datetime] = stamped("when the job ended")
    read_at: Mapped[datetime | None] = instant("when somebody marked it as read")

    __table_args__: Any = (
        ForeignKeyConstraint(["job_id"], ["jobs.id"], name="notifications_job", ondelete="CASCADE"),
        Index("notifications_by_job", "job_id", "read_at"),
        Index("notifications_by_owner", "owner", "id"),
        {
            "comment": "one row for each final state, written in the same transaction",
            "sqlite_autoincrement": True,  # no id comes twice: who has read up to one misses none
        },
    )


job_events: Table = JobEvent.__table__  # type: ignore[assignment]
job_errors: Table = JobError.__table__  # type: ignore[assignment]
notifications: Table = Notification.__table__  # type: ignore[assignment]
Index(
    "notifications_unread",
    notifications.c.id,
    postgresql_where=text("read_at IS NULL"),
    sqlite_where=text("read_at IS NULL"),
).ddl_if(dialect=WITH_PARTIAL_INDEXES)  # type: ignore[arg-type]
Index("notifications_unread", notifications.c.read_at, notifications.c.id).ddl_if(
    dialect=WITHOUT_PARTIAL_INDEXES  # type: ignore[arg-type]
)

__all__ = ["Job", "JobError", "JobEvent", "Notification", "job_errors", "job_events", "jobs", "notifications", "now"]
