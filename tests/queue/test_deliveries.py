"""Each end of a job is told once to each webhook that it concerns, in the transaction that ends it."""

import json
from datetime import timedelta
from typing import Any

import pytest

from processor.outcome import Kind
from processor.queue import control, deliveries, lookup, webhooks
from processor.queue.deliveries import TYPE
from processor.queue.lookup import Filter
from processor.queue.settle import settle
from tests.queue.conftest import Queue, verdict_of
from tests.queue.test_statements import hear
from tests.queue.test_states import MOVES

URL = "https://192.0.2.1.example/hook"
FINAL = ("completed", "failed", "cancelled")
ALL = Filter(types=("a",))


def make(queue: Queue, owner: str | None = None, **more: Any) -> webhooks.Webhook:
    return webhooks.create(queue.database, owner=owner, url=URL, **more)[0]


def made(queue: Queue) -> list[dict[str, Any]]:
    """Read the deliveries, in order."""
    names = ("key", "owner", "subject", "concurrency_key", "priority", "status", "payload")
    quoted = ", ".join("`key`" if name == "key" and queue.kind == "mariadb" else name for name in names)
    rows = queue.rows(f"SELECT {quoted} FROM jobs WHERE type = '{TYPE}' ORDER BY id")
    found = [dict(zip(names, row, strict=True)) for row in rows]
    for row in found:
        row["body"] = row["payload"] if isinstance(row["payload"], dict) else json.loads(row["payload"])
    return found


def settle_all(queue: Queue, kind: Kind = Kind.RETURNED, **facts: Any) -> Any:
    return settle(queue.database, [verdict_of(job, kind, **facts) for job in queue.claim()])


def ends(queue: Queue) -> set[tuple[int, int, str]]:
    """Read the ends that there were, as (job, number of the event, status)."""
    rows = queue.rows(f"SELECT job_id, number, level FROM job_events WHERE kind = 'state' AND level IN {FINAL}")
    return {(int(job), int(number), status) for job, number, status in rows}


@pytest.mark.parametrize("move", MOVES)
def test_whoever_ends_a_job_tells_it(queue: Queue, move: str) -> None:
    webhook = make(queue)
    MOVES[move][0](queue)
    told = {(row["key"], row["body"]["data"]["id"], row["body"]["type"]) for row in made(queue)}
    assert told == {(f"msg_{webhook.id}_{job}_{no}", job, f"job.{status}") for job, no, status in ends(queue)}
    assert len(made(queue)) == len(ends(queue))


def test_who_gets_an_older_result_is_told_of(queue: Queue) -> None:
    queue.insert("type, key", "'a', 'k'")
    settle(queue.database, [verdict_of(job, Kind.RETURNED) for job in queue.claim(reuse_result_for=60.0)])
    make(queue)
    queue.insert("type, key", "'a', 'k'")
    assert queue.claim(reuse_result_for=60.0) == []
    assert [row["body"]["data"]["reason"] for row in made(queue)] == ["cached"]


def test_a_delivery_says_what_ended_and_how_and_not_what_was_given(queue: Queue) -> None:
    webhook = make(queue, "ann", with_result=False)
    queue.insert(
        "type, owner, subject, key, priority, payload, trace_parent",
        "'a', 'ann', 's', 'k', 7, '{\"password\": 1}', '00-a-b-01'",
    )
    settle_all(queue, Kind.RETURNED, result='{"pages": 1}')
    [told] = made(queue)
    data = told["body"]["data"]
    assert list(told["body"]) == ["type", "timestamp", "data"]
    assert data["finished_at"] == told["body"]["timestamp"]
    assert data["finished_at"].endswith("Z") and data["created_at"] <= data["started_at"] <= data["finished_at"]
    facts = {name: data[name] for name in data if not name.endswith("_at")}
    assert facts == {
        "id": 1, "type": "a", "status": "completed", "reason": "done", "owner": "ann", "subject": "s", "key": "k",
        "attempt": 1, "error_message": None,
    }  # fmt: skip
    row = {name: told[name] for name in ("owner", "subject", "concurrency_key", "priority", "status")}
    assert row == {
        "owner": "ann", "subject": f"webhook:{webhook.id}", "concurrency_key": webhook.id, "priority": 7,
        "status": "pending",
    }  # fmt: skip
    assert queue.rows(f"SELECT trace_parent FROM jobs WHERE type = '{TYPE}'") == [("00-a-b-01",)]
    [row_of_it] = lookup.jobs_page(queue.database, Filter(types=(TYPE,)))
    whole = lookup.job(queue.database, row_of_it["id"])
    assert whole["expires_at"] == lookup.job(queue.database, 1)["finished_at"] + timedelta(days=3)


@pytest.mark.parametrize(
    ("result", "told"),
    [
        ("[1.00]", {"result": [1.0]}),
        (None, {"result": None}),
        (json.dumps("x" * 70_000), {"result": None, "result_bytes": 70_002}),
    ],
    ids=["small", "none", "large"],
)
def test_a_result_is_told_where_it_is_wanted_and_small(queue: Queue, result: str | None, told: dict[str, Any]) -> None:
    make(queue, with_result=True)
    queue.insert("type", "'a'")
    settle_all(queue, Kind.RETURNED, result=result)
    [row] = made(queue)
    data = row["body"]["data"]
    assert {name: data[name] for name in data if name.startswith("result")} == told


def test_of_a_long_error_the_beginning_is_told(queue: Queue) -> None:
    make(queue)
    queue.insert("type", "'a'")
    settle_all(queue, Kind.RAISED, error_message="ü" * 5000)
    [row] = made(queue)
    assert row["body"]["data"]["error_message"] == "ü" * 1000


@pytest.mark.parametrize(
    ("webhook", "tells"),
    [
        ({"owner": None}, True),
        ({"owner": "ann"}, True),
        ({"owner": "Ann"}, False),
        ({"owner": "bob"}, False),
        ({"owner": "ann", "type_": "a"}, True),
        ({"owner": "ann", "type_": "A"}, False),
        ({"owner": None, "type_": "b"}, False),
        ({"owner": None, "outcome": "completed"}, True),
        ({"owner": None, "outcome": "failed"}, False),
        ({"owner": None, "outcome": "cancelled"}, False),
    ],
)
def test_only_what_concerns_a_webhook_is_told(queue: Queue, webhook: dict[str, Any], tells: bool) -> None:
    make(queue, **webhook)
    queue.insert("type, owner", "'a', 'ann'")
    settle_all(queue)
    assert len(made(queue)) == tells


def test_an_owner_never_hears_of_a_job_without_owner(queue: Queue) -> None:
    make(queue, "ann")
    queue.insert("type", "'a'")
    settle_all(queue)
    assert made(queue) == []


def test_who_hears_of_all_owners_is_no_owner(queue: Queue) -> None:
    """Else an owner would see where an operator is told, and why that failed."""
    make(queue)
    queue.insert("type, owner", "'a', 'ann'")
    settle_all(queue)
    [told] = made(queue)
    assert told["owner"] is None


def test_nothing_is_told_of_what_tells(queue: Queue) -> None:
    make(queue)
    queue.insert("type", "'a'", "'a'")
    settle_all(queue)
    assert len(made(queue)) == 2
    settle(queue.database, [verdict_of(job, Kind.RETURNED) for job in queue.claim(types=TYPE)])
    control.cancel(queue.database, Filter(types=(TYPE,)))
    assert {row["status"] for row in made(queue)} == {"completed", "cancelled"}
    assert len(made(queue)) == 2


def test_a_job_that_ends_twice_is_told_twice(queue: Queue) -> None:
    make(queue)
    queue.insert("type", "'a'")
    settle_all(queue)
    control.retry(queue.database, ALL)
    settle_all(queue)
    assert len({row["key"] for row in made(queue)}) == 2


def test_a_verdict_that_is_sent_twice_is_told_once(queue: Queue) -> None:
    make(queue)
    queue.insert("type", "'a'")
    verdicts = [verdict_of(job, Kind.RETURNED) for job in queue.claim()]
    for _ in range(2):
        settle(queue.database, verdicts)
    assert len(made(queue)) == 1


def test_what_a_plain_update_ends_is_not_told(queue: Queue) -> None:
    make(queue)
    queue.insert("type", "'a'")
    queue.rows("UPDATE jobs SET status = 'completed', finished_at = created_at")
    assert queue.claim() == []
    assert made(queue) == []


def test_a_further_try_is_no_end(queue: Queue) -> None:
    make(queue)
    queue.insert("type, max_attempts", "'a', 2")
    [job] = queue.claim()
    settle(queue.database, [verdict_of(job, Kind.SNOOZE, delay=60.0)])
    assert made(queue) == []


def test_without_a_webhook_each_batch_asks_once(queue: Queue) -> None:
    queue.insert("type", *["'a'"] * 20)
    verdicts = [verdict_of(job, Kind.RETURNED) for job in queue.claim()]
    heard = hear(queue)
    settle(queue.database, verdicts)
    assert [one for one in heard if "webhooks" in one] == [one for one in heard if one.startswith("SELECT webhooks")]
    assert len([one for one in heard if "webhooks" in one]) == 1


def test_ten_thousand_that_end_at_once_are_told_in_small_transactions(queue: Queue) -> None:
    webhook = make(queue)
    for _ in range(10):
        queue.insert("type", *["'a'"] * 1000)
    heard = hear(queue)
    control.cancel(queue.database, ALL)
    inserts = [one for one in heard if one.startswith("INSERT INTO jobs ")]
    assert queue.rows(f"SELECT count(*) FROM jobs WHERE type = '{TYPE}' AND concurrency_key = '{webhook.id}'") == [
        (10_000,)
    ]
    assert len(inserts) == 10


def test_large_results_go_in_several_statements(queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deliveries, "BITE_LETTERS", 50_000)
    make(queue, with_result=True)
    queue.insert("type", *["'a'"] * 5)
    jobs = queue.claim()
    heard = hear(queue)
    settle(queue.database, [verdict_of(job, Kind.RETURNED, result=json.dumps("x" * 30_000)) for job in jobs])
    assert len([one for one in heard if one.startswith("INSERT INTO jobs ")]) == 3
    assert len(made(queue)) == 5


def test_what_the_database_refuses_costs_no_end(queue: Queue) -> None:
    body = {
        "postgresql": (
            "CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RAISE 'not these'; END$$",
            f"CREATE TRIGGER no BEFORE INSERT ON jobs FOR EACH ROW WHEN (NEW.type = '{TYPE}') EXECUTE FUNCTION no()",
        ),
        "mariadb": (
            f"CREATE TRIGGER no BEFORE INSERT ON jobs FOR EACH ROW IF NEW.type = '{TYPE}' THEN"
            " SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'not these'; END IF",
        ),
        "sqlite": (
            f"CREATE TRIGGER no BEFORE INSERT ON jobs WHEN NEW.type = '{TYPE}'"
            " BEGIN SELECT RAISE(ABORT, 'not these'); END",
        ),
    }
    make(queue)
    for statement in body[queue.kind]:
        queue.rows(statement)
    queue.insert("type", "'a'")
    settled = settle_all(queue)
    assert queue.status(1) == ("completed", "done")
    [refusal] = settled.refusals
    assert "1 webhooks are not told" in refusal and "not these" in refusal
