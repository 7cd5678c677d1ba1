"""An identity provider for tests: real keys, and a real address on this machine that gives them away."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt import api_jws
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

ISSUER = "https://id.example.org"
AUDIENCE = "jobtable"
NOW = 1_800_000_000
RSA = rsa.generate_private_key(65537, 2048)
"""Made once: it takes a tenth of a second."""
READERS: dict[str, Any] = {"RS256": RSAAlgorithm, "ES256": ECAlgorithm, "EdDSA": OKPAlgorithm}


def private_key(algorithm: str) -> Any:
    if algorithm == "RS256":
        return RSA
    return ec.generate_private_key(ec.SECP256R1()) if algorithm == "ES256" else ed25519.Ed25519PrivateKey.generate()


def pem(private: Any) -> bytes:
    """Give the public part as a provider would."""
    text: bytes = private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return text


def jwk(private: Any, algorithm: str, kid: str | None) -> dict[str, Any]:
    found = json.loads(READERS[algorithm].to_jwk(private.public_key()))
    found.pop("key_ops", None)
    return {**found, "use": "sig", "alg": algorithm, **({} if kid is None else {"kid": kid})}


def claims(now: float = NOW, **more: Any) -> dict[str, Any]:
    """Give what a good JWT says; what is None is left out."""
    usual = {"iss": ISSUER, "aud": AUDIENCE, "sub": "ann", "scope": "read write", "exp": now + 300, "iat": now}
    return {name: value for name, value in {**usual, **more}.items() if value is not None}


def signed(said: dict[str, Any], private: Any = RSA, algorithm: str = "RS256", kid: str | None = "one") -> str:
    return sealed(json.dumps(said).encode(), private, algorithm, kid)


def sealed(payload: bytes, private: Any, algorithm: str, kid: str | None) -> str:
    """Sign anything, also what is no JWT."""
    return api_jws.encode(payload, private, algorithm, headers={} if kid is None else {"kid": kid})


@dataclass
class Provider:
    """`answer` is what its address gives: status, headers, body. `asked` counts."""

    address: str = ""
    keys: list[dict[str, Any]] = field(default_factory=list)
    answer: tuple[int, dict[str, str], bytes] | None = None
    asked: int = 0

    def reply(self) -> tuple[int, dict[str, str], bytes]:
        self.asked += 1
        return self.answer or (200, {}, json.dumps({"keys": self.keys}).encode())


@contextmanager
def providing(*keys: dict[str, Any]) -> Iterator[Provider]:
    """Give keys away at an address of this machine."""
    provider = Provider(keys=list(keys))

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, headers, body = provider.reply()
            self.send_response(status)
            for name, text in headers.items():
                self.send_header(name, text)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            """Nobody reads it."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        provider.address = f"http://127.0.0.1:{server.server_address[1]}/jwks"
        try:
            yield provider
        finally:
            server.shutdown()
            thread.join()
