"""Who asks, and what they may: a token, or the session of a browser that was opened with one, makes a caller with
scopes; before the first token this machine is open.
"""

import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING

from processor.api.failures import Failures
from processor.db.database import Database
from processor.errors import Unauthorized
from processor.queue import lookup, sessions, tokens
from processor.queue.sessions import Session

if TYPE_CHECKING:
    from processor.api.jwts import Jwts

INCLUDED = {"admin": frozenset(tokens.SCOPES)}
"""Scopes that a scope stands for, beside itself."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks. `owner` None: all owners; `token_id` None: let in without a token of ours.

    `session_id` is the session of a browser, and `expires_at` the end of a JWT.
    """

    owner: str | None
    scopes: frozenset[str]
    token_id: str | None
    session_id: str | None = None
    expires_at: datetime | None = None

    def may(self, scope: str) -> bool:
        """Tell whether a scope is among the caller's, or included in one of them."""
        return any(scope == own or scope in INCLUDED.get(own, ()) for own in self.scopes)

    @property
    def reaches_all(self) -> bool:
        """Whether rows of every owner exist for this caller."""
        return self.owner is None


ANYBODY = Caller(owner=None, scopes=frozenset({"admin"}), token_id=None)
"""Who comes from this machine before there is a token."""


class Doorkeeper:
    """Lets in who may. `is_loopback`: the server is reached from its own machine alone; `writes`: tokens are marked."""

    def __init__(
        self,
        database: Database,
        is_loopback: bool,
        clock: Callable[[], float] = time.monotonic,
        *,
        writes: bool = True,
        jwts: "Jwts | None" = None,
    ) -> None:
        self._database = database
        self._is_loopback = is_loopback
        self._failures = Failures(clock)
        self._clock = clock
        self._writes = writes
        self._jwts = jwts
        self._marked_at: dict[str, float] = {}

    @property
    def is_open(self) -> bool:
        """Whether everybody on this machine is let in, because there is no token yet, and none of a provider either."""
        return self._is_loopback and self._jwts is None and not tokens.any_exist(self._database)

    def caller(self, authorization: str | None, cookie: str | None = None) -> Caller:
        """Say who sends an `Authorization` header, or else the cookie of a session. Raises `Unauthorized`."""
        text = _bearer(authorization)
        found = self._by_token(text) if text is not None else None
        if found is None and authorization is None and cookie is not None:
            found = _of_session(sessions.find(self._database, cookie))
        if found is not None:
            return found
        if self.is_open:
            return ANYBODY
        raise _unauthorized(authorization, text)

    def _by_token(self, text: str) -> Caller | None:
        if self._jwts is not None and not text.startswith(tokens.PREFIX):
            shown = self._jwts.identity(text, partial(lookup.database_now, self._database))
            return Caller(shown.owner, shown.scopes, None, expires_at=shown.expires_at)
        token = tokens.find(self._database, text)
        if token is None:
            return None
        self._mark(token.id)
        return Caller(token.owner, token.scopes, token.id)

    def holder(self, ticket: str) -> Caller:
        """Say who asked for a ticket, which opens nothing more. Raises `Unauthorized`."""
        session = sessions.redeem(self._database, ticket)
        if session is None:
            raise Unauthorized(
                "The ticket is not valid: unknown, used or older than half a minute.", "Ask for another."
            )
        return Caller(session.owner, session.scopes, session.token_id, session.session_id)

    def still(self, callers: Collection[Caller]) -> set[Caller]:
        """Find who of those that were let in would be let in now: nothing was revoked, closed or has expired since."""
        with_jwt = {one: one.expires_at for one in callers if one.expires_at is not None}
        with_session = {one: one.session_id for one in callers if one.session_id is not None}
        with_token = {one: one.token_id for one in callers if one.token_id is not None and one not in with_session}
        valid = sessions.valid(self._database, session_ids=with_session.values(), token_ids=with_token.values())
        holding = {one for one, id in (with_session | with_token).items() if id in valid}
        if with_jwt:
            instant = lookup.database_now(self._database)
            holding |= {one for one, end in with_jwt.items() if instant < end}
        if ANYBODY in callers and self.is_open:
            holding.add(ANYBODY)
        return holding

    def _mark(self, id: str) -> None:
        """Mark a token as used, once a minute: a write that has to wait must not hold every request."""
        instant = self._clock()
        if self._writes and instant - self._marked_at.get(id, -tokens.USE_SECONDS) >= tokens.USE_SECONDS:
            self._marked_at[id] = instant
            tokens.mark_used(self._database, id)

    def failed(self, address: str) -> None:
        """Count a request that was not let in."""
        self._failures.add(address)

    def is_blocked(self, address: str) -> bool:
        """Tell whether an address was refused so often that it is not listened to for a minute."""
        return self._failures.is_blocked(address)


def _of_session(session: Session | None) -> Caller | None:
    return None if session is None else Caller(session.owner, session.scopes, session.token_id, session.id)


def _bearer(authorization: str | None) -> str | None:
    """Read the token out of `Bearer TOKEN`; None: there is none."""
    scheme, _, text = (authorization or "").partition(" ")
    return text.strip() if scheme.lower() == "bearer" else None


def _unauthorized(authorization: str | None, text: str | None) -> Unauthorized:
    if authorization is None:
        why = "The request carries no token."
    elif text is None:
        why = "The Authorization header is not of the kind Bearer."
    else:
        why = "The token is not valid: unknown, misspelled, expired or revoked."
    return Unauthorized(
        f"{why} Nothing was read or changed.",
        "Send the header `Authorization: Bearer TOKEN`, with a token of `jobtable token create`.",
    )
