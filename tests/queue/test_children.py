"""Jobs that wait for their children, on the three databases."""

import json
from dataclasses import replace
from typing import Any

import pytest

from processor.errors import ValuesRefused
from processor.lifecycle import Status
from processor.outcome import Kind
from processor.queue import control, endings, parents, upkeep, waiting
from processor.queue.lookup import Filter
from processor.queue.rules import Rules
from processor.queue.settle import settle
from processor.queue.settlement import Settled
from tests.queue.conftest import Queue, verdict_of


def finish(queue: Queue, kind: Kind = Kind.RETURNED, types: str = "a", **facts: Any) -> Settled:
    """Run all that is due of these types, with the same outcome."""
    return settle(queue.database, [verdict_of(job, kind, **facts) for job in queue.claim(types=types)])


def end(queue: Queue, ids: frozenset[int] | set[int]) -> Settled:
    return endings.end(queue.database, ids, lambda type_, status: True)


def text(queue: Queue, column: str, job: int) -> str:
    """Read JSON as it is written."""
    written = f"CAST({column} AS text)" if queue.kind == "postgresql" else column
    [(found,)] = queue.rows(f"SELECT {written} FROM jobs WHERE id = {job}")
    return str(found)


def result(queue: Queue, job: int) -> Any:
    return json.loads(text(queue, "result", job))


def family(queue: Queue, children: int, columns: str = "type", parent: str = "'parent'") -> None:
    """Insert a parent (1) and its children of the type a, as any program would; the parent's own work is done."""
    queue.insert(columns, parent)
    queue.insert("type, parent_id", *["'a', 1"] * children)
    finish(queue, types="parent", result='"own"')


def test_a_job_with_open_children_waits_for_them_and_ends_with_their_results(queue: Queue) -> None:
    family(queue, 3)
    assert queue.status(1) == ("waiting", "children")
    assert queue.rows("SELECT count(*) FROM notifications") == [(0,)]
    assert end(queue, {1}).accepted == ()
    settled = finish(queue, result='{"pages": 3}')
    assert settled.parents == {1}
    assert len(end(queue, settled.parents).accepted) == 1
    assert queue.rows("SELECT status, reason, progress FROM jobs WHERE id = 1") == [("completed", "done", 100.0)]
    assert result(queue, 1) == {
        "completed": 3,
        "failed": 0,
        "cancelled": 0,
        "children": [{"id": id, "type": "a", "status": "completed", "result": {"pages": 3}} for id in (2, 3, 4)],
        "returned": "own",
    }
    assert queue.rows("SELECT count(*) FROM notifications WHERE job_id = 1 AND status = 'completed'") == [(1,)]


def test_children_made_by_a_handler_come_with_its_wait(queue: Queue) -> None:
    queue.insert("type", "'parent'")
    queue.rows("UPDATE jobs SET owner = 'ada'")
    wishes = ({"type": "a", "parent_id": 1}, {"type": "other"}, {"type": "b", "parent_id": 1, "owner": "bob"})
    settled = finish(queue, types="parent", enqueue=wishes)
    assert settled.parents == {1}
    assert queue.status(1) == ("waiting", "children")
    assert queue.rows("SELECT type, parent_id, owner FROM jobs WHERE id > 1 ORDER BY id") == [
        ("a", 1, "ada"),
        ("other", None, None),
        ("b", 1, "bob"),
    ]


def test_children_that_ended_before_their_parent_count_too(queue: Queue) -> None:
    queue.insert("type, on_failure", "'parent', 'report'")
    queue.insert("type, parent_id", "'a', 1", "'a', 1")
    finish(queue, Kind.RAISED, error_message="broken")
    assert finish(queue, types="parent").parents == {1}
    end(queue, {1})
    assert queue.status(1) == ("failed", "children")
    assert queue.rows("SELECT count(*) FROM jobs WHERE type = 'report'") == [(1,)]


def test_a_parent_that_a_person_retries_counts_its_children_again(queue: Queue) -> None:
    family(queue, 1)
    finish(queue, Kind.RAISED, error_message="broken")
    end(queue, {1})
    control.retry(queue.database, Filter(ids=(1,)))
    finish(queue, types="parent")
    end(queue, {1})
    assert queue.status(1) == ("failed", "children")
    control.retry(queue.database, Filter(ids=(1, 2)))
    finish(queue, types="parent")
    finish(queue)
    end(queue, {1})
    assert queue.status(1) == ("completed", "done")


@pytest.mark.parametrize(
    ("rule", "failed", "fails"),
    [
        ("NULL", 0, False),
        ("NULL", 1, True),
        ("'any'", 1, True),
        ("'all'", 2, False),
        ("'all'", 3, True),
        ("'2'", 1, False),
        ("'2'", 2, True),
        ("'10'", 3, False),
    ],
)
def test_a_parent_fails_by_its_rule(queue: Queue, rule: str, failed: int, fails: bool) -> None:
    family(queue, 3, "type, fail_on", f"'parent', {rule}")
    claimed = queue.claim()
    broken = [verdict_of(job, Kind.RAISED, error_message=f"broken {job.id}\nmore") for job in claimed[:failed]]
    settle(queue.database, [*broken, *(verdict_of(job, Kind.RETURNED) for job in claimed[failed:])])
    end(queue, {1})
    assert queue.status(1) == (("failed", "children") if fails else ("completed", "done"))
    if fails:
        [(message,)] = queue.rows("SELECT error_message FROM jobs WHERE id = 1")
        assert message.startswith(
            f"Of 3 children {failed} failed (fail_on: {rule.strip(chr(39)).replace('NULL', 'any')})"
        )
        assert message.endswith("; the first is job 2: broken 2")
        assert queue.rows("SELECT reason FROM job_errors WHERE job_id = 1") == [("children",)]
    elif failed:
        assert [one["status"] for one in result(queue, 1)["children"]].count("failed") == failed


def test_a_child_waits_for_its_own_children(queue: Queue) -> None:
    queue.insert("type, parent_id", "'parent', NULL", "'parent', 1", "'a', 2")
    finish(queue, types="parent")
    assert [queue.status(id)[1] for id in (1, 2)] == ["children"] * 2
    settled = finish(queue)
    assert settled.parents == {2}
    settled = end(queue, settled.parents)
    assert settled.parents == {1}
    end(queue, settled.parents)
    assert queue.rows("SELECT status FROM jobs") == [("completed",)] * 3


def test_a_parent_that_is_cancelled_takes_its_children_along(queue: Queue) -> None:
    family(queue, 3)
    [running, *_] = queue.claim(jobs=1)
    queue.rows("UPDATE jobs SET cancel_requested = true WHERE id = 1")
    assert upkeep.cancel_asked(queue.database, lambda type_, status: True) == 0
    assert queue.status(1) == ("waiting", "children")
    assert parents.stop_children(queue.database, lambda type_, status: True) == 3
    assert queue.rows("SELECT id FROM jobs WHERE status = 'cancelled' AND reason = 'parent'") == [(3,), (4,)]
    assert parents.stop_children(queue.database, lambda type_, status: True) == 0
    assert end(queue, {1}).accepted == ()
    settle(queue.database, [verdict_of(running, Kind.CANCELLED)])
    assert queue.status(running.id)[0] == "cancelled"
    end(queue, {1})
    assert queue.status(1) == ("cancelled", "asked")


@pytest.mark.parametrize("status", ["pending", "scheduled", "paused"])
def test_a_parent_that_was_not_started_is_cancelled_after_its_children(queue: Queue, status: str) -> None:
    queue.insert("type, status", f"'parent', '{status}'")
    queue.insert("type, parent_id", "'a', 1", "'a', 1")
    control.cancel(queue.database, Filter(ids=(1,)))
    assert queue.rows("SELECT status, reason FROM jobs WHERE id > 1") == [("cancelled", "parent")] * 2
    assert queue.status(1) == ("cancelled", "asked")


def test_a_handler_that_cancels_its_own_job_cancels_its_children(queue: Queue) -> None:
    queue.insert("type", "'parent'")
    queue.insert("type, parent_id", "'a', 1")
    finish(queue, Kind.CANCELLED, types="parent", error_message="not today")
    assert parents.stop_children(queue.database, lambda type_, status: True) == 1
    end(queue, {1})
    assert queue.rows("SELECT status, error_message FROM jobs WHERE id = 1") == [("cancelled", "not today")]


def test_a_job_that_is_its_own_ancestor_fails_when_it_would_wait(queue: Queue) -> None:
    queue.insert("type", "'parent'")
    queue.insert("type, parent_id", "'parent', 1")
    queue.rows("UPDATE jobs SET parent_id = 2 WHERE id = 1")
    finish(queue, types="parent")
    states = {queue.status(id) for id in (1, 2)}
    assert ("failed", "malformed") in states
    [(message,)] = queue.rows("SELECT error_message FROM jobs WHERE status = 'failed' ORDER BY id LIMIT 1")
    assert "own ancestor (" in message
    end(queue, {1, 2})
    assert queue.rows("SELECT count(*) FROM jobs WHERE finished_at IS NULL") == [(0,)]


def test_what_waits_for_children_is_not_taken_for_what_waits_for_a_lane(queue: Queue) -> None:
    queue.insert("type, concurrency_key", "'parent', NULL", "'parent', 'lane'")
    queue.insert("type, parent_id", "'a', 1", "'a', 2")
    finish(queue, types="parent")
    rules = {"parent": Rules(), "a": Rules()}
    assert waiting.look(queue.database, rules, lambda type_, status: True).woken == 0
    queue.insert("type, concurrency_key", "'parent', 'lane'")
    finish(queue, types="parent")
    assert [queue.status(id) for id in (1, 2, 5)] == [("waiting", "children")] * 2 + [("completed", "done")]


def test_what_waits_for_children_is_neither_paused_nor_claimed_again(queue: Queue) -> None:
    family(queue, 1)
    assert control.pause(queue.database, Filter(ids=(1,))) == 0
    assert queue.status(1) == ("waiting", "children")


def test_an_equal_job_waits_as_long_as_the_children_run(queue: Queue) -> None:
    queue.insert("type, key", "'parent', 'k'")
    queue.insert("type, parent_id", "'a', 1")
    finish(queue, types="parent")
    queue.insert("type, key", "'parent', 'k'")
    assert queue.claim(types="parent") == []
    assert queue.status(3) == ("waiting", "duplicate")
    finish(queue)
    settled = end(queue, {1})
    assert [one.id for one in settled.reused] == [3]
    assert result(queue, 3) == result(queue, 1)


@pytest.mark.parametrize(("kind", "follows"), [(Kind.RETURNED, "good"), (Kind.RAISED, "bad"), (Kind.CANCELLED, None)])
def test_a_job_is_followed_by_what_it_names(queue: Queue, kind: Kind, follows: str | None) -> None:
    queue.insert("type, on_complete, on_failure, owner, subject, priority", "'a', 'good', 'bad', 'ada', 'x', 7")
    facts = {"result": '{"n": 1e400}'} if kind is Kind.RETURNED and queue.kind != "mariadb" else {}
    settled = finish(queue, kind, **facts)
    made = queue.rows("SELECT type, owner, subject, priority FROM jobs WHERE id > 1")
    assert settled.woken == len(made) == (0 if follows is None else 1)
    if follows:
        assert made == [(follows, "ada", "x", 7)]
        payload = text(queue, "payload", 2)
        assert ('"result": {"n": 1e400}' in payload) == bool(facts)
        assert json.loads(payload)["job_id"] == 1


def test_what_follows_a_parent_has_the_results_of_its_children(queue: Queue) -> None:
    family(queue, 2, "type, on_complete", "'parent', 'report'")
    finish(queue, result="7")
    assert end(queue, {1}).woken == 1
    assert [child["result"] for child in json.loads(text(queue, "payload", 4))["result"]["children"]] == [7, 7]


def test_what_has_the_result_of_an_equal_job_is_followed_too(queue: Queue) -> None:
    queue.insert("type, key", "'a', 'k'")
    finish(queue, result="7")
    queue.insert("type, key, on_complete", "'a', 'k', 'report'")
    assert queue.claim(reuse_result_for=60) == []
    assert queue.status(2) == ("completed", "cached")
    assert queue.rows("SELECT count(*) FROM jobs WHERE type = 'report'") == [(1,)]


def test_too_many_children_are_counted_and_not_told(queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("processor.queue.gathering.TOLD_CHILDREN", 2)
    family(queue, 4, "type, fail_on", "'parent', 'all'")
    first, *others = queue.claim()
    settle(queue.database, [verdict_of(others[-1], Kind.RAISED, error_message="broken")])
    settle(queue.database, [verdict_of(job, Kind.RETURNED) for job in (first, *others[:-1])])
    end(queue, {1})
    found = result(queue, 1)
    assert (found["left_out"], [child["status"] for child in found["children"]]) == (2, ["completed", "failed"])


def test_results_of_children_have_their_limit(queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("processor.queue.gathering.TOLD_BYTES", 1000)
    family(queue, 2)
    finish(queue, result=json.dumps("x" * 500))
    end(queue, {1})
    assert (result(queue, 1)["left_out"], len(result(queue, 1)["children"])) == (1, 1)


def test_progress_is_that_of_the_children(queue: Queue) -> None:
    family(queue, 4)
    [half, *_] = queue.claim(jobs=2)
    queue.rows(f"UPDATE jobs SET progress = 50 WHERE id = {half.id}")
    finish(queue)
    parents.tell_progress(queue.database, [1])
    assert queue.rows("SELECT progress, progress_message FROM jobs WHERE id = 1") == [
        (62.5, "2 of 4 children have ended")
    ]


def test_children_are_let_go_when_all_of_a_batch_is_there(queue: Queue) -> None:
    queue.insert("type, status, reason", "'batch', 'paused', 'batch'")
    queue.insert("type, status, reason, parent_id", *["'a', 'paused', 'batch', 1"] * 3)
    assert control.resume(queue.database, Filter(types=("a",))) == 0
    assert parents.let_go(queue.database, [1], limit=2) == 2
    assert parents.let_go(queue.database, [1]) == 1
    assert parents.let_go(queue.database, [1]) == 0
    assert queue.rows("SELECT DISTINCT status, reason FROM jobs WHERE parent_id = 1") == [("pending", None)]


def test_parents_are_looked_at_page_by_page(queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parents, "PAGE", 2)
    queue.insert("type", *["'parent'"] * 3)
    queue.insert("type, parent_id", "'a', 1", "'a', 2", "'a', 3")
    finish(queue, types="parent")
    first = parents.page(queue.database)
    assert (first.open, first.last) == ((1, 2), 2)
    finish(queue)
    second = parents.page(queue.database, after=2)
    assert (second.ready, second.last) == ((3,), None)


def test_a_parent_whose_result_is_refused_ends_without_it(queue: Queue) -> None:
    family(queue, 1)
    deep = "[" * 31 + "]" * 31
    finish(queue, result=deep)
    queue.rows(_refuses(queue, "(NEW.result IS NOT NULL AND NEW.id = 1 AND NEW.result LIKE '%[[%')"))
    settled = end(queue, {1})
    assert [one.job_id for one in settled.accepted] == [1]
    assert result(queue, 1)["left_out"] == 1


def test_a_parent_that_nobody_may_change_does_not_keep_others(queue: Queue) -> None:
    queue.insert("type", "'parent'", "'parent'")
    queue.insert("type, parent_id", "'a', 1", "'a', 2")
    finish(queue, types="parent")
    finish(queue)
    queue.rows(_refuses(queue, "NEW.id = 1 AND NEW.status <> 'waiting'"))
    settled = end(queue, {1, 2})
    assert [one.job_id for one in settled.accepted] == [2]
    assert "not this one" in settled.refusals[0]
    assert [queue.status(id)[0] for id in (1, 2)] == ["waiting", "completed"]


def test_a_child_that_nobody_may_change_does_not_keep_others(queue: Queue) -> None:
    family(queue, 3)
    queue.rows("UPDATE jobs SET cancel_requested = true WHERE id = 1")
    queue.rows("UPDATE jobs SET status = 'paused', reason = 'batch' WHERE id = 4")
    queue.rows(_refuses(queue, "NEW.id = 2"))
    assert parents.stop_children(queue.database, lambda type_, status: True) == 2
    assert [queue.status(id)[0] for id in (2, 3, 4)] == ["pending", "cancelled", "cancelled"]
    with pytest.raises(ValuesRefused):
        parents.stop_children(queue.database, lambda type_, status: True)
    control.cancel(queue.database, Filter(ids=(3,)))  # a batch that is stuck is no matter of somebody else's


def test_a_staged_child_that_nobody_may_change_does_not_keep_others(queue: Queue) -> None:
    queue.insert("type", "'parent'")
    queue.insert("type, status, reason, parent_id", *["'a', 'paused', 'batch', 1"] * 3)
    queue.rows(_refuses(queue, "NEW.id = 2"))
    assert parents.let_go(queue.database, [1]) == 2
    with pytest.raises(ValuesRefused):
        parents.let_go(queue.database, [1])


def test_what_follows_and_is_refused_costs_nothing_but_itself(queue: Queue) -> None:
    queue.insert("type, on_complete", "'a', 'report'", "'a', 'other'")
    queue.rows(_refuses(queue, "NEW.type = 'report'", "INSERT"))
    settled = finish(queue, result="7")
    assert len(settled.accepted) == 2
    assert "What follows job 1 (type 'report') was not made: " in settled.refusals[0]
    assert [result(queue, id) for id in (1, 2)] == [7, 7]
    assert queue.rows("SELECT type FROM jobs WHERE id > 2") == [("other",)]


@pytest.mark.parametrize("length", [1, 2, 150])
def test_a_circle_that_somebody_makes_later_is_found(queue: Queue, length: int) -> None:
    if length == 1 and queue.kind != "mariadb":
        length = 2  # the table itself refuses it: `test_a_job_is_not_its_own_parent`
    queue.insert("type, status, reason", *["'parent', 'waiting', 'children'"] * length)
    queue.insert("type, parent_id", "'a', 1")
    for id in range(1, length + 1):
        queue.rows(f"UPDATE jobs SET parent_id = {id % length + 1} WHERE id = {id}")
    settled = endings.end_circles(queue.database, parents.page(queue.database).open, lambda type_, status: True)
    assert len(settled.accepted) == length
    assert queue.rows("SELECT DISTINCT status, reason FROM jobs WHERE type = 'parent'") == [("failed", "malformed")]


@pytest.mark.parametrize("db", ["postgresql", "sqlite"], indirect=True)
def test_a_job_is_not_its_own_parent(queue: Queue) -> None:
    with pytest.raises(Exception, match="jobs_parent_id_is_another_job"):
        queue.insert("id, type, parent_id", "7, 'a', 7")
    queue.insert("type", "'a'")
    with pytest.raises(Exception, match="jobs_parent_id_is_another_job"):
        queue.rows("UPDATE jobs SET parent_id = id")
    assert queue.rows("SELECT parent_id FROM jobs") == [(None,)]


def test_a_circle_that_is_cancelled_ends_as_cancelled(queue: Queue) -> None:
    queue.insert("type", "'parent'", "'parent'")
    queue.rows("UPDATE jobs SET parent_id = 3 - id")
    control.cancel(queue.database, Filter(ids=(1, 2)))
    endings.end_circles(queue.database, parents.page(queue.database).open, lambda type_, status: True)
    assert queue.rows("SELECT DISTINCT status FROM jobs") == [("cancelled",)]


def test_a_rule_that_nobody_can_read_means_any(queue: Queue) -> None:
    family(queue, 1)
    spaces = {"postgresql": "jobs_fail_on_is_any_all_or_a_number", "mariadb": "jobs_fail_on_is_any_all_or_a_number"}
    if queue.kind in spaces:
        word = "CONSTRAINT"
        queue.rows(f"ALTER TABLE jobs DROP {word} {spaces[queue.kind]}")
        queue.rows("UPDATE jobs SET fail_on = 'odd' WHERE id = 1")
    finish(queue, Kind.RAISED)
    end(queue, {1})
    assert queue.status(1) == ("failed", "children")


def test_parents_whose_results_are_too_large_together_end_in_portions(queue: Queue) -> None:
    own = json.dumps("x" * 900_000)
    queue.insert("type", *["'parent'"] * 20)
    queue.insert("type, parent_id", *[f"'a', {parent}" for parent in range(1, 21)])
    for job in queue.claim(types="parent"):
        settle(queue.database, [verdict_of(job, Kind.RETURNED, result=own)])
    settled = finish(queue)
    assert len(end(queue, settled.parents).accepted) == 20


def test_many_letters_are_counted_as_they_are_written(queue: Queue) -> None:
    family(queue, 300, "type, fail_on", "'parent', 'all'")
    first, *others = queue.claim(jobs=400)
    settle(queue.database, [verdict_of(first, Kind.RETURNED)])
    settle(queue.database, [verdict_of(job, Kind.RAISED, error_message="\N{PILE OF POO}" * 200) for job in others])
    end(queue, {1})
    assert len(text(queue, "result", 1)) < 600_000


def test_progress_that_is_no_number_stops_nothing(queue: Queue) -> None:
    family(queue, 2)
    queue.claim(jobs=2)
    odd = {"postgresql": "'NaN'", "mariadb": "1e308", "sqlite": "9e999"}[queue.kind]
    queue.rows(f"UPDATE jobs SET progress = {odd} WHERE id = 2")
    assert parents.tell_progress(queue.database, [1]) == 1


def test_an_answer_that_was_lost_names_the_parents_again(queue: Queue) -> None:
    family(queue, 1)
    [child] = queue.claim()
    batch = [verdict_of(child, Kind.RETURNED)]
    settle(queue.database, batch)
    again = settle(queue.database, [replace(one, again=True) for one in batch])
    assert (len(again.accepted), again.parents) == (1, {1})


def test_an_answer_that_was_lost_says_that_the_parent_waits(queue: Queue) -> None:
    queue.insert("type", "'parent'")
    queue.insert("type, parent_id", "'a', 1")
    batch = [verdict_of(job, Kind.RETURNED) for job in queue.claim(types="parent")]
    settle(queue.database, batch)
    [again] = settle(queue.database, [replace(one, again=True) for one in batch]).accepted
    assert (again.verdict.status, again.verdict.reason) == ("waiting", "children")


def _refuses(queue: Queue, when: str, deed: str = "UPDATE") -> str:
    """A trigger of the user's own."""
    if queue.kind == "postgresql":
        queue.rows(
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'not this one'"
            " USING ERRCODE = 'P0001'; END $$"
        )
        when = when.replace("NEW.result LIKE", "NEW.result::text LIKE")
        return f"CREATE TRIGGER refuse BEFORE {deed} ON jobs FOR EACH ROW WHEN ({when}) EXECUTE FUNCTION refuse()"
    if queue.kind == "mariadb":
        return (
            f"CREATE TRIGGER refuse BEFORE {deed} ON jobs FOR EACH ROW"
            f" IF {when} THEN SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'not this one'; END IF"
        )
    return f"CREATE TRIGGER refuse BEFORE {deed} ON jobs WHEN {when} BEGIN SELECT RAISE(ABORT, 'not this one'); END"


@pytest.mark.parametrize("threads", [2, 4])
def test_two_that_end_one_parent_end_it_once(queue: Queue, threads: int) -> None:
    from concurrent.futures import ThreadPoolExecutor

    family(queue, 2, "type, on_complete", "'parent', 'report'")
    finish(queue)
    with ThreadPoolExecutor(threads) as pool:
        ended = list(pool.map(lambda _: len(end(queue, {1}).accepted), range(threads)))
    assert sum(ended) == 1
    assert queue.rows("SELECT count(*) FROM jobs WHERE type = 'report'") == [(1,)]
    assert queue.rows("SELECT count(*) FROM notifications WHERE job_id = 1") == [(1,)]
    assert queue.status(1)[0] == Status.COMPLETED
