"""A client for the supervisor: speaks frames over a socketpair to a really exec'd process, and waits for what it
tells."""

import itertools
import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

from processor.work.messages import Channel
from tests.patience import PATIENCE

SUPERVISOR = Path(__file__).parents[2] / "processor" / "work" / "supervisor.py"


def state(pid):
    """The kernel's letter for a process, or None when it is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0].decode()
    except OSError:
        return None


def is_gone(pid):
    return state(pid) in (None, "Z", "X")


def marked(token):
    """List living processes whose environment holds this text."""
    found = []
    for name in os.listdir("/proc"):
        try:
            if (
                name.isdigit()
                and token.encode() in Path(f"/proc/{name}/environ").read_bytes()
                and not is_gone(int(name))
            ):
                found.append(int(name))
        except OSError:
            continue
    return found


class Supervision:
    """One supervisor and everything it told."""

    def __init__(self, folder, python=sys.executable):
        self.folder = folder
        self.root = folder / "workdirs"
        self.told = []
        self._numbers = itertools.count(1)
        ours, theirs = socket.socketpair()
        self.process = subprocess.Popen(
            [python, "-I", str(SUPERVISOR), str(theirs.fileno())], pass_fds=[theirs.fileno()], start_new_session=True
        )
        theirs.close()
        ours.setblocking(False)
        self.channel = Channel(ours)
        self.wait(lambda told: told["tell"] == "ready")

    @property
    def pid(self):
        return self.process.pid

    # Saying

    def say(self, **message):
        self.send(message)

    def send(self, *messages):
        for message in messages:
            self.channel.post(message)
        with selectors.DefaultSelector() as selector:
            selector.register(self.channel, selectors.EVENT_WRITE)
            while not self.channel.flush():
                selector.select(1)

    def define(self, spec, **fields):
        fields = {"grace": 0.3, "pythonpath": [str(self.folder)], "workdir": str(self.root), **fields}
        fields.setdefault("environment", {"PATH": os.environ["PATH"]})
        self.say(do="define", spec=spec, **fields)
        return spec

    def python(self, source, kind="solo", name="handlers", **fields):
        """Write a module that has `run`, and define how to run it."""
        (self.folder / f"{name}.py").write_text(source)
        return self.define(f"{kind}:{name}", kind=kind, handler=f"{name}:run", **fields)

    def command(self, script, **fields):
        return self.define(
            f"command {next(self._numbers)}", kind="command", command=["/bin/sh", "-c", script], **fields
        )

    def start(self, spec, payload="{}", timeout=None, id=None, **job):
        number = next(self._numbers)
        facts = {"id": id or number, "type": "test", "attempt": 1, "fence": f"{number}:p:1", **job}
        payload = payload if isinstance(payload, str) else json.dumps(payload)
        self.say(do="run", run=number, spec=spec, job=facts, payload=payload, timeout=timeout)
        return number

    def run(self, spec, payload="{}", **more):
        """Start a job and wait for its end."""
        return self.ended(self.start(spec, payload, **more))

    def stop(self, run, why="cancel"):
        self.say(do="stop", run=run, why=why)

    # Hearing

    def hear(self, seconds=0.0):
        """Take what arrived; False at the end of the line."""
        with selectors.DefaultSelector() as selector:
            selector.register(self.channel, selectors.EVENT_READ)
            if not selector.select(seconds):
                return True
        messages = self.channel.receive()
        self.told += messages or []
        return messages is not None

    def wait(self, wanted, seconds=PATIENCE):
        """Wait until something is told that is `wanted`, and give it."""
        deadline, seen = time.monotonic() + seconds, 0
        while True:
            for message in self.told[seen:]:
                if wanted(message):
                    return message
            seen = len(self.told)
            assert time.monotonic() < deadline, f"not told within {seconds} s; told: {self.told[-20:]}"
            assert self.hear(0.1) or len(self.told) > seen, f"the supervisor is gone; told: {self.told[-20:]}"

    def started(self, run):
        return self.wait(lambda told: told["tell"] == "started" and told["run"] == run)

    def ended(self, run, seconds=PATIENCE):
        return self.wait(lambda told: told["tell"] == "ended" and told["run"] == run, seconds)

    def event(self, run, text, seconds=PATIENCE):
        return self.wait(
            lambda told: told["tell"] == "event" and told["run"] == run and told.get("text") == text, seconds
        )

    def events(self, run, kind=None):
        of_run = [told for told in self.told if told["tell"] == "event" and told["run"] == run]
        return [told for told in of_run if kind in (None, told["kind"])]

    def texts(self, run, level=None):
        return [told["text"] for told in self.events(run) if "text" in told and level in (None, told.get("level"))]

    def notices(self):
        return [told["text"] for told in self.told if told["tell"] == "notice"]

    def leftovers(self):
        """What lies in the private folders of this supervisor's processes."""
        return [path for path in self.root.glob("jobtable-*/*") if path.name != ".lock"]

    # Ending

    def close(self):
        self.channel.close()

    def end(self):
        self.close()
        try:
            self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            os.kill(self.pid, signal.SIGKILL)
            self.process.wait()
            raise
