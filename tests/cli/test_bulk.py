"""`jobtable cancel, pause, resume, retry, delete` by filters, on rows of every type, state, owner and age."""

import itertools
import os
import pty
import select
import subprocess
import sys
from collections import Counter
from typing import Any

import pytest

from processor.lifecycle import FINAL, MOVES, NOT_STARTED, Status
from tests.cli.conftest import Jobtable, environment
from tests.databases import Database

TYPES, OWNERS, AGES = ("mail", "page"), ("ada", "bob"), ("old", "new")
SEEDED = list(itertools.product(TYPES, OWNERS, AGES, Status))

_CREATED = {"old": "'2020-01-01 00:00:00'", "new": "'2035-01-01 00:00:00'"}

Row = tuple[int, str, str, str, str]
"""Id, type, owner, age, status."""

FILTERS = {
    "type": (("--type", "mail"), lambda row: row[1] == "mail"),
    "owner": (("--owner", "ada"), lambda row: row[2] == "ada"),
    "age": (("--older-than", "30d"), lambda row: row[3] == "old"),
    "status": (("--status", "pending", "--status", "failed", "--status", "paused"), lambda row: row[4] in _STATUSES),
}
_STATUSES = ("pending", "failed", "paused")
COMBINATIONS = [names for size in (1, 2, 3, 4) for names in itertools.combinations(FILTERS, size)]

REACHES: dict[str, str | None] = {
    "cancel": "cancelled",
    "pause": "paused",
    "resume": "pending",
    "retry": "pending",
    "delete": None,
}
DONE = {"cancel": "cancelled", "pause": "paused", "resume": "resumed", "retry": "put back", "delete": "deleted"}


def seed(db: Database) -> list[Row]:
    db.rows("DELETE FROM jobs")
    values = ", ".join(
        f"('{type_}', '{owner}', {_CREATED[age]}, '{status}', {_claim(status)}, {_due(status)})"
        for type_, owner, age, status in SEEDED
    )
    db.rows(f"INSERT INTO jobs (type, owner, created_at, status, processor_id, claim_no, run_at) VALUES {values}")
    ids = [row[0] for row in db.rows("SELECT id FROM jobs ORDER BY id")]
    return [(id_, *facts[:3], facts[3].value) for id_, facts in zip(ids, SEEDED, strict=True)]


def _claim(status: Status) -> str:
    return "'p', 1" if status is Status.RUNNING else "NULL, NULL"


def _due(status: Status) -> str:
    return "'2090-01-01 00:00:00'" if status is Status.SCHEDULED else "NULL"


def states(db: Database) -> dict[int, tuple[str, bool]]:
    return {row[0]: (row[1], bool(row[2])) for row in db.rows("SELECT id, status, cancel_requested FROM jobs")}


def leaves(verb: str) -> frozenset[Status]:
    return frozenset(Status) - {Status.RUNNING} if verb == "delete" else MOVES[verb][0]


def expected(verb: str, rows: list[Row], chosen: list[Row]) -> dict[int, tuple[str, bool]]:
    after = {row[0]: (row[4], False) for row in rows}
    for id_, *_, status in chosen:
        reached = REACHES[verb]
        if reached is None:
            del after[id_]
        elif verb == "cancel":
            after[id_] = (status if status == "running" else reached, True)
        else:
            after[id_] = (reached, False)
    return after


@pytest.mark.parametrize("verb", REACHES)
def test_filters_narrow_together_and_the_count_is_what_is_changed(jobtable: Jobtable, db: Database, verb: str) -> None:
    for names in COMBINATIONS:
        rows = seed(db)
        chosen = [row for row in rows if row[4] in leaves(verb) and all(FILTERS[name][1](row) for name in names)]
        flags = [word for name in names for word in FILTERS[name][0]]
        asked = jobtable(verb, *flags)
        by_status = ", ".join(
            f"{count} {status}" for status, count in sorted(Counter(row[4] for row in chosen).items())
        )
        question = f"{verb} {len(chosen)} job{'' if len(chosen) == 1 else 's'} ({by_status})?"
        assert asked.exit_code == 1, (names, asked.output)
        assert f"error: {question} Nobody is there to ask, so nothing was changed. Add --yes" in asked.stderr, names
        assert states(db) == {row[0]: (row[4], False) for row in rows}, names
        done = jobtable(verb, *flags, "--yes")
        assert done.exit_code == 0, (names, done.output)
        assert done.stdout.startswith(f"{DONE[verb]}: {len(chosen)} job"), names
        assert states(db) == expected(verb, rows, chosen), names


@pytest.mark.parametrize("verb", REACHES)
def test_states_that_cannot_be_left_are_said_and_left(on_sqlite: Jobtable, verb: str) -> None:
    flags = [word for status in Status for word in ("--status", status.value)]
    result = on_sqlite(verb, *flags, "--yes")
    assert (result.exit_code, result.stdout) == (0, f"{DONE[verb]}: 0 jobs (none matches)\n")
    *others, last = [status for status in Status if status not in leaves(verb)]
    names = f"{', '.join(others)} or {last}" if others else last
    assert result.stderr == f"note: jobs that are {names} cannot be {DONE[verb]} and are left.\n"


@pytest.mark.parametrize("verb", REACHES)
def test_a_type_that_nobody_knows_is_said_with_the_nearest(jobtable: Jobtable, db: Database, verb: str) -> None:
    rows = seed(db)
    result = jobtable(verb, "--type", "mial", "--older-than", "1h", "--yes")
    assert (result.exit_code, result.stdout) == (0, f"{DONE[verb]}: 0 jobs (none matches)\n")
    assert result.stderr == "note: there is no type mial, and no job has it. Did you mean mail?\n"
    assert states(db) == {row[0]: (row[4], False) for row in rows}
    known = jobtable(verb, "--type", "mail", "--owner", "nobody", "--yes")
    assert (known.exit_code, known.stderr) == (0, "")


def test_a_type_that_only_the_configuration_knows_is_no_stranger(on_sqlite: Jobtable) -> None:
    on_sqlite.configure('[types.mail]\npython = "m:f"')
    assert on_sqlite("cancel", "--type", "mail", "--yes").stderr == ""
    assert "Did you mean mail?" in on_sqlite("cancel", "--type", "mails", "--yes").stderr


@pytest.mark.parametrize("verb", REACHES)
def test_a_state_that_does_not_exist_is_refused_with_the_nearest(on_sqlite: Jobtable, verb: str) -> None:
    result = on_sqlite(verb, "--status", "complete", "--yes")
    assert result.exit_code == 2
    assert "Did you mean completed?" in result.stderr
    assert "pending" in result.stderr  # and what there is


@pytest.mark.parametrize("verb", REACHES)
def test_neither_ids_nor_filters_and_both_are_wrong_usage(on_sqlite: Jobtable, verb: str) -> None:
    for arguments in (("--yes",), ("1", "--type", "a", "--yes")):
        result = on_sqlite(verb, *arguments)
        assert (result.exit_code, "one of the two" in result.stderr) == (2, True)


@pytest.mark.parametrize(("answer", "code", "left"), [("n", 1, "pending"), ("y", 0, "cancelled"), ("", 1, "pending")])
def test_a_person_at_a_terminal_is_asked(on_sqlite: Jobtable, answer: str, code: int, left: str) -> None:
    job = on_sqlite.enqueue("mail")
    ours, theirs = pty.openpty()
    command = [sys.executable, "-P", "-m", "processor", "--database-url", on_sqlite.url, "cancel", "--type", "mail"]
    with subprocess.Popen(
        command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment(), cwd=on_sqlite.folder
    ) as process:
        os.close(theirs)
        said = b""
        while b"[y/N]" not in said:
            assert select.select([ours], [], [], 30)[0], said
            said += os.read(ours, 4096)
        assert b"cancel 1 job (1 pending)?" in said
        os.write(ours, answer.encode() + b"\n")
        assert process.wait(30) == code
    os.close(ours)
    assert on_sqlite.json("show", job)["status"] == left


def insert_many(db: Database, count: int) -> None:
    digits = " CROSS JOIN ".join(f"(SELECT 0 AS {name} {_NINE}) AS t{name}" for name in "abcd")
    db.rows(
        "INSERT INTO jobs (type, owner)"
        f" SELECT 'mail', CASE WHEN d % 2 = 0 THEN 'ada' ELSE 'bob' END FROM {digits}"
        f" WHERE a * 1000 + b * 100 + c * 10 + d < {count}"
    )


_NINE = " ".join(f"UNION ALL SELECT {n}" for n in range(1, 10))


def test_many_rows_are_changed_in_short_transactions_all_of_them(
    jobtable: Jobtable, db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A batch is 1,000 rows; of every second of 6,000 these are three whole ones."""
    insert_many(db, 6000)
    sizes: list[int] = []
    from processor.queue import bulk

    lock = bulk.lock

    def counting(*arguments: Any) -> list[int]:
        ids = lock(*arguments)
        sizes.append(len(ids))
        return ids

    monkeypatch.setattr(bulk, "lock", counting)
    for verb in ("pause", "resume", "cancel", "retry", "delete"):
        result = jobtable(verb, "--owner", "ada", "--yes")
        assert result.stdout == f"{DONE[verb]}: 3,000 jobs\n", result.output
        counts = dict(db.rows("SELECT status, count(*) FROM jobs WHERE owner = 'ada' GROUP BY status"))
        reached = REACHES[verb]
        assert counts == ({} if reached is None else {reached: 3000}), verb
    assert max(sizes) == bulk.BATCH
    assert db.rows("SELECT status, count(*) FROM jobs GROUP BY status") == [("pending", 3000)]


def test_many_ids_are_changed_in_portions(jobtable: Jobtable, db: Database) -> None:
    """PostgreSQL takes 65,535 parameters in a statement, SQLite 32,766."""
    insert_many(db, 2500)
    ids = [row[0] for row in db.rows("SELECT id FROM jobs ORDER BY id")]
    assert jobtable("pause", *ids).stdout == "paused: 2,500 jobs\n"
    nobody = jobtable("resume", *ids, *range(10**9, 10**9 + 70_000))
    assert nobody.exit_code == 1
    assert "There is no job 1000000000, 1000000001, " in nobody.stderr
    assert " and 69,950 more. Nothing was changed." in nobody.stderr
    assert db.rows("SELECT status, count(*) FROM jobs GROUP BY status") == [("paused", 2500)]


def guard(db: Database, job: int, event: str) -> None:
    """Let a trigger refuse what is done to one row."""
    name = f"guard_{event.lower()}"
    if db.kind == "postgresql":
        db.rows(
            f"CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql"
            " AS $$ BEGIN RAISE EXCEPTION 'it is mine'; END $$"
        )
        on = f"CREATE TRIGGER {name} BEFORE {event} ON jobs FOR EACH ROW"
        db.rows(f"{on} WHEN (OLD.id = {job}) EXECUTE FUNCTION {name}()")
    elif db.kind == "mariadb":
        no = f"IF OLD.id = {job} THEN SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'it is mine'; END IF"
        db.rows(f"CREATE TRIGGER {name} BEFORE {event} ON jobs FOR EACH ROW BEGIN {no}; END")
    else:
        no = "BEGIN SELECT RAISE(ABORT, 'it is mine'); END"
        db.rows(f"CREATE TRIGGER {name} BEFORE {event} ON jobs WHEN OLD.id = {job} {no}")


@pytest.mark.parametrize("verb", REACHES)
def test_a_row_that_the_database_guards_stops_no_other(jobtable: Jobtable, db: Database, verb: str) -> None:
    rows = seed(db)
    chosen = [row for row in rows if row[4] in leaves(verb)]
    guarded = next(row for row in chosen if row[4] != "running")
    guard(db, guarded[0], "DELETE" if verb == "delete" else "UPDATE")
    result = jobtable(verb, "--type", "mail", "--type", "page", "--yes")
    assert result.exit_code == 1
    assert f"{len(chosen) - 1} jobs were changed, and 1 more the database lets nobody change" in result.stderr
    assert f"(job {guarded[0]}: it is mine)" in result.stderr
    assert states(db) == expected(verb, rows, [row for row in chosen if row != guarded])


def test_every_move_is_tried_here() -> None:
    assert {MOVES[verb][0] for verb in ("cancel", "pause", "resume", "retry")} == {
        NOT_STARTED | {Status.RUNNING},
        NOT_STARTED - {Status.PAUSED},
        frozenset({Status.PAUSED}),
        FINAL,
    }
