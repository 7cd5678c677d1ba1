"""A session opens what its token does, for a while, and nothing after its end."""

import hashlib
import threading
from datetime import UTC, datetime, timedelta

import pytest

from processor.queue import sessions, tokens
from processor.queue.sessions import BROWSER, TICKET
from tests.queue.conftest import Queue

LONG_AGO = "2020-06-01 00:00:00"


def opened(queue: Queue, kind: str = BROWSER, **more: object) -> tuple[sessions.Session, str]:
    return sessions.create(queue.database, kind, owner="ann", scopes=("read",), **more)  # type: ignore[arg-type]


def test_a_session_is_found_by_its_text_and_its_row_has_no_secret(queue: Queue) -> None:
    made, text = opened(queue)
    assert sessions.find(queue.database, text) == made
    assert (made.owner, made.scopes, made.token_id) == ("ann", {"read"}, None)
    [row] = queue.rows("SELECT id, session_hash, kind FROM api_sessions")
    assert row == (made.id, hashlib.sha256(text.split("_", 2)[2].encode()).hexdigest(), "browser")


@pytest.mark.parametrize("change", ["x", "js_", "é"])
def test_another_text_finds_nothing(queue: Queue, change: str) -> None:
    _, text = opened(queue)
    assert sessions.find(queue.database, text + change) is None
    assert sessions.find(queue.database, text[:-1] + ("A" if text[-1] != "A" else "B")) is None
    assert sessions.find(queue.database, text.replace("js_", "jt_")) is None


def test_a_session_ends_with_its_token(queue: Queue) -> None:
    token, _ = tokens.create(queue.database, owner="ann", scopes=("read",))
    made, text = opened(queue, token_id=token.id)
    other, _ = tokens.create(queue.database, owner="bob", scopes=("read",))
    asked = {"session_ids": [made.id], "token_ids": [token.id, other.id]}
    assert sessions.valid(queue.database, **asked) == {made.id, token.id, other.id}
    tokens.revoke(queue.database, token.id)
    assert sessions.find(queue.database, text) is None
    assert sessions.valid(queue.database, **asked) == {other.id}


def test_a_session_ends_with_its_time_and_what_is_over_is_forgotten(queue: Queue) -> None:
    made, text = opened(queue)
    queue.rows(f"UPDATE api_sessions SET expires_at = '{LONG_AGO}'")
    assert sessions.find(queue.database, text) is None
    assert not sessions.valid(queue.database, session_ids=[made.id], token_ids=[])
    opened(queue)
    assert len(queue.rows("SELECT id FROM api_sessions")) == 1


def test_a_session_ends_at_the_latest_when_what_opened_it_does(queue: Queue) -> None:
    until = datetime.now(UTC) + timedelta(minutes=5)
    made, _ = opened(queue, until=until)
    assert abs(made.expires_at.replace(tzinfo=UTC) - until) < timedelta(seconds=1)
    later, _ = opened(queue, until=until + timedelta(days=9))
    assert later.expires_at.replace(tzinfo=UTC) < until + timedelta(hours=13)


def test_a_closed_session_opens_nothing_and_its_tickets_neither(queue: Queue) -> None:
    made, text = opened(queue)
    _, ticket = opened(queue, TICKET, session_id=made.id)
    sessions.close(queue.database, made.id)
    assert sessions.find(queue.database, text) is None
    assert sessions.redeem(queue.database, ticket) is None


def test_a_ticket_is_no_session_and_a_session_no_ticket(queue: Queue) -> None:
    _, text = opened(queue)
    _, ticket = opened(queue, TICKET)
    assert sessions.find(queue.database, ticket) is None
    assert sessions.redeem(queue.database, text) is None


def test_a_ticket_opens_once_whoever_comes_at_once(queue: Queue) -> None:
    _, ticket = opened(queue, TICKET)
    found: list[sessions.Session | None] = []
    at_once = threading.Barrier(2)

    def redeem() -> None:
        at_once.wait()
        found.append(sessions.redeem(queue.database, ticket))

    both = [threading.Thread(target=redeem) for _ in range(2)]
    for one in both:
        one.start()
    for one in both:
        one.join()
    assert sum(one is not None for one in found) == 1
    assert sessions.redeem(queue.database, ticket) is None


def test_what_a_page_has_to_send_differs_between_sessions(queue: Queue) -> None:
    _, one = opened(queue)
    _, other = opened(queue)
    assert sessions.csrf_of(one) == sessions.csrf_of(one) != sessions.csrf_of(other)
    assert one not in sessions.csrf_of(one)
