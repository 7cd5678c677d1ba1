"""`jobtable explain`, `jobtable types set`, and enqueueing work that is there already."""

import json

import pytest

from tests.cli.conftest import Jobtable

MAIL = '[types.mail]\ncommand = ["true"]\nqueue_limit = 2\nmax_concurrent = 4\nreuse_result_for = "1h"\n'


def test_it_says_why_and_what_to_do(jobtable: Jobtable) -> None:
    jobtable.enqueue("mail")
    jobtable("pause", 1)
    result = jobtable("explain", 1)
    assert result.exit_code == 0
    assert result.stdout.splitlines() == [
        "job 1  mail  paused (asked)",
        "  x No processor is alive. Start one: jobtable run.",
        "  x Somebody paused it. Let it go on: jobtable resume 1.",
    ]
    told = jobtable.json("explain", 1)
    assert (told["job"], told["status"], told["runnable"]) == (1, "paused", False)
    assert [finding["rule"] for finding in told["findings"] if finding["blocks"]] == ["processor", "paused"]


def test_a_job_that_does_not_exist_is_said(on_sqlite: Jobtable) -> None:
    result = on_sqlite("explain", 7)
    assert (result.exit_code, result.stderr) == (1, "error: There is no job 7. See `jobtable list`.\n")


def test_limits_are_set_and_shown_and_left_to_the_configuration_again(jobtable: Jobtable) -> None:
    jobtable.configure(MAIL)
    result = jobtable("types", "set", "mail", "--max-concurrent", 1, "--rate", "10/min")
    assert result.stdout == "set for the type mail: max_concurrent 1, rate 10/min\n"
    [mail] = jobtable.json("types")
    assert (mail["max_concurrent"], mail["rate"]) == (1, "10/min")
    assert jobtable("types", "set", "mail", "--max-concurrent", "default", "--rate", "unlimited").exit_code == 0
    [mail] = jobtable.json("types")
    assert (mail["max_concurrent"], mail["rate"]) == (4, "unlimited")


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ((), "Nothing to set"),
        (("--max-concurrent", "-1"), "'-1' is no number of jobs from 0"),
        (("--max-concurrent", "few"), "'few' is no number of jobs from 0"),
        (("--rate", "often"), "expected starts in a time"),
    ],
)
def test_limits_that_make_no_sense_are_refused(on_sqlite: Jobtable, flags: tuple[str, ...], words: str) -> None:
    on_sqlite.configure(MAIL)
    result = on_sqlite("types", "set", "mail", *flags)
    assert result.exit_code == 2
    assert words in result.stderr


def test_a_type_that_nobody_knows_is_not_limited_by_mistake(on_sqlite: Jobtable) -> None:
    on_sqlite.configure(MAIL)
    result = on_sqlite("types", "set", "mial", "--max-concurrent", 1)
    assert result.exit_code == 1
    assert "There is no type mial" in result.stderr


def test_the_same_work_is_not_enqueued_twice(jobtable: Jobtable) -> None:
    first = jobtable.enqueue("mail", "--key", "k", "--owner", "me")
    again = jobtable("enqueue", "mail", "--key", "k", "--owner", "me")
    assert (again.exit_code, int(again.stdout)) == (0, first)
    assert f"job {first} is the same work" in again.stderr
    assert jobtable.enqueue("mail", "--key", "k", "--owner", "you") != first
    assert jobtable.enqueue("post", "--key", "k", "--owner", "me") != first


def test_a_result_that_is_lent_is_the_answer_for_so_long(on_sqlite: Jobtable) -> None:
    on_sqlite.configure(MAIL)
    first = on_sqlite.enqueue("mail", "--key", "k")
    assert on_sqlite.run("run", "--drain")[0] == 0
    assert on_sqlite.enqueue("mail", "--key", "k") == first
    on_sqlite.configure(MAIL.replace('"1h"', "0"))
    assert on_sqlite.enqueue("mail", "--key", "k") != first


def test_a_full_queue_refuses_with_what_to_do(jobtable: Jobtable) -> None:
    jobtable.configure(MAIL)
    for _ in range(2):
        jobtable.enqueue("mail")
    result = jobtable("enqueue", "mail")
    assert result.exit_code == 1
    assert result.stderr == (
        "error: The queue of the type 'mail' is full: 2 of its jobs wait. Nothing was enqueued."
        " Try again when some have started, or raise queue_limit of the type. See `jobtable types`.\n"
    )
    assert len(jobtable.ids()) == 2


def test_rules_are_told_by_the_processor_that_has_them(on_sqlite: Jobtable) -> None:
    """The command has no configuration of the type: it knows the limit from the processor that lives."""
    on_sqlite.configure(
        '[metrics]\nlisten = ""\n[types.mail]\ncommand = ["sleep", "30"]\nmax_concurrent = 1\nqueue_limit = 1\n'
    )
    processor = on_sqlite.start("run")
    on_sqlite.enqueue("mail")
    while not on_sqlite.ids("--status", "running"):
        assert processor.poll() is None
    on_sqlite.enqueue("mail")
    (on_sqlite.folder / "jobtable.toml").unlink()
    assert "is full: 1 of its jobs wait" in on_sqlite("enqueue", "mail").stderr
    told = on_sqlite.json("explain", 2)
    assert "limit" in [finding["rule"] for finding in told["findings"]], json.dumps(told)
    processor.terminate()
    processor.terminate()
