"""`jobtable doctor`."""

import sys

from tests.cli.conftest import Jobtable, give_work
from tests.databases import Database


def test_a_place_where_all_is_well(jobtable: Jobtable) -> None:
    give_work(jobtable)
    processor = jobtable.start("run")
    code, _, err = jobtable.run("logs", jobtable.enqueue("count"), "-f")
    assert code == 0, err
    result = jobtable("doctor")
    processor.terminate()
    assert (result.exit_code, result.stderr) == (0, "")
    lines = result.stdout.splitlines()
    assert {line.split()[0] for line in lines} == {"ok"}, result.stdout
    assert "jobtable.toml is in force" in lines[0]
    types = next(line for line in lines if line.split()[1] == "types")
    assert types.endswith("Types that are run: batch, count, jobtable.webhook.")


def test_a_problem_is_said_with_its_remedy_and_ends_with_1(jobtable: Jobtable) -> None:
    jobtable.enqueue("a")
    result = jobtable("doctor")
    assert (result.exit_code, result.stderr) == (1, "")
    said = "problem  processors    No processor is alive. Not ended: 1 job.\n"
    assert f"{said}                       -> Start one: `jobtable run`.\n" in result.stdout


def test_a_warning_alone_ends_with_0(on_sqlite: Jobtable) -> None:
    result = on_sqlite("doctor")
    assert (result.exit_code, result.stdout.count("warning  "), result.stdout.count("problem  ")) == (0, 1, 0)


def test_json_has_every_point(jobtable: Jobtable, db: Database) -> None:
    found = jobtable.json("doctor")
    assert [set(one) for one in found] == [{"check", "level", "text", "remedy"}] * len(found)
    assert {one["level"] for one in found} == {"ok", "warning"}
    assert "database" in {one["check"] for one in found}
    jobtable.enqueue("a")
    assert jobtable("doctor", "--json").exit_code == 1


def test_settings_that_are_refused_are_the_first_problem(on_sqlite: Jobtable) -> None:
    on_sqlite.configure("[processor]\nmax_concurent = 3\n")
    result = on_sqlite("doctor")
    assert result.exit_code == 1
    assert result.stdout.startswith("problem  configuration ")
    assert "-> Did you mean max_concurrent?" in result.stdout
    assert len(result.stdout.splitlines()) == 2


def test_a_handler_that_cannot_be_run(on_sqlite: Jobtable) -> None:
    on_sqlite.configure(f'[types.a]\npython = "nowhere:f"\n[types.b]\ncommand = ["{sys.executable}"]\n')
    result = on_sqlite("doctor")
    assert result.exit_code == 1
    assert "problem  handlers      The type 'a'" in result.stdout
    assert "'b'" not in result.stdout


def test_modules_that_cannot_be_read(on_sqlite: Jobtable) -> None:
    on_sqlite.configure('[processor]\nmodules = ["nowhere"]\n')
    result = on_sqlite("doctor")
    assert result.exit_code == 1
    assert "problem  handlers" in result.stdout
    assert "ok       tables" in result.stdout


def test_a_database_that_cannot_be_reached(on_sqlite: Jobtable) -> None:
    on_sqlite.url = "sqlite:////nowhere/jobs.db"
    result = on_sqlite("doctor")
    assert result.exit_code == 1
    assert "problem  database      The database sqlite:////nowhere/jobs.db cannot be reached" in result.stdout


def test_tables_that_are_missing(on_sqlite: Jobtable) -> None:
    on_sqlite.url = f"sqlite:///{on_sqlite.folder / 'other.db'}"
    result = on_sqlite("doctor")
    assert "-> Run `jobtable migrate` to create them." in result.stdout
