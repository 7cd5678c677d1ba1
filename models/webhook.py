"""`webhooks`: which address is told when which jobs end."""

from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, Index, Integer, Table, false, text
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base, check_instant, instant, stamped
from models.types import LongText, Name

OUTCOMES = ("any", "completed", "failed", "cancelled")


class Webhook(Base):
    __tablename__ = "webhooks"

    id: Mapped[str] = mapped_column(Name, primary_key=True, comment="the webhook")
    name: Mapped[str | None] = mapped_column(Name, comment="what it is for")
    owner: Mapped[str | None] = mapped_column(Name, comment="of whose jobs it tells; null: of all")
    type: Mapped[str | None] = mapped_column(Name, comment="of which type it tells; null: of all")
    outcome: Mapped[str] = mapped_column(
        Name, server_default=text("'any'"), comment="of which end it tells: completed, failed, cancelled or any"
    )
    url: Mapped[str] = mapped_column(LongText, comment="the address")
    with_result: Mapped[bool] = mapped_column(server_default=false(), comment="true: it tells the result, too")
    secret: Mapped[str] = mapped_column(LongText, comment="signs what is sent; as it is, because signing needs it")
    former_secret: Mapped[str | None] = mapped_column(LongText, comment="signs beside it, for a time")
    former_secret_until: Mapped[datetime | None] = instant("until when")
    created_at: Mapped[datetime] = stamped("when it was made")
    failures: Mapped[int] = mapped_column(Integer, server_default=text("0"), comment="tries in a row that failed")
    held_until: Mapped[datetime | None] = instant("after a failed try nothing is tried before this instant")
    paused_at: Mapped[datetime | None] = instant("since when it tells nothing")
    paused_reason: Mapped[str | None] = mapped_column(Name, comment="asked, or gone: the address answered 410")

    __table_args__: Any = (
        CheckConstraint(f"outcome IN {OUTCOMES}", name="webhooks_outcome_is_known"),
        CheckConstraint("with_result IN (0, 1)", name="webhooks_with_result_is_true_or_false").ddl_if(
            dialect=("mysql", "mariadb", "sqlite")  # type: ignore[arg-type]
        ),
        Index("webhooks_by_owner", "owner"),
        {"comment": "which address is told when which jobs end"},
    )


webhooks: Table = Webhook.__table__  # type: ignore[assignment]

for _column in ("former_secret_until", "created_at", "held_until", "paused_at"):
    check_instant(webhooks, _column)
