"""`explain` says what a claim does, and why."""

import json
import random
from typing import Any

import pytest

from processor.outcome import Kind
from processor.queue import control, endings, leases, turns_index
from processor.queue.explain import explain
from processor.queue.rules import Rules
from processor.queue.settle import settle
from tests.queue.conftest import Queue, verdict_of
from tests.queue.test_admission import SOON
from tests.queue.test_claim import EARLIER, LATER


def tell(queue: Queue, **types: dict[str, Any]) -> None:
    """Let the living processor say that it runs these types, with these rules."""
    facts = {name: Rules(**rules).facts() for name, rules in types.items()}
    turns_index.ensure(queue.database, [Rules(**rules) for rules in types.values()])
    leases.describe(queue.database, "p1", json.dumps(facts), 100)


def said(queue: Queue, job: int) -> dict[str, str]:
    return {finding.rule: finding.text for finding in explain(queue.database, job).findings if finding.blocks}


def test_a_job_that_nothing_keeps_is_said_to_be_next(queue: Queue) -> None:
    tell(queue, a={})
    queue.insert("type", "'a'", "'a'")
    assert explain(queue.database, 1).runnable
    assert explain(queue.database, 2).runnable
    assert explain(queue.database, 2).findings[-1].text == "In the order of its type 1 due job comes before it: job 1."


def test_a_type_that_nobody_runs(queue: Queue) -> None:
    tell(queue, b={})
    queue.insert("type", "'a'")
    assert said(queue, 1)["type"] == "No processor that is alive runs the type 'a'; test runs b."
    leases.leave(queue.database, "p1")
    assert "jobtable run" in said(queue, 1)["processor"]


def test_what_people_hold_back(queue: Queue) -> None:
    tell(queue, a={})
    queue.insert("type, status", "'a', 'paused'", "'a', 'pending'")
    assert "jobtable resume 1" in said(queue, 1)["paused"]
    control.pause_type(queue.database, "a", seconds=600)
    assert "jobtable types resume a" in said(queue, 2)["paused"]
    assert "in 10 min" in said(queue, 2)["paused"]
    control.resume_type(queue.database, "a")
    queue.rows("UPDATE jobs SET cancel_requested = true WHERE id = 2")
    assert "asked it to stop" in said(queue, 2)["cancel"]


def test_what_is_not_due_yet_and_what_came_too_late(queue: Queue) -> None:
    tell(queue, a={})
    queue.insert("type, run_at, expires_at", f"'a', {LATER[queue.kind]}, NULL", f"'a', NULL, {EARLIER[queue.kind]}")
    assert "in 60 min" in said(queue, 1)["due"]
    assert "fails as expired" in explain(queue.database, 2).findings[0].text


def test_a_payload_that_cannot_be_run_is_foretold(queue: Queue) -> None:
    tell(queue, a={})
    queue.insert("type, payload", "'a', '\"" + "x" * 500 + "\"'")
    [finding] = [one for one in explain(queue.database, 1, max_payload_bytes=100).findings if one.rule == "malformed"]
    assert "502 bytes" in finding.text


def test_a_limit_that_is_reached_names_who_holds_it(queue: Queue) -> None:
    tell(queue, a={"max_concurrent": 2})
    queue.insert("type", *["'a'"] * 3)
    queue.claim(max_concurrent=2)
    assert said(queue, 3) == {"limit": "Its type is at its limit: 2 of 2, held by jobs 1, 2."}
    queue.rows("UPDATE job_types SET max_concurrent = 3")
    assert said(queue, 3) == {}


def test_a_rate_that_is_used_up_says_when_the_next_starts(queue: Queue) -> None:
    tell(queue, a={"rate": "1/min"})
    queue.insert("type", "'a'", "'a'")
    queue.claim(rate="1/min")
    assert said(queue, 2)["rate"].startswith("The rate of its type, 1/min, is used up: next start in ")
    queue.rows("UPDATE job_types SET rate = 'lots'")
    assert "cannot be read" in said(queue, 2)["rate"]


def test_a_lane_that_is_held_names_its_holder_and_who_comes_before(queue: Queue) -> None:
    tell(queue, a={})
    queue.insert("type, concurrency_key", *["'a', 'x'"] * 4)
    assert said(queue, 1) == {}
    assert said(queue, 2) == {"lane": "Its lane 'x' is free; before it in the lane: job 1."}
    queue.claim(jobs=1)
    queue.claim()
    assert said(queue, 4) == {"lane": "Its lane 'x' is held by job 1; before it in the lane: jobs 2, 3."}


def test_the_same_work_names_the_other_job(queue: Queue) -> None:
    tell(queue, a={"reuse_result_for": 60.0})
    queue.insert("type, key", "'a', 'k'", "'a', 'k'")
    [job] = queue.claim()
    assert said(queue, 2)["duplicate"].startswith("It is the same work as job 1, which is running;")
    settle(queue.database, [verdict_of(job, Kind.RETURNED, result="1")])
    assert said(queue, 2)["ended"].startswith("It has ended: completed (duplicate), ")
    queue.insert("type, key", "'a', 'k'")
    assert "gets the result of job 1" in said(queue, 3)["cached"]


def test_processors_that_are_full_are_named(queue: Queue) -> None:
    leases.describe(queue.database, "p1", '{"a": {}}', 1)
    queue.insert("type", "'a'", "'a'")
    queue.claim(jobs=1)
    assert said(queue, 2)["slots"] == "Every processor that runs its type is full: test 1 of 1."
    assert said(queue, 1)["running"].endswith("try 1, on processor test.")


RULES: list[dict[str, Any]] = [
    {},
    {"max_concurrent": 2},
    {"rate": "3/h"},
    {"max_per_lane": 2},
    {"dedupe": "none"},
    {"dedupe": "payload", "reuse_result_for": 600.0},
    {"reuse_result_for": 600.0, "across_owners": True, "max_concurrent": 3},
    {"fair": "owner", "max_concurrent": 2},
    {"age_priority": "1 per 10m", "rate": "5/h"},
    {"fair": "owner", "age_priority": "2 per 10m", "max_concurrent": 3},
]


@pytest.mark.parametrize("seed", range(20))
def test_what_explain_calls_runnable_is_what_the_next_claim_takes(queue: Queue, seed: int) -> None:
    """Random rows, random ends, a random rule: before each claim everybody is explained, and the claim agrees."""
    chance = random.Random(seed)
    rules = {name: chance.choice(RULES) for name in "ab"}
    tell(queue, **rules)
    held: list[Any] = []
    for _ in range(8):
        _happen(queue, chance, held)
        waiting = [id for (id,) in queue.rows("SELECT id FROM jobs WHERE status IN ('pending', 'waiting', 'paused')")]
        explained = {id: explain(queue.database, id) for id in waiting}
        foretold = sorted(id for id in waiting if explained[id].runnable)
        taken = queue.take(types="a b", jobs=100, limits=rules)
        assert sorted(job.id for job in taken.jobs) == foretold, {id: one.findings for id, one in explained.items()}
        cached = {id for id, one in explained.items() if any(finding.rule == "cached" for finding in one.findings)}
        unlimited = {name for name, rule in rules.items() if not {"max_concurrent", "rate"} & rule.keys()}
        assert {one.id for one in taken.reused} <= cached
        assert {one.id for one in taken.reused if one.type in unlimited} == {
            id for id in cached if explained[id].type in unlimited
        }, "where no limit ends it early, a claim reaches every row that an older result is for"
        held += taken.jobs


def _happen(queue: Queue, chance: random.Random, held: list[Any]) -> None:
    for _ in range(chance.randint(0, 5)):
        type_, lane = chance.choice("aab"), chance.choice(["NULL", "NULL", "'x'", "'y'"])
        key, owner = chance.choice(["NULL", "NULL", "'k'", "'l'"]), chance.choice(["NULL", "'me'"])
        payload, priority = chance.choice(["{}", '{"n": 1}']), chance.randint(1, 9)
        parent = chance.choice(["NULL", "NULL", *(str(job.id) for job in held[-2:])])
        queue.insert(
            "type, concurrency_key, key, owner, payload, priority, parent_id",
            f"'{type_}', {lane}, {key}, {owner}, '{payload}', {priority}, {parent}",
        )
    while held and chance.random() < 0.6:
        job = held.pop(chance.randrange(len(held)))
        kind = chance.choice([Kind.RETURNED, Kind.RETURNED, Kind.RAISED, Kind.CANCELLED])
        settled = settle(queue.database, [verdict_of(job, kind, result="1" if kind is Kind.RETURNED else None)])
        endings.end(queue.database, settled.parents, lambda type_, status: True)
    if chance.random() < 0.4:
        aged = SOON[queue.kind].format(300 + 600 * chance.randint(0, 5))
        queue.rows(
            f"UPDATE jobs SET created_at = {aged} WHERE status = 'pending' AND priority = {chance.randint(1, 9)}"
        )
    if chance.random() < 0.2:
        queue.rows(f"UPDATE jobs SET status = 'paused' WHERE status = 'pending' AND priority = {chance.randint(1, 9)}")
    if chance.random() < 0.2:
        control.pause_type(queue.database, "b") if chance.random() < 0.5 else control.resume_type(queue.database, "b")


def test_every_rule_that_keeps_a_job_is_said_not_only_the_first(queue: Queue) -> None:
    tell(queue, a={"max_concurrent": 1})
    queue.insert("type, concurrency_key", "'a', 'x'", "'a', 'x'")
    queue.claim(jobs=1, max_concurrent=1)
    assert set(said(queue, 2)) == {"limit", "lane"}
