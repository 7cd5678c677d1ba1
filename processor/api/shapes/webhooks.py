"""Webhooks: asked for, changed, shown."""

from typing import Literal

from pydantic import BaseModel, Field

from processor.api.shapes.fields import Given, Instant, Name, such_as


class NewWebhook(Given):
    model_config = such_as(
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

    model_config = such_as({"url": "https://example.org/new", "outcome": "any"})

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
    model_config = such_as({"keep_seconds": 3600})

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
