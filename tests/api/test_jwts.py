"""Which JWTs open the API, and what is read out of them."""

import base64
import hashlib
import hmac
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from hypothesis import given, settings
from hypothesis import strategies as st

from processor.api import jwks, jwts
from processor.api.jwks import Key, Keyring, KeysUnavailable
from processor.api.jwts import Jwts
from processor.errors import SettingsError, Unauthorized
from processor.identity import Jwt
from tests.api import provider as p

PUBLIC = jwks.from_pem(p.pem(p.RSA))
EC = p.private_key("ES256")
ED = p.private_key("EdDSA")


def section(**more: Any) -> Jwt:
    return Jwt.model_validate({"jwks": "https://x/", "issuer": p.ISSUER, "audience": [p.AUDIENCE], **more})


def reader(keys: list[Key] | None = None, **more: Any) -> Jwts:
    return Jwts(section(**more), Keyring(lambda: PUBLIC if keys is None else keys, lambda why: None))


def now() -> datetime:
    return datetime.fromtimestamp(p.NOW, UTC)


def refusal(text: str, by: Jwts | None = None) -> str:
    with pytest.raises(Unauthorized) as refused:
        (by or reader()).identity(text, now)
    for part in text.split("."):
        assert len(part) < 10 or part not in str(refused.value)
    return refused.value.message


def part(value: Any) -> str:
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def forged(header: Any, said: Any = None, signature: str = "c2lnbmF0dXJl") -> str:
    return f"{part(header)}.{part(p.claims() if said is None else said)}.{signature}"


# --- what is let in --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("algorithm", "private"), [("RS256", p.RSA), ("ES256", EC), ("EdDSA", ED)])
@pytest.mark.parametrize("kind", ["pem", "set", "nameless set"])
def test_a_jwt_says_who_shows_it(algorithm: str, private: Any, kind: str, tmp_path: Path) -> None:
    keys = {"keys": [p.jwk(private, algorithm, "one" if kind == "set" else None)]}
    path = tmp_path / "keys"
    path.write_bytes(p.pem(private) if kind == "pem" else json.dumps(keys).encode())
    told = reader(jwks.from_files([path])).identity(p.signed(p.claims(), private, algorithm), now)
    assert told.owner == "ann"
    assert told.scopes == {"read", "write"}
    assert told.expires_at == now() + timedelta(seconds=330), "30 s later than it says, which clocks may differ by"


def test_of_several_keys_without_names_the_one_that_signed_is_found() -> None:
    keys = jwks.from_pem(p.pem(rsa.generate_private_key(65537, 2048)) + p.pem(EC) + p.pem(p.RSA))
    assert [key.kid for key in keys] == [None, None, None]
    assert reader(keys).identity(p.signed(p.claims(), kid=None), now).owner == "ann"
    assert reader(keys).identity(p.signed(p.claims(), EC, "ES256"), now).owner == "ann"


def test_a_certificate_is_a_key(tmp_path: Path) -> None:
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "id")])
    made = x509.CertificateBuilder(name, name, p.RSA.public_key(), 1, now(), now() + timedelta(days=1))
    content = made.sign(p.RSA, hashes.SHA256()).public_bytes(Encoding.PEM)
    assert reader(jwks.from_pem(content)).identity(p.signed(p.claims()), now).owner == "ann"


@pytest.mark.parametrize(
    ("said", "scopes"),
    [
        ({"scope": "read metrics openid"}, {"read", "metrics"}),
        ({"scope": ["write", "profile", 7, None]}, {"write"}),
        ({"scope": ""}, set()),
        ({"scope": None}, set()),
        ({"scope": {"read": True}}, set()),
        ({"scope": 7}, set()),
    ],
)
def test_scopes_are_a_text_or_a_list_and_unknown_ones_open_nothing(said: dict[str, Any], scopes: set[str]) -> None:
    assert reader().identity(p.signed(p.claims(**said)), now).scopes == scopes


def test_a_table_says_what_the_scopes_of_the_provider_are_here_and_no_other_counts() -> None:
    table = {"jobs:write": "read write", "jobs:see": "read"}
    by = reader(scopes=table, scopes_claim="permissions")
    told = by.identity(p.signed(p.claims(scope="admin", permissions=["jobs:write", "jobs:see", "admin"])), now)
    assert (told.owner, told.scopes) == ("ann", {"read", "write"})


def test_claims_inside_others_and_claims_with_dots_in_their_names_are_found() -> None:
    said = {"realm_access": {"roles": ["read"]}, "https://example.org/user": "bob"}
    by = reader(scopes_claim="realm_access.roles", owner_claim="https://example.org/user")
    told = by.identity(p.signed(p.claims(**said)), now)
    assert (told.owner, told.scopes) == ("bob", {"read"})
    assert reader(scopes_claim="sub.x").identity(p.signed(p.claims()), now).scopes == set()


def test_admin_reaches_all_owners() -> None:
    told = reader(scopes={"ops": "admin"}).identity(p.signed(p.claims(scope="ops", sub=None)), now)
    assert (told.owner, told.scopes) == (None, {"admin"})


def test_one_of_several_audiences_is_enough() -> None:
    by = reader(audience=["other", p.AUDIENCE])
    assert by.identity(p.signed(p.claims(aud=["x", p.AUDIENCE])), now).owner == "ann"


@pytest.mark.parametrize("said", [{"exp": p.NOW - 29}, {"nbf": p.NOW + 29}, {"iat": p.NOW + 29}, {"exp": 10**14}])
def test_clocks_may_differ_by_half_a_minute(said: dict[str, Any]) -> None:
    assert reader().identity(p.signed(p.claims(**said)), now).owner == "ann"


# --- what is not -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({"exp": p.NOW - 30}, "it has expired"),
        ({"exp": None}, "it lacks the claim exp"),
        ({"exp": "soon"}, "its claim exp is no instant"),
        ({"exp": True}, "its claim exp is no instant"),
        ({"exp": float("inf")}, "its claim exp is no instant"),
        ({"exp": float("nan")}, "its claim exp is no instant"),
        ({"exp": 10**400}, "its claim exp is no instant"),
        ({"nbf": p.NOW + 31}, "it is not valid yet"),
        ({"nbf": []}, "its claim nbf is no instant"),
        ({"iat": p.NOW + 31}, "it is not valid yet"),
        ({"aud": "other"}, "it is for another audience"),
        ({"aud": [["jobtable"]]}, "it is for another audience"),
        ({"aud": None}, "it lacks the claim aud"),
        ({"iss": "https://evil.example.org"}, "it is of another issuer"),
        ({"iss": None}, "it lacks the claim iss"),
        ({"sub": None}, "its owner claim is missing"),
        ({"sub": ""}, "its owner claim is missing"),
        ({"sub": 7}, "its owner claim is missing"),
        ({"sub": "a" * 201}, "its owner claim is missing"),
        ({"sub": "ann "}, "spaces around it"),
        ({"sub": "an\u0000n"}, "cannot be shown"),
        ({"sub": "an\ud800n"}, "cannot be shown"),
    ],
)
def test_what_is_wrong_is_said_of_genuine_jwts(said: dict[str, Any], why: str) -> None:
    assert why in refusal(p.signed(p.claims(**said)))


def test_of_a_jwt_that_is_not_genuine_nothing_is_said_but_that() -> None:
    other = rsa.generate_private_key(65537, 2048)
    assert "its signature is wrong" in refusal(p.signed(p.claims(exp=1, aud="other", iss="x"), other))


def test_an_algorithm_is_not_chosen_by_the_jwt() -> None:
    """The public key is no secret: whoever takes it for one signs with it."""
    header = {"alg": "HS256", "kid": "one"}
    for secret in (p.pem(p.RSA), p.pem(p.RSA).strip()):
        content = f"{part(header)}.{part(p.claims())}"
        mark = hmac.new(secret, content.encode(), hashlib.sha256).digest()
        assert "its algorithm is not among" in refusal(f"{content}.{part(mark)}")


@pytest.mark.parametrize("name", ["none", "None", "NONE", "", None, 7, [], {}, "HS256", "RS512", "ES256K"])
def test_no_signature_and_unknown_algorithms_are_refused(name: Any) -> None:
    refusal(forged({"alg": name, "kid": "one"}))
    text = f"{part({'alg': name})}.{part(p.claims())}."
    refusal(text)


def test_a_key_checks_no_algorithm_of_another_kind() -> None:
    assert "its signature is wrong" not in refusal(p.signed(p.claims(), EC, "ES256"))
    [key] = jwks.from_set(json.dumps({"keys": [p.jwk(p.RSA, "RS256", "one")]}).encode())
    assert key.algorithms == {"RS256"}
    by = reader([key], algorithms=["RS256", "PS256"])
    assert "not known" in refusal(p.signed(p.claims(), p.RSA, "PS256"), by)


def test_a_header_names_no_keys() -> None:
    other = rsa.generate_private_key(65537, 2048)
    with p.providing(p.jwk(other, "RS256", "one")) as evil:
        header = {"alg": "RS256", "kid": "x", "jku": evil.address, "x5u": evil.address}
        header |= {"jwk": p.jwk(other, "RS256", "x")}
        refusal(forged(header))
        assert evil.asked == 0
    assert "its header" in refusal(forged({"alg": "RS256", "crit": ["b64"], "b64": False}))
    assert "its header" in refusal(forged({"alg": "RS256", "kid": ["one"]}))


def test_at_most_16_kb_are_looked_at() -> None:
    large = p.signed(p.claims(more="x" * 9000))
    assert reader().identity(large, now).owner == "ann"
    larger = p.signed(p.claims(more="x" * 12_000))
    assert len(larger) > jwts.MOST_BYTES
    assert "it has more than 16,384 letters" in refusal(larger)


DEEP = "[" * 6000
DIGITS = "9" * 5000


@pytest.mark.parametrize(
    "text",
    [
        *("", ".", "..", "a.b", "a.b.c", "a.b.c.d", "é.é.é", "\ud800", "a\0.b.c", f"{part(b'{}')}.{part(b'{}')}."),
        *(forged(value) for value in (None, 7, [], "x", {}, {"alg": "RS256"}, b"\xff\xfe", DEEP.encode())),
        *(forged({"alg": "RS256"}, value) for value in (7, [], "x", b"\xff", DEEP.encode(), DIGITS.encode())),
        f"{part(b'{')}.{part(b'{')}.{part(b'{')}",
        p.signed(p.claims())[:-1],
        p.signed(p.claims()) + "x",
        p.signed(p.claims()).replace(".", ".."),
    ],
)
def test_what_is_no_jwt_is_refused(text: str) -> None:
    refusal(text)


@pytest.mark.parametrize("payload", [b"7", b"[]", b"null", b"\xff", DEEP.encode(), b'{"exp":' + DIGITS.encode() + b"}"])
def test_what_the_provider_signed_may_be_nonsense_all_the_same(payload: bytes) -> None:
    text = p.sealed(payload, p.RSA, "RS256", "one")
    refusal(text)


GOOD = p.signed(p.claims())


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_a_jwt_that_was_changed_anywhere_opens_nothing(data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(GOOD) - 1))
    change = data.draw(st.sampled_from(["cut", "insert", "replace"]))
    letter = data.draw(st.sampled_from("AbZ09-_.=\x00é "))
    text = {
        "cut": GOOD[:place] + GOOD[place + 1 :],
        "insert": GOOD[:place] + letter + GOOD[place:],
        "replace": GOOD[:place] + letter + GOOD[place + 1 :],
    }[change]
    try:
        told = reader().identity(text, now)
    except Unauthorized:
        return
    assert told.owner == "ann"
    assert text.rpartition(".")[0] == GOOD.rpartition(".")[0], "only unused bits of the signature's last letter differ"


JSON = st.recursive(st.none() | st.booleans() | st.floats() | st.integers() | st.text(), st.lists, max_leaves=5)


@settings(max_examples=300, deadline=None)
@given(st.dictionaries(st.sampled_from(["exp", "nbf", "iat", "aud", "iss", "sub", "scope"]), JSON))
def test_claims_of_any_kind_are_refused_or_understood(said: dict[str, Any]) -> None:
    try:
        told = reader().identity(p.signed({**p.claims(), **said}), now)
    except Unauthorized:
        return
    assert told.owner is None or told.owner.isprintable()
    assert told.scopes <= {"read", "write", "admin", "metrics"}


# --- keys ------------------------------------------------------------------------------------------------------------


def private_pem() -> bytes:
    return p.RSA.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (lambda: b"", "no JWK set"),
        (lambda: b"{}", "no JWK set"),
        (lambda: b'{"keys": 7}', "no JWK set"),
        (lambda: b"[" * 100_000, "no JWK set"),
        (lambda: b'{"keys": []}', "no public key"),
        (lambda: json.dumps({"keys": [{"kty": "oct", "k": "AAAA", "kid": "x"}]}).encode(), "no public key"),
        (lambda: json.dumps({"keys": [7, None, {"kty": "RSA"}, {"kty": ["RSA"]}]}).encode(), "no public key"),
        (lambda: json.dumps({"keys": [{**p.jwk(p.RSA, "RS256", "x"), "use": "enc"}]}).encode(), "no public key"),
        (lambda: json.dumps({"keys": [{**p.jwk(p.RSA, "RS256", "x"), "alg": "HS256"}]}).encode(), "no public key"),
        (private_pem, "a private key"),
        (lambda: b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", "no public key"),
        (lambda: b"-----BEGIN PUBLIC KEY-----\nAAAA\n", "no complete PEM block"),
        (lambda: p.pem(rsa.generate_private_key(65537, 1024)), "too weak"),
    ],
)
def test_files_without_keys_are_refused_at_the_start(content: Callable[[], bytes], why: str, tmp_path: Path) -> None:
    path = tmp_path / "keys.pem"
    path.write_bytes(content())
    told = Jwt.model_validate({"keys": [str(path)], "issuer": "i", "audience": "a"})
    with pytest.raises(SettingsError, match=why) as refused:
        jwts.configured(told, lambda happening: None)
    assert str(path) in refused.value.message
    assert "PRIVATE KEY" not in str(refused.value)


def test_a_file_that_is_missing_is_named(tmp_path: Path) -> None:
    told = Jwt.model_validate({"keys": [str(tmp_path / "none.pem")], "issuer": "i", "audience": "a"})
    with pytest.raises(SettingsError, match=r"none\.pem cannot be read: No such file"):
        jwts.configured(told, lambda happening: None)
    assert jwts.configured(Jwt(), lambda happening: None) is None


def test_of_a_set_the_keys_that_sign_are_taken_without_private_parts() -> None:
    private = json.loads(p.READERS["RS256"].to_jwk(p.RSA))
    found = jwks.from_set(
        json.dumps({"keys": [{"kty": "oct", "k": "AA"}, {**private, "kid": "a"}, p.jwk(ED, "EdDSA", "b")]}).encode()
    )
    assert [key.kid for key in found] == ["a", "b"]
    assert not any(hasattr(key.public, "private_numbers") or hasattr(key.public, "sign") for key in found)


def test_a_changed_file_is_read_again_for_an_unknown_key(tmp_path: Path) -> None:
    path = tmp_path / "keys.pem"
    path.write_bytes(p.pem(EC))
    told = Jwt.model_validate({"keys": [str(path)], "issuer": p.ISSUER, "audience": p.AUDIENCE})
    by = jwts.configured(told, lambda happening: None)
    assert by is not None
    path.write_bytes(p.pem(p.RSA))
    assert by.identity(GOOD, now).owner == "ann"


def test_a_reading_that_fails_leaves_the_old_keys() -> None:
    failed: list[str] = []
    answers: list[Any] = [PUBLIC, KeysUnavailable("away")]

    def read() -> list[Key]:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return list(answer)

    clock = [0.0]
    ring = Keyring(read, failed.append, lambda: clock[0])
    ring.renew()
    clock[0] = jwks.LONGEST
    assert ring.fitting("x", "RS256") == PUBLIC
    assert (failed, answers) == (["away"], [])
