import subprocess
import sys
from typing import Any

import pytest
from alembic.script import ScriptDirectory
from sqlalchemy import inspect

from models import Base
from processor.db import Database, migrate, schema
from processor.errors import SchemaMissing, SchemaTooNew, SchemaTooOld
from tests.databases import Database as Given

TELLS = {
    "postgresql": (
        "SELECT table_name, column_name, ordinal_position, data_type, column_default, is_nullable,"
        " character_maximum_length, col_description((table_schema || '.' || table_name)::regclass, ordinal_position)"
        " FROM information_schema.columns WHERE table_schema = 'public' ORDER BY 1, 3",
        "SELECT tablename, indexname, indexdef FROM pg_indexes WHERE schemaname = 'public' ORDER BY 1, 2",
        "SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint"
        " WHERE connamespace = 'public'::regnamespace ORDER BY 1, 2",
    ),
    "mariadb": (
        "SELECT table_name, column_name, ordinal_position, column_type, column_default, is_nullable, collation_name,"
        " column_comment, extra FROM information_schema.columns WHERE table_schema = database() ORDER BY 1, 3",
        "SELECT table_name, index_name, seq_in_index, column_name, collation, non_unique"
        " FROM information_schema.statistics WHERE table_schema = database() ORDER BY 1, 2, 3",
        "SELECT table_name, constraint_name, check_clause FROM information_schema.check_constraints"
        " WHERE constraint_schema = database() ORDER BY 1, 2",
    ),
    "sqlite": ("SELECT type, tbl_name, name, sql FROM sqlite_master WHERE name NOT LIKE 'sqlite_%' ORDER BY 1, 2, 3",),
}


def shape(given: Given) -> list[list[tuple[Any, ...]]]:
    """Everything that the database itself says about our tables."""
    return [[row for row in given.rows(sql) if "jobtable_version" not in str(row)] for sql in TELLS[given.kind]]


def test_the_migrated_schema_is_the_one_of_the_models(db: Given) -> None:
    empty = db.server.create_database()
    with Database(empty.url) as database:
        database.write(Base.metadata.create_all)
    for made, migrated in zip(shape(empty), shape(db), strict=True):
        assert made == migrated
        assert len(migrated) > 5
    empty.drop()


def test_down_removes_everything_and_up_brings_it_back(empty_db: Given) -> None:
    with Database(empty_db.url) as database:
        assert migrate.upgrade(database) == migrate.Migrated(None, schema.REVISIONS[-1])
        before = shape(empty_db)
        assert migrate.downgrade(database).after is None
        with database.read() as connection:
            assert [name for name in inspect(connection).get_table_names() if name != "jobtable_version"] == []
        migrate.upgrade(database)
        assert shape(empty_db) == before


def test_migrating_again_changes_nothing(db: Given) -> None:
    db.rows("INSERT INTO jobs (type) VALUES ('a')")
    with Database(db.url) as database:
        assert not migrate.upgrade(database).changed
    assert db.rows("SELECT count(*) FROM jobs") == [(1,)]


def test_several_processes_that_migrate_at_once_all_succeed(empty_db: Given) -> None:
    code = (
        "import sys; from processor.db import Database, migrate; print(migrate.upgrade(Database(sys.argv[1])).changed)"
    )
    processes = [
        subprocess.Popen([sys.executable, "-c", code, empty_db.url], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for _ in range(4)
    ]
    answers = [process.communicate(timeout=60) for process in processes]
    assert [process.returncode for process in processes] == [0] * 4, answers
    assert sorted(out.strip() for out, _ in answers) == [b"False"] * 3 + [b"True"]


def test_the_revisions_this_program_knows_are_those_of_the_migrations() -> None:
    script = ScriptDirectory.from_config(migrate.configuration())
    assert [revision.revision for revision in script.walk_revisions()][::-1] == list(schema.REVISIONS)


def test_a_database_without_tables_is_refused_with_the_command(empty_db: Given) -> None:
    with Database(empty_db.url) as database, pytest.raises(SchemaMissing, match="jobtable migrate"):
        schema.check(database)


def test_a_schema_from_the_future_is_refused(db: Given) -> None:
    db.rows("UPDATE jobtable_version SET version_num = '9999'")
    with Database(db.url) as database, pytest.raises(SchemaTooNew, match="9999"):
        schema.check(database)


def test_a_schema_from_the_past_is_refused_with_the_command(db: Given, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schema, "REVISIONS", ("0001", "0002"))
    with Database(db.url) as database, pytest.raises(SchemaTooOld, match=r"revision 0001.* needs 0002") as refused:
        schema.check(database)
    assert "Run `jobtable migrate`" in refused.value.remedy


def test_tables_can_live_in_a_schema_of_their_own(postgresql: Any) -> None:
    given = postgresql.create_database()
    given.rows("CREATE SCHEMA queue")
    given.rows("CREATE TABLE jobs (mine integer)")
    with Database(given.url, schema="queue") as database:
        migrate.upgrade(database)
        schema.check(database)
        assert given.rows("SELECT count(*) FROM queue.jobs") == [(0,)]
        migrate.downgrade(database)
    assert given.rows("SELECT count(*) FROM jobs") == [(0,)]
    given.drop()


def test_tables_can_live_in_another_database_of_the_same_server(mariadb: Any) -> None:
    given, queue = mariadb.create_database(), mariadb.create_database()
    given.rows("CREATE TABLE jobs (mine integer)")
    with Database(given.url, schema=queue.name) as database:
        migrate.upgrade(database)
        schema.check(database)
        assert queue.rows("SELECT count(*) FROM jobtable_version") == [(1,)]
        assert queue.rows("SELECT count(*) FROM jobs") == [(0,)]
        migrate.downgrade(database)
    assert given.rows("SHOW TABLES") == [("jobs",)]
    given.drop()
    queue.drop()
