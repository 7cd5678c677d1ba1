"""What is opened with a token for a while: sessions of browsers, and tickets that open one WebSocket, once.

A text is `js_ID_SECRET`, kept as tokens are: the id and the SHA-256 of the secret. A session ends by itself, when it is
closed, or with the token it was opened with; a ticket ends with its session, too. All of that is asked each time.
"""

import hashlib
import hmac
import re
import secrets
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, delete, insert, or_, select, update

from models import api_sessions, api_tokens, now
from processor.db.database import Database
from processor.queue.tokens import SCOPES, SECRET_BYTES, digest, is_secret

BROWSER = "browser"
TICKET = "ticket"
SECONDS = {BROWSER: 12 * 3600.0, TICKET: 30.0}
"""For how long each is valid: a working day, and the time to open a WebSocket."""
FORGOTTEN = 100
"""Rows that are over, deleted each time one is opened."""
_TEXT = re.compile(r"js_([0-9a-f]{16})_([A-Za-z0-9_-]{43})")


@dataclass(frozen=True, slots=True)
class Session:
    """A session without its secret. `owner` None: it reaches all owners; `token_id` None: opened without a token."""

    id: str
    owner: str | None
    scopes: frozenset[str]
    token_id: str | None
    session_id: str | None
    expires_at: datetime


def create(
    database: Database,
    kind: str,
    *,
    owner: str | None,
    scopes: Collection[str],
    token_id: str | None = None,
    session_id: str | None = None,
    until: datetime | None = None,
) -> tuple[Session, str]:
    """Open one, and give it with its text, which nobody can read again. It ends at `until` at the latest."""
    id, secret = secrets.token_hex(8), secrets.token_urlsafe(SECRET_BYTES)
    ends = database.dialect.after(SECONDS[kind])
    values: dict[str, Any] = {
        "id": id,
        "session_hash": digest(secret),
        "kind": kind,
        "token_id": token_id,
        "session_id": session_id,
        "owner": owner,
        "scopes": " ".join(scope for scope in SCOPES if scope in scopes),
        "expires_at": ends,
    }

    def verb(connection: Connection) -> Session:
        _forget(connection)
        connection.execute(insert(api_sessions).values(values))
        if until is not None:
            earlier = api_sessions.c.id == id, api_sessions.c.expires_at > until
            connection.execute(update(api_sessions).where(*earlier).values(expires_at=until))
        return _session(connection.execute(select(*api_sessions.c).where(api_sessions.c.id == id)).one())

    return database.write(verb), f"js_{id}_{secret}"


def find(database: Database, text: str) -> Session | None:
    """Find the session of a text; None: unknown, wrong, over or closed, and nobody learns which."""
    given = _TEXT.fullmatch(text)
    if given is None:
        return None
    with database.read() as connection:
        row = connection.execute(_one(given[1], BROWSER)).one_or_none()
    return _session(row) if _is_right(row, given[2]) else None


def redeem(database: Database, text: str) -> Session | None:
    """Find the session of a ticket, which opens nothing from now on; None: as in `find`, or it was used."""
    given = _TEXT.fullmatch(text)
    if given is None:
        return None

    def verb(connection: Connection) -> Session | None:
        row = connection.execute(_one(given[1], TICKET)).one_or_none()
        if not _is_right(row, given[2]):
            return None
        used = connection.execute(delete(api_sessions).where(api_sessions.c.id == given[1])).rowcount
        return _session(row) if used else None

    return database.write(verb)


def valid(database: Database, *, session_ids: Collection[str], token_ids: Collection[str]) -> set[str]:
    """Find those of some sessions and tokens that still open anything; a session does as long as its token does."""
    found: set[str] = set()
    with database.read() as connection:
        if session_ids:
            found.update(connection.execute(_valid_ids.where(api_sessions.c.id.in_(session_ids))).scalars())
        if token_ids:
            found.update(connection.execute(_valid_token.where(api_tokens.c.id.in_(token_ids))).scalars())
    return found


def close(database: Database, id: str) -> None:
    """Let a session open nothing from now on."""
    database.write(lambda connection: connection.execute(delete(api_sessions).where(api_sessions.c.id == id)))


def csrf_of(text: str) -> str:
    """Give what a page has to send beside the cookie: who cannot read the cookie cannot make it."""
    return hmac.new(text.encode(), b"csrf", hashlib.sha256).hexdigest()


def _token_opens() -> ColumnElement[bool]:
    return and_(
        api_tokens.c.revoked_at.is_(None), or_(api_tokens.c.expires_at.is_(None), api_tokens.c.expires_at > now())
    )


_valid_token = select(api_tokens.c.id).where(_token_opens())
_valid = (
    select(*api_sessions.c)
    .select_from(api_sessions.outerjoin(api_tokens, api_tokens.c.id == api_sessions.c.token_id))
    .where(api_sessions.c.expires_at > now(), or_(api_sessions.c.token_id.is_(None), _token_opens()))
)

_valid_ids = _valid.with_only_columns(api_sessions.c.id, maintain_column_froms=True)


def _one(id: str, kind: str) -> Any:
    return _valid.where(api_sessions.c.id == id, api_sessions.c.kind == kind)


def _is_right(row: Any, secret: str) -> bool:
    return is_secret(secret, None if row is None else row.session_hash)


def _forget(connection: Connection) -> None:
    over = select(api_sessions.c.id).where(api_sessions.c.expires_at < now()).limit(FORGOTTEN)
    ids = connection.execute(over).scalars().all()
    if ids:
        connection.execute(delete(api_sessions).where(api_sessions.c.id.in_(ids)))


def _session(row: Any) -> Session:
    return Session(
        id=row.id,
        owner=row.owner,
        scopes=frozenset(row.scopes.split()) & frozenset(SCOPES),
        token_id=row.token_id,
        session_id=row.session_id,
        expires_at=row.expires_at,
    )
