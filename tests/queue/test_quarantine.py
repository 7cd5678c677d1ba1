"""Rows that got past the constraints: one of them must never stop a claim."""

import pytest

from processor.errors import ValuesRefused
from processor.lifecycle import Status
from processor.outcome import Kind
from processor.queue import leases, upkeep
from processor.queue.claim import Slots, Wanted, claim, set_aside
from processor.queue.settle import settle
from tests.queue.conftest import Queue, verdict_of
from tests.queue.test_claim import EARLIER

WANTED = [Wanted("a")]
SLOTS = Slots(10, 10)
WORN_OUT = "INSERT INTO jobs (type, attempt) VALUES ('a', 2147483647)"
REFUSES_ROW_1 = {
    "postgresql": (
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'row 1 is mine'; END $$",
        "CREATE TRIGGER refuse BEFORE UPDATE ON jobs FOR EACH ROW WHEN (OLD.id = 1) EXECUTE FUNCTION refuse()",
    ),
    "mariadb": (
        "CREATE TRIGGER refuse BEFORE UPDATE ON jobs FOR EACH ROW"
        " IF OLD.id = 1 THEN SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'row 1 is mine'; END IF",
    ),
    "sqlite": (
        "CREATE TRIGGER refuse BEFORE UPDATE ON jobs WHEN OLD.id = 1 BEGIN SELECT RAISE(ABORT, 'row 1 is mine'); END",
    ),
}
"""A trigger of the user's own that lets nobody change the first row."""


def both(type_: str, status: Status) -> bool:
    return True


def insert_past_the_constraints(queue: Queue, statement: str = WORN_OUT) -> None:
    """A row that this version would refuse; unless told, one whose attempt cannot be counted on."""
    if queue.kind == "postgresql":
        queue.rows("ALTER TABLE jobs DROP CONSTRAINT jobs_attempt_is_0_to_32767")
        queue.rows(statement)
    elif queue.kind == "mariadb":
        queue.rows(f"SET STATEMENT check_constraint_checks = 0 FOR {statement}")
    else:
        connection = queue.given.server.connect(queue.given.name)
        connection.execute("PRAGMA ignore_check_constraints = ON")
        connection.execute(statement)
        connection.commit()
        connection.close()


def ids(queue: Queue, without: tuple[int, ...] = ()) -> list[int]:
    claimed = claim(queue.database, "p1", 1, WANTED, SLOTS, max_payload_bytes=1000, notifies=both, without=without).jobs
    return [job.id for job in claimed]


def test_a_row_that_breaks_the_claim_fails_alone_as_malformed(queue: Queue) -> None:
    insert_past_the_constraints(queue)
    queue.insert("type", "'a'", "'a'")
    with pytest.raises(ValuesRefused):
        ids(queue)
    [misfit] = set_aside(queue.database, WANTED, SLOTS, both)
    assert (misfit.id, misfit.type, misfit.failed) == (1, "a", True)
    assert queue.status(1) == ("failed", "malformed")
    [(message,)] = queue.rows("SELECT error_message FROM jobs WHERE id = 1")
    assert message.startswith("The row cannot be claimed.") and misfit.error in message
    assert queue.rows("SELECT job_id, status, reason FROM notifications") == [(1, "failed", "malformed")]
    assert queue.rows("SELECT status, attempt FROM jobs WHERE id > 1") == [("pending", 0)] * 2  # tried, and taken back
    assert ids(queue) == [2, 3]


def test_bytes_where_text_belongs_are_read_as_text(queue: Queue) -> None:
    if queue.kind != "sqlite":
        return  # the others have no bytes in a column of text
    insert_past_the_constraints(
        queue, "INSERT INTO jobs (type, owner, key, subject) VALUES ('a', x'ff61', x'62', x'c3a4')"
    )
    [job] = queue.claim("p1")
    assert (job.owner, job.key, job.subject) == ("\ufffda", "b", "ä")
    queue.rows("UPDATE processors SET status = 'dead'")
    [orphan] = leases.orphans(queue.database)
    assert (orphan.owner, orphan.subject) == ("\ufffda", "ä")
    assert settle(queue.database, [verdict_of(job, Kind.RETURNED, result="1")]).accepted


def test_a_row_that_nobody_may_change_is_passed_over(queue: Queue) -> None:
    queue.insert("type", "'a'", "'a'")
    for statement in REFUSES_ROW_1[queue.kind]:
        queue.rows(statement)
    with pytest.raises(ValuesRefused, match="row 1 is mine"):
        ids(queue)
    [misfit] = set_aside(queue.database, WANTED, SLOTS, both)
    assert (misfit.id, misfit.failed) == (1, False)
    assert "row 1 is mine" in misfit.error
    assert ids(queue, without=(1,)) == [2]
    assert queue.status(1) == ("pending", None)


def test_a_row_that_cannot_be_moved_holds_no_other_back(queue: Queue) -> None:
    queue.insert("type, status, run_at", *[f"'a', 'scheduled', {EARLIER[queue.kind]}"] * 3)
    for statement in REFUSES_ROW_1[queue.kind]:
        queue.rows(statement)
    with pytest.raises(ValuesRefused, match="row 1 is mine"):
        upkeep.promote(queue.database)
    assert [row[0] for row in queue.rows("SELECT status FROM jobs ORDER BY id")] == ["scheduled", "pending", "pending"]


def test_a_running_row_that_nobody_may_change_holds_no_other_outcome_back(queue: Queue) -> None:
    queue.insert("type", *["'a'"] * 3)
    batch = [verdict_of(job, Kind.RETURNED, result="1") for job in queue.claim()]
    for statement in REFUSES_ROW_1[queue.kind]:
        queue.rows(statement)
    settled = settle(queue.database, batch)
    assert [one.job_id for one in settled.accepted] == [2, 3]
    assert [one.job_id for one in settled.held] == [1]
    queue.rows("DROP TRIGGER refuse" + (" ON jobs" if queue.kind == "postgresql" else ""))
    assert [one.job_id for one in settle(queue.database, settled.held).accepted] == [1]
    assert queue.status(1) == ("failed", "unstorable")


def test_a_trigger_that_lets_nothing_start_blames_no_row(queue: Queue) -> None:
    queue.insert("type", "'a'", "'a'")
    for statement in REFUSES_ROW_1[queue.kind]:
        queue.rows(statement.replace("OLD.id = 1", "OLD.id > 0"))
    assert set_aside(queue.database, WANTED, SLOTS, both) == []
    assert queue.rows("SELECT count(*) FROM jobs WHERE status = 'pending'") == [(2,)]


def test_rows_of_a_paused_type_are_not_tried(queue: Queue) -> None:
    insert_past_the_constraints(queue)
    queue.rows("INSERT INTO job_types (name, paused) VALUES ('a', true)")
    assert set_aside(queue.database, WANTED, SLOTS, both) == []
    assert queue.status(1) == ("pending", None)


def test_a_cancel_that_is_refused_holds_no_other_back(queue: Queue) -> None:
    queue.insert("type", *["'a'"] * 3)
    queue.rows("UPDATE jobs SET cancel_requested = true")
    for statement in REFUSES_ROW_1[queue.kind]:
        queue.rows(statement)
    with pytest.raises(ValuesRefused, match="row 1 is mine"):
        upkeep.cancel_asked(queue.database, both)
    assert [row[0] for row in queue.rows("SELECT status FROM jobs ORDER BY id")] == ["pending", *["cancelled"] * 2]
