"""A token opens what it says, and nothing after its end."""

import hashlib
import re
from datetime import timedelta

import pytest

from processor.errors import NotFound, Refused
from processor.queue import tokens
from tests.queue.conftest import Queue
from tests.queue.test_statements import hear

REFUSES_UPDATES = {
    "postgresql": (
        "CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RAISE 'no'; END$$",
        "CREATE TRIGGER no BEFORE UPDATE ON api_tokens FOR EACH ROW EXECUTE FUNCTION no()",
    ),
    "mariadb": (
        "CREATE TRIGGER no BEFORE UPDATE ON api_tokens FOR EACH ROW SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'no'",
    ),
    "sqlite": ("CREATE TRIGGER no BEFORE UPDATE ON api_tokens BEGIN SELECT RAISE(ABORT, 'no'); END",),
}
LONG_AGO = "2020-06-01 00:00:00"


def make(queue: Queue, owner: str | None = "ann", *scopes: str, **more: object) -> tuple[tokens.Token, str]:
    return tokens.create(queue.database, owner=owner, scopes=scopes or ("read",), **more)  # type: ignore[arg-type]


def used_at(queue: Queue) -> object:
    [token] = tokens.list_all(queue.database)
    return token.last_used_at


def test_a_token_is_found_by_its_text(queue: Queue) -> None:
    made, text = make(queue, "ann", "write", "read", name="the shop", expires_in=3600.0)
    assert re.fullmatch(r"jt_[0-9a-f]{8}_[\w-]{43}", text, re.ASCII)
    assert (made.owner, made.name, made.scopes) == ("ann", "the shop", {"read", "write"})
    assert made.expires_at is not None
    assert abs(made.expires_at - made.created_at - timedelta(hours=1)) < timedelta(seconds=5)
    assert tokens.find(queue.database, text) == made


def test_the_row_has_no_secret(queue: Queue) -> None:
    made, text = make(queue, None, "metrics", "admin")
    secret = text.split("_", 2)[2]
    [row] = queue.rows("SELECT id, token_hash, owner, scopes FROM api_tokens")
    assert row == (made.id, hashlib.sha256(secret.encode()).hexdigest(), None, "admin metrics")
    assert secret not in repr(queue.rows("SELECT * FROM api_tokens"))


def test_two_tokens_have_nothing_in_common(queue: Queue) -> None:
    (one, text), (other, other_text) = make(queue), make(queue)
    assert one.id != other.id
    assert text.split("_", 2)[2] != other_text.split("_", 2)[2]
    mixed = f"jt_{one.id}_{other_text.split('_', 2)[2]}"
    assert tokens.find(queue.database, mixed) is None
    assert tokens.list_all(queue.database) == sorted((one, other), key=lambda token: (token.created_at, token.id))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "jt_",
        "jt__",
        "jt_00000000_" + "a" * 43,
        "jt_0000000é_" + "a" * 43,
        "jt_00000000_" + "é" * 43,
        "jt_٠٠٠٠٠٠٠٠_" + "a" * 43,
        "jt_00000000_" + "a" * 43 + "\n",
        "jt_00000000_" + "\ud800" * 43,
        "jt_00000000_\0" + "a" * 42,
        "' OR 1=1 --",
    ],
)
def test_a_text_that_is_no_token_finds_none(queue: Queue, text: str) -> None:
    make(queue)
    assert tokens.find(queue.database, text) is None


def test_a_letter_too_many_too_few_or_another_finds_none(queue: Queue) -> None:
    _, text = make(queue)
    for wrong in (text[:-1], f"{text}a", f" {text}", text.upper(), text[:-1] + ("a" if text[-1] != "a" else "b")):
        assert tokens.find(queue.database, wrong) is None
    assert tokens.find(queue.database, text) is not None


def test_a_text_of_another_shape_is_no_question_for_the_database(queue: Queue) -> None:
    heard = hear(queue)
    assert tokens.find(queue.database, "jt_00000000_" + "a" * 10_000_000) is None
    assert heard == []
    assert tokens.find(queue.database, "jt_00000000_" + "a" * 43) is None
    assert len(heard) == 1


def test_an_unknown_id_costs_the_comparison_of_a_known_one(queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[tuple[bytes, bytes]] = []
    monkeypatch.setattr("hmac.compare_digest", lambda one, other: compared.append((one, other)))
    made, _ = make(queue)
    tokens.find(queue.database, f"jt_{made.id}_" + "a" * 43)
    tokens.find(queue.database, ("jt_00000000_" if made.id != "00000000" else "jt_00000001_") + "a" * 43)
    assert {(len(one), len(other)) for one, other in compared} == {(64, 64)}
    assert len(compared) == 2


def test_a_token_that_has_expired_opens_nothing(queue: Queue) -> None:
    made, text = make(queue, expires_in=3600.0)
    assert tokens.find(queue.database, text) is not None
    queue.rows(f"UPDATE api_tokens SET expires_at = '{LONG_AGO}'")
    assert tokens.find(queue.database, text) is None
    assert made.expires_at is not None
    assert made.is_valid(made.expires_at - timedelta(microseconds=1))
    assert not made.is_valid(made.expires_at)


def test_a_token_that_is_revoked_opens_nothing_and_keeps_the_first_instant(queue: Queue) -> None:
    made, text = make(queue)
    other, other_text = make(queue)
    tokens.revoke(queue.database, made.id)
    assert tokens.find(queue.database, text) is None
    queue.rows(f"UPDATE api_tokens SET revoked_at = '{LONG_AGO}' WHERE id = '{made.id}'")
    tokens.revoke(queue.database, made.id)
    [instant] = [token.revoked_at for token in tokens.list_all(queue.database) if token.id == made.id]
    assert instant is not None
    assert instant.year == 2020
    assert tokens.find(queue.database, other_text) == other


def test_what_does_not_exist_cannot_be_revoked(queue: Queue) -> None:
    with pytest.raises(NotFound, match="There is no token 'é'"):
        tokens.revoke(queue.database, "é")


def test_whether_any_exist_counts_those_that_are_revoked(queue: Queue) -> None:
    assert not tokens.any_exist(queue.database)
    made, _ = make(queue)
    tokens.revoke(queue.database, made.id)
    assert tokens.any_exist(queue.database)


def test_a_use_is_written_down_once_a_minute(queue: Queue) -> None:
    made, text = make(queue)
    heard = hear(queue)
    assert tokens.find(queue.database, text) is not None
    assert [statement.split()[0] for statement in heard] == ["SELECT"]
    assert used_at(queue) is None
    tokens.mark_used(queue.database, made.id)
    first = used_at(queue)
    assert first is not None
    tokens.mark_used(queue.database, made.id)
    assert used_at(queue) == first
    queue.rows(f"UPDATE api_tokens SET last_used_at = '{LONG_AGO}'")
    tokens.mark_used(queue.database, made.id)
    assert used_at(queue) >= first  # type: ignore[operator]


def test_a_use_that_cannot_be_written_down_stops_nobody(queue: Queue) -> None:
    made, _ = make(queue)
    for statement in REFUSES_UPDATES[queue.kind]:
        queue.rows(statement)
    tokens.mark_used(queue.database, made.id)
    assert used_at(queue) is None


@pytest.mark.parametrize(
    ("owner", "scopes", "expires_in", "says"),
    [
        ("ann", ("read", "Write", "all"), None, "There is no scope 'Write', 'all'. .* Scopes are read, write, admin"),
        ("ann", (), None, "without a scope opens nothing"),
        ("ann", ("read", "admin"), None, "admin reaches all owners"),
        (None, ("admin",), 0.0, "expires at once"),
    ],
)
def test_a_token_that_cannot_be_meant_is_refused(
    queue: Queue, owner: str | None, scopes: tuple[str, ...], expires_in: float | None, says: str
) -> None:
    with pytest.raises(Refused, match=says):
        tokens.create(queue.database, owner=owner, scopes=scopes, expires_in=expires_in)
    assert not tokens.any_exist(queue.database)


@pytest.mark.parametrize("owner", ["", "ann ", " ", "a\0b", "\ud800", "a" * 201])
def test_a_token_of_an_owner_that_no_job_can_have_is_refused(queue: Queue, owner: str) -> None:
    """On MariaDB `ann ` equals `ann`: whoever can choose such a name would reach the jobs of another."""
    with pytest.raises(Refused, match="No token was made"):
        tokens.create(queue.database, owner=owner, scopes=("read",))
    assert not tokens.any_exist(queue.database)


def test_a_row_that_somebody_wrote_has_only_scopes_that_exist(queue: Queue) -> None:
    queue.rows("INSERT INTO api_tokens (id, token_hash, scopes) VALUES ('x', 'é', 'read  everything')")
    [token] = tokens.list_all(queue.database)
    assert token.scopes == {"read"}
