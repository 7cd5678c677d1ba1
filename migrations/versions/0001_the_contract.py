"""The whole contract: jobs and what is told of them, processors, types, schedules, tokens, webhooks.

Lanes, duplicates, batches, schedules and tokens have their columns and tables from the start, so that producers can
be written against the contract once.
"""

import sqlalchemy as sa
from alembic import op

from models.types import Identity, Instant, JsonText, LongText, Name, now

revision = "0001"
down_revision = None

TABLES = (
    "api_tokens",
    "api_sessions",
    "webhooks",
    "job_types",
    "jobs",
    "processors",
    "wakeups",
    "schedules",
    "job_errors",
    "job_events",
    "notifications",
)


GIVEN_NAMES = (
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
IS_WHOLE_NUMBER = {
    ("postgresql",): "fail_on ~ '^[1-9][0-9]{0,8}$'",
    ("mysql", "mariadb"): "fail_on REGEXP '^[1-9][0-9]{0,8}$'",
    ("sqlite",): "(fail_on GLOB '[1-9]*' AND fail_on NOT GLOB '*[^0-9]*' AND length(fail_on) <= 9)",
}


def upgrade() -> None:
    op.create_table(
        "api_tokens",
        sa.Column("id", Name, primary_key=True, autoincrement=False, comment="public part of the token"),
        sa.Column("token_hash", Name, nullable=False, comment="SHA-256 of the secret part"),
        sa.Column("name", Name, comment="what it is for"),
        sa.Column("owner", Name, comment="whose jobs it reaches; null: all"),
        sa.Column("scopes", Name, nullable=False, comment="read, write, admin, metrics; separated by spaces"),
        sa.Column("created_at", Instant(), nullable=False, server_default=now(), comment="when it was made"),
        sa.Column("expires_at", Instant(), comment="not valid after this instant"),
        sa.Column("revoked_at", Instant(), comment="when it was revoked; not valid any more"),
        sa.Column("last_used_at", Instant(), comment="latest use, roughly"),
        *is_instant("api_tokens", "created_at"),
        *is_instant("api_tokens", "expires_at"),
        *is_instant("api_tokens", "revoked_at"),
        *is_instant("api_tokens", "last_used_at"),
        comment="who may use the API",
    )
    op.create_table(
        "api_sessions",
        sa.Column("id", Name, primary_key=True, autoincrement=False, comment="public part of the session"),
        sa.Column("session_hash", Name, nullable=False, comment="SHA-256 of the secret part"),
        sa.Column("kind", Name, nullable=False, comment="browser; ticket: opens one WebSocket, once"),
        sa.Column("token_id", Name, comment="the token it was opened with, and ends with"),
        sa.Column("session_id", Name, comment="of a ticket: the session that asked for it, and that it ends with"),
        sa.Column("owner", Name, comment="whose jobs it reaches; null: all"),
        sa.Column("scopes", Name, nullable=False, comment="read, write, admin, metrics; separated by spaces"),
        sa.Column("created_at", Instant(), nullable=False, server_default=now(), comment="when it was opened"),
        sa.Column("expires_at", Instant(), nullable=False, comment="not valid after this instant"),
        sa.ForeignKeyConstraint(["token_id"], ["api_tokens.id"], name="api_sessions_token", ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["session_id"], ["api_sessions.id"], name="api_sessions_session", ondelete="CASCADE"),
        *is_instant("api_sessions", "created_at"),
        *is_instant("api_sessions", "expires_at"),
        comment="what is opened with a token for a while",
    )
    op.create_table(
        "webhooks",
        sa.Column("id", Name, primary_key=True, autoincrement=False, comment="the webhook"),
        sa.Column("name", Name, comment="what it is for"),
        sa.Column("owner", Name, comment="of whose jobs it tells; null: of all"),
        sa.Column("type", Name, comment="of which type it tells; null: of all"),
        sa.Column(
            "outcome",
            Name,
            nullable=False,
            server_default=sa.text("'any'"),
            comment="of which end it tells: completed, failed, cancelled or any",
        ),
        sa.Column("url", LongText, nullable=False, comment="the address"),
        sa.Column(
            "with_result",
            sa.Boolean(),
            nullable=False,
            server_default=sa.false(),
            comment="true: it tells the result, too",
        ),
        sa.Column("secret", LongText, nullable=False, comment="signs what is sent; as it is, because signing needs it"),
        sa.Column("former_secret", LongText, comment="signs beside it, for a time"),
        sa.Column("former_secret_until", Instant(), comment="until when"),
        sa.Column("created_at", Instant(), nullable=False, server_default=now(), comment="when it was made"),
        sa.Column(
            "failures",
            sa.Integer(),
            nullable=False,
            server_default=sa.text("0"),
            comment="tries in a row that failed",
        ),
        sa.Column("held_until", Instant(), comment="after a failed try nothing is tried before this instant"),
        sa.Column("paused_at", Instant(), comment="since when it tells nothing"),
        sa.Column("paused_reason", Name, comment="asked, or gone: the address answered 410"),
        sa.CheckConstraint("outcome IN ('any', 'completed', 'failed', 'cancelled')", name="webhooks_outcome_is_known"),
        sa.CheckConstraint("with_result IN (0, 1)", name="webhooks_with_result_is_true_or_false").ddl_if(
            dialect=("mysql", "mariadb", "sqlite")
        ),
        *is_instant("webhooks", "former_secret_until"),
        *is_instant("webhooks", "created_at"),
        *is_instant("webhooks", "held_until"),
        *is_instant("webhooks", "paused_at"),
        comment="which address is told when which jobs end",
    )
    op.create_table(
        "job_types",
        sa.Column("name", Name, primary_key=True, autoincrement=False, comment="the type"),
        sa.Column(
            "paused", sa.Boolean(), nullable=False, server_default=sa.false(), comment="true: none of it is claimed"
        ),
        sa.Column("paused_until", Instant(), comment="none of it is claimed before this instant"),
        sa.Column("max_concurrent", sa.BigInteger(), comment="running at once across all processors"),
        sa.Column("rate", Name, comment="starts in a time, for example 10/min"),
        sa.Column("rate_log", LongText, comment="state of the rate: the latest starts"),
        sa.Column("rate_free_at", Instant(), comment="state of the rate: no start before this instant"),
        sa.Column("rate_free_for", Name, comment="state of the rate: the rate it was found with"),
        sa.Column("turns", LongText, comment="state of fair shares: whose turn was the latest"),
        sa.Column("updated_at", Instant(), nullable=False, server_default=now(), comment="latest change"),
        sa.CheckConstraint("max_concurrent >= 0", name="job_types_max_concurrent_is_not_negative"),
        *(
            sa.CheckConstraint(
                f"typeof({column}) IN ('{sort}', 'null')", name=f"job_types_{column}_is_{sort}_or_null"
            ).ddl_if(dialect="sqlite")
            for column, sort in (
                ("max_concurrent", "integer"),
                ("rate", "text"),
                ("rate_log", "text"),
                ("turns", "text"),
            )
        ),
        *is_instant("job_types", "paused_until"),
        *is_instant("job_types", "rate_free_at"),
        comment="what people set for a type while processors run; a type without a row has its defaults",
    )
    op.create_table(
        "jobs",
        sa.Column("id", Identity, sa.Identity(), primary_key=True, comment="number of the job, in order of insertion"),
        sa.Column("type", Name, nullable=False, comment="what sort of job; names the handler and its limits"),
        sa.Column(
            "payload", JsonText(), nullable=False, server_default=sa.text("('{}')"), comment="JSON for the handler"
        ),
        sa.Column("status", Name, nullable=False, server_default=sa.text("'pending'"), comment="where the job is"),
        sa.Column("reason", Name, comment="why, where the status alone does not say it"),
        sa.Column(
            "priority", sa.BigInteger(), nullable=False, server_default=sa.text("5"), comment="higher runs first"
        ),
        sa.Column("run_at", Instant(), comment="not before this instant; null: now"),
        sa.Column("owner", Name, comment="whom the job belongs to"),
        sa.Column("key", Name, comment="the caller's identity for the work, for duplicates"),
        sa.Column("subject", Name, comment="what the job is about, for example chapter:123"),
        sa.Column("concurrency_key", Name, comment="lane: at most one of a lane runs"),
        sa.Column("max_attempts", sa.BigInteger(), comment="null: as the type says"),
        sa.Column("timeout_seconds", sa.Float(53), comment="null: as the type says"),
        sa.Column("expires_at", Instant(), comment="too late to start after this instant"),
        sa.Column("parent_id", Identity, comment="the job that waits for this one"),
        sa.Column("fail_on", Name, comment="how many failed children fail it: any, all or a number"),
        sa.Column("on_complete", Name, comment="type of the job that follows when it completes"),
        sa.Column("on_failure", Name, comment="type of the job that follows when it fails"),
        sa.Column("trace_parent", Name, comment="W3C traceparent of the producer"),
        sa.Column(
            "cancel_requested",
            sa.Boolean(),
            nullable=False,
            server_default=sa.false(),
            comment="anyone may set it: please stop",
        ),
        sa.Column(
            "attempt", sa.Integer(), nullable=False, server_default=sa.text("0"), comment="number of the latest try"
        ),
        sa.Column(
            "crashes",
            sa.Integer(),
            nullable=False,
            server_default=sa.text("0"),
            comment="tries in a row that took their process down",
        ),
        sa.Column("processor_id", Name, comment="the fence: who claimed it; kept after the end"),
        sa.Column("claim_no", Identity, comment="the fence: which claim; kept after the end"),
        sa.Column("created_at", Instant(), nullable=False, server_default=now(), comment="when the row was inserted"),
        sa.Column("started_at", Instant(), comment="when the latest try was claimed"),
        sa.Column("finished_at", Instant(), comment="when the final state was written"),
        sa.Column("progress", sa.Float(53), comment="0 to 100, as the handler tells"),
        sa.Column("progress_message", LongText, comment="as the handler tells"),
        sa.Column("result", JsonText(), comment="JSON that the handler returned"),
        sa.Column("error_type", LongText, comment="of the latest failed try"),
        sa.Column("error_message", LongText, comment="of the latest failed try"),
        sa.Column("error_detail", LongText, comment="stack or output of the latest failed try"),
        sa.Column("duplicate_of", Identity, comment="the equal job whose result this one has"),
        sa.Column("cpu_seconds", sa.Float(53), comment="of the latest try and its children"),
        sa.Column("max_rss_bytes", Identity, comment="largest process of the latest try"),
        sa.Column(
            "event_no", Identity, nullable=False, server_default=sa.text("0"), comment="number of the latest event"
        ),
        sa.CheckConstraint(
            "status IN ('pending', 'scheduled', 'waiting', 'paused', 'running', 'completed', 'failed', 'cancelled')",
            name="jobs_status_is_known",
        ),
        sa.CheckConstraint("type <> ''", name="jobs_type_is_not_empty"),
        sa.CheckConstraint("on_complete <> ''", name="jobs_on_complete_is_not_empty"),
        sa.CheckConstraint("on_failure <> ''", name="jobs_on_failure_is_not_empty"),
        sa.CheckConstraint(
            "char_length(type) = char_length(rtrim(type))", name="jobs_type_has_no_space_at_its_end"
        ).ddl_if(dialect=("mysql", "mariadb")),
        *(
            sa.CheckConstraint(
                f"char_length({quoted}) = char_length(rtrim({quoted}))",
                name=f"jobs_{quoted.strip('`')}_has_no_space_at_its_end",
            ).ddl_if(dialect=("mysql", "mariadb"))
            for quoted in ("owner", "`key`", "concurrency_key", "fail_on", "on_complete", "on_failure")
        ),
        sa.CheckConstraint("priority BETWEEN -32767 AND 32767", name="jobs_priority_is_within_32767"),
        sa.CheckConstraint("max_attempts BETWEEN 1 AND 32767", name="jobs_max_attempts_is_1_to_32767"),
        sa.CheckConstraint(
            "timeout_seconds > 0 AND timeout_seconds <= 1000000000", name="jobs_timeout_seconds_is_positive"
        ),
        sa.CheckConstraint("attempt BETWEEN 0 AND 32767", name="jobs_attempt_is_0_to_32767"),
        sa.CheckConstraint("crashes BETWEEN 0 AND 32767", name="jobs_crashes_is_0_to_32767"),
        sa.CheckConstraint("parent_id <> id", name="jobs_parent_id_is_another_job").ddl_if(
            dialect=("postgresql", "sqlite")
        ),
        *(
            sa.CheckConstraint(
                f"fail_on IN ('any', 'all') OR {is_number}", name="jobs_fail_on_is_any_all_or_a_number"
            ).ddl_if(dialect=dialects)
            for dialects, is_number in IS_WHOLE_NUMBER.items()
        ),
        sa.CheckConstraint(
            "status <> 'running' OR (processor_id IS NOT NULL AND claim_no IS NOT NULL)",
            name="jobs_running_has_a_claim",
        ),
        sa.CheckConstraint("cancel_requested IN (0, 1)", name="jobs_cancel_requested_is_true_or_false").ddl_if(
            dialect=("mysql", "mariadb", "sqlite")
        ),
        *is_instant("jobs", "run_at"),
        *is_instant("jobs", "expires_at"),
        *is_instant("jobs", "created_at"),
        *is_instant("jobs", "started_at"),
        *is_instant("jobs", "finished_at"),
        *(
            sa.CheckConstraint(f"typeof({column}) IN ('text', 'null')", name=f"jobs_{column}_is_text").ddl_if(
                dialect="sqlite"
            )
            for column in GIVEN_NAMES
        ),
        *(
            sa.CheckConstraint(f"length({column}) <= 200", name=f"jobs_{column}_is_at_most_200_letters").ddl_if(
                dialect=("postgresql", "sqlite")
            )
            for column in GIVEN_NAMES
        ),
        *(
            sa.CheckConstraint(
                f"typeof({column}) IN ('integer', 'null')", name=f"jobs_{column}_is_a_whole_number"
            ).ddl_if(dialect="sqlite")
            for column in ("priority", "attempt", "crashes", "max_attempts", "parent_id")
        ),
        sa.CheckConstraint("payload IS NULL OR json_valid(payload)", name="jobs_payload_is_json").ddl_if(
            dialect="sqlite"
        ),
        sa.CheckConstraint("result IS NULL OR json_valid(result)", name="jobs_result_is_json").ddl_if(dialect="sqlite"),
        comment="jobtable: the table is the queue; insert a row with a type to have it run",
        sqlite_autoincrement=True,
    )
    op.create_table(
        "processors",
        sa.Column("id", Name, primary_key=True, autoincrement=False, comment="a new UUID at each start"),
        sa.Column("name", Name, nullable=False, comment="as configured; may repeat, the id never does"),
        sa.Column("host", Name, nullable=False, comment="the machine"),
        sa.Column("pid", sa.Integer(), nullable=False, comment="process id on that machine"),
        sa.Column("version", Name, nullable=False, comment="of jobtable"),
        sa.Column(
            "status", Name, nullable=False, server_default=sa.text("'live'"), comment="live, draining, stopped or dead"
        ),
        sa.Column("types", JsonText(), nullable=False, comment="JSON: the types it can run, with their rules"),
        sa.Column("max_concurrent", sa.Integer(), nullable=False, comment="slots"),
        sa.Column("lock_file", LongText, comment="held while it or its supervisor lives"),
        sa.Column("beat_no", Identity, nullable=False, server_default=sa.text("1"), comment="heartbeats so far"),
        sa.Column("started_at", Instant(), nullable=False, server_default=now(), comment="when it registered"),
        sa.Column("beat_at", Instant(), nullable=False, server_default=now(), comment="latest heartbeat"),
        sa.Column("lease_until", Instant(), nullable=False, comment="others may not touch its jobs before this"),
        sa.Column(
            "drain_requested",
            sa.Boolean(),
            nullable=False,
            server_default=sa.false(),
            comment="anyone may set it: please end",
        ),
        sa.Column("ended_at", Instant(), comment="when it stopped or was declared dead"),
        sa.Column("ended_by", Name, comment="the processor that declared it dead, or itself"),
        sa.CheckConstraint("status IN ('live', 'draining', 'stopped', 'dead')", name="processors_status_is_known"),
        sa.CheckConstraint("drain_requested IN (0, 1)", name="processors_drain_requested_is_true_or_false").ddl_if(
            dialect=("mysql", "mariadb", "sqlite")
        ),
        comment="one row for each start of a processor",
    )
    op.create_table(
        "wakeups",
        sa.Column("channel", Name, primary_key=True, autoincrement=False, comment="on which a notice is sent"),
        sa.Column(
            "asleep",
            sa.Boolean(),
            nullable=False,
            server_default=sa.false(),
            comment="true: a processor rests and wants a notice",
        ),
        comment="PostgreSQL: who inserts a job sends a notice only while a processor is asleep",
    )
    op.create_table(
        "schedules",
        sa.Column("name", Name, primary_key=True, autoincrement=False, comment="the schedule"),
        sa.Column("type", Name, nullable=False, comment="type of the jobs it makes"),
        sa.Column("payload", JsonText(), nullable=False, server_default=sa.text("('{}')"), comment="their payload"),
        sa.Column("priority", sa.BigInteger(), nullable=False, server_default=sa.text("5"), comment="their priority"),
        sa.Column("owner", Name, comment="their owner"),
        sa.Column("subject", Name, comment="their subject; null: schedule:NAME"),
        sa.Column("cron", Name, comment="five or six fields, or @daily"),
        sa.Column("every_seconds", sa.Float(53), comment="instead of cron"),
        sa.Column("time_zone", Name, nullable=False, server_default=sa.text("'UTC'"), comment="in which cron is read"),
        sa.Column(
            "jitter_seconds", sa.Float(53), nullable=False, server_default=sa.text("0"), comment="spread of the firings"
        ),
        sa.Column(
            "catch_up",
            Name,
            nullable=False,
            server_default=sa.text("'once'"),
            comment="firings that were missed: none, once or all",
        ),
        sa.Column(
            "catch_up_limit",
            sa.Integer(),
            nullable=False,
            server_default=sa.text("100"),
            comment="all: so many at most",
        ),
        sa.Column(
            "skip_if_running",
            sa.Boolean(),
            nullable=False,
            server_default=sa.false(),
            comment="no job while the last one runs",
        ),
        sa.Column("paused", sa.Boolean(), nullable=False, server_default=sa.false(), comment="true: does not fire"),
        sa.Column("source", LongText, comment="the configuration it comes from; null: from a person"),
        sa.Column("next_at", Instant(), comment="next firing; null: to be planned"),
        sa.Column("planned_at", Instant(), comment="state: what the next firing is planned for, without its jitter"),
        sa.Column("planned_for", LongText, comment="state: the timetable it was planned with"),
        sa.Column("last_at", Instant(), comment="latest firing"),
        sa.Column("last_job_id", Identity, comment="the job it made"),
        sa.Column("error", LongText, comment="why it does not fire, or made no job; processors say"),
        sa.Column(
            "updated_at",
            Instant(),
            nullable=False,
            server_default=now(),
            comment="latest change by a person or a configuration",
        ),
        sa.CheckConstraint("type <> ''", name="schedules_type_is_not_empty"),
        sa.CheckConstraint("(cron IS NULL) <> (every_seconds IS NULL)", name="schedules_cron_or_every_seconds"),
        sa.CheckConstraint("every_seconds > 0", name="schedules_every_seconds_is_positive"),
        sa.CheckConstraint("catch_up IN ('none', 'once', 'all')", name="schedules_catch_up_is_known"),
        sa.CheckConstraint("catch_up_limit BETWEEN 1 AND 1000", name="schedules_catch_up_limit_is_1_to_1000"),
        sa.CheckConstraint("priority BETWEEN -32767 AND 32767", name="schedules_priority_is_within_32767"),
        *(
            check
            for column in ("next_at", "planned_at", "last_at", "updated_at")
            for check in is_instant("schedules", column)
        ),
        *(
            sa.CheckConstraint(f"{column} IN (0, 1)", name=f"schedules_{column}_is_true_or_false").ddl_if(
                dialect=("mysql", "mariadb", "sqlite")
            )
            for column in ("paused", "skip_if_running")
        ),
        *(
            sa.CheckConstraint(f"typeof({column}) = '{sort}'", name=f"schedules_{column}_is_{sort}").ddl_if(
                dialect="sqlite"
            )
            for column, sort in (
                ("priority", "integer"),
                ("catch_up_limit", "integer"),
                ("name", "text"),
                ("type", "text"),
            )
        ),
        sa.CheckConstraint("typeof(payload) = 'text' AND json_valid(payload)", name="schedules_payload_is_json").ddl_if(
            dialect="sqlite"
        ),
        *(
            sa.CheckConstraint(f"length({column}) <= 200", name=f"schedules_{column}_is_at_most_200_letters").ddl_if(
                dialect=("postgresql", "sqlite")
            )
            for column in ("cron", "time_zone")
        ),
        *(
            sa.CheckConstraint(f"{length}(name) BETWEEN 1 AND 100", name="schedules_name_has_1_to_100_letters").ddl_if(
                dialect=dialects
            )
            for length, dialects in (("length", ("postgresql", "sqlite")), ("char_length", ("mysql", "mariadb")))
        ),
        comment="what makes jobs by the clock",
    )
    op.create_table(
        "job_errors",
        sa.Column("id", Identity, sa.Identity(), primary_key=True, comment="number of the error"),
        sa.Column("job_id", Identity, nullable=False, comment="the job"),
        sa.Column("attempt", sa.Integer(), nullable=False, comment="the try that failed"),
        sa.Column("processor_id", Name, comment="who ran it"),
        sa.Column("reason", Name, nullable=False, comment="as in jobs.reason"),
        sa.Column("error_type", LongText, comment="class of the exception, or exit code"),
        sa.Column("error_message", LongText, comment="one sentence"),
        sa.Column("error_detail", LongText, comment="stack or output"),
        sa.Column("seconds", sa.Float(53), comment="how long the try ran"),
        sa.Column("created_at", Instant(), nullable=False, server_default=now(), comment="when it was stored"),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name="job_errors_job", ondelete="CASCADE"),
        comment="one row for each failed try of a job",
    )
    op.create_table(
        "job_events",
        sa.Column(
            "id", Identity, sa.Identity(), primary_key=True, comment="number of the event among those of all jobs"
        ),
        sa.Column("job_id", Identity, nullable=False, comment="the job"),
        sa.Column("number", Identity, nullable=False, comment="1, 2, 3 … within the job, without gaps"),
        sa.Column(
            "attempt", sa.Integer(), nullable=False, comment="the try that said it; of a state: jobs.attempt since then"
        ),
        sa.Column("kind", Name, nullable=False, comment="progress, log, output or state"),
        sa.Column("level", Name, comment="of a log line: debug to error, stdout or stderr; of a state: the status"),
        sa.Column("percent", sa.Float(53), comment="of a progress"),
        sa.Column("text", LongText, comment="what was said; of a state: the reason"),
        sa.Column("created_at", Instant(), nullable=False, server_default=now(), comment="when it was stored"),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name="job_events_job", ondelete="CASCADE"),
        sa.UniqueConstraint("job_id", "number", name="job_events_number"),
        comment="what a job told while it ran, and each change of its status, replayable in order",
        sqlite_autoincrement=True,
    )
    op.create_table(
        "notifications",
        sa.Column("id", Identity, sa.Identity(), primary_key=True, comment="number of the notification"),
        sa.Column("job_id", Identity, nullable=False, comment="the job that ended"),
        sa.Column("type", Name, nullable=False, comment="its type"),
        sa.Column("owner", Name, comment="whom it is addressed to"),
        sa.Column("subject", Name, comment="what the job was about"),
        sa.Column("status", Name, nullable=False, comment="completed, failed or cancelled"),
        sa.Column("reason", Name, comment="as in jobs.reason"),
        sa.Column("message", LongText, comment="one sentence for people"),
        sa.Column("created_at", Instant(), nullable=False, server_default=now(), comment="when the job ended"),
        sa.Column("read_at", Instant(), comment="when somebody marked it as read"),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name="notifications_job", ondelete="CASCADE"),
        comment="one row for each final state, written in the same transaction",
        sqlite_autoincrement=True,
    )
    partial_index(
        "jobs_cancel_requested",
        "jobs",
        ["cancel_requested", "id"],
        where="cancel_requested AND status IN ('pending', 'scheduled', 'waiting', 'paused')",
        on_sqlite="cancel_requested = 1 AND status IN ('pending', 'scheduled', 'waiting', 'paused')",
    )
    partial_index(
        "jobs_due", "jobs", ["type", sa.text("priority DESC"), "created_at", "id"], where="status = 'pending'"
    )
    by_age = ["status", "finished_at", "id"]
    partial_index(
        "jobs_finished", "jobs", by_age, where="status IN ('completed', 'failed', 'cancelled')", elsewhere=by_age
    )
    same_work = ["type", "key", "status", "finished_at"]
    partial_index("jobs_key", "jobs", same_work, where="key IS NOT NULL", elsewhere=same_work)
    partial_index(
        "jobs_results",
        "jobs",
        ["type", "key", "finished_at"],
        where="key IS NOT NULL AND status = 'completed' AND duplicate_of IS NULL",
        elsewhere=None,
    )
    partial_index(
        "jobs_lane",
        "jobs",
        ["type", "concurrency_key", sa.text("priority DESC"), "created_at", "id"],
        where="concurrency_key IS NOT NULL AND status IN ('pending', 'waiting')",
    )
    partial_index("jobs_owner", "jobs", ["owner", "id"], where="owner IS NOT NULL", elsewhere=["owner", "id"])
    family = ["parent_id", "status", "id"]
    partial_index("jobs_parent", "jobs", family, where="parent_id IS NOT NULL", elsewhere=family)
    partial_index("jobs_parents", "jobs", ["id"], where="status = 'waiting' AND reason = 'children'", elsewhere=None)
    partial_index("jobs_paused", "jobs", ["type"], where="status = 'paused'", elsewhere=None)
    partial_index(
        "jobs_pending_ahead", "jobs", ["run_at"], where="status = 'pending' AND run_at IS NOT NULL", elsewhere=None
    )
    partial_index("jobs_running", "jobs", ["processor_id", "id"], where="status = 'running'")
    partial_index("jobs_scheduled", "jobs", ["run_at"], where="status = 'scheduled'")
    partial_index("jobs_subject", "jobs", ["subject", "id"], where="subject IS NOT NULL", elsewhere=["subject", "id"])
    partial_index(
        "jobs_waiting_alone",
        "jobs",
        ["type", "id"],
        where="status = 'waiting' AND duplicate_of IS NULL AND concurrency_key IS NULL",
        elsewhere=None,
    )
    partial_index("jobs_waiting_for", "jobs", ["duplicate_of", "id"], where="status = 'waiting'")
    op.create_index("webhooks_by_owner", "webhooks", ["owner"])
    op.create_index("processors_by_status", "processors", ["status"])
    op.create_index("api_sessions_end", "api_sessions", ["expires_at"])
    op.create_index("api_sessions_session", "api_sessions", ["session_id"])
    op.create_index("api_sessions_token", "api_sessions", ["token_id"])
    op.create_index("schedules_next", "schedules", ["next_at"])
    op.create_index("job_errors_by_job", "job_errors", ["job_id", "id"])
    op.create_index("notifications_by_job", "notifications", ["job_id", "read_at"])
    op.create_index("notifications_by_owner", "notifications", ["owner", "id"])
    partial_index("notifications_unread", "notifications", ["id"], where="read_at IS NULL", elsewhere=["read_at", "id"])


def is_instant(table: str, column: str) -> list:
    """Refuse infinity, instants that no driver can read back, and on SQLite text that does not compare as it sorts."""
    no_zeros = f" AND month({column}) > 0 AND dayofmonth({column}) > 0"
    dialects = ((("postgresql",), "+00", ""), (("mysql", "mariadb"), "", no_zeros), (("sqlite",), "", ""))
    return [
        sa.CheckConstraint(
            f"{column} NOT GLOB '*[^0-9 :.-]*' AND strftime('%Y-%m-%d %H:%M:%S', {column}) IS substr({column}, 1, 19)"
            f" AND (length({column}) = 19 OR (substr({column}, 20, 1) = '.' AND length({column}) > 20"
            f" AND substr({column}, 21) NOT GLOB '*[^0-9]*'))",
            name=f"{table}_{column}_is_utc_YYYY_MM_DD_HH_MM_SS",
        ).ddl_if(dialect="sqlite"),
        *(
            sa.CheckConstraint(
                f"{column} BETWEEN '1970-01-01 00:00:00{zone}' AND '9999-12-30 23:59:59{zone}'{more}",
                name=f"{table}_{column}_is_within_1970_to_9999",
            ).ddl_if(dialect=names)
            for names, zone, more in dialects
        ),
    ]


def downgrade() -> None:
    for table in reversed(TABLES):
        op.drop_table(table)


LEADING_STATUS = ["status"]


def partial_index(
    name: str,
    table: str,
    columns: list,
    *,
    where: str,
    elsewhere: list | None = LEADING_STATUS,
    on_sqlite: str | None = None,
) -> None:
    """Index some rows only; where a database cannot, index all of them, with the status in front unless told."""
    if op.get_bind().dialect.name in ("postgresql", "sqlite"):
        op.create_index(name, table, columns, postgresql_where=sa.text(where), sqlite_where=sa.text(on_sqlite or where))
    elif elsewhere is not None:
        op.create_index(name, table, ["status", *columns] if elsewhere is LEADING_STATUS else elsewhere)
