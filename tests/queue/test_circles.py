"""A job never waits for an equal one that waits for it, directly or through others: it does the work itself."""

from typing import Any

import pytest

from processor.judge import Policy
from processor.outcome import Kind
from processor.queue import control, endings, parents, waiting
from processor.queue.lookup import Filter
from processor.queue.rules import Rules
from processor.queue.settle import settle
from processor.queue.waiting import GoneOn
from tests.queue.conftest import Queue, verdict_of
from tests.queue.test_explain import said, tell
from tests.queue.test_plans import heard

TYPES = "a b"


def put(queue: Queue, *rows: tuple[int, str, str, str]) -> None:
    """Insert jobs: id, type, key, parent."""
    quote = {True: "'{}'", False: "{}"}
    for id, type_, key, parent in rows:
        queue.insert("id, type, key, parent_id", f"{id}, '{type_}', {quote[key != 'NULL'].format(key)}, {parent}")


def take(queue: Queue, **facts: Any) -> list[Any]:
    return queue.claim(types=TYPES, **facts)


def end(queue: Queue, *jobs: Any, kind: Kind = Kind.RETURNED, policy: Policy | None = None, **facts: Any) -> None:
    """Settle jobs, and end the parents that this may end."""
    facts |= {"result": "7"} if kind is Kind.RETURNED else {}
    settle(queue.database, [verdict_of(job, kind, policy=policy, **facts) for job in jobs])
    while ready := parents.page(queue.database).ready:
        endings.end(queue.database, ready, lambda type_, status: True)


def look(queue: Queue) -> GoneOn:
    return waiting.look(queue.database, {name: Rules() for name in TYPES.split()}, lambda type_, status: True)


def ids(jobs: list[Any]) -> list[int]:
    return [job.id for job in jobs]


def states(queue: Queue) -> dict[int, tuple[str, int | None]]:
    """Read of each job its status, and whose result it has or waits for."""
    rows = queue.rows("SELECT id, status, duplicate_of FROM jobs ORDER BY id")
    return {id: (status, original) for id, status, original in rows}


def test_a_child_equal_to_its_parent_does_the_work_when_that_begins_to_wait(queue: Queue) -> None:
    put(queue, (1, "a", "k", "NULL"))
    [parent] = take(queue)
    put(queue, (2, "a", "k", "1"))
    assert take(queue) == []
    assert states(queue)[2] == ("waiting", 1), "the same work is not done twice at once"
    end(queue, parent)
    assert states(queue) == {1: ("waiting", None), 2: ("pending", None)}
    [child] = take(queue)
    end(queue, child)
    assert states(queue) == {1: ("completed", None), 2: ("completed", None)}


def test_a_child_that_comes_while_its_parent_waits_runs_at_once(queue: Queue) -> None:
    put(queue, (1, "a", "k", "NULL"), (2, "b", "NULL", "1"))
    end(queue, take(queue)[0])
    put(queue, (3, "a", "k", "1"))
    assert 3 in ids(take(queue))


def test_a_grandchild_does_not_wait_for_its_equal_either(queue: Queue) -> None:
    put(queue, (1, "a", "k", "NULL"), (2, "b", "NULL", "1"))
    old, middle = take(queue)
    put(queue, (3, "a", "k", "2"))
    assert take(queue) == []
    end(queue, old)
    [young] = take(queue)
    assert young.id == 3, "it does not matter that the one between still runs"
    end(queue, young, middle)
    assert states(queue) == dict.fromkeys((1, 2, 3), ("completed", None))


def test_of_equal_children_of_an_equal_parent_one_does_the_work(queue: Queue) -> None:
    put(queue, (1, "a", "k", "NULL"))
    [parent] = take(queue)
    put(queue, *((id, "a", "k", "1") for id in (2, 3, 4)))
    take(queue)
    end(queue, parent)
    put(queue, (5, "a", "k", "NULL"))
    child = take(queue)
    assert ids(child) == [2]
    assert {id: states(queue)[id] for id in (3, 4, 5)} == dict.fromkeys((3, 4, 5), ("waiting", 2))
    end(queue, *child)
    did_it, got_it = ("completed", None), ("completed", 2)
    assert states(queue) == {1: did_it, 2: did_it, 3: got_it, 4: got_it, 5: got_it}


def test_a_child_whose_work_another_does_waits_for_that_one(queue: Queue) -> None:
    put(queue, (1, "a", "k", "NULL"), (2, "a", "k", "1"))
    end(queue, take(queue)[0])
    [child] = take(queue)
    end(queue, child, kind=Kind.RETRY, delay=3600.0, policy=Policy(max_attempts=3))
    put(queue, (3, "a", "k", "1"))
    assert take(queue) == []
    assert states(queue)[3] == ("waiting", 2)


def test_two_families_do_not_wait_for_each_other(queue: Queue) -> None:
    put(queue, (1, "a", "k", "NULL"), (2, "b", "l", "NULL"))
    both = take(queue)
    put(queue, (3, "b", "l", "1"), (4, "a", "k", "2"))
    assert take(queue) == []
    end(queue, *both)
    one = take(queue)
    assert len(one) == 1
    end(queue, *one)
    assert {status for status, _ in states(queue).values()} == {"completed"}
    assert sum(original is None for _, original in states(queue).values()) == 3


def test_families_whose_parents_wait_already_do_not_either(queue: Queue) -> None:
    put(queue, (1, "a", "k", "NULL"), (2, "a", "l", "NULL"), (3, "b", "NULL", "1"), (4, "b", "NULL", "2"))
    family = take(queue)
    end(queue, *family[:2])
    put(queue, (5, "a", "l", "1"), (6, "a", "k", "2"))
    assert ids(take(queue)) == [6], "in one claim the second knows for whom the first waits"
    assert states(queue)[5] == ("waiting", 2)


def circle_by_hand(queue: Queue) -> None:
    """Let 3, a child of 1, wait for 2, and 4, a child of 2, for 1."""
    put(queue, (1, "a", "k", "NULL"), (2, "b", "l", "NULL"), (3, "b", "l", "1"), (4, "a", "k", "2"), (5, "b", "l", "1"))
    end(queue, *take(queue)[:2])
    queue.rows("UPDATE jobs SET status = 'waiting', reason = 'duplicate', duplicate_of = 2 WHERE id IN (3, 5)")
    queue.rows("UPDATE jobs SET status = 'waiting', reason = 'duplicate', duplicate_of = 1 WHERE id = 4")


def test_a_circle_of_two_families_that_came_to_be_is_found(queue: Queue) -> None:
    circle_by_hand(queue)
    assert look(queue).woken == 3
    end(queue, *take(queue))
    assert {status for status, _ in states(queue).values()} == {"completed"}
    assert look(queue).woken == 0


def test_who_runs_one_of_the_types_of_a_circle_breaks_it(queue: Queue) -> None:
    circle_by_hand(queue)
    gone_on = waiting.look(queue.database, {"a": Rules()}, lambda type_, status: True)
    assert gone_on.woken == 1
    assert ids(queue.claim(types="a")) == [4]


def test_a_circle_that_a_row_changed_by_hand_makes_is_found(queue: Queue) -> None:
    put(queue, (1, "a", "k", "NULL"), (2, "b", "NULL", "1"), (3, "a", "k", "NULL"))
    end(queue, take(queue)[0])
    assert states(queue)[3] == ("waiting", 1)
    assert look(queue).woken == 0
    queue.rows("UPDATE jobs SET parent_id = 2 WHERE id = 3")
    assert look(queue).woken == 1
    assert ids(take(queue)) == [3]


def test_a_circle_through_an_original_that_waits_for_another_is_found(queue: Queue) -> None:
    """3 was started and waits for 1 now; 4, a child of 1, waits for 3."""
    put(queue, (1, "a", "k", "NULL"), (2, "b", "NULL", "1"), (3, "a", "m", "NULL"), (4, "a", "m", "1"))
    jobs = {job.id: job for job in take(queue)}
    end(queue, jobs[3], kind=Kind.RETRY, delay=0.0, policy=Policy(max_attempts=3))
    end(queue, jobs[1])
    quoted = "`key`" if queue.kind == "mariadb" else '"key"'
    queue.rows(f"UPDATE jobs SET {quoted} = 'k' WHERE id IN (3, 4)")
    queue.rows("UPDATE jobs SET status = 'waiting', reason = 'duplicate', duplicate_of = 1 WHERE id = 3")
    assert states(queue)[4] == ("waiting", 3)
    assert look(queue).woken == 2
    assert ids(take(queue)) == [4]
    assert states(queue)[3] == ("waiting", 1)


def test_a_parent_that_a_person_retries_makes_no_circle(queue: Queue) -> None:
    put(queue, (1, "a", "k", "NULL"), (2, "a", "k", "1"))
    end(queue, take(queue)[0])
    [child] = take(queue)
    end(queue, child)
    control.retry(queue.database, Filter(ids=(1, 2)))
    [parent] = take(queue)
    end(queue, parent)
    [child] = take(queue)
    end(queue, child)
    assert states(queue) == {1: ("completed", None), 2: ("completed", None)}


def test_a_child_for_which_nobody_waits_any_more_waits_for_its_equal(queue: Queue) -> None:
    put(queue, (1, "a", "k", "NULL"), (2, "b", "NULL", "1"), (4, "b", "NULL", "1"))
    jobs = {job.id: job for job in take(queue)}
    end(queue, jobs[2], kind=Kind.RAISED)
    end(queue, jobs[1])
    put(queue, (3, "a", "k", "2"))
    assert take(queue) == []
    assert states(queue)[3] == ("waiting", 1)
    assert look(queue).woken == 0


def test_explain_says_what_a_claim_and_a_look_will_do(queue: Queue) -> None:
    tell(queue, a={}, b={})
    put(queue, (1, "a", "k", "NULL"), (2, "a", "k", "1"), (3, "a", "k", "NULL"))
    end(queue, take(queue)[0])
    assert said(queue, 2) == {}
    assert "it gets the result" in said(queue, 3)["duplicate"]
    queue.rows("UPDATE jobs SET status = 'waiting', reason = 'duplicate', duplicate_of = 1 WHERE id = 2")
    assert said(queue, 2)["duplicate"].endswith("job 1, which waits for it: it goes on within seconds.")


@pytest.mark.parametrize("waits", [True, False])
def test_who_waits_for_a_job_is_asked_only_where_its_original_waits_for_children(queue: Queue, waits: bool) -> None:
    put(queue, (1, "a", "k", "NULL"), (2, "b", "NULL", "1" if waits else "NULL"))
    end(queue, *queue.claim())
    queue.claim()
    put(queue, (3, "a", "k", "NULL"), (4, "a", "k", "NULL"))
    with heard(queue) as sent:
        queue.claim()
    assert any("parent_id" in statement for statement, _ in sent) is waits
