"""JWTs of the user's own identity provider: whether one is genuine and for us, and what it says of who shows it.

The algorithm has to be one that is configured and that the key takes; headers that name keys or addresses are not read.
The signature comes first: of a JWT that is not genuine nothing more is said. Instants are compared with the database's
clock, as those of tokens are.
"""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from http import HTTPStatus
from typing import Any

import jwt
from jwt.exceptions import (
    InvalidAudienceError,
    InvalidIssuerError,
    InvalidSignatureError,
    MissingRequiredClaimError,
    PyJWTError,
)

from processor.api import jwks
from processor.api.jwks import Key, Keyring, KeysUnavailable
from processor.api.problems import Problem
from processor.errors import SettingsError, Unauthorized
from processor.happenings import KeysUnreadable, Listener
from processor.identity import SCOPES, Jwt

MOST_BYTES = 16 * 1024
LONGEST_NAME = 200
"""Letters of an owner, as in the table."""
LAST = datetime(9999, 1, 1, tzinfo=UTC).timestamp()
_SHAPE = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
_OPTIONS: Any = {
    "require": ["exp", "iss", "aud"],
    "verify_exp": False,  # by the database's clock, below
    "verify_nbf": False,
    "verify_iat": False,
    "verify_sub": False,
    "verify_jti": False,
}


@dataclass(frozen=True, slots=True)
class Identity:
    """What a valid JWT says. `owner` None: all owners."""

    owner: str | None
    scopes: frozenset[str]
    expires_at: datetime


class Jwts:
    """Reads JWTs as `[jwt]` says."""

    def __init__(self, section: Jwt, keyring: Keyring) -> None:
        self._section = section
        self._keyring = keyring

    def identity(self, text: str, now: Callable[[], datetime]) -> Identity:
        """Say who shows a JWT. Raises `Unauthorized`; `Problem` while the provider's keys cannot be read."""
        claims = self._claims(text, *self._header(text))
        expires_at = self._check_times(claims, _seconds(now()))
        scopes = self._scopes(claims)
        return Identity(None if "admin" in scopes else self._owner(claims), scopes, expires_at)

    def _header(self, text: str) -> tuple[str | None, str]:
        """Read which key and algorithm it claims to have."""
        if len(text) > MOST_BYTES:
            raise _refused(f"it has more than {MOST_BYTES:,} letters")
        if not _SHAPE.fullmatch(text):
            raise _refused("it is neither a token of jobtable nor a JWT")
        try:
            header = jwt.get_unverified_header(text)
        except (PyJWTError, ValueError, TypeError, RecursionError) as error:
            raise _refused("its header cannot be read") from error
        kid, algorithm = header.get("kid"), header.get("alg")
        if algorithm not in self._section.algorithms:
            raise _refused("its algorithm is not among those of [jwt] algorithms")
        if not isinstance(kid, str | None) or "crit" in header:
            raise _refused("its header asks for what is not known here")
        return kid, str(algorithm)

    def _claims(self, text: str, kid: str | None, algorithm: str) -> dict[str, Any]:
        """Check the signature; where no key of its name is known, with keys that are read again."""
        keys = self._keyring.fitting(kid, algorithm)
        claims = self._signed_by_one(text, keys, algorithm)
        if claims is None and not any(kid is not None and key.kid == kid for key in keys):
            self._keyring.renew()
            keys = self._keyring.fitting(kid, algorithm)
            claims = self._signed_by_one(text, keys, algorithm)
        if claims is not None:
            return claims
        if self._keyring.is_empty:
            detail = "The keys of the identity provider cannot be read at the moment. Nothing was read or changed."
            raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, detail, "Try again later.")
        raise _refused("its signature is wrong" if keys else "it is signed with a key that is not known")

    def _signed_by_one(self, text: str, keys: list[Key], algorithm: str) -> dict[str, Any] | None:
        for key in keys:
            claims = self._signed_by(text, key, algorithm)
            if claims is not None:
                return claims
        return None

    def _signed_by(self, text: str, key: Key, algorithm: str) -> dict[str, Any] | None:
        """Give what it says where this key signed it; None: another one did."""
        section = self._section
        try:
            return jwt.decode(
                text,
                key.public,
                algorithms=[algorithm],
                audience=list(section.audience),
                issuer=section.issuer,
                options=_OPTIONS,
            )
        except InvalidSignatureError:
            return None
        except MissingRequiredClaimError as error:
            raise _refused(f"it lacks the claim {error.claim}") from error
        except InvalidAudienceError as error:
            raise _refused("it is for another audience") from error
        except InvalidIssuerError as error:
            raise _refused("it is of another issuer") from error
        except (PyJWTError, ValueError, TypeError, RecursionError) as error:
            raise _refused("it cannot be read") from error

    def _check_times(self, claims: dict[str, Any], instant: float) -> datetime:
        """Give the instant from which on it is not valid."""
        ends = _number(claims, "exp") + self._section.leeway
        if instant >= ends:
            raise _refused("it has expired")
        for name in ("nbf", "iat"):
            if name in claims and _number(claims, name) - self._section.leeway > instant:
                raise _refused("it is not valid yet")
        return datetime.fromtimestamp(min(ends, LAST), UTC)

    def _scopes(self, claims: dict[str, Any]) -> frozenset[str]:
        """Give the scopes in our words: by the table where there is one, else those of the same name."""
        said = _claim(claims, self._section.scopes_claim)
        names = said.split() if isinstance(said, str) else said if isinstance(said, list) else []
        table = self._section.scopes or {scope: scope for scope in SCOPES}
        return frozenset(scope for name in names if isinstance(name, str) for scope in table.get(name, "").split())

    def _owner(self, claims: dict[str, Any]) -> str:
        owner = _claim(claims, self._section.owner_claim)
        if not isinstance(owner, str) or not 0 < len(owner) <= LONGEST_NAME:
            raise _refused("its owner claim is missing, or no text of 1 to 200 letters")
        if owner != owner.strip() or not owner.isprintable():  # databases differ in what they take for equal
            raise _refused("its owner claim has letters that cannot be shown, or spaces around it")
        return owner


def _claim(claims: dict[str, Any], name: str) -> Any:
    """Read a claim by its name, or by a path of names with dots between, as `realm_access.roles`."""
    if name in claims:
        return claims[name]
    found: Any = claims
    for part in name.split("."):
        found = found.get(part) if isinstance(found, dict) else None
    return found


def _number(claims: dict[str, Any], name: str) -> float:
    value = claims[name]
    try:
        if not isinstance(value, bool) and isinstance(value, int | float) and math.isfinite(value):
            return float(value)
    except OverflowError:  # a whole number with hundreds of digits
        pass
    raise _refused(f"its claim {name} is no instant")


def _seconds(instant: datetime) -> float:
    return (instant if instant.tzinfo else instant.replace(tzinfo=UTC)).timestamp()


def _refused(why: str) -> Unauthorized:
    return Unauthorized(
        f"The token is not valid: {why}. Nothing was read or changed.",
        "Get another one from the identity provider, or use a token of `jobtable token create`.",
    )


def configured(section: Jwt, tell: Listener) -> Jwts | None:
    """Make the reader; None: JWTs open nothing. Raises `SettingsError` for files without keys."""
    if not section.is_on:
        return None
    if section.jwks is not None:
        read, where = partial(jwks.from_address, section.jwks), section.jwks
    else:
        read, where = partial(jwks.from_files, section.keys), "[jwt] keys"
        try:
            read()
        except KeysUnavailable as error:
            raise SettingsError(
                f"[jwt] keys: {error}. Nothing was started.", "Correct the file or its path."
            ) from error
    return Jwts(section, Keyring(read, lambda why: tell(KeysUnreadable(where, why))))
