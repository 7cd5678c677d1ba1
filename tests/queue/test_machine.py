"""Everything at once, in random order: rows, claims, ends, crashes, changes of limits, time. The rules always hold.

One machine for all three databases. What it believes is not read from our code: it keeps its own list of starts and of
what runs, and after every step compares it with the table. Time passes by moving what the database remembers.
"""

import json
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)

from processor.outcome import Kind
from processor.queue import control, endings, leases, parents, purge, turns_index, upkeep, waiting
from processor.queue.events import Event, Told, store
from processor.queue.keeping import FOREVER, Keep, Keeps
from processor.queue.lookup import Filter
from processor.queue.rules import Rules
from processor.queue.settle import settle
from tests.queue.conftest import Queue, verdict_of

WINDOW = 3600.0
RATE = 3
TYPES: dict[str, dict[str, Any]] = {
    "free": {},
    "few": {"max_concurrent": 2},
    "slow": {"rate": f"{RATE}/h"},
    "wide": {"max_per_lane": 2, "reuse_result_for": 600.0},
    "shared": {"fair": "owner", "max_concurrent": 3},
    "aged": {"fair": "owner", "age_priority": "1 per 10m"},
}
ORDERED_WITHIN: dict[str, tuple[int, ...]] = {"shared": (2, 5), "aged": (2, 5)}
"""Of these only rows of one priority and one owner are in the order of claims, as places in a row of `_due`."""
UNFINISHED = "status NOT IN ('completed', 'failed', 'cancelled')"
PROCESSORS = ("p1", "p2", "p3")


class Machine(RuleBasedStateMachine):
    queue: ClassVar[Queue]

    def __init__(self) -> None:
        super().__init__()
        for table in ("jobs", "job_types", "processors"):
            self.queue.rows(f"DELETE FROM {table}")
        self.limit = 2
        self.clock = 0.0
        self.starts: list[float] = []  # of the type `slow`, by the machine's own clock
        self.changed_by_hand: set[int] = set()

    held = Bundle("held")

    def teardown(self) -> None:
        if hasattr(self, "ages"):
            self.finish()

    @initialize()
    def begin(self) -> None:
        turns_index.ensure(self.queue.database, [Rules(**rules) for rules in TYPES.values()])
        self.ages = dict.fromkeys(PROCESSORS, 0)
        for name in PROCESSORS:
            self.queue.register(name)

    @rule(
        type_=st.sampled_from(list(TYPES)),
        priority=st.integers(1, 3),
        owner=st.sampled_from(["NULL", "'me'", "'you'"]),
        count=st.integers(1, 5),
    )
    def insert(self, type_: str, priority: int, owner: str, count: int) -> None:
        self.queue.insert("type, priority, owner", *[f"'{type_}', {priority}, {owner}"] * count)

    @rule(
        type_=st.sampled_from(list(TYPES)),
        lane=st.sampled_from("xy"),
        priority=st.integers(1, 3),
        count=st.integers(2, 4),
    )
    def insert_into_lane(self, type_: str, lane: str, priority: int, count: int) -> None:
        self.queue.insert("type, concurrency_key, priority", *[f"'{type_}', '{lane}', {priority}"] * count)

    @rule(
        type_=st.sampled_from(list(TYPES)),
        key=st.sampled_from("kl"),
        owner=st.sampled_from(["NULL", "'me'"]),
        lane=st.sampled_from(["NULL", "NULL", "'x'"]),
        count=st.integers(1, 3),
    )
    def insert_equals(self, type_: str, key: str, owner: str, lane: str, count: int) -> None:
        self.queue.insert("type, key, owner, concurrency_key", *[f"'{type_}', '{key}', {owner}, {lane}"] * count)

    @rule(
        place=st.integers(0, 9),
        type_=st.sampled_from(list(TYPES)),
        key=st.sampled_from(["NULL", "NULL", "'k'"]),
        fail_on=st.sampled_from(["NULL", "'all'", "'2'"]),
        count=st.integers(1, 3),
    )
    def insert_children(self, place: int, type_: str, key: str, fail_on: str, count: int) -> None:
        """Somebody gives a job that has not ended children, whatever it does at the moment."""
        for (job,) in self.queue.rows(f"SELECT id FROM jobs WHERE {UNFINISHED} ORDER BY id LIMIT 1 OFFSET {place}"):
            self.queue.insert("type, parent_id, key, fail_on", *[f"'{type_}', {job}, {key}, {fail_on}"] * count)

    @rule(type_=st.sampled_from(list(TYPES)), seconds=st.sampled_from([600, 1900]))
    def insert_for_later(self, type_: str, seconds: int) -> None:
        self.queue.insert("type, run_at", f"'{type_}', {self._later(seconds)}")

    @rule(target=held, name=st.sampled_from(PROCESSORS), slots=st.integers(1, 4))
    def claim(self, name: str, slots: int) -> Any:
        return multiple(*self._claim(name, slots))

    @rule(
        one=consumes(held),
        kind=st.sampled_from([Kind.RETURNED, Kind.RETURNED, Kind.RAISED, Kind.SNOOZE, Kind.CANCELLED]),
        delay=st.sampled_from([0.0, 1900.0]),
    )
    def end(self, one: Any, kind: Kind, delay: float) -> None:
        self._end([one], kind, delay)

    @rule(one=held, lines=st.integers(1, 3))
    def say(self, one: Any, lines: int) -> None:
        name, job = one
        line = Event("log", "info", None, "hello")
        store(self.queue.database, [Told(job.id, name, job.claim_no, job.attempt, (line,) * lines)])

    @rule(name=st.sampled_from(PROCESSORS), slots=st.integers(1, 4), kind=st.sampled_from([Kind.RETURNED, Kind.RAISED]))
    def work(self, name: str, slots: int, kind: Kind) -> None:
        """Claim and end at once, as most of the time."""
        self._end(self._claim(name, slots), kind, 0.0)

    @rule(
        type_=st.sampled_from(list(TYPES)),
        rule_=st.sampled_from(["NULL", "'all'", "'2'"]),
        count=st.integers(1, 3),
        key=st.sampled_from(["NULL", "NULL", "'k'"]),
    )
    def insert_family(self, type_: str, rule_: str, count: int, key: str) -> None:
        self.queue.insert("type, priority, fail_on", f"'{type_}', 3, {rule_}")
        [(parent,)] = self.queue.rows("SELECT max(id) FROM jobs")
        self.queue.insert("type, parent_id, key", *[f"'{type_}', {parent}, {key}"] * count)

    @rule(name=st.sampled_from(PROCESSORS))
    def crash(self, name: str) -> None:
        """Kill a processor; another finds what it ran, and it comes back as somebody new."""
        peers = [peer for peer in leases.peers(self.queue.database, "nobody") if peer.id == self._id(name)]
        for peer in peers:
            leases.declare_dead(self.queue.database, peer, "nobody", proved=True)
        for orphan in leases.orphans(self.queue.database):
            job: Any = orphan
            settle(self.queue.database, [verdict_of(job, Kind.LOST, orphan.processor_id)])
        self.ages[name] += 1
        self.queue.register(self._id(name))

    @rule()
    def look_after_the_queue(self) -> None:
        for move in (upkeep.park, upkeep.promote):
            move(self.queue.database)
        upkeep.cancel_asked(self.queue.database, lambda type_, status: True)
        waiting.look(
            self.queue.database,
            {name: Rules(**rules) for name, rules in TYPES.items()},
            lambda type_, status: True,
        )
        before = self._completed()
        parents.stop_children(self.queue.database, lambda type_, status: True)
        page = parents.page(self.queue.database)
        endings.end(self.queue.database, page.ready, lambda type_, status: True)
        parents.tell_progress(self.queue.database, page.open)
        self._had_no_open_children(self._completed() - before)

    @rule(limit=st.integers(0, 3))
    def change_limit(self, limit: int) -> None:
        control.limit_type(self.queue.database, "few", max_concurrent=limit)
        self.limit = max(limit, self._running("few"))  # what runs already goes on

    @rule(pause=st.booleans(), type_=st.sampled_from(list(TYPES)))
    def pause_type(self, pause: bool, type_: str) -> None:
        (control.pause_type if pause else control.resume_type)(self.queue.database, type_)

    @rule(
        place=st.integers(0, 9),
        verb=st.sampled_from([control.cancel, control.pause, control.resume, control.run_now, control.remove]),
    )
    def meddle(self, place: int, verb: Any) -> None:
        for (job,) in self.queue.rows(f"SELECT id FROM jobs WHERE {UNFINISHED} ORDER BY id LIMIT 1 OFFSET {place}"):
            verb(self.queue.database, Filter(ids=(job,)))

    @rule(place=st.integers(0, 9))
    def retry(self, place: int) -> None:
        for (job,) in self.queue.rows(f"SELECT id FROM jobs WHERE NOT ({UNFINISHED}) LIMIT 1 OFFSET {place}"):
            control.retry(self.queue.database, Filter(ids=(job,)))

    @rule(which=st.sampled_from(["running", "pending"]), deed=st.sampled_from(["DELETE", "UPDATE"]))
    def change_by_hand(self, which: str, deed: str) -> None:
        """Somebody deletes a row, or ends it, by plain SQL: nobody is told, and nobody waits for ever."""
        [(job,)] = self.queue.rows(f"SELECT min(id) FROM jobs WHERE status = '{which}'")
        if job is not None and deed == "DELETE":
            self.queue.rows(f"DELETE FROM jobs WHERE id = {job}")
        elif job is not None:
            self.queue.rows(f"UPDATE jobs SET status = 'failed', reason = 'by hand' WHERE id = {job}")
            self.changed_by_hand.add(job)

    @rule(type_=st.sampled_from(list(TYPES)))
    def forget(self, type_: str) -> None:
        """Delete all of a type that has ended and was read of; what others wait for stays."""
        control.mark_read(self.queue.database)
        needed = (
            "SELECT DISTINCT duplicate_of FROM jobs WHERE status = 'waiting' AND duplicate_of IN (SELECT id FROM jobs)"
        )
        before = set(self.queue.rows(needed))
        keeps = Keeps(Keep(*[FOREVER] * 4), {type_: Keep(0.0, 0.0, 0.0, FOREVER)})
        for walk in purge.walks():
            while not walk.over:
                purge.bite(self.queue.database, walk, keeps)
        assert before <= set(self.queue.rows("SELECT id FROM jobs"))

    @rule(seconds=st.sampled_from([600, 1900, 3700]))
    def let_time_pass(self, seconds: int) -> None:
        self.clock += seconds
        self.queue.rows(f"UPDATE jobs SET run_at = {self._earlier('run_at', seconds)} WHERE run_at IS NOT NULL")
        for name, log in self.queue.rows("SELECT name, rate_log FROM job_types WHERE rate_log IS NOT NULL"):
            moved = json.dumps([[at - seconds, count] for at, count in json.loads(log)])
            self.queue.rows(f"UPDATE job_types SET rate_log = '{moved}', rate_free_at = NULL WHERE name = '{name}'")

    # -- what always holds -----------------------------------------------------------------------------------------

    @invariant()
    def no_limit_is_exceeded(self) -> None:
        runs = dict(self.queue.rows("SELECT type, count(*) FROM jobs WHERE status = 'running' GROUP BY type"))
        assert runs.get("few", 0) <= self.limit
        assert runs.get("shared", 0) <= TYPES["shared"]["max_concurrent"]

    @invariant()
    def no_lane_is_too_full(self) -> None:
        rows = self.queue.rows(
            "SELECT type, concurrency_key, count(*) FROM jobs WHERE status = 'running' AND concurrency_key IS NOT NULL"
            " GROUP BY type, concurrency_key"
        )
        for type_, lane, count in rows:
            assert count <= TYPES[type_].get("max_per_lane", 1), (type_, lane)

    @invariant()
    def no_window_is_overdrawn(self) -> None:
        for at in self.starts:
            assert sum(at <= other < at + WINDOW for other in self.starts) <= RATE

    @invariant()
    def the_same_work_is_done_by_one(self) -> None:
        key = "`key`" if self.queue.kind == "mariadb" else '"key"'
        rows = self.queue.rows(
            f"SELECT type, coalesce(owner, ''), {key}, count(*) FROM jobs"
            f" WHERE status = 'running' AND {key} IS NOT NULL GROUP BY type, coalesce(owner, ''), {key}"
        )
        assert all(count == 1 for *_, count in rows), rows

    @invariant()
    def an_older_result_has_an_original(self) -> None:
        rows = self.queue.rows(
            "SELECT count(*) FROM jobs w WHERE w.reason IN ('duplicate', 'cached') AND w.status = 'completed'"
            " AND w.duplicate_of IS NULL"
        )
        assert rows == [(0,)]

    @invariant()
    def every_final_row_was_told_of(self) -> None:
        rows = self.queue.rows(
            "SELECT count(*) FROM jobs WHERE finished_at IS NOT NULL AND NOT EXISTS"
            " (SELECT 1 FROM notifications n WHERE n.job_id = jobs.id)"
        )
        assert rows == [(0,)]

    @invariant()
    def every_change_was_told(self) -> None:
        """The numbers of a job's events have no gaps, and its latest state is the one its row is in."""
        numbers = self.queue.rows(
            "SELECT j.id, j.event_no, count(e.number), coalesce(max(e.number), 0)"
            " FROM jobs j LEFT JOIN job_events e ON e.job_id = j.id GROUP BY j.id, j.event_no"
        )
        assert all(event_no == count == last for _, event_no, count, last in numbers), numbers
        states = self.queue.rows(
            "SELECT j.id, j.status, j.reason, e.level, e.text FROM jobs j JOIN job_events e ON e.job_id = j.id"
            " WHERE e.kind = 'state' AND e.number ="
            " (SELECT max(number) FROM job_events WHERE job_id = j.id AND kind = 'state')"
        )
        for job, status, reason, level, text in states:
            assert (status, reason) == (level, text) or job in self.changed_by_hand, job
        told = {row[0] for row in states}
        silent = {row for row in self.queue.rows("SELECT id, status FROM jobs") if row[0] not in told}
        assert all(status == "pending" or job in self.changed_by_hand for job, status in silent), silent

    def finish(self) -> None:
        """Open everything and work until nothing is left: every row that waits must have been woken by something."""
        for name in TYPES:
            control.resume_type(self.queue.database, name)
        control.limit_type(self.queue.database, "few", max_concurrent=None)
        control.resume(self.queue.database, Filter())
        for name in PROCESSORS:
            self.crash(name)
        for _ in range(200):
            self.look_after_the_queue()
            self.let_time_pass(3700)
            taken = self.queue.take(self._id("p1"), types=" ".join(TYPES), limits=TYPES)
            batch = [verdict_of(job, Kind.RETURNED, self._id("p1"), result="7") for job in taken.jobs]
            settle(self.queue.database, batch)
            left = self.queue.rows(f"SELECT count(*) FROM jobs WHERE {UNFINISHED}")
            if left == [(0,)]:
                return
        raise AssertionError(
            self.queue.rows(f"SELECT id, type, status, reason, duplicate_of FROM jobs WHERE {UNFINISHED}")
        )

    # -- words -----------------------------------------------------------------------------------------------------

    def _claim(self, name: str, slots: int) -> list[Any]:
        before = self._due()
        taken = self.queue.take(self._id(name), types=" ".join(TYPES), jobs=slots, limits=TYPES)
        self._in_order(before, [job.id for job in taken.jobs])
        self.starts += [self.clock] * sum(job.type == "slow" for job in taken.jobs)
        return [(self._id(name), job) for job in taken.jobs]

    def _end(self, held: list[Any], kind: Kind, delay: float) -> None:
        facts: dict[str, Any] = {}
        if kind is Kind.RETURNED:
            facts["result"] = "7"
        elif kind is Kind.SNOOZE:
            facts["delay"] = delay
        before = self._completed()
        settled = settle(self.queue.database, [verdict_of(job, kind, name, **facts) for name, job in held])
        self._had_no_open_children(self._completed() - before)
        endings.end(self.queue.database, settled.parents, lambda type_, status: True)
        self._had_no_open_children(self._completed() - before)

    def _id(self, name: str) -> str:
        return f"{name}.{self.ages[name]}" if self.ages[name] else name

    def _later(self, seconds: int) -> str:
        return {
            "postgresql": f"now() + interval '{seconds} seconds'",
            "mariadb": f"utc_timestamp(6) + INTERVAL {seconds} SECOND",
            "sqlite": f"strftime('%Y-%m-%d %H:%M:%f', 'now', '+{seconds} seconds')",
        }[self.queue.kind]

    def _earlier(self, instant: str, seconds: int) -> str:
        return {
            "postgresql": f"{instant} - interval '{seconds} seconds'",
            "mariadb": f"{instant} - INTERVAL {seconds} SECOND",
            "sqlite": f"strftime('%Y-%m-%d %H:%M:%f', {instant}, '-{seconds} seconds')",
        }[self.queue.kind]

    def _completed(self) -> set[int]:
        """Read who did its work, and has not the result of another."""
        did_it = "SELECT id FROM jobs WHERE status = 'completed' AND duplicate_of IS NULL"
        return {id for (id,) in self.queue.rows(did_it)}

    def _had_no_open_children(self, ended: set[int]) -> None:
        """A job that was just completed, by whatever way, has done with its children."""
        rows = self.queue.rows(f"SELECT parent_id, id, status FROM jobs WHERE parent_id IS NOT NULL AND {UNFINISHED}")
        assert not [row for row in rows if row[0] in ended]

    def _running(self, type_: str) -> int:
        [(count,)] = self.queue.rows(f"SELECT count(*) FROM jobs WHERE status = 'running' AND type = '{type_}'")
        return int(count)

    def _due(self) -> dict[int, tuple[Any, ...]]:
        rows = self.queue.rows(
            "SELECT id, type, priority, created_at, concurrency_key, owner FROM jobs WHERE status = 'pending'"
            f" AND (run_at IS NULL OR run_at <= {self._later(0)})"
        )
        return {row[0]: row for row in rows}

    def _in_order(self, before: dict[int, tuple[Any, ...]], taken: list[int]) -> None:
        """Of each type, what was passed over must have had a reason: nothing that nothing keeps comes after."""
        assert taken == sorted(taken, key=lambda job: (-before[job][2], before[job][3], job)), "best first"
        for line in {self._line(before[id]) for id in taken}:
            mine = [id for id in taken if self._line(before[id]) == line]
            last = max((-before[id][2], before[id][3], id) for id in mine)
            for id, row in before.items():
                passed_over = id not in taken and self._line(row) == line
                if passed_over and (-row[2], row[3], id) < last:
                    status, reason = self.queue.status(id)
                    assert status != "pending", f"{id} is pending, and one after it was taken: {taken}, {reason}"

    def _line(self, row: tuple[Any, ...]) -> tuple[Any, ...]:
        """Give what rows have in common that are in order among each other: type, lane, and what its type says."""
        return (row[1], row[4], *(row[place] for place in ORDERED_WITHIN.get(row[1], ())))


EXAMPLES = {"sqlite": 100, "postgresql": 15, "mariadb": 40}


@pytest.mark.timeout(600)
def test_the_rules_hold_whatever_happens(queue: Queue) -> None:
    run_state_machine_as_test(
        type("OnThisDatabase", (Machine,), {"queue": queue}),
        settings=settings(
            max_examples=EXAMPLES[queue.kind],
            stateful_step_count=40,
            deadline=None,
            derandomize=True,
            suppress_health_check=list(HealthCheck),
        ),
    )
