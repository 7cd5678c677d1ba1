"""Handlers of the tests: each does one thing that a real one might, and leaves a trace that a test can read."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path


def note(job):
    """Write down that this attempt was started; one line, at once."""
    line = f"{job.id} {job.attempt} {os.getpid()}\n".encode()
    descriptor = os.open(job.payload["log"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(descriptor, line)
    os.close(descriptor)


def work_until(path):
    """Work until a file appears."""
    while not Path(path).exists():
        time.sleep(0.01)


def work_forever():
    """Work until this process is killed."""
    while True:
        time.sleep(3600)


def quick(job):
    note(job)
    return {"attempt": job.attempt}


async def quick_async(job):
    note(job)
    return {"attempt": job.attempt}


async def nothing(job):
    return None


def until(job):
    """Work until a file appears; answer to a cancel."""
    note(job)
    job.progress(10, "waiting")
    while not Path(job.payload["until"]).exists():
        if job.cancelled:
            raise RuntimeError("asked to stop")
        time.sleep(0.01)
    return os.urandom(job.payload.get("random_bytes", 0)).hex() or "seen"


def deaf(job):
    """Work until a file appears and answer to nothing."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    note(job)
    work_until(job.payload["until"])
    return "seen"


def spin(job):
    note(job)
    while True:
        pass


def breed(job):
    """Leave a grandchild in a session of its own, deaf and without our environment, and never return."""
    note(job)
    code = "import os, signal, time; signal.signal(15, signal.SIG_IGN); time.sleep(300)"
    child = subprocess.Popen([sys.executable, "-c", code], start_new_session=True, env={"MARK": job.payload["mark"]})
    note_pid(job, child.pid)
    work_forever()


def note_pid(job, pid):
    Path(job.payload["log"]).with_suffix(".pid").write_text(str(pid))


def fail(job):
    note(job)
    raise ValueError("no good")


def fail_once(job):
    note(job)
    if job.attempt == 1:
        raise OSError("busy")
    return "second time lucky"


def die(job):
    note(job)
    os.kill(os.getpid(), signal.SIGKILL)


def talk(job):
    for n in range(5):
        job.progress(n * 20, f"step {n}")
        job.log(f"line {n}")
        print(f"printed {n}", flush=True)
    job.output("all of it")


def flood(job):
    block = b"x" * 1023 + b"\n"
    for _ in range(job.payload["mebibytes"] * 1024):
        os.write(1, block)


def large(job):
    return "x" * job.payload["letters"]


def environment(job):
    return dict(os.environ)


def spawn_more(job):
    for n in range(3):
        job.enqueue("quick", {"log": job.payload["log"], "n": n})


async def slow_async(job):
    note(job)
    await asyncio.sleep(3600)


def no_json(job):
    note(job)
    return object()


def positional(job, chapter, /):
    note(job)


def close_everything(job):
    note(job)
    os.closerange(0, 1000)
    work_forever()


def hoard(job):
    note(job)
    hoarded = []
    while True:
        hoarded.append(bytearray(10_000_000))


def leave_a_child(job):
    note(job)
    if os.fork() == 0:
        os.execvp("sleep", ["sleep", "300"])
    return "the child is still there"


def chatter(job):
    """Say something every 10 ms for 1.5 s."""
    end = time.monotonic() + 1.5
    while time.monotonic() < end:
        job.log("still here")
        time.sleep(0.01)


def span(job):
    """Write down when this run began and ended, on the clock that all processes share."""
    began = time.monotonic()
    time.sleep(0.15)
    line = f"{began} {time.monotonic()}\n".encode()
    descriptor = os.open(job.payload["spans"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(descriptor, line)
    os.close(descriptor)


def burn(job):
    """Take 0.2 s of a processor and hold 50 MB."""
    held = b"x" * 50_000_000
    until = time.process_time() + 0.2
    while time.process_time() < until:
        pass
    return len(held)


def spell(job):
    """Take some time, and write down from when to when."""
    note(job)
    begin = time.monotonic()
    time.sleep(job.payload["seconds"])
    line = f"[{begin}, {time.monotonic()}]\n".encode()
    descriptor = os.open(Path(job.payload["log"]).with_suffix(".spells"), os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(descriptor, line)
    os.close(descriptor)


def hold(job):
    job.hold_type(3600)


def split(job):
    """Make children and leave the rest to them."""
    note(job)
    for part in range(job.payload["parts"]):
        job.enqueue(
            "quick",
            {"log": job.payload["log"], "part": part},
            parent_id=job.id,
            max_attempts=job.payload.get("max_attempts"),
        )
    return "split"
