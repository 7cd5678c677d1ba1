"""`jobtable purge`."""

from tests.cli.conftest import Jobtable
from tests.databases import Database

OLD = "'2026-01-01 00:00:00'"


def _ended(db: Database, type_: str, status: str, count: int = 1) -> None:
    rows = ", ".join([f"('{type_}', '{status}', {OLD}, {OLD})"] * count)
    db.rows(f"INSERT INTO jobs (type, status, created_at, finished_at) VALUES {rows}")


def test_old_rows_are_counted_then_deleted(jobtable: Jobtable, db: Database) -> None:
    _ended(db, "a", "completed", 3)
    _ended(db, "a", "failed", 2)
    db.rows(f"INSERT INTO notifications (job_id, type, status, created_at) VALUES (1, 'a', 'completed', {OLD})")
    counted = "5 jobs (3 completed, 2 failed), 1 notification, 0 processors"
    assert jobtable("purge", "--dry").stdout == f"would delete: {counted}\n"
    refused = jobtable("purge")
    assert (refused.exit_code, len(jobtable.ids())) == (1, 5)
    assert f"delete {counted}? Nobody is there to ask, so nothing was changed." in refused.stderr
    done = jobtable("purge", "--yes")
    assert (done.exit_code, jobtable.ids()) == (0, [])
    assert done.stdout == "deleted: 5 jobs (3 completed, 2 failed), 1 notification, 0 processors\n"
    assert jobtable("purge").stdout == "deleted: 0 jobs, 0 notifications, 0 processors\n"


def test_what_is_needed_or_not_ours_stays_and_is_said(jobtable: Jobtable, db: Database) -> None:
    jobtable.configure('[retention]\nfailed = "never"\n[types.long]\npython = "m:f"\nretention = {completed = "9999h"}')
    names = "id, name, host, pid, version, types, max_concurrent, lease_until, status"
    db.rows(f"""INSERT INTO processors ({names}) VALUES ('p', 'p', 'h', 1, '1', '{{"x": {{}}}}', 1, {OLD}, 'live')""")
    _ended(db, "a", "completed", 2)
    _ended(db, "x", "completed")
    _ended(db, "long", "completed")
    _ended(db, "a", "failed")
    db.rows("INSERT INTO jobs (type, parent_id) VALUES ('a', 1)")
    done = jobtable("purge", "--yes")
    assert done.stdout == (
        "kept though old: 1 job whose outcome still matters\n"
        "left to the processors that run them: jobs of the types x\n"
        "deleted: 1 job (1 completed), 0 notifications, 0 processors\n"
    )
    assert len(jobtable.ids()) == 5


def test_a_decorated_handler_says_how_long_its_jobs_are_kept(on_sqlite: Jobtable) -> None:
    on_sqlite.configure('[processor]\nmodules = ["decorated"]')
    (on_sqlite.folder / "decorated.py").write_text(
        "from processor import handler\n\n\n"
        '@handler("kept", retention={"completed": "never"})\ndef kept(job):\n    return 1\n',
        encoding="utf-8",
    )
    import sqlite3

    connection = sqlite3.connect(on_sqlite.folder / "jobs.db")
    for type_ in ("kept", "other"):
        connection.execute(
            f"INSERT INTO jobs (type, status, finished_at) VALUES ('{type_}', 'completed', '2026-01-01 00:00:00')"
        )
    connection.commit()
    connection.close()
    assert on_sqlite("purge", "--dry").stdout.startswith("would delete: 1 job (1 completed)")
