"""The keys of `[jwt]`: which JWTs of an identity provider open the API, and what is read out of them."""

import ipaddress
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from processor.quantities import Files, Names, Seconds, Table
from processor.sections import PrintableName, Section

SCOPES = ("read", "write", "admin", "metrics")
ALGORITHMS = (
    *("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"),
    *("ES256", "ES384", "ES512", "EdDSA"),
)
"""All have a public key: with a shared secret, whoever can check a JWT can make one."""


class Jwt(Section):
    keys: Files = ()
    jwks: str | None = None
    issuer: PrintableName | None = None
    audience: Names = ()
    owner_claim: PrintableName = "sub"
    scopes_claim: PrintableName = "scope"
    scopes: Table = Field(default={})
    algorithms: Names = ("RS256", "ES256", "EdDSA")
    leeway: Annotated[Seconds, Field(le=300)] = 30.0

    @property
    def is_on(self) -> bool:
        """Whether JWTs open anything."""
        return bool(self.keys or self.jwks)

    @field_validator("jwks")
    @classmethod
    def _a_safe_address(cls, jwks: str | None) -> str | None:
        if jwks is not None and not _is_safe(jwks):
            raise ValueError("expected an address such as https://id.example.org/jwks.json; http on loopback alone")
        return jwks

    @field_validator("scopes")
    @classmethod
    def _known_scopes(cls, scopes: dict[str, str]) -> dict[str, str]:
        for name, ours in scopes.items():
            if not ours.split() or not set(ours.split()) <= set(SCOPES):
                raise ValueError(f"expected each of them to be some of {', '.join(SCOPES)}; {name!r} is {ours!r}")
        return scopes

    @field_validator("algorithms")
    @classmethod
    def _with_public_keys(cls, algorithms: tuple[str, ...]) -> tuple[str, ...]:
        if not algorithms or not set(algorithms) <= set(ALGORITHMS):
            raise ValueError(f"expected some of {', '.join(ALGORITHMS)}")
        return algorithms

    @model_validator(mode="after")
    def _complete(self) -> "Jwt":
        if self.keys and self.jwks:
            raise ValueError("expected keys or jwks, got both")
        if self.is_on and not (self.issuer and self.audience):
            raise ValueError("expected issuer and audience beside keys or jwks: others get JWTs of that provider, too")
        if not self.is_on and (self.issuer or self.audience):
            raise ValueError(
                "expected keys or jwks beside issuer and audience: nothing else tells a JWT from a forgery"
            )
        return self


def _is_safe(address: str) -> bool:
    try:
        parts = urlsplit(address)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        return False
    if not host or not address.isprintable() or parts.username is not None or parts.fragment:
        return False
    return parts.scheme == "https" or (parts.scheme == "http" and _is_loopback(host))


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
