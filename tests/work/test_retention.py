"""The thread that deletes old rows."""

import queue
from pathlib import Path

import pytest
from sqlalchemy import make_url

from processor import settings
from processor.happenings import DeletionRefused, Happenings
from processor.queue.keeping import FOREVER, Keeps
from processor.work.retention import Retention
from processor.work.roster import call_up, configured_keeps, keeps_of
from tests.databases import Database
from tests.db.test_database import stranger


@pytest.mark.parametrize("db", ["postgresql", "mariadb"], indirect=True)
def test_a_user_who_may_not_delete_is_told_so(db: Database) -> None:
    db.rows("INSERT INTO jobs (type, status, finished_at) VALUES ('a', 'completed', '2026-01-01 00:00:00')")
    told: queue.Queue[object] = queue.Queue()
    with stranger(db) as url:
        name = make_url(url).username
        for table in ("jobs", "notifications", "processors", "job_events"):
            if db.kind == "mariadb":
                db.server.rows(f"GRANT SELECT, UPDATE ON {db.name}.{table} TO {name}@'%'")
            else:
                db.rows(f"GRANT SELECT, UPDATE ON {table} TO {name}")
        retention = Retention(settings.load(None, {"JOBTABLE_DATABASE__URL": url}), Happenings(told.put))
        retention.start(Keeps)
        refused = told.get(timeout=30)
        retention.stop()
        if db.kind == "postgresql":
            db.rows(f"REVOKE ALL ON jobs, notifications, processors, job_events FROM {name}")
    assert isinstance(refused, DeletionRefused)
    assert (refused.kind, "denied" in refused.error) == ("all", True)
    assert db.rows("SELECT count(*) FROM jobs") == [(1,)]


def test_a_result_is_kept_for_as_long_as_it_is_lent(tmp_path: Path) -> None:
    (tmp_path / "jobtable.toml").write_text(
        '[retention]\ncompleted = "1h"\nfailed = "never"\n'
        '[types.lends]\npython = "m:f"\nreuse_result_for = "2d"\n[types.short]\npython = "m:f"\n'
        "retention = {failed = 0}\n",
        encoding="utf-8",
    )
    loaded = settings.load(tmp_path / "jobtable.toml", {})
    for keeps in (configured_keeps(loaded), keeps_of(loaded, call_up(loaded, Happenings()))):
        kept = [keeps.of(type_, "completed") for type_ in ("lends", "short", "nobodys")]
        assert kept == [2 * 86_400, 3600, 3600]
        assert [keeps.of(type_, "failed") for type_ in ("lends", "short", "nobodys")] == [FOREVER, 0, FOREVER]


def test_batches_are_ours_and_kept_as_everything_else() -> None:
    given = settings.load(None, {"JOBTABLE_RETENTION__COMPLETED": "2d"})
    for keeps in (configured_keeps(given), keeps_of(given, call_up(given, Happenings()))):
        assert keeps.of("batch", "completed") == 2 * 86_400
        assert "batch" in keeps.types
