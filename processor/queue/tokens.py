"""Who may use the API: make, find, list and revoke tokens.

A token is the text `jt_ID_SECRET`. The row has the id and the SHA-256 of the secret, which has 256 random bits: nobody
guesses it, so a slow hash would only slow each request down. Whether it is valid is asked each time, by the database's
clock: revoked means revoked.
"""

import contextlib
import hashlib
import hmac
import re
import secrets
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, func, insert, or_, select, update

from models import api_tokens, now
from models.types import NAME_LENGTH
from processor.db.database import Database
from processor.errors import DatabaseError, NotFound, Refused
from processor.queue.enqueue import is_storable

SCOPES = ("read", "write", "admin", "metrics")
PREFIX = "jt_"
SECRET_BYTES = 32
USE_SECONDS = 60.0
"""`last_used_at` is at most so old while a token is used: a write for each request would cost more than the request."""
_TEXT = re.compile(r"jt_([0-9a-f]{8})_([A-Za-z0-9_-]{43})")
_NOBODY = hashlib.sha256(secrets.token_bytes(SECRET_BYTES)).hexdigest()
"""What is compared where there is no row, so that the time of an answer tells no ids."""


@dataclass(frozen=True, slots=True)
class Token:
    """A token without its secret. `owner` None: it reaches all owners."""

    id: str
    name: str | None
    owner: str | None
    scopes: frozenset[str]
    expires_at: datetime | None
    revoked_at: datetime | None
    created_at: datetime
    last_used_at: datetime | None

    def is_valid(self, instant: datetime) -> bool:
        """Tell whether it opens anything at an instant of the database's clock."""
        return self.revoked_at is None and (self.expires_at is None or instant < self.expires_at)


def create(
    database: Database,
    *,
    owner: str | None,
    scopes: Collection[str],
    name: str | None = None,
    expires_in: float | None = None,
) -> tuple[Token, str]:
    """Make a token, and give it with its text, which nobody can read again. `expires_in` is in seconds.

    Raises `Refused` for an owner that no job can have, for scopes that do not exist or do not go with an owner, and for
    a token that is never valid.
    """
    _check(owner, scopes, expires_in)
    id, secret = secrets.token_hex(4), secrets.token_urlsafe(SECRET_BYTES)
    values: dict[str, Any] = {
        "id": id,
        "token_hash": digest(secret),
        "name": name,
        "owner": owner,
        "scopes": " ".join(scope for scope in SCOPES if scope in scopes),
        "expires_at": None if expires_in is None else database.dialect.after(expires_in),
    }

    def verb(connection: Connection) -> Token:
        connection.execute(insert(api_tokens).values(values))
        return _token(connection.execute(select(*api_tokens.c).where(api_tokens.c.id == id)).one())

    return database.write(verb), f"jt_{id}_{secret}"


def _check(owner: str | None, scopes: Collection[str], expires_in: float | None) -> None:
    if owner is not None and not _may_own(owner):
        message = f"No job can belong to {owner!r}, so a token of it opens nothing. No token was made."
        raise Refused(message, f"An owner has 1 to {NAME_LENGTH} letters, no space at its end, and no NUL.")
    known = ", ".join(SCOPES)
    if unknown := sorted(set(scopes) - set(SCOPES)):
        message = f"There is no scope {', '.join(map(repr, unknown))}. No token was made."
        raise Refused(message, f"Scopes are {known}.")
    if not scopes:
        raise Refused("A token without a scope opens nothing. No token was made.", f"Scopes are {known}.")
    if owner is not None and "admin" in scopes:
        message = "The scope admin reaches all owners, so a token of one owner cannot have it. No token was made."
        raise Refused(message, "Give it read and write, or make it a token of all owners.")
    if expires_in is not None and expires_in <= 0:
        raise Refused("A token that expires at once opens nothing. No token was made.", "Let it be valid for longer.")


def _may_own(owner: str) -> bool:
    """Tell whether a job may have this owner; a space at its end would make it equal another one on MariaDB."""
    return 0 < len(owner) <= NAME_LENGTH and not owner.endswith(" ") and is_storable(owner)


def find(database: Database, text: str) -> Token | None:
    """Find the token of a text; None: unknown, wrong, expired or revoked, and nobody learns which."""
    given = _TEXT.fullmatch(text)
    if given is None:
        return None
    with database.read() as connection:
        row = connection.execute(_WITH_CLOCK.where(api_tokens.c.id == given[1])).one_or_none()
    if not is_secret(given[2], None if row is None else row.token_hash) or row is None:
        return None
    token = _token(row)
    return token if token.is_valid(row.instant) else None


_WITH_CLOCK = select(*api_tokens.c, now().label("instant"))


def mark_used(database: Database, id: str) -> None:
    """Write down that a token was used, unless somebody did less than a minute ago."""
    since = database.dialect.seconds_since(api_tokens.c.last_used_at)
    is_due = or_(api_tokens.c.last_used_at.is_(None), since >= USE_SECONDS)
    used = update(api_tokens).where(api_tokens.c.id == id, is_due).values(last_used_at=now())
    with contextlib.suppress(DatabaseError):  # who may read the table but not write it is let in all the same
        database.single(lambda connection: connection.execute(used))


def any_exist(database: Database) -> bool:
    """Tell whether a token was ever made and not deleted, valid or not."""
    with database.read() as connection:
        return connection.execute(select(api_tokens.c.id).limit(1)).first() is not None


def list_all(database: Database) -> list[Token]:
    """Read all tokens, the oldest first."""
    with database.read() as connection:
        rows = connection.execute(select(*api_tokens.c).order_by(api_tokens.c.created_at, api_tokens.c.id))
        return [_token(row) for row in rows]


def revoke(database: Database, id: str) -> None:
    """Let a token open nothing from now on; one that is revoked keeps its first instant. Raises `NotFound`."""
    first = func.coalesce(api_tokens.c.revoked_at, now())
    revoked = update(api_tokens).where(api_tokens.c.id == id).values(revoked_at=first)
    if not database.write(lambda connection: connection.execute(revoked).rowcount):
        raise NotFound(f"There is no token {id!r}. Nothing was changed.", "See `jobtable token list`.")


def _token(row: Any) -> Token:
    return Token(
        id=row.id,
        name=row.name,
        owner=row.owner,
        scopes=frozenset(row.scopes.split()) & frozenset(SCOPES),
        expires_at=row.expires_at,
        revoked_at=row.revoked_at,
        created_at=row.created_at,
        last_used_at=row.last_used_at,
    )


def digest(secret: str) -> str:
    """Give what is kept of a secret."""
    return hashlib.sha256(secret.encode()).hexdigest()


def is_secret(secret: str, kept: str | None) -> bool:
    """Tell whether a secret is the one that was kept, in a time that tells nothing; None: nothing was kept."""
    return hmac.compare_digest((kept or _NOBODY).encode(), digest(secret).encode()) and kept is not None
