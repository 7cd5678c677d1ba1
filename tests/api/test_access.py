"""Who is let in, as whom, and who is sent away."""

from collections.abc import Iterator

import pytest
from sqlalchemy import update

from models import api_tokens
from processor.api import failures
from processor.api.access import Caller, Doorkeeper
from processor.db import Database
from processor.errors import Forbidden, Unauthorized
from processor.queue import tokens
from tests.conftest import migrate

NONE = "jt_00000000_" + "a" * 43


class Clock:
    """A clock that goes when it is told to."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def database(tmp_path: object) -> Iterator[Database]:
    url = f"sqlite:///{tmp_path}/jobs.db"
    migrate(url)
    with Database(url) as database:
        yield database


def refusal(keeper: Doorkeeper, authorization: str | None) -> Unauthorized:
    with pytest.raises(Unauthorized) as refused:
        keeper.caller(authorization)
    assert "jobtable token create" in refused.value.remedy
    return refused.value


@pytest.mark.parametrize(
    ("scopes", "may"),
    [
        ("read", {"read"}),
        ("write", {"write"}),
        ("read write", {"read", "write"}),
        ("metrics", {"metrics"}),
        ("admin", {"read", "write", "admin", "metrics"}),
        ("", set()),
    ],
)
def test_a_scope_opens_itself_and_admin_all(scopes: str, may: set[str]) -> None:
    caller = Caller("ann", frozenset(scopes.split()), "x")
    assert {scope for scope in tokens.SCOPES if caller.may(scope)} == may
    assert not caller.may("everything")


def test_who_has_no_owner_reaches_all() -> None:
    assert Caller(None, frozenset(), "x").reaches_all
    assert not Caller("", frozenset(), "x").reaches_all
    assert not Caller("ann", frozenset(), "x").reaches_all


@pytest.mark.parametrize("scheme", ["Bearer ", "bearer ", "BEARER  "])
def test_a_token_makes_a_caller(database: Database, scheme: str) -> None:
    token, text = tokens.create(database, owner="ann", scopes=("read", "write"))
    caller = Doorkeeper(database, is_loopback=False).caller(f"{scheme}{text}")
    assert caller == Caller("ann", frozenset({"read", "write"}), token.id)


@pytest.mark.parametrize("authorization", [None, "", "Bearer", f"Bearer {NONE}", "Basic YTpi", "Bearer é\ud800", NONE])
def test_without_a_valid_token_nobody_is_let_in(database: Database, authorization: str | None) -> None:
    tokens.create(database, owner="ann", scopes=("read",))
    for is_loopback in (True, False):
        refusal(Doorkeeper(database, is_loopback), authorization)


def test_a_refusal_says_which_of_three_things_is_wrong_and_repeats_no_token(database: Database) -> None:
    keeper = Doorkeeper(database, is_loopback=False)
    assert refusal(keeper, None).message.startswith("The request carries no token.")
    assert refusal(keeper, "Basic YTpi").message.startswith("The Authorization header is not of the kind Bearer.")
    wrong = refusal(keeper, f"Bearer {NONE}")
    assert wrong.message.startswith("The token is not valid")
    assert "jt_0" not in str(wrong)


def test_before_the_first_token_this_machine_is_open_and_no_other(database: Database) -> None:
    open_caller = Doorkeeper(database, is_loopback=True).caller(None)
    assert (open_caller.reaches_all, open_caller.may("admin"), open_caller.token_id) == (True, True, None)
    refusal(Doorkeeper(database, is_loopback=False), None)


@pytest.mark.parametrize("end", ["valid", "expired", "revoked"])
def test_with_the_first_token_it_is_closed_even_when_that_is_not_valid_any_more(database: Database, end: str) -> None:
    keeper = Doorkeeper(database, is_loopback=True)
    assert keeper.caller(None).may("admin")
    token, text = tokens.create(database, owner="ann", scopes=("read",), expires_in=0.001 if end == "expired" else None)
    if end == "revoked":
        tokens.revoke(database, token.id)
    refusal(keeper, None)
    if end == "revoked":
        refusal(keeper, f"Bearer {text}")


def test_a_token_is_marked_once_a_minute_and_never_by_who_only_reads(database: Database) -> None:
    _, text = tokens.create(database, owner="ann", scopes=("read",))
    clock = Clock()
    door = Doorkeeper(database, is_loopback=True, clock=clock)

    def used() -> bool:
        [row] = tokens.list_all(database)
        return row.last_used_at is not None

    def forget() -> None:
        unused = update(api_tokens).values(last_used_at=None)
        database.write(lambda connection: connection.execute(unused))

    Doorkeeper(database, is_loopback=True, writes=False).caller(f"Bearer {text}")
    assert not used()
    door.caller(f"Bearer {text}")
    assert used()
    forget()
    door.caller(f"Bearer {text}")
    assert not used(), "a minute has not passed"
    clock.now = 61.0
    door.caller(f"Bearer {text}")
    assert used()


def test_a_revoked_token_is_refused_by_who_let_it_in(database: Database) -> None:
    token, text = tokens.create(database, owner="ann", scopes=("read",))
    keeper = Doorkeeper(database, is_loopback=True)
    assert keeper.caller(f"Bearer {text}").token_id == token.id
    tokens.revoke(database, token.id)
    refusal(keeper, f"Bearer {text}")


def test_a_missing_scope_says_which_and_how_to_get_it() -> None:
    assert "has not the scope write" in Forbidden("write").message
    assert "`jobtable token create --scope write`" in Forbidden("write").remedy


# --- failures --------------------------------------------------------------------------------------------------------


def fail(keeper: Doorkeeper, times: int, address: str = "192.0.2.1") -> None:
    for _ in range(times):
        keeper.failed(address)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def keeper(database: Database, clock: Clock) -> Doorkeeper:
    return Doorkeeper(database, is_loopback=False, clock=clock)


def test_the_tenth_failure_within_a_minute_blocks_the_address_and_no_other(keeper: Doorkeeper) -> None:
    fail(keeper, 9)
    assert not keeper.is_blocked("192.0.2.1")
    fail(keeper, 1)
    assert keeper.is_blocked("192.0.2.1")
    assert not keeper.is_blocked("192.0.2.2")


def test_a_blocked_address_is_listened_to_again_after_a_minute(keeper: Doorkeeper, clock: Clock) -> None:
    fail(keeper, 10)
    clock.now = 59.9
    assert keeper.is_blocked("192.0.2.1")
    clock.now = 60.0
    assert not keeper.is_blocked("192.0.2.1")
    fail(keeper, 9)
    assert not keeper.is_blocked("192.0.2.1")
    fail(keeper, 1)
    assert keeper.is_blocked("192.0.2.1")


def test_failures_over_more_than_a_minute_block_nobody(keeper: Doorkeeper, clock: Clock) -> None:
    for second in range(0, 700, 7):
        clock.now = float(second)
        fail(keeper, 1)
        assert not keeper.is_blocked("192.0.2.1")


def test_only_so_many_addresses_are_remembered(keeper: Doorkeeper) -> None:
    fail(keeper, 10, "first")
    fail(keeper, 10, "second")
    for number in range(failures.MOST_ADDRESSES - 2):
        fail(keeper, 1, f"other {number}")
    fail(keeper, 1, "first")
    fail(keeper, 1, "one more")
    assert len(keeper._failures._latest) == failures.MOST_ADDRESSES
    assert keeper.is_blocked("first")
    assert not keeper.is_blocked("second")


def test_asking_remembers_nothing(keeper: Doorkeeper) -> None:
    assert not keeper.is_blocked("192.0.2.1")
    assert not keeper._failures._latest
