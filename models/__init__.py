"""The table contract: what every database holds and any program may rely on.

`jobs` is the queue; `job_events`, `job_errors` and `notifications` tell what became of a job; `processors` and
`job_types` are the processors' and the operators'; `schedules` make jobs by the clock; `api_tokens` say who may use
the API, and `api_sessions` are what is opened with them for a while; `webhooks` which address is told of which ends.
"""

from models.access import ApiSession, ApiToken, api_sessions, api_tokens
from models.base import VERSION_TABLE, Base
from models.job import Job, JobError, JobEvent, Notification, job_errors, job_events, jobs, notifications
from models.processor import (
    JobType,
    Processor,
    Schedule,
    Wakeup,
    job_types,
    processors,
    schedules,
    wakeups,
)
from models.types import Instant, now
from models.webhook import Webhook, webhooks

__all__ = [
    "VERSION_TABLE",
    "ApiSession",
    "ApiToken",
    "Base",
    "Instant",
    "Job",
    "JobError",
    "JobEvent",
    "JobType",
    "Notification",
    "Processor",
    "Schedule",
    "Wakeup",
    "Webhook",
    "api_sessions",
    "api_tokens",
    "job_errors",
    "job_events",
    "job_types",
    "jobs",
    "notifications",
    "now",
    "processors",
    "schedules",
    "wakeups",
    "webhooks",
]
