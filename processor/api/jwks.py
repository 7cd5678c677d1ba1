"""The public keys of an identity provider: read from files or an address, kept, and read again when one is missing.

What strangers send can make us read again once a minute, and holds up a few requests at most. Where nothing can be read
the old keys stay. A key fits few algorithms, so that no JWT chooses how its signature is checked.
"""

import asyncio
import contextlib
import json
import re
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed448 import Ed448PublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm
from jwt.exceptions import PyJWTError

PAUSE = 60.0
"""Seconds between two readings at least, and between two tries where nothing can be read."""
PAUSE_WITHOUT = 5.0
"""The same while there are no keys at all."""
LONGEST = 3600.0
"""Keys are read again after so long: what the provider took back ends then."""
DEADLINE = 5.0
"""Seconds for an address to answer completely."""
MOST_BYTES = 256 * 1024
MOST_KEYS = 100
MOST_WAITING = 8
"""Requests that wait for a reading; each holds one of the server's forty threads."""
RSA_BITS = range(2048, 8193)
_CURVES = {"secp256r1": "ES256", "secp384r1": "ES384", "secp521r1": "ES512"}
_BLOCK = re.compile(rb"-----BEGIN ([A-Z0-9 ]+)-----.*?-----END \1-----", re.DOTALL)
_KINDS: dict[str, tuple[Any, tuple[str, ...]]] = {
    "RSA": (RSAAlgorithm, ("n", "e")),
    "EC": (ECAlgorithm, ("crv", "x", "y")),
    "OKP": (OKPAlgorithm, ("crv", "x")),
}
"""By `kty`: who reads it, and its public members. What has no public key (`oct`) is not among them."""


class KeysUnavailable(Exception):
    """No keys can be read; the text says why, without what was read."""


@dataclass(frozen=True, slots=True)
class Key:
    """A public key. `kid` None: it has no name; `algorithms` are those it may check."""

    kid: str | None
    algorithms: frozenset[str]
    public: Any

    def fits(self, kid: str | None, algorithm: str) -> bool:
        """Tell whether it may have to do with a JWT: a name that is missing on either side says nothing."""
        return algorithm in self.algorithms and (kid is None or self.kid is None or kid == self.kid)


class Keyring:
    """The keys that are known, from any thread. `failed` hears why none could be read."""

    def __init__(
        self,
        read: Callable[[], list[Key]],
        failed: Callable[[str], object],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._read = read
        self._failed = failed
        self._clock = clock
        self._keys: tuple[Key, ...] = ()
        self._tried_at = self._read_at = float("-inf")
        self._reading = threading.Lock()
        self._places = threading.BoundedSemaphore(MOST_WAITING)

    @property
    def is_empty(self) -> bool:
        return not self._keys

    def fitting(self, kid: str | None, algorithm: str) -> list[Key]:
        """Give the keys that may have signed a JWT."""
        if self._keys and self._clock() - self._read_at >= LONGEST and self._reading.acquire(blocking=False):
            try:  # one request does it; the others go on with the old keys meanwhile
                self._read_again()
            finally:
                self._reading.release()
        return [key for key in self._keys if key.fits(kid, algorithm)]

    def renew(self) -> None:
        """Read the keys again, unless somebody did a moment ago; where that fails the old ones stay."""
        if not self._places.acquire(blocking=False):
            return
        try:
            with self._reading:
                self._read_again()
        finally:
            self._places.release()

    def _read_again(self) -> None:
        pause = PAUSE if self._keys else PAUSE_WITHOUT
        if self._clock() - self._tried_at < pause:
            return
        self._tried_at = self._clock()
        try:
            self._keys = tuple(self._read())
            self._read_at = self._tried_at
        except KeysUnavailable as error:
            self._failed(str(error))


def from_files(paths: Iterable[Path]) -> list[Key]:
    """Read PEM files and files with a JWK set. Raises `KeysUnavailable`."""
    return [key for path in paths for key in _from_file(path)]


def _from_file(path: Path) -> list[Key]:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise KeysUnavailable(f"{path} cannot be read: {error.strerror}") from error
    try:
        return from_pem(content) if b"-----BEGIN" in content else from_set(content)
    except KeysUnavailable as error:
        raise KeysUnavailable(f"{path}: {error}") from error


def from_pem(content: bytes) -> list[Key]:
    """Read public keys and certificates, one after the other. Raises `KeysUnavailable`."""
    keys = [_from_block(block) for block in _BLOCK.finditer(content)]
    if not keys:
        raise KeysUnavailable("it has no complete PEM block")
    return keys


def _from_block(block: re.Match[bytes]) -> Key:
    if b"PRIVATE" in block[1]:
        raise KeysUnavailable("it has a private key, which belongs to the identity provider alone")
    try:
        is_certificate = block[1] == b"CERTIFICATE"
        public = (
            x509.load_pem_x509_certificate(block[0]).public_key() if is_certificate else load_pem_public_key(block[0])
        )
    except Exception as error:  # cryptography has many, for as many ways of being broken
        raise KeysUnavailable(f"it has a PEM block that is no public key: {error}") from error
    algorithms = _algorithms(public)
    if not algorithms:
        raise KeysUnavailable("it has a key that is too weak, or that no algorithm of ours takes")
    return Key(None, algorithms, public)


def from_set(content: bytes) -> list[Key]:
    """Read a JWK set; of what is in it, keys that sign and that we know. Raises `KeysUnavailable`."""
    try:
        found = json.loads(content)["keys"]
        keys = [key for one in found[:MOST_KEYS] for key in _from_jwk(one)]
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise KeysUnavailable("it is no JWK set") from error
    if not keys:
        raise KeysUnavailable("it has no public key that signs and that is known here")
    return keys


def _from_jwk(jwk: Any) -> Iterator[Key]:
    """Give the key of a JWK; a set may have others, for other uses."""
    if not isinstance(jwk, dict) or jwk.get("use", "sig") != "sig" or not isinstance(jwk.get("kty"), str):
        return
    reader, members = _KINDS.get(jwk["kty"], (None, ()))
    kid = jwk.get("kid")
    if reader is None or not isinstance(kid, str | None):
        return
    with contextlib.suppress(PyJWTError, ValueError, TypeError, KeyError):
        public = reader.from_jwk({"kty": jwk["kty"], **{name: jwk[name] for name in members}})
        algorithms = _algorithms(public)
        if "alg" in jwk:
            algorithms &= {jwk["alg"]}
        if algorithms:
            yield Key(kid, algorithms, public)


def _algorithms(public: Any) -> frozenset[str]:
    """Say what a key may check; nothing where it is weak, or of an unknown kind."""
    match public:
        case RSAPublicKey() if public.key_size in RSA_BITS:
            return frozenset(f"{family}{bits}" for family in ("RS", "PS") for bits in (256, 384, 512))
        case EllipticCurvePublicKey():
            return frozenset(filter(None, [_CURVES.get(public.curve.name)]))
        case Ed25519PublicKey() | Ed448PublicKey():
            return frozenset({"EdDSA"})
    return frozenset()


def from_address(address: str) -> list[Key]:
    """Get a JWK set. Raises `KeysUnavailable`."""
    try:
        content = asyncio.run(_get(address))
    except (httpx.HTTPError, httpx.InvalidURL, TimeoutError, OSError) as error:
        raise KeysUnavailable(f"it does not answer: {str(error) or type(error).__name__}") from error
    return from_set(content)


async def _get(address: str) -> bytes:
    """Read what an address answers, within time and size. It leads nowhere else: the operator wrote this one."""
    content = bytearray()
    headers = {"Accept": "application/json", "Accept-Encoding": "identity"}
    async with (
        asyncio.timeout(DEADLINE),
        httpx.AsyncClient(follow_redirects=False, headers=headers, timeout=DEADLINE) as client,
        client.stream("GET", address) as answer,
    ):
        if answer.status_code != 200:
            raise KeysUnavailable(f"it answers {answer.status_code}")
        async for part in answer.aiter_raw():
            content += part
            if len(content) > MOST_BYTES:
                raise KeysUnavailable(f"it answers with more than {MOST_BYTES:,} bytes")
    return bytes(content)
