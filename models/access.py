"""`api_tokens`: who may use the API. `api_sessions`: what is opened with a token for a while, by a browser say."""

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, Index, Table
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base, check_instant, instant, stamped
from models.types import Instant, Name


class ApiToken(Base):
    __tablename__ = "api_tokens"

    id: Mapped[str] = mapped_column(Name, primary_key=True, comment="public part of the token")
    token_hash: Mapped[str] = mapped_column(Name, comment="SHA-256 of the secret part")
    name: Mapped[str | None] = mapped_column(Name, comment="what it is for")
    owner: Mapped[str | None] = mapped_column(Name, comment="whose jobs it reaches; null: all")
    scopes: Mapped[str] = mapped_column(Name, comment="read, write, admin, metrics; separated by spaces")
    created_at: Mapped[datetime] = stamped("when it was made")
    expires_at: Mapped[datetime | None] = instant("not valid after this instant")
    revoked_at: Mapped[datetime | None] = instant("when it was revoked; not valid any more")
    last_used_at: Mapped[datetime | None] = instant("latest use, roughly")

    __table_args__: Any = ({"comment": "who may use the API"},)


class ApiSession(Base):
    __tablename__ = "api_sessions"

    id: Mapped[str] = mapped_column(Name, primary_key=True, comment="public part of the session")
    session_hash: Mapped[str] = mapped_column(Name, comment="SHA-256 of the secret part")
    kind: Mapped[str] = mapped_column(Name, comment="browser; ticket: opens one WebSocket, once")
    token_id: Mapped[str | None] = mapped_column(
        Name,
        ForeignKey("api_tokens.id", name="api_sessions_token", ondelete="CASCADE"),
        comment="the token it was opened with, and ends with",
    )
    session_id: Mapped[str | None] = mapped_column(
        Name,
        ForeignKey("api_sessions.id", name="api_sessions_session", ondelete="CASCADE"),
        comment="of a ticket: the session that asked for it, and that it ends with",
    )
    owner: Mapped[str | None] = mapped_column(Name, comment="whose jobs it reaches; null: all")
    scopes: Mapped[str] = mapped_column(Name, comment="read, write, admin, metrics; separated by spaces")
    created_at: Mapped[datetime] = stamped("when it was opened")
    expires_at: Mapped[datetime] = mapped_column(Instant, comment="not valid after this instant")

    __table_args__: Any = (
        Index("api_sessions_token", "token_id"),
        Index("api_sessions_session", "session_id"),
        Index("api_sessions_end", "expires_at"),
        {"comment": "what is opened with a token for a while"},
    )


api_tokens: Table = ApiToken.__table__  # type: ignore[assignment]
api_sessions: Table = ApiSession.__table__  # type: ignore[assignment]

for _column in ("created_at", "expires_at", "revoked_at", "last_used_at"):
    check_instant(api_tokens, _column)
for _column in ("created_at", "expires_at"):
    check_instant(api_sessions, _column)
