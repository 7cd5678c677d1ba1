"""Any executable as a handler."""

import json
import os
import time
from pathlib import Path

import pytest
from supervision import is_gone

from tests.patience import eventually


def test_a_command_gets_payload_and_environment_and_gives_a_result(supervision):
    script = 'cat > got; echo "{\\"result\\": {\\"got\\": $(cat got), \\"job\\": \\"$JOB_ID $JOB_TYPE $JOB_ATTEMPT $JOB_FENCE\\"}}" >&3'  # noqa: E501 - a script of a handler is one line
    ended = supervision.run(supervision.command(script), {"a": 1}, id=9, attempt=2)
    assert ended["outcome"] == "returned" and ended["exit_code"] == 0
    assert json.loads(ended["result"]) == {"got": {"a": 1}, "job": f"9 test 2 {ended['run']}:p:1"}


@pytest.mark.parametrize(
    "key, expected",
    [("s@2030-01-31T03:30:00Z", "s@2030-01-31T03:30:00Z"), (None, "none"), ("a\0b", "none"), ("\ud800", "none")],
)
def test_a_command_finds_the_key_of_its_job_where_a_variable_can_hold_it(supervision, key, expected):
    ended = supervision.run(supervision.command('echo "{\\"result\\": \\"${JOB_KEY-none}\\"}" >&3'), key=key)
    assert json.loads(ended["result"]) == expected


def test_exit_0_without_a_result_is_null(supervision):
    assert supervision.run(supervision.command("true"))["result"] == "null"


def test_a_command_has_only_what_it_shall_have(supervision):
    script = "env; umask; touch left; echo $(ls /proc/self/fd); pwd; echo $JOB_WORKDIR"
    run = supervision.start(supervision.command(script, environment={"PATH": os.environ["PATH"], "ONLY": "this"}))
    supervision.ended(run)
    lines = supervision.texts(run, "stdout")
    names = {line.split("=")[0] for line in lines if "=" in line}
    ours = {"JOB_ID", "JOB_TYPE", "JOB_ATTEMPT", "JOB_FENCE", "JOB_WORKDIR", "JOBTABLE_RUN"}
    assert names == {"PATH", "ONLY", "PWD", *ours} | (names & {"_", "SHLVL", "OLDPWD"})
    assert "0077" in lines
    assert lines[-2] == lines[-1]
    assert lines[-3] == "0 1 2 3 4"  # 4 is ls's own folder
    assert not os.path.exists(lines[-1])


@pytest.mark.parametrize(
    "script, expected",
    [
        ("exit 75", {"outcome": "retry"}),
        ("echo '{\"retry_in\": 12.5}' >&3; exit 75", {"outcome": "retry", "delay": 12.5}),
        ("echo bad data >&2; exit 65", {"outcome": "refused", "error_message": "bad data", "exit_code": 65}),
        (
            "echo one >&2; echo two >&2; exit 3",
            {"outcome": "raised", "error_type": "exit code 3", "error_message": "two", "error_detail": "one\ntwo\n"},
        ),
        ("kill -SEGV $$", {"outcome": "exited", "signal": 11, "error_type": "SIGSEGV"}),
    ],
)
def test_how_it_ends_is_the_outcome(supervision, script, expected):
    ended = supervision.run(supervision.command(script))
    assert {key: ended.get(key) for key in expected} == expected


def test_reports_on_descriptor_3_become_events(supervision):
    script = """
echo '{"progress": 40, "message": "half"}' >&3
echo '{"output": "piece"}' >&3
echo '{"log": "careful", "level": "warning"}' >&3
echo '{"enqueue": {"type": "next"}}' >&3
printf '{"enqueue": [{"type": "last", "payload": [1]}], "result": "r"}' >&3
"""
    run = supervision.start(supervision.command(script))
    ended = supervision.ended(run)
    assert ended["enqueue"] == [{"type": "next"}, {"type": "last", "payload": [1]}]
    assert ended["result"] == '"r"'
    assert [event["kind"] for event in supervision.events(run)] == ["progress", "output", "log"]
    assert supervision.events(run)[0]["percent"] == 40 and supervision.events(run)[2]["level"] == "warning"


@pytest.mark.parametrize(
    "line",
    [
        "hello there",
        "[1]",
        "{}",
        '{"resul": 1}',
        '{"result": NaN}',
        '{"progress": "x"}',
        '{"enqueue": 5}',
        "\\377\\376",
        '{"result": ' + "[" * 20000,
    ],
)
def test_garbage_on_descriptor_3_fails_the_job_though_it_exits_0(supervision, line):
    ended = supervision.run(supervision.command(f"printf '{line}\\n' >&3; exit 0"))
    assert ended["outcome"] == "protocol"
    assert "descriptor 3 carried a line that is no report" in ended["error_message"]
    if line == "hello there":
        assert "'hello there'" in ended["error_message"]


def test_a_line_without_end_on_descriptor_3_is_bounded(supervision):
    ended = supervision.run(supervision.command("head -c 50000000 /dev/zero >&3", result_bytes=1000))
    assert ended["outcome"] == "protocol"
    assert len(ended["error_message"]) < 2000


def test_a_result_over_the_limit_fails_the_job(supervision):
    script = "printf '{\"result\": \"%s\"}\\n' $(head -c 2000 /dev/zero | tr '\\0' x) >&3"
    ended = supervision.run(supervision.command(script, result_bytes=1000))
    assert ended["outcome"] == "protocol" and "at most 1000" in ended["error_message"]


def test_an_executable_that_does_not_exist_is_unusable(supervision):
    ended = supervision.run(supervision.define("none", kind="command", command=["/no/such/thing"]))
    assert ended["outcome"] == "unusable"
    assert "/no/such/thing cannot be started" in ended["error_message"]


def test_a_large_payload_that_is_not_read_blocks_nobody(supervision):
    ended = supervision.run(supervision.command("exec 0<&-; exit 0"), '"' + "x" * 5_000_000 + '"')
    assert ended["outcome"] == "returned"
    ended = supervision.run(supervision.command("wc -c >&2; exit 1"), '"' + "x" * 5_000_000 + '"')
    assert ended["error_message"].strip() == "5000002"


def test_long_lines_and_bytes_that_are_no_text_are_logged(supervision):
    script = "head -c 20000 /dev/zero | tr '\\0' x; printf '\\n\\377\\000ok\\r\\nno end'"
    run = supervision.start(supervision.command(script))
    supervision.ended(run)
    lines = supervision.texts(run, "stdout")
    assert [len(line) for line in lines[:3]] == [8192, 8192, 20000 - 2 * 8192]
    assert lines[3:] == ["\ufffdok", "no end"]


def test_output_over_the_limit_is_cut_with_one_warning(supervision):
    run = supervision.start(
        supervision.command("yes line | head -n 5000; echo '{\"progress\": 90}' >&3; exit 0", output_bytes=1000)
    )
    assert supervision.ended(run)["outcome"] == "returned"
    assert supervision.texts(run, "stdout") == ["line"] * 9  # each costs a hundred beside its letters
    assert supervision.texts(run, "warning") == ["the output was cut at 1000 bytes; what follows is thrown away"]
    assert [event["percent"] for event in supervision.events(run, "progress")] == [90]


def rss(pid):
    with open(f"/proc/{pid}/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def idle(pid):
    """Has the process used no processor time for a while?"""

    def ticks():
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]

    before = ticks()
    time.sleep(0.3)  # the length of the look, not a wait for something
    return before == ticks()


def test_five_gigabytes_of_output_do_not_grow_the_supervisor(supervision):
    supervision.run(supervision.command("yes | head -c 1000000", output_bytes=1000))
    before = rss(supervision.pid)
    ended = supervision.ended(
        supervision.start(supervision.command("head -c 5000000000 /dev/zero", output_bytes=1000)), 60
    )
    assert ended["outcome"] == "returned"
    assert rss(supervision.pid) - before < 8_000_000


def test_a_slow_daemon_bounds_what_the_supervisor_holds(supervision):
    """Without any output limit the pipe is no longer read; nothing is lost when the daemon reads again."""
    line = "x" * 999
    run = supervision.start(supervision.command(f"yes {line} | head -n 60000; touch {supervision.folder}/through"))
    supervision.started(run)
    before = rss(supervision.pid)
    eventually(lambda: rss(supervision.pid) - before > 3_000_000, "a buffer that fills")
    eventually(lambda: idle(supervision.pid), "a supervisor that waits for us")
    assert not (supervision.folder / "through").exists()
    assert rss(supervision.pid) - before < 40_000_000
    supervision.ended(run, 60)
    assert supervision.texts(run, "stdout") == [line] * 60000


def test_a_return_that_we_had_no_time_to_hear_is_no_timeout(supervision):
    """The daemon is slow, so children are not heard; the time limit passes; the return was before it."""
    source = "import asyncio\nasync def run(job, done):\n await asyncio.sleep(0)\n if done: open(done, 'w').close()\n return 'in time'"  # noqa: E501 - a script of a handler is one line
    shared = supervision.python(source, kind="shared")
    supervision.run(shared, {"done": None})
    flood = supervision.start(supervision.command(f"yes {'x' * 999} | head -n 30000"))
    supervision.started(flood)
    eventually(lambda: idle(supervision.pid), "a supervisor that waits for us")
    done = supervision.folder / "done"
    run = supervision.start(shared, {"done": str(done)}, timeout=1.0)
    eventually(done.exists)
    over = time.monotonic() + 1.5
    eventually(lambda: time.monotonic() > over, "the time limit")
    assert supervision.ended(run, 60)["result"] == '"in time"'
    supervision.ended(flood, 60)


def test_a_stop_asks_with_term_and_waits_for_the_grace(supervision):
    spec = supervision.command("trap 'echo asked; exit 0' TERM; echo in; while :; do sleep 0.01; done", grace=15)
    run = supervision.start(spec)
    supervision.event(run, "in")
    supervision.stop(run)
    ended = supervision.ended(run, 10)
    assert (ended["outcome"], ended["error_message"]) == ("cancelled", "it was cancelled while it ran")
    assert supervision.texts(run, "stdout") == ["in", "asked"]


def test_a_release_is_stopped_and_term_may_be_ignored_until_the_grace_is_over(supervision):
    run = supervision.start(supervision.command("trap '' TERM; echo $$; while :; do sleep 0.01; done", grace=0.2))
    pid = int(supervision.wait(lambda told: told["tell"] == "event")["text"])
    supervision.stop(run, "release")
    ended = supervision.ended(run)
    assert ended["outcome"] == "stopped"
    assert "did not end within 0.2 s of being asked and was killed" in ended["error_message"]
    assert is_gone(pid)


def test_a_command_over_its_time_is_timed_out(supervision):
    ended = supervision.run(supervision.command("sleep 1000"), timeout=0.1)
    assert ended["outcome"] == "timed_out"
    assert ended["error_message"] == "it ran longer than its time limit of 0.1 s and was stopped"
    assert 0.1 <= ended["seconds"] < 0.3


@pytest.mark.parametrize(
    "report",
    [
        '{"log": "x", "level": []}',
        '{"log": "x", "level": {"a": 1}}',
        '{"progress": 1' + "0" * 400 + "}",
        '{"enqueue": {"type": "x", "timeout_seconds": 1e999}}',
        '{"enqueue": {"type": "x", "payload": ' + "[" * 900 + "]" * 900 + "}}",
        '{"enqueue": {"type": "x", "payload": "' + "y" * 5_000_000 + '"}}',
        "[" * 100_000,
    ],
    ids=lambda report: report[:45],
)
def test_no_report_however_strange_harms_the_supervisor(supervision, report):
    neighbour = supervision.start(supervision.command("sleep 1000"))
    (supervision.folder / "report").write_text(report + "\n")
    ended = supervision.run(supervision.command(f"cat {supervision.folder}/report >&3"))
    assert ended["outcome"] in ("returned", "protocol")
    assert ("enqueue" in report) == (ended["outcome"] == "protocol") or report.startswith("[")
    supervision.stop(neighbour, "release")
    assert supervision.ended(neighbour)["outcome"] == "stopped"


def test_a_time_limit_of_a_month_can_be_waited_for(supervision):
    """The longest wait of epoll is 24 days."""
    run = supervision.start(supervision.command("read line < fifo || true; sleep 0.1"), timeout=31 * 86_400.0)
    assert supervision.ended(run)["outcome"] == "returned"
