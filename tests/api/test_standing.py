"""Whether who listens may go on is asked for all of them at once; who steers asks by itself."""

import asyncio
import threading
from collections.abc import Callable, Collection
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest

from processor.api.access import ANYBODY, Caller, Doorkeeper
from processor.api.standing import Standing
from processor.errors import DatabaseUnreachable
from processor.queue import sessions, tokens
from tests.patience import eventually
from tests.queue.conftest import Queue, queue

__all__ = ["queue"]
READ = frozenset({"read"})


class Counting(Doorkeeper):
    """Counts how often it asks the database; it may be told what that answers instead."""

    looks = 0
    error: Exception | None = None

    def still(self, callers: Collection[Caller]) -> set[Caller]:
        self.looks += 1
        if self.error is not None:
            raise self.error
        return super().still(callers)


@pytest.fixture
def doorkeeper(queue: Queue) -> Counting:
    return Counting(queue.database, is_loopback=True)


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("processor.api.standing.PAUSE", 0.05)


def with_token(queue: Queue, owner: str) -> Caller:
    token, _ = tokens.create(queue.database, owner=owner, scopes=("read",))
    return Caller(owner, READ, token.id)


def with_session(queue: Queue, opened_with: Caller) -> Caller:
    made, _ = sessions.create(
        queue.database, sessions.BROWSER, owner=opened_with.owner, scopes=READ, token_id=opened_with.token_id
    )
    return Caller(opened_with.owner, READ, opened_with.token_id, made.id)


def watched(standing: Standing, *callers: Caller, until: Callable[[], object]) -> list[tuple[Caller, bool, bool]]:
    """Watch callers until something is seen; give of each whether it was ended, and whether it is over."""

    async def watch() -> list[tuple[Caller, bool, bool]]:
        ended: list[Caller] = []
        with ExitStack() as stack:
            seen = [stack.enter_context(standing.watching(one, partial(ended.append, one))) for one in callers]
            await asyncio.to_thread(eventually, until)
        return [(one.caller, one.caller in ended, one.is_over) for one in seen]

    return asyncio.run(watch())


def test_one_look_is_for_all_and_ends_whose_right_is_over(queue: Queue, doorkeeper: Counting) -> None:
    tokened = [with_token(queue, f"owner {number}") for number in range(4)]
    sessioned = [with_session(queue, one) for one in tokened]
    instant = datetime.now(UTC)
    late, early = (Caller("jwt", READ, None, expires_at=instant + timedelta(minutes=n)) for n in (5, -5))
    tokens.revoke(queue.database, tokened[0].token_id or "")
    sessions.close(queue.database, sessioned[1].session_id or "")
    seen = watched(
        Standing(doorkeeper, pytest.fail),
        *tokened,
        *sessioned,
        late,
        early,
        ANYBODY,
        until=lambda: doorkeeper.looks >= 2,
    )
    over = {tokened[0], sessioned[0], sessioned[1], early, ANYBODY}
    assert {who for who, _, is_over in seen if is_over} == {who for who, ended, _ in seen if ended} == over


def test_who_comes_when_the_last_one_leaves_is_looked_at(queue: Queue, doorkeeper: Counting) -> None:
    ann, bob = with_token(queue, "ann"), with_token(queue, "bob")
    tokens.revoke(queue.database, bob.token_id or "")
    standing, ended = Standing(doorkeeper, pytest.fail), threading.Event()

    async def watch() -> None:
        with standing.watching(ann, pytest.fail):
            assert await standing.holds_now(ann)  # the look has begun to wait
        with standing.watching(bob, ended.set):
            assert await asyncio.to_thread(ended.wait, 30)

    asyncio.run(watch())


def test_everybody_of_this_machine_goes_on_until_there_is_a_token(queue: Queue, doorkeeper: Counting) -> None:
    assert doorkeeper.still([ANYBODY]) == {ANYBODY}
    with_token(queue, "ann")
    assert doorkeeper.still([ANYBODY]) == set()


def test_what_one_look_asks_does_not_grow_with_who_listens(
    queue: Queue, doorkeeper: Counting, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokened = [with_token(queue, f"owner {number}") for number in range(50)]
    sessioned = [with_session(queue, one) for one in tokened]
    reads, read = 0, type(queue.database).read

    def counted(database: object) -> object:
        nonlocal reads
        reads += 1
        return read(queue.database)

    monkeypatch.setattr(type(queue.database), "read", counted)
    assert doorkeeper.still([*tokened, *sessioned]) == {*tokened, *sessioned}
    assert reads == 1


def test_who_steers_is_looked_at_in_that_moment(queue: Queue, doorkeeper: Counting) -> None:
    ann, standing = with_token(queue, "ann"), Standing(doorkeeper, pytest.fail)
    assert asyncio.run(standing.holds_now(ann))
    tokens.revoke(queue.database, ann.token_id or "")
    assert not asyncio.run(standing.holds_now(ann))


def test_a_database_that_is_away_ends_nothing(queue: Queue, doorkeeper: Counting) -> None:
    doorkeeper.error = DatabaseUnreachable("the database", "it is away")
    ann = with_token(queue, "ann")
    standing = Standing(doorkeeper, pytest.fail)
    assert watched(standing, ann, until=lambda: doorkeeper.looks >= 3) == [(ann, False, False)]


def test_nobody_goes_on_without_being_looked_at(queue: Queue, doorkeeper: Counting) -> None:
    doorkeeper.error = ZeroDivisionError()
    told: list[Exception] = []
    ann, standing = with_token(queue, "ann"), Standing(doorkeeper, told.append)
    assert watched(standing, ann, until=lambda: told) == [(ann, True, False)]
    doorkeeper.error = None
    tokens.revoke(queue.database, ann.token_id or "")
    looks = doorkeeper.looks
    assert watched(standing, ann, until=lambda: doorkeeper.looks > looks + 1) == [(ann, True, True)], "it looks again"
