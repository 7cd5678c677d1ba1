"""Handlers that mean harm: each yields its outcome, the supervisor lives, neighbours finish, nothing is left."""

import os
import shlex
import sys
from pathlib import Path

import pytest
from supervision import is_gone, marked

from tests.patience import eventually

LONG = f"1000.{os.getpid()}"  # how long children sleep: tells ours from any other sleeper of the machine
PREFIX = "import os, sys, time, signal, ctypes, subprocess\n"


@pytest.fixture
def neighbour(supervision):
    """A job that is running meanwhile and must be able to finish."""
    go = supervision.folder / "go"
    source = f"import os, time\ndef run(job):\n while not os.path.exists({str(go)!r}): time.sleep(0.01)\n return 'fine'"
    run = supervision.start(supervision.python(source, name="neighbour"))
    supervision.started(run)
    yield run
    go.touch()
    assert supervision.ended(run)["result"] == '"fine"'


def hostile(supervision, body, kind="solo", **fields):
    head = "async def run(job):\n" if kind == "shared" else "def run(job):\n"
    return supervision.python(PREFIX + head + " " + body.replace("\n", "\n "), kind=kind, **fields)


@pytest.mark.parametrize(
    "body, expected",
    [
        ("os._exit(3)", {"outcome": "exited", "exit_code": 3}),
        ("os.kill(os.getpid(), 9)", {"outcome": "exited", "signal": 9, "error_type": "SIGKILL"}),
        ("ctypes.string_at(0)", {"outcome": "exited", "signal": 11, "error_type": "SIGSEGV"}),
        ("os.abort()", {"outcome": "exited", "signal": 6}),
        ("os.closerange(0, 5000)", {"outcome": "protocol"}),
        ("os.closerange(3, 5000)\ntime.sleep(1000)", {"outcome": "protocol"}),
        ("os.write(100, b'x' * 1000)\ntime.sleep(1000)", {"outcome": "protocol"}),
        ("os.write(100, b'\\0\\0\\0\\2{}')\ntime.sleep(1000)", {"outcome": "protocol"}),
        ("os.write(100, b'\\xff\\xff\\xff\\xff')\ntime.sleep(1000)", {"outcome": "protocol"}),
        ("f = b'[{\"tell\":\"ended\",\"run\":%d,\"outcome\":\"lost\"}]' % job._line._run\nos.write(100, len(f).to_bytes(4, 'big') + f)\ntime.sleep(1000)", {"outcome": "protocol"}),  # noqa: E501 - a script of a handler is one line
        ("f = b'[{\"tell\":\"ended\",\"run\":[],\"outcome\":{}}]'\nos.write(100, len(f).to_bytes(4, 'big') + f)", {"outcome": "returned"}),  # noqa: E501 - a script of a handler is one line
        ("if os.fork() == 0: return 'child'\nos.wait()\nreturn 'parent'", {"outcome": "returned", "result": '"parent"'}),  # noqa: E501 - a script of a handler is one line
        ("signal.signal(15, signal.SIG_IGN)\nsignal.pthread_sigmask(signal.SIG_BLOCK, [15, 2])\nwhile True: pass", {"outcome": "timed_out"}),  # noqa: E501 - a script of a handler is one line
        ("os.kill(os.getpid(), signal.SIGSTOP)", {"outcome": "timed_out"}),
        ("time.sleep(1000)", {"outcome": "timed_out"}),
    ],
)  # fmt: skip
def test_a_handler_that_harms_its_own_worker(supervision, neighbour, body, expected):
    ended = supervision.run(hostile(supervision, body), timeout=2 if expected["outcome"] == "timed_out" else 60)
    assert {key: ended.get(key) for key in expected} == expected


@pytest.mark.parametrize(
    "body", ["os.closerange(3, 5000)\ntime.sleep(1000)", "os.write(100, b'x' * 1000)\ntime.sleep(1000)"]
)
def test_a_handler_that_breaks_the_channel_of_a_shared_worker(supervision, neighbour, body):
    assert supervision.run(hostile(supervision, body, kind="shared"), timeout=5)["outcome"] in ("protocol", "timed_out")


def test_how_a_job_ended_counts_though_junk_follows_in_the_same_breath(supervision):
    body = """
f = b'[{"tell":"ended","run":%d,"outcome":"returned","result":"5"}]' % job._line._run
os.write(100, len(f).to_bytes(4, 'big') + f + b'junk' * 10)
time.sleep(1000)
"""
    ended = supervision.run(hostile(supervision, body), timeout=10)
    assert (ended["outcome"], ended["result"]) == ("returned", "5")


def test_memory_without_end_is_stopped_by_the_limit(supervision, neighbour):
    spec = hostile(supervision, "x = []\nwhile True: x.append(bytearray(10_000_000))", memory_bytes=200_000_000)
    ended = supervision.run(spec)
    assert ended["outcome"] == "memory"
    assert ended["max_rss_bytes"] < 300_000_000


def test_memory_of_children_counts(supervision, neighbour):
    eater = "import time; x = b'x' * 120_000_000; time.sleep(1000)"
    body = f"for _ in range(3): subprocess.Popen([sys.executable, '-c', {eater!r}])\ntime.sleep(1000)"
    ended = supervision.run(hostile(supervision, body, memory_bytes=250_000_000))
    assert ended["outcome"] == "memory"
    assert "held more than 250000000 bytes" in ended["error_message"]


def test_memory_in_a_command_is_stopped_by_the_watch(supervision):
    eater = "x = bytearray(b'x') * 120_000_000; import time; time.sleep(1000)"  # each alone is under the limit
    script = f"for i in 1 2 3; do {sys.executable} -I -c {shlex.quote(eater)} & done; wait; sleep 1000"
    ended = supervision.run(supervision.command(script, memory_bytes=250_000_000))
    assert ended["outcome"] == "memory"
    assert "held more than 250000000 bytes" in ended["error_message"]


@pytest.mark.parametrize("kind", ["solo", "shared", "command"])
def test_a_workdir_that_grows_past_its_limit_ends_the_run(supervision, kind):
    limit = {"workdir_bytes": 5_000_000}
    if kind == "command":
        spec = supervision.command("while :; do head -c 1000000 /dev/zero >> f; sleep 0.01; done", **limit)
    elif kind == "solo":
        spec = hostile(supervision, "while True:\n open('f', 'ab').write(b'x' * 1000000)\n time.sleep(0.01)", **limit)
    else:
        body = "import asyncio\nwhile True:\n open(job.workdir / 'f', 'ab').write(b'x' * 1000000)\n await asyncio.sleep(0.01)"  # noqa: E501 - a script of a handler is one line
        spec = hostile(supervision, body, kind="shared", **limit)
    ended = supervision.run(spec)
    assert ended["outcome"] == "workdir" and "5000000 bytes" in ended["error_message"]


def test_a_workdir_that_is_hard_to_remove_is_removed(supervision):
    body = """
for i in range(1500): open(f"file{i}", "w").close()
for i in range(2000): os.mkdir("deep"); os.chdir("deep")
os.mkdir("closed"); open("closed/file", "w").close(); os.chmod("closed", 0)
os.symlink("/", "root")
"""
    assert supervision.run(hostile(supervision, body))["outcome"] == "returned"
    eventually(lambda: not supervision.leftovers(), "the removal of the folder")
    assert os.path.exists("/proc")


ESCAPES = {
    "a child": "subprocess.Popen(['sleep', LONG])",
    "a session of its own": "subprocess.Popen(['sleep', LONG], start_new_session=True)",
    "no environment": "subprocess.Popen(['sleep', LONG], start_new_session=True, env={})",
    "a double fork": "subprocess.Popen(['/bin/sh', '-c', f'setsid env -i sleep {LONG} & setsid env -i sleep {LONG} &'], env={})",  # noqa: E501 - a script of a handler is one line
    "ignoring term": "subprocess.Popen(['/bin/sh', '-c', f'trap \"\" TERM; while :; do sleep {LONG}; done'], start_new_session=True, env={})",  # noqa: E501 - a script of a handler is one line
}  # fmt: skip


UNTIL_IT_RUNS = """
def it_runs():
    for name in os.listdir("/proc"):
        try:
            with open(f"/proc/{name}/cmdline", "rb") as file:
                if file.read().startswith(b"sleep\\0" + LONG.encode()):
                    return True
        except OSError:
            pass
while not it_runs():
    pass
"""


def sleepers():
    """List the living processes that sleep as those above do."""
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            arguments = Path(f"/proc/{name}/cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if arguments[:2] == [b"sleep", LONG.encode()] and not is_gone(int(name)):
            found.append(int(name))
    return found


@pytest.mark.parametrize("how", ESCAPES)
@pytest.mark.parametrize("end", ["return 1", "os._exit(4)", "time.sleep(1000)"])
def test_no_process_outlives_its_run(supervision, neighbour, how, end):
    assert not sleepers()
    body = f"LONG = '{LONG}'\n{ESCAPES[how]}\n{UNTIL_IT_RUNS}\n{end}"
    ended = supervision.run(hostile(supervision, body), timeout=1 if "1000" in end else 60)
    assert ended["outcome"] == {"return 1": "returned", "os._exit(4)": "exited", "time.sleep(1000)": "timed_out"}[end]
    assert not sleepers()


def test_an_escapee_that_holds_the_pipes_blocks_nothing(supervision):
    ended = supervision.run(supervision.command(f"setsid env -i sleep {LONG} & echo done"))
    assert ended["outcome"] == "returned"
    assert not sleepers()


def test_a_chain_of_forks_is_caught(supervision):
    body = """
def flee():
    while True:
        if os.fork(): os._exit(0)
        os.setsid()
if os.fork() == 0: flee()
"""
    token = f"CHAIN={supervision.folder}"
    spec = hostile(supervision, body, environment={"CHAIN": str(supervision.folder)})
    assert supervision.run(spec)["outcome"] == "returned"
    assert not marked(token)


def test_a_daemon_started_by_a_running_command_lives_until_its_run_ends(supervision, neighbour):
    """An orphan that its marker attributes to a living run is not killed when another run ends."""
    spec = supervision.command(f"(setsid sleep {LONG} &) ; echo in; sleep 999")
    run = supervision.start(spec)
    supervision.event(run, "in")
    eventually(sleepers)
    for _ in range(3):
        supervision.run(supervision.command("true"))
    assert sleepers()
    supervision.stop(run)
    supervision.ended(run)
    assert not sleepers()


def test_no_zombie_is_left(supervision):
    spec = supervision.command("for i in 1 2 3 4 5; do (setsid true &); done")
    for run in [supervision.start(spec) for _ in range(40)]:
        assert supervision.ended(run)["outcome"] == "returned"
    children = Path(f"/proc/{supervision.pid}/task/{supervision.pid}/children")
    eventually(lambda: not children.read_text(), "the reaping of every child")


def test_a_return_at_the_very_limit_has_one_outcome(supervision):
    spec = supervision.python("import asyncio\nasync def run(job, s): await asyncio.sleep(s)", kind="shared")
    supervision.run(spec, {"s": 0})
    runs = [supervision.start(spec, {"s": 0.2 + i / 50_000}, timeout=0.205) for i in range(-250, 250)]
    outcomes = {run: supervision.ended(run)["outcome"] for run in runs}
    assert set(outcomes.values()) <= {"returned", "timed_out"}
    supervision.run(spec, {"s": 0})
    assert all(sum(told["tell"] == "ended" and told["run"] == run for told in supervision.told) == 1 for run in runs)


def test_events_of_a_flood_do_not_grow_the_worker_or_supervisor(supervision):
    spec = supervision.python(
        "async def run(job):\n for i in range(300_000): job.log('x' * 100)", kind="shared", output_bytes=5000
    )
    run = supervision.start(spec)
    supervision.ended(run)
    assert len(supervision.texts(run, "info")) == 5000 // 200  # each costs a hundred beside its text
    assert len(supervision.texts(run, "warning")) == 1
