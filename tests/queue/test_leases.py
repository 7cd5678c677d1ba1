import pytest

from processor.errors import ValuesRefused
from processor.outcome import Kind
from processor.queue import leases
from processor.queue.leases import Observer, Peer
from processor.queue.settle import settle
from tests.queue.conftest import Queue, verdict_of


class Clock:
    """A monotonic clock that a test moves."""

    def __init__(self) -> None:
        self.seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


def peer(beat_no: int, *, over: bool) -> Peer:
    return Peer("p2", "two", None, beat_no, over)


def test_a_heartbeat_renews_the_lease_of_the_living_only(queue: Queue) -> None:
    assert leases.beat(queue.database, "p1", 60)
    leases.declare_dead(queue.database, Peer("p1", "", None, 0, False), "p2", proved=True)
    assert not leases.beat(queue.database, "p1", 60)
    assert not leases.beat(queue.database, "nobody", 60)


def test_a_draining_processor_keeps_its_lease(queue: Queue) -> None:
    leases.drain(queue.database, "p1")
    assert leases.beat(queue.database, "p1", 60)


def test_a_lease_that_was_renewed_meanwhile_is_not_declared_over(queue: Queue) -> None:
    queue.register("p2", lease=-1)
    [seen] = leases.peers(queue.database, "p1")
    assert seen.lease_over
    leases.beat(queue.database, "p2", 60)
    assert not leases.declare_dead(queue.database, seen, "p1", proved=False)
    assert leases.beat(queue.database, "p2", 60)


def test_silence_counts_only_when_it_was_watched_for_a_whole_lease() -> None:
    clock = Clock()
    observer = Observer(lease=60, clock=clock)
    assert observer.silent([peer(1, over=True)]) == []
    for _ in range(5):
        clock.seconds += 11.9
        assert observer.silent([peer(1, over=True)]) == []
    clock.seconds += 1
    assert [one.id for one in observer.silent([peer(1, over=True)])] == ["p2"]


def test_one_heartbeat_begins_the_watch_anew() -> None:
    clock = Clock()
    observer = Observer(lease=60, clock=clock)
    observer.silent([peer(1, over=True)])
    for beat_no in (1, 1, 2, 2, 2, 2):
        clock.seconds += 20
        found = observer.silent([peer(beat_no, over=True)])
    assert [one.beat_no for one in found] == [2]
    assert observer.silent([peer(3, over=True)]) == []


def test_an_observer_that_was_away_itself_proves_nothing() -> None:
    clock = Clock()
    observer = Observer(lease=60, clock=clock)
    observer.silent([peer(1, over=True)])
    clock.seconds += 600
    assert observer.silent([peer(1, over=True)]) == []


def test_a_valid_lease_is_never_over_however_long_it_is_silent() -> None:
    clock = Clock()
    observer = Observer(lease=60, clock=clock)
    for _ in range(10):
        assert observer.silent([peer(1, over=False)]) == []
        clock.seconds += 20


def test_running_rows_of_the_living_are_no_orphans(queue: Queue) -> None:
    queue.insert("type", "'a'")
    queue.claim()
    assert leases.orphans(queue.database) == []


def test_running_rows_of_a_dead_stopped_or_forgotten_processor_are_orphans(queue: Queue) -> None:
    queue.insert("type", *["'a'"] * 3)
    for name in ("dead", "stopped", "forgotten"):
        queue.register(name)
        queue.claim(name, jobs=1)
    leases.declare_dead(queue.database, Peer("dead", "", None, 1, False), "p1", proved=True)
    leases.leave(queue.database, "stopped")
    queue.rows("DELETE FROM processors WHERE id = 'forgotten'")
    assert [orphan.processor_id for orphan in leases.orphans(queue.database)] == ["dead", "stopped", "forgotten"]


def test_a_claim_whose_answer_was_lost_goes_back_with_its_attempt(queue: Queue) -> None:
    queue.insert("type", "'a'", "'a'")
    [first] = queue.claim(jobs=1)
    [second] = queue.claim(jobs=1)
    assert leases.release(queue.database, "p1", [first.claim_no]) == 1
    assert queue.rows("SELECT id, status, attempt FROM jobs ORDER BY id") == [(1, "pending", 0), (2, "running", 1)]
    assert leases.release(queue.database, "p1", [first.claim_no]) == 0
    assert second.id == 2


def test_the_audit_finds_what_each_side_does_not_know(queue: Queue) -> None:
    queue.insert("type", *["'a'"] * 3)
    known, lost, newer = (queue.claim(jobs=1)[0] for _ in range(3))
    gone = (99, 1)
    audit = leases.audit(queue.database, "p1", [(known.id, known.claim_no), gone], newest_claim=lost.claim_no)
    assert [orphan.id for orphan in audit.unknown] == [lost.id]
    assert audit.taken == (gone,)
    being_taken_in = leases.audit(queue.database, "p1", [(newer.id, newer.claim_no)], newest_claim=lost.claim_no)
    assert being_taken_in.taken == (), "a claim that is newer than the comparison is not judged"
    assert newer.id == 3


def test_a_settled_job_is_neither_unknown_nor_an_orphan(queue: Queue) -> None:
    queue.insert("type", "'a'")
    [job] = queue.claim()
    settle(queue.database, [verdict_of(job, Kind.RETURNED)])
    assert not leases.audit(queue.database, "p1", [], newest_claim=10).unknown


def test_only_cancels_of_my_running_jobs_are_mine(queue: Queue) -> None:
    queue.register("p2")
    queue.insert("type", *["'a'"] * 3)
    mine, _ = queue.claim(jobs=2)
    queue.claim("p2")
    queue.rows("UPDATE jobs SET cancel_requested = true WHERE id <> 2")
    assert leases.cancelled(queue.database, "p1") == [(mine.id, mine.claim_no)]


def test_a_registration_whose_answer_was_lost_may_be_sent_again(queue: Queue) -> None:
    queue.register("again", lease=1.0)
    queue.register("again", lease=60.0)
    assert queue.rows("SELECT count(*), max(beat_no) FROM processors WHERE id = 'again'") == [(1, 2)]
    queue.rows("UPDATE processors SET status = 'dead' WHERE id = 'again'")
    with pytest.raises(ValuesRefused):
        queue.register("again")


def test_types_of_the_living_and_of_the_lately_dead_are_spoken_for(queue: Queue) -> None:
    for processor, types in (("alive", '["a"]'), ("lately", '["b"]'), ("long ago", '["c"]')):
        registration = leases.Registration(processor, "test", "here", 1, "0", types, 3, None)
        leases.register(queue.database, registration, 60.0)
    for processor in ("lately", "long ago"):
        leases.leave(queue.database, processor)
    queue.rows("UPDATE processors SET ended_at = '2020-01-01 00:00:00' WHERE id = 'long ago'")
    assert leases.spoken_for(queue.database, "me", 60.0) == {"a", "b"}
    assert leases.spoken_for(queue.database, "alive", 60.0) == {"b"}
