"""`jobtable enqueue --batch`, and what is said of parents and children."""

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Jobtable


def write(jobtable: Jobtable, *lines: object) -> Path:
    file = jobtable.folder / "batch.jsonl"
    file.write_text("".join(f"{line if isinstance(line, str) else json.dumps(line)}\n" for line in lines))
    return file


def test_a_file_is_a_batch(jobtable: Jobtable) -> None:
    file = write(jobtable, {"type": "a", "payload": {"n": 1}}, "", {"type": "b", "owner": "bob", "priority": 9})
    result = jobtable("enqueue", "--batch", file, "--owner", "ada", "--priority", 7, "--on-complete", "report")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "1\n", "note: job 1 waits for its children: 2.\n")
    rows = {row["id"]: (row["type"], row["owner"], row["priority"], row["status"]) for row in jobtable.json("list")}
    assert rows == {
        1: ("batch", "ada", 7, "pending"),
        2: ("a", "ada", 7, "pending"),
        3: ("b", "bob", 9, "pending"),
    }
    assert jobtable.json("show", 1)["on_complete"] == "report"
    assert jobtable.json("show", 2)["parent_id"] == 1


def test_lines_come_from_the_standard_input_too(jobtable: Jobtable) -> None:
    result = jobtable("enqueue", "book", "--batch", "-", input='{"type": "a"}\n')
    assert (result.exit_code, [row["type"] for row in jobtable.json("list")]) == (0, ["a", "book"])


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('{"type": "a"', "Line 7: It is no JSON: Expecting ',' delimiter at column 13."),
        ("[1]", "Line 7: It is no JSON object."),
        ('{"payload": 1}', "Line 7: A job cannot be enqueued with no type."),
        ('{"type": "a", "colour": 1}', "Line 7: A job cannot be enqueued with colour."),
        (
            '{"type": "a", "priority": "x"}',
            "Line 7: A job cannot be enqueued with priority = 'x'. It is a whole number.",
        ),
        ('{"type": "a", "priority": 1000000}', "Line 7: The database refuses the values: "),
        ('{"type": "a", "parent_id": 3}', "Line 7: It has a parent_id."),
        ('{"type": "a", "fail_on": "some"}', "Line 7: A job cannot be enqueued with fail_on = 'some'."),
        ("\\xff", "Line 7: It is no JSON"),
    ],
)
def test_a_broken_line_is_named_and_nothing_is_enqueued(jobtable: Jobtable, line: str, words: str) -> None:
    file = write(jobtable, *[{"type": "a"}] * 6, line, {"type": "a"})
    result = jobtable("enqueue", "--batch", file)
    assert result.exit_code == 1
    assert words in result.stderr
    assert "Nothing was enqueued" in result.stderr
    assert jobtable.json("list") == []


def test_of_many_broken_lines_the_first_are_named(on_sqlite: Jobtable) -> None:
    result = on_sqlite("enqueue", "--batch", write(on_sqlite, *["x"] * 12))
    assert "Line 5: " in result.stderr
    assert "Line 6: " not in result.stderr
    assert "7 more lines are broken" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "Missing argument 'TYPE'"),
        (("--batch", "nothing.jsonl"), "nothing.jsonl cannot be read: No such file"),
        (("--batch", "/dev/null"), "The batch has no line with a job"),
        (("a", "--fail-on", "0"), "--fail-on is any, all, or a number of children; got '0'"),
        (("a", "--parent", "99"), "There is no job 99"),
    ],
)
def test_what_cannot_be_meant_is_refused(on_sqlite: Jobtable, arguments: tuple[str, ...], words: str) -> None:
    result = on_sqlite("enqueue", *arguments)
    assert result.exit_code in (1, 2)
    assert words in result.stderr
    assert on_sqlite.json("list") == []


def test_a_parent_that_has_ended_has_no_more_children(on_sqlite: Jobtable) -> None:
    parent = on_sqlite.enqueue("a")
    child = on_sqlite.enqueue("a", "--parent", parent)
    assert on_sqlite.json("show", child)["parent_id"] == parent
    on_sqlite("cancel", parent)
    result = on_sqlite("enqueue", "a", "--parent", parent)
    assert result.exit_code == 1
    assert f"Job {parent} is cancelled, so it would not wait" in result.stderr


def test_a_batch_with_a_key_is_made_once(jobtable: Jobtable) -> None:
    file = write(jobtable, {"type": "a"})
    first = jobtable("enqueue", "--batch", file, "--key", "nightly")
    again = jobtable("enqueue", "--batch", file, "--key", "nightly")
    assert first.stdout == again.stdout
    assert "is the same work" in again.stderr
    assert len(jobtable.json("list")) == 2


def test_a_batch_that_does_not_fit_into_a_queue_is_refused_whole(on_sqlite: Jobtable) -> None:
    on_sqlite.configure('[types.a]\ncommand = ["true"]\nqueue_limit = 3\n')
    on_sqlite.enqueue("a")
    result = on_sqlite("enqueue", "--batch", write(on_sqlite, *[{"type": "a"}] * 3))
    assert result.exit_code == 1
    assert "The queue of the type 'a' is full: 3 more would be over 3." in result.stderr
    assert on_sqlite("enqueue", "--batch", write(on_sqlite, *[{"type": "a"}] * 2)).exit_code == 0


def test_what_waits_for_children_says_how_far_they_are(jobtable: Jobtable) -> None:
    jobtable.configure(
        f'[database]\nurl = "{jobtable.url}"\n[processor]\nmodules = []\n[types.good]\ncommand = ["true"]\n'
    )
    jobtable("enqueue", "--batch", write(jobtable, {"type": "good"}, {"type": "strange"}))
    assert jobtable.run("run", "--drain")[0] == 0
    explained = jobtable("explain", 1).stdout
    assert "It waits for its children: 1 of 2 have ended: 1 pending, such as job 3." in explained
    shown = jobtable("show", 1).stdout
    assert "children        1 completed, 1 pending" in shown
    assert [row["id"] for row in jobtable.json("list", "--parent", 1)] == [3, 2]
