"""Many who listen by the same token ask the database together; who steers asks by itself."""

import asyncio

import pytest

from processor.api.access import Caller, Doorkeeper
from processor.api.standing import Standing
from processor.errors import DatabaseUnreachable
from processor.queue import tokens
from tests.queue.conftest import Queue, queue

__all__ = ["queue"]


class Counting(Doorkeeper):
    """Counts how often it asks the database; it may be told that this one is away."""

    looks = 0
    is_away = False

    def is_still(self, caller: Caller) -> bool:
        self.looks += 1
        if self.is_away:
            raise DatabaseUnreachable("the database", "it is away")
        return super().is_still(caller)


@pytest.fixture
def doorkeeper(queue: Queue) -> Counting:
    return Counting(queue.database, is_loopback=True)


def caller_of(queue: Queue, owner: str) -> Caller:
    token, _ = tokens.create(queue.database, owner=owner, scopes=("read",))
    return Caller(owner, frozenset({"read"}), token.id)


def test_all_who_came_with_one_token_share_a_look(queue: Queue, doorkeeper: Counting) -> None:
    ann, bob = caller_of(queue, "ann"), caller_of(queue, "bob")
    assert bob.token_id is not None
    tokens.revoke(queue.database, bob.token_id)

    async def ask() -> list[bool]:
        standing = Standing(doorkeeper)
        return await asyncio.gather(*(standing.holds(who) for who in [ann, bob] * 100))

    assert asyncio.run(ask()) == [True, False] * 100
    assert doorkeeper.looks == 2


def test_what_is_shared_grows_old(queue: Queue, doorkeeper: Counting, monkeypatch: pytest.MonkeyPatch) -> None:
    ann = caller_of(queue, "ann")
    assert ann.token_id is not None
    token = ann.token_id
    monkeypatch.setattr("processor.api.standing.SHARED", 3600.0)

    async def ask() -> list[bool]:
        standing = Standing(doorkeeper)
        before = await standing.holds(ann)
        tokens.revoke(queue.database, token)
        shared, now = await standing.holds(ann), await standing.holds_now(ann)
        monkeypatch.setattr("processor.api.standing.SHARED", 0.0)
        return [before, shared, now, await standing.holds(ann)]

    assert asyncio.run(ask()) == [True, True, False, False]


def test_a_database_that_is_away_ends_nothing(queue: Queue, doorkeeper: Counting) -> None:
    doorkeeper.is_away = True
    assert asyncio.run(Standing(doorkeeper).holds(caller_of(queue, "ann")))
