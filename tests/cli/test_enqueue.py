"""`jobtable enqueue`."""

from datetime import UTC, datetime, timedelta

import pytest

from tests.cli.conftest import Jobtable


def test_it_prints_the_id_and_stores_every_column(jobtable: Jobtable) -> None:
    columns = {"--owner": "ada", "--key": "k1", "--subject": "chapter:1", "--lane": "l1", "--max-attempts": "4"}
    flags = [word for pair in columns.items() for word in pair]
    result = jobtable("enqueue", "a.b", "--payload", '{"n": [1, "ü"]}', "--priority", 9, "--timeout", "90s", *flags)
    assert (result.exit_code, result.stderr) == (0, "")
    job = jobtable.json("show", int(result.stdout))
    assert job["payload"] == {"n": [1, "ü"]}
    assert (job["type"], job["status"], job["priority"], job["timeout_seconds"]) == ("a.b", "pending", 9, 90)
    assert (job["owner"], job["key"], job["subject"], job["concurrency_key"]) == ("ada", "k1", "chapter:1", "l1")
    assert job["max_attempts"] == 4


@pytest.mark.parametrize("flag", ["--in", "--at"])
def test_it_can_be_for_later(jobtable: Jobtable, flag: str) -> None:
    later = "2h" if flag == "--in" else (datetime.now(UTC) + timedelta(hours=2)).isoformat()
    job = jobtable.json("show", jobtable.enqueue("a", flag, later))
    ahead = datetime.fromisoformat(job["run_at"]) - datetime.fromisoformat(job["created_at"])
    assert timedelta(hours=1, minutes=50) < ahead < timedelta(hours=2, minutes=10)


def test_the_payload_may_come_from_a_file_or_the_standard_input(on_sqlite: Jobtable) -> None:
    (on_sqlite.folder / "payload.json").write_text('{"from": "file"}')
    from_file = on_sqlite.enqueue("a", "--payload", f"@{on_sqlite.folder / 'payload.json'}")
    from_input = int(on_sqlite("enqueue", "a", "--payload", "-", input='{"from": "input"}').stdout)
    assert on_sqlite.json("show", from_file)["payload"] == {"from": "file"}
    assert on_sqlite.json("show", from_input)["payload"] == {"from": "input"}


@pytest.mark.parametrize(
    ("payload", "words"),
    [
        ('{"a": 1,\n "b": }', "at line 2, column 7"),
        ("", "at line 1, column 1"),
        ('{"a": NaN}', "NaN is not a JSON number"),
        ("[" * 100_000, "nested too deeply"),
        ("@no-such-file", "no-such-file cannot be read: No such file or directory"),
    ],
)
def test_what_is_no_json_is_refused_with_its_place(on_sqlite: Jobtable, payload: str, words: str) -> None:
    result = on_sqlite("enqueue", "a", "--payload", payload)
    assert result.exit_code == 2
    assert words in result.stderr
    assert "Nothing was enqueued" in result.stderr
    assert on_sqlite.ids() == []


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--at", "2030-01-31T08:00"), "has no time zone; write 2030-01-31T08:00Z for UTC"),
        (("--at", "tomorrow"), "'tomorrow' is no instant"),
        (("--in", "1h", "--at", "2030-01-31T08:00Z"), "--in and --at"),
    ],
)
def test_an_instant_that_could_mean_two_things_is_refused(
    on_sqlite: Jobtable, flags: tuple[str, ...], words: str
) -> None:
    result = on_sqlite("enqueue", "a", *flags)
    assert result.exit_code == 2
    assert words in result.stderr


def test_a_value_that_the_database_refuses_names_its_column(jobtable: Jobtable) -> None:
    result = jobtable("enqueue", "a", "--priority", 40_000)
    assert result.exit_code == 1
    assert "priority" in result.stderr
    assert jobtable.ids() == []


@pytest.mark.parametrize("given", ["00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "nonsense", ""])
def test_it_goes_on_with_the_trace_of_its_environment(
    on_sqlite: Jobtable, monkeypatch: pytest.MonkeyPatch, given: str
) -> None:
    monkeypatch.setenv("TRACEPARENT", given)
    on_sqlite("enqueue", "a")
    assert on_sqlite.json("show", 1)["trace_parent"] == (given if given.startswith("00-") else None)


def test_a_type_that_is_not_configured_is_enqueued_with_a_note(on_sqlite: Jobtable) -> None:
    on_sqlite.configure('[types.known]\npython = "m:f"')
    known, other = on_sqlite("enqueue", "known"), on_sqlite("enqueue", "knwon")
    assert (known.stdout, known.stderr) == ("1\n", "")
    assert other.stdout == "2\n"
    assert "knwon is no type of this configuration" in other.stderr
