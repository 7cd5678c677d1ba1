"""Owners take turns and priorities age, in a claim."""

import random
import threading
from collections import Counter
from typing import Any

import pytest
from sqlalchemy import select

from models import now
from processor.outcome import Kind
from processor.queue import turns_index
from processor.queue.explain import explain
from processor.queue.line import Line
from processor.queue.rules import Rules
from processor.queue.settle import settle
from processor.turns import Turns
from tests.queue.conftest import Queue, verdict_of
from tests.queue.test_admission import SOON, end, ids
from tests.queue.test_claim import LATER
from tests.queue.test_explain import tell
from tests.queue.test_plans import ANALYZE, SEQUENCE

OWNERS = ["NULL", "''", "'A'", "'A'", "'A'", "'B'", "'ä'", "'x'"]
FAIR = Rules(fair="owner")
MINUTE_BEFORE = {
    "postgresql": "created_at - interval '1 minute'",
    "mariadb": "created_at - INTERVAL 1 MINUTE",
    "sqlite": "strftime('%Y-%m-%d %H:%M:%f', created_at, '-1 minute')",
}


@pytest.fixture
def queue(queue: Queue) -> Queue:
    """A queue with the index that a processor makes."""
    turns_index.ensure(queue.database, [FAIR])
    return queue


def fill(queue: Queue, *owners: tuple[str, int], priority: int = 5) -> None:
    """Insert so many jobs of each owner, one owner after the other."""
    for owner, count in owners:
        numbers = SEQUENCE[queue.kind].format(count)
        queue.rows(
            f"INSERT INTO jobs (type, owner, priority) SELECT 'a', {owner}, {priority} FROM ({numbers}) AS numbers"
        )


def starts(queue: Queue, count: int, jobs: int = 1, **rules: Any) -> str:
    """Claim so often, end what was claimed, and give the owners: those of one claim sorted, claims apart."""
    claims = []
    for _ in range(count):
        taken = queue.claim(jobs=jobs, **{"fair": "owner", **rules})
        claims.append("".join(sorted(job.owner or "-" for job in taken)))
        end(queue, *taken)
    return " ".join(claims)


def age(queue: Queue, seconds: int, which: str = "status = 'pending'") -> None:
    """Let rows be as old as that."""
    queue.rows(f"UPDATE jobs SET created_at = {SOON[queue.kind].format(seconds)} WHERE {which}")


# -- turns ---------------------------------------------------------------------------------------------------------


def test_one_owners_many_jobs_do_not_block_anothers_one(queue: Queue) -> None:
    fill(queue, ("'A'", 2000), ("'B'", 1), ("'C'", 5), ("NULL", 2))
    assert starts(queue, 14) == "- A B C - A C A C A C A C A"


def test_who_comes_later_is_next_when_its_turn_comes(queue: Queue) -> None:
    fill(queue, ("'A'", 2000), ("'M'", 2000))
    assert starts(queue, 3) == "A M A"
    fill(queue, ("'B'", 1), ("'Z'", 1))
    assert starts(queue, 5) == "B M Z A M"


@pytest.mark.parametrize("jobs", [1, 2, 3, 7])
def test_the_turns_are_the_same_however_many_are_claimed_at_once(queue: Queue, jobs: int) -> None:
    fill(queue, ("'A'", 200), ("'B'", 6), ("'C'", 3))
    started = "".join(starts(queue, -(-21 // jobs), jobs).split())[:21]
    assert Counter(started) == {"A": 12, "B": 6, "C": 3}
    if jobs == 1:
        assert started == "ABCABCABCABABABAAAAAA"
    if jobs == 3:
        assert starts(queue, 1, 3) == "AAA"


def test_with_a_limit_a_slot_that_is_free_goes_to_whose_turn_it_is(queue: Queue) -> None:
    fill(queue, ("'A'", 2000), ("'B'", 1), ("'C'", 5))
    first = queue.claim(fair="owner", max_concurrent=2)
    assert [job.owner for job in first] == ["A", "B"]
    assert queue.claim(fair="owner", max_concurrent=2) == []
    end(queue, first[1])
    assert [job.owner for job in queue.claim(fair="owner", max_concurrent=2)] == ["C"]


def test_a_higher_priority_is_not_shared_with_a_lower_one_and_each_has_its_own_turns(queue: Queue) -> None:
    fill(queue, ("'A'", 50), ("'B'", 50), ("'C'", 50), priority=5)
    assert starts(queue, 2) == "A B"
    fill(queue, ("'B'", 2), priority=9)
    assert starts(queue, 4) == "B B C A"


def test_without_fair_turns_nothing_changes(queue: Queue) -> None:
    fill(queue, ("'A'", 30), ("'B'", 3))
    assert starts(queue, 5, fair="none") == "A A A A A"
    assert queue.rows("SELECT turns FROM job_types") == []


def test_turns_and_a_rate_and_lanes_and_equals_hold_together(queue: Queue) -> None:
    queue.insert("type, owner, concurrency_key", *["'a', 'A', 'x'"] * 4, "'a', 'B', 'x'", "'a', 'B', NULL")
    queue.insert("type, owner, key", "'a', 'C', 'k'", "'a', 'C', 'k'")
    taken = queue.take(fair="owner", rate="3/h")
    assert ids(taken.jobs) == [1, 6, 7]
    assert [queue.status(job)[1] for job in (2, 5)] == ["lane", "lane"]
    assert queue.take(fair="owner", rate="3/h").jobs == []
    assert queue.take(fair="owner").jobs == []
    assert [queue.status(job)[1] for job in (3, 4, 8)] == ["lane", "lane", "duplicate"]


def test_an_owner_whose_rows_all_must_wait_loses_no_later_turn_and_blocks_nobody(queue: Queue) -> None:
    queue.insert("type, owner, concurrency_key", *["'a', 'A', 'x'"] * 40)
    fill(queue, ("'B'", 40))
    assert ids(queue.claim(jobs=1, fair="owner")) == [1]
    assert [job.owner for job in queue.claim(jobs=5, fair="owner")] == ["B"] * 5


def test_names_are_ordered_as_bytes_on_every_database(queue: Queue) -> None:
    names = ["B", "a", "b", "ä", "é", "𝄞"]
    fill(queue, *((f"'{name}'", 100) for name in reversed(names)), ("''", 100))
    started = []
    for _ in range(8):
        [job] = queue.claim(jobs=1, fair="owner")
        started.append(job.owner)
    assert started == ["", *names, ""]


def test_100_000_owners_with_one_job_each_have_their_turns(queue: Queue) -> None:
    numbers = SEQUENCE[queue.kind].format(100_000)
    name = "concat('o', n + 100000)" if queue.kind == "mariadb" else "'o' || (n + 100000)"
    queue.rows(f"INSERT INTO jobs (type, owner) SELECT 'a', {name} FROM ({numbers}) AS numbers")
    queue.rows(ANALYZE[queue.kind])
    assert [job.owner for job in queue.claim(jobs=2, fair="owner")] == ["o100001", "o100002"]
    queue.rows("UPDATE job_types SET turns = '[[5,\"o199999\"]]'")
    assert [job.owner for job in queue.claim(jobs=3, fair="owner")] == ["o100003", "o100004", "o200000"]
    assert len(queue.claim(jobs=500, processes=500, fair="owner")) == 500


@pytest.mark.parametrize("names", [2, 4])
def test_processors_that_share_a_type_keep_its_turns_and_start_no_row_twice(queue: Queue, names: int) -> None:
    processors = [f"p{number}" for number in range(1, names + 1)]
    for name in processors[1:]:
        queue.register(name)
    fill(queue, ("'A'", 500), ("'B'", 20), ("'C'", 20))
    barrier, guard, order = threading.Barrier(names), threading.Lock(), list[Any]()

    def work(name: str) -> None:
        barrier.wait()
        for _ in range(600):
            jobs = queue.claim(name, jobs=2, fair="owner", max_concurrent=1)
            order.extend(jobs)  # one at a time: nobody else can start before the settle
            settle(queue.database, [verdict_of(job, Kind.RETURNED, name, result="1") for job in jobs])
            with guard:
                if len(order) >= 60:
                    return

    threads = [threading.Thread(target=work, args=(name,)) for name in processors]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    started = order[:60]
    assert len(set(ids(order))) == len(order)
    assert "".join(job.owner for job in started) == "ABC" * 20


# -- ageing --------------------------------------------------------------------------------------------------------


def test_a_job_that_waited_long_enough_comes_before_a_higher_priority(queue: Queue) -> None:
    queue.insert("type, priority", "'a', 1", "'a', 1", "'a', 5", "'a', 9")
    age(queue, 3000, "id = 2")  # five steps: 6
    assert [ids(queue.claim(jobs=1, age_priority="1 per 10m")) for _ in range(4)] == [[4], [2], [3], [1]]


def test_equal_levels_go_by_age(queue: Queue) -> None:
    queue.insert("type, priority", "'a', 3", "'a', 2", "'a', 1")
    age(queue, 700, "id = 2")
    age(queue, 1300, "id = 3")
    assert [ids(queue.claim(jobs=1, age_priority="1 per 10m")) for _ in range(3)] == [[3], [2], [1]]


@pytest.mark.parametrize(("come", "starts_after"), [(2, 80), (3, 120)])
def test_a_low_priority_is_not_starved_by_an_endless_stream(queue: Queue, come: int, starts_after: int) -> None:
    """Two start in a minute, and as many or more come: it starts after those that came in its first nine steps."""
    queue.insert("type, priority", "'a', 1")
    minutes = 0
    while queue.status(1)[0] == "pending" and minutes < 200:
        queue.insert("type, priority", *["'a', 10"] * come)
        end(queue, *queue.claim(jobs=2, age_priority="1 per 10m"))
        queue.rows(f"UPDATE jobs SET created_at = {MINUTE_BEFORE[queue.kind]} WHERE status = 'pending'")
        minutes += 1
    assert starts_after <= minutes <= starts_after + 20


def test_what_waits_long_enough_is_not_starved_by_another_type_either(queue: Queue) -> None:
    queue.insert("type, priority", "'a', 1", "'a', 1", *["'b', 10"] * 50)
    age(queue, 5500, "id = 2")  # nine steps: 10, and older than the others
    ageing = {"a": {"age_priority": "1 per 10m"}}
    assert ids(queue.take(types="a b", jobs=3, limits=ageing).jobs) == [3, 4, 2]
    assert ids(queue.take(types="a b", jobs=3, limits=ageing).jobs) == [5, 6, 7]


def test_a_type_with_turns_competes_with_others_by_its_places(queue: Queue) -> None:
    queue.insert("type, priority, owner", *["'a', 5, 'A'"] * 30, "'a', 5, 'B'", *["'b', 7, NULL"] * 2, "'b', 5, NULL")
    taken = queue.take(types="a b", jobs=4, limits={"a": {"fair": "owner"}})
    assert ids(taken.jobs) == [32, 33, 1, 31]


def test_beside_more_types_than_are_asked_at_once_a_type_with_turns_has_its_place(queue: Queue) -> None:
    names = [f"t{number}" for number in range(30)]
    queue.insert("type, priority", *[f"'{name}', 7" for name in names], "'a', 1", "'a', 9", "'a', 5", "'a', 5")
    age(queue, 5500, "id = 31")  # nine steps: 10
    limits = {"a": {"fair": "owner", "age_priority": "1 per 10m"}}
    claims = [ids(queue.take(types=" ".join([*names, "a"]), jobs=16, limits=limits).jobs) for _ in range(3)]
    assert claims == [[32, *range(1, 15), 31], [*range(15, 31)], [33, 34]]


@pytest.mark.parametrize("closed", ["paused = true", "max_concurrent = 0", "rate_free_at = {}, rate_free_for = '1/h'"])
def test_a_type_that_may_not_start_keeps_no_place_from_others(queue: Queue, closed: str) -> None:
    queue.insert("type, priority", *["'a', 9"] * 30, *["'b', 1"] * 5)
    rules = {"fair": "owner", "age_priority": "1 per 10m", "rate": "1/h"}
    queue.rows("INSERT INTO job_types (name) VALUES ('a')")
    queue.rows(f"UPDATE job_types SET {closed.format(LATER[queue.kind])} WHERE name = 'a'")
    assert ids(queue.take(types="a b", jobs=3, limits={"a": rules}).jobs) == [31, 32, 33]


@pytest.mark.parametrize("seed", range(12))
def test_a_beginning_of_any_size_is_that_of_the_whole_order(
    queue: Queue, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is read priority by priority and owner by owner is what ordering the whole table gives."""
    chance = random.Random(seed)
    for name, values in (("PAGE", [1, 4, 50]), ("ROWS", [1, 30, 2000]), ("TOGETHER", [1, 3, 10])):
        monkeypatch.setattr(f"processor.queue.line.{name}", chance.choice(values))
    rows = [
        f"'a', {chance.randint(1, 3)}, {chance.choice(OWNERS)}, {SOON[queue.kind].format(seconds)}"
        for seconds in chance.choices([300, 900, 1500, 2100], k=chance.choice([5, 90, 300]))
    ]
    queue.insert("type, priority, owner, created_at", *rows)
    turns = Turns({priority: chance.choice([None, "", "B", "x"]) for priority in chance.sample([1, 2, 3], 2)})
    rules = Rules(fair=chance.choice(["none", "owner", "owner"]), age_priority=chance.choice([None, "1 per 10m"]))
    with queue.database.read() as connection:
        instant = connection.execute(select(now())).scalar_one()
        line = Line(connection, queue.database.dialect, "a", rules, turns, instant)
        whole = line.first(1000)
        assert len(whole) == len(rows)
        for size in (1, 2, 3, 7, 20, 50, 120):
            assert line.first(size) == whole[:size], (size, rules, turns)
        skipped = [place.id for place in whole[::3]]
        rest = line.first(1000, skipped)
        assert {place.id for place in rest} == {place.id for place in whole} - set(skipped)
        assert line.first(9, skipped) == rest[:9]


def test_an_old_backlog_of_many_priorities_is_merged_exactly(queue: Queue) -> None:
    """More rows of each priority than are looked at: what each claim takes is what the whole table says."""
    for priority in (1, 4, 7):
        fill(queue, ("NULL", 60), priority=priority)
        for step in range(6):
            age(queue, 100 + 600 * step, f"priority = {priority} AND id % 6 = {step}")
    rows = queue.rows("SELECT id, priority, created_at, id % 6 FROM jobs")
    expected = [id for id, *_ in sorted(rows, key=lambda row: (-row[1] - row[3], row[2], row[0]))]
    taken: list[int] = []
    for _ in range(18):
        jobs = queue.claim(jobs=10, age_priority="1 per 10m")
        assert set(ids(jobs)) == set(expected[len(taken) : len(taken) + 10])
        taken += ids(jobs)
    assert sorted(taken) == sorted(expected)


def test_with_both_turns_are_taken_in_a_priority_that_is_as_old_as_its_oldest_job(queue: Queue) -> None:
    fill(queue, ("'A'", 4), ("'B'", 2), priority=1)
    fill(queue, ("'M'", 3), priority=5)
    age(queue, 3100, "owner = 'A' AND id <= 2")  # five steps: 6
    assert starts(queue, 9, age_priority="1 per 10m") == "A B A M M M B A A"


def test_explain_says_the_place_in_turn_and_the_level(queue: Queue) -> None:
    tell(queue, a={"fair": "owner", "age_priority": "1 per 10m"})
    fill(queue, ("'A'", 1500), ("'B'", 2))
    age(queue, 700)
    [one, other] = [id for (id,) in queue.rows("SELECT id FROM jobs WHERE owner = 'B' ORDER BY id")]
    place = [finding.text for finding in explain(queue.database, other).findings if finding.rule == "place"]
    assert place == [
        f"In the order of its type 3 due jobs come before it: jobs 1, {one}, 2."
        " Owners take turns within a priority. Its priority 5 counts as 6 (1 per 10m)."
    ]
    assert explain(queue.database, other).runnable
    assert not explain(queue.database, 1500).runnable


@pytest.mark.parametrize("odd", ["[[1e999,null]]", '[[5,"a\\\\u0000"]]', '[[5,"\\\\ud800"]]', "[[5]]", "7"])
def test_turns_that_nobody_can_read_are_none(queue: Queue, odd: str) -> None:
    fill(queue, ("'A'", 60), ("'B'", 60))
    written = odd if queue.kind == "mariadb" else odd.replace("\\\\", "\\")
    queue.rows(f"INSERT INTO job_types (name, turns) VALUES ('a', '{written}')")
    assert starts(queue, 4).split() == ["A", "B", "A", "B"]


@pytest.mark.parametrize("db", ["postgresql", "mariadb"], indirect=True)
def test_rows_that_somebody_holds_leave_their_places_to_other_types(queue: Queue) -> None:
    fill(queue, ("'A'", 40))
    queue.insert("type, priority", *["'b', 1"] * 20)
    with queue.database._engine.connect() as somebody:
        somebody.exec_driver_sql("SELECT id FROM jobs WHERE type = 'a' FOR UPDATE")
        taken = queue.take(types="a b", jobs=10, limits={"a": {"fair": "owner"}, "b": {}})
        somebody.rollback()
    assert [job.type for job in taken.jobs] == ["b"] * 10


@pytest.mark.parametrize("db", ["postgresql", "mariadb"], indirect=True)
def test_an_owner_whose_first_row_somebody_holds_still_has_turns(queue: Queue) -> None:
    fill(queue, *((f"'o{number}'", 40) for number in range(30)))
    [(head,)] = queue.rows("SELECT min(id) FROM jobs WHERE owner = 'o7'")
    with queue.database._engine.connect() as somebody:
        somebody.exec_driver_sql(f"SELECT id FROM jobs WHERE id = {head} FOR UPDATE")
        owners = {job.owner for _ in range(9) for job in queue.claim(jobs=10, fair="owner")}
        somebody.rollback()
    assert "o7" in owners


@pytest.mark.parametrize("db", ["mariadb"], indirect=True)
def test_a_schema_of_its_own_is_quoted_as_the_database_does(queue: Queue) -> None:
    queue.rows("DROP INDEX jobs_turns ON jobs")
    queue.database.schema = queue.rows("SELECT database()")[0][0]
    assert turns_index.ensure(queue.database, [Rules(fair="owner")])


@pytest.mark.parametrize("db", ["mariadb"], indirect=True)
def test_a_type_whose_index_somebody_dropped_goes_by_age(queue: Queue) -> None:
    fill(queue, ("'A'", 30), ("'B'", 30))
    queue.rows("DROP INDEX jobs_turns ON jobs")
    assert len(queue.claim(jobs=10, fair="owner")) == 10


def test_a_row_that_a_trigger_guards_keeps_no_fingerprint_and_stops_nobody(queue: Queue) -> None:
    fill(queue, ("'A'", 100), ("'B'", 1))
    queue.rows("UPDATE jobs SET payload = '{\"n\": 1}' WHERE owner = 'A'")
    [(guarded,)] = queue.rows("SELECT id FROM jobs WHERE owner = 'B'")
    when = {
        "sqlite": "CREATE TRIGGER t BEFORE UPDATE ON jobs WHEN NEW.id = {0} BEGIN SELECT RAISE(ABORT, 'no'); END",
        "mariadb": "CREATE TRIGGER t BEFORE UPDATE ON jobs FOR EACH ROW"
        " IF NEW.id = {0} THEN SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'no'; END IF",
        "postgresql": "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN IF NEW.id = {0} THEN RAISE 'no';"
        " END IF; RETURN NEW; END$$; CREATE TRIGGER t BEFORE UPDATE ON jobs FOR EACH ROW EXECUTE FUNCTION f()",
    }[queue.kind]
    queue.rows(when.format(guarded))
    taken = queue.take(jobs=4, fair="owner", dedupe="payload")
    assert [job.owner for job in taken.jobs] == ["A"]
    assert list(taken.misfits) == [guarded]
