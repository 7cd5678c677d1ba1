"""What waits and why: summed up by type, state and reason, with words about the oldest."""

import pytest

from processor.queue import backlog, control
from processor.queue.lookup import Filter
from tests.queue.conftest import Queue


def test_what_waits_is_summed_up_and_the_oldest_of_each_is_named(queue: Queue) -> None:
    queue.rows("INSERT INTO jobs (type) VALUES ('a'), ('b'), ('a'), ('a'), ('b')")
    control.pause(queue.database, Filter(ids=(5,)))
    control.cancel(queue.database, Filter(ids=(4,)))
    found = backlog.backlog(queue.database)
    assert [(one.type, one.status, one.reason, one.jobs, one.oldest) for one in found] == [
        ("a", "pending", None, 2, 1),
        ("b", "pending", None, 1, 2),
        ("b", "paused", "asked", 1, 5),
    ]
    paused = found[2].why
    assert paused is not None
    assert any("paused" in finding.text for finding in paused)


def test_an_owner_has_a_backlog_of_its_own(queue: Queue) -> None:
    queue.rows("INSERT INTO jobs (type, owner) VALUES ('a', 'ann'), ('a', 'bob'), ('a', 'bob')")
    assert [(one.jobs, one.oldest) for one in backlog.backlog(queue.database, owner="bob")] == [(2, 2)]


def test_only_of_the_largest_groups_is_asked_why(queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backlog, "EXPLAINED", 1)
    queue.rows("INSERT INTO jobs (type) VALUES ('a'), ('b'), ('b')")
    assert [(one.type, one.why is None) for one in backlog.backlog(queue.database)] == [("b", False), ("a", True)]
