"""Who asks, and what opens something for a while."""

from pydantic import BaseModel, Field

from processor.api.shapes.fields import Instant


class Session(BaseModel):
    """Who asks, and what they may."""

    owner: str | None = Field(description="whose jobs are reached; null: all owners")
    all_owners: bool
    scopes: list[str]
    csrf: str | None = Field(description="what requests with the cookie that change something carry as X-CSRF-Token")
    is_open: bool = Field(description="there is no token yet: everybody on this machine may do everything")
    read_only: bool = Field(description="this server changes nothing")
    expires_at: Instant | None = Field(description="when the session ends")


class Ticket(BaseModel):
    """What opens one WebSocket, once."""

    ticket: str = Field(description="sent as the subprotocol `ticket.TICKET`")
    expires_at: Instant
