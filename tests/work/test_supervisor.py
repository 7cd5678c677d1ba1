"""The supervisor's own life: its daemon, its lease, its death."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from supervision import SUPERVISOR, Supervision, is_gone, marked

from processor.work.messages import Channel
from tests.patience import eventually

SLEEP = "import time\ndef run(job):\n job.log('in')\n time.sleep(1000)"


def running(supervision, count=3):
    """Start solo, shared and command runs that do not end, and give them with their pids."""
    specs = [
        supervision.python(SLEEP, name="solo"),
        supervision.python(
            "import asyncio\nasync def run(job):\n job.log('in')\n await asyncio.sleep(1000)", "shared", "shared"
        ),
        supervision.command("(setsid sleep 1000 &); echo in; sleep 1000"),
    ]
    runs = [supervision.start(spec) for spec in specs]
    for run in runs:
        supervision.event(run, "in")
    return runs, [supervision.started(run)["pid"] for run in runs]


def test_the_end_of_the_control_channel_kills_everything_at_once(tmp_path):
    supervision = Supervision(tmp_path)
    _, pids = running(supervision)
    marker = marker_of(pids[0])
    began = time.monotonic()
    supervision.close()
    supervision.process.wait(5)
    took = time.monotonic() - began
    assert took < 0.5  # 0.2 on an idle machine
    assert all(map(is_gone, pids)) and not marked(marker)
    assert not list(supervision.root.glob("jobtable-*"))


def marker_of(pid):
    environment = Path(f"/proc/{pid}/environ").read_text().split("\0")
    return next(entry for entry in environment if entry.startswith("JOBTABLE_RUN=")).rpartition(".")[0]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signals_to_the_group_are_left_to_the_daemon(supervision, number):
    run = supervision.start(supervision.python(SLEEP, grace=0.1))
    supervision.event(run, "in")
    os.kill(supervision.pid, number)
    assert supervision.run(supervision.command("trap - INT TERM HUP; kill -TERM $$"))["signal"] == signal.SIGTERM
    supervision.stop(run)
    assert supervision.ended(run)["outcome"] == "cancelled"


def test_kill_ends_every_run_as_stopped_and_the_supervisor_goes_on(supervision):
    runs, pids = running(supervision)
    supervision.say(do="kill")
    for run in runs:
        ended = supervision.ended(run)
        assert ended["outcome"] == "stopped" and "lost its claim" in ended["error_message"]
    assert all(map(is_gone, pids))
    assert supervision.run(supervision.command("true"))["outcome"] == "returned"


def test_a_lease_that_is_not_renewed_kills_everything_even_when_the_daemon_sleeps(supervision):
    supervision.say(do="lease", seconds=1.5)
    runs, pids = running(supervision)
    eventually(
        lambda: all(map(is_gone, pids)), "the death of the workers"
    )  # we hear nothing meanwhile, as a stopped daemon
    for run in runs:
        ended = supervision.ended(run)
        assert ended["outcome"] == "stopped" and "did not renew its lease within 1.5 s" in ended["error_message"]
    refused = supervision.run(supervision.command("true"))
    assert refused["outcome"] == "stopped" and "nothing is started until it does" in refused["error_message"]
    supervision.say(do="lease", seconds=60)
    assert supervision.run(supervision.command("true"))["outcome"] == "returned"


def test_a_renewed_lease_lets_work_go_on(supervision):
    supervision.say(do="lease", seconds=0.5)
    supervision.say(do="lease", seconds=60)
    assert supervision.run(supervision.command("sleep 1"))["outcome"] == "returned"


def test_workers_go_when_the_supervisor_is_killed_and_the_next_one_cleans_up(tmp_path):
    first = Supervision(tmp_path)
    _, pids = running(first)
    marker = marker_of(pids[0])
    os.kill(first.pid, signal.SIGKILL)
    first.process.wait()
    first.close()
    eventually(lambda: all(map(is_gone, pids)), "the death of the workers")
    assert marked(marker), "the sleep of a session of its own should have been left"
    assert list(first.root.glob("jobtable-*"))
    second = Supervision(tmp_path)
    second.run(second.command("true"))
    eventually(lambda: not marked(marker), "the death of the leftover")
    eventually(lambda: len(list(second.root.glob("jobtable-*"))) == 1, "the removal of the folder")
    assert any("a supervisor was killed before this one" in text for text in second.notices())
    second.end()


def test_a_second_run_with_a_number_in_use_is_not_started(supervision):
    run = supervision.start(supervision.command("sleep 1000"))
    supervision.say(do="run", run=run, spec="command 1", job={"id": 1}, payload="{}")
    supervision.wait(lambda told: told["tell"] == "notice" and "asked for twice" in told["text"])
    supervision.stop(run)
    assert supervision.ended(run)["outcome"] == "cancelled"


@pytest.mark.parametrize(
    "fields, words",
    [
        ({"kind": "strange"}, "the kind 'strange'"),
        ({"kind": "command"}, "the command is no list"),
        ({"kind": "solo"}, "names no handler"),
        ({"kind": "command", "command": ["a\0b"]}, "the command is no list"),
        ({"kind": "command", "command": ["x"], "environment": {"a": 1}}, "its environment"),
    ],
)
def test_a_definition_that_makes_no_sense_is_answered(supervision, fields, words):
    ended = supervision.run(supervision.define("bad", **fields))
    assert ended["outcome"] == "unusable" and words in ended["error_message"]


def test_an_unknown_spec_and_an_unknown_run_are_answered_or_ignored(supervision):
    assert supervision.run("nobody defined this")["outcome"] == "unusable"
    supervision.stop(999)
    assert supervision.run(supervision.command("true"))["outcome"] == "returned"


def test_a_workdir_that_cannot_be_made_is_a_sentence(supervision):
    ended = supervision.run(supervision.command("true", workdir="/proc/nowhere"))
    assert (
        ended["outcome"] == "not_started"
        and "no private folder can be made below /proc/nowhere" in ended["error_message"]
    )


def test_no_descriptor_is_leaked(supervision):
    specs = [
        supervision.command("true"),
        supervision.define("none", kind="command", command=["/no/such"]),
        supervision.command("exit 1", workdir="/proc/nowhere"),
        supervision.python("import os\ndef run(job): os._exit(1)"),
    ]
    descriptors = lambda: os.listdir(f"/proc/{supervision.pid}/fd")  # noqa: E731
    for spec in specs:
        supervision.run(spec)
    before = len(descriptors())
    for run in [supervision.start(spec) for spec in specs for _ in range(15)]:
        supervision.ended(run)
    assert len(descriptors()) == before


def test_descriptors_to_keep_are_kept_and_given_to_no_child(tmp_path):
    """The lock of the incarnation is free only when the supervisor is gone, too."""
    lock_r, lock_w = os.pipe()
    ours, theirs = socket.socketpair()
    arguments = [sys.executable, "-I", str(SUPERVISOR), str(theirs.fileno()), str(lock_w)]
    process = subprocess.Popen(arguments, pass_fds=[theirs.fileno(), lock_w])
    os.close(lock_w)
    theirs.close()
    channel = Channel(ours)
    command = ["/bin/sh", "-c", "ls /proc/self/fd >&2; sleep 1000"]
    channel.send({"do": "define", "spec": "c", "kind": "command", "command": command, "workdir": str(tmp_path)})
    channel.send({"do": "run", "run": 1, "spec": "c", "job": {"id": 1}, "payload": ""})
    texts = []
    while len(texts) < 5:
        texts += [message["text"] for message in channel.receive() if message["tell"] == "event"]
    assert texts == ["0", "1", "2", "3", "4"]
    os.set_blocking(lock_r, False)
    with pytest.raises(BlockingIOError):
        os.read(lock_r, 1)  # still held
    channel.close()
    process.wait(5)
    assert os.read(lock_r, 1) == b""  # free
    os.close(lock_r)


@pytest.mark.parametrize("kind", ["solo", "shared"])
def test_a_run_that_was_stopped_before_its_worker_was_ready_says_that_it_never_began(supervision, tmp_path, kind):
    slow = tmp_path / "slow-python"
    slow.write_text("#!/bin/sh\nexec sleep 1000\n")
    slow.chmod(0o755)
    run = supervision.start(supervision.python(ENDLESS[kind], kind=kind, interpreter=str(slow)))
    supervision.stop(run, "release")
    ended = supervision.ended(run)
    assert (ended["outcome"], ended["started"]) == ("stopped", False)


@pytest.mark.parametrize("kind", ["solo", "shared"])
def test_a_run_that_was_stopped_in_its_handler_may_have_begun(supervision, kind):
    run = supervision.start(supervision.python(ENDLESS[kind], kind=kind))
    supervision.started(run)
    supervision.say(do="kill")
    ended = supervision.ended(run)
    assert ended["outcome"] == "stopped"
    assert "started" not in ended


ENDLESS = {
    "solo": "import time\ndef run(job): time.sleep(1000)",
    "shared": "import asyncio\nasync def run(job): await asyncio.sleep(1000)",
}


def test_a_base_folder_that_somebody_cleaned_up_is_made_again(supervision):
    spec = supervision.command("touch here")
    assert supervision.run(spec)["outcome"] == "returned"
    shutil.rmtree(supervision.root)
    assert supervision.run(spec)["outcome"] == "returned"
