"""A worker for one job at a time.

The handler has the main thread. SIGTERM is the supervisor's way to wake it: its handler only notes that it came,
because raising out of a signal handler would tear the user's code anywhere. Why it shall stop is a frame, sent
before the signal. An async handler gets a loop of its own and is cancelled there."""

from __future__ import annotations

import inspect
import io
import os
import resource
import signal
import sys
import time
from typing import Any, cast

from processor.context import Line
from processor.work.calls import (
    Allowance,
    Definition,
    call,
    ended_by,
    ended_with,
    make_job,
)
from processor.work.channel import WorkerChannel
from processor.work.messages import Message

LOOK_EVERY = 0.02  # seconds between two looks at the channel, for handlers that ask `job.cancelled` in a tight loop


class Solo:
    def __init__(self, channel: WorkerChannel) -> None:
        self._channel = channel
        self._definitions: dict[int, Definition] = {}
        self._environment = dict(os.environ)
        for stream in (sys.stdout, sys.stderr):
            cast("io.TextIOWrapper", stream).reconfigure(line_buffering=True, errors="backslashreplace")

    def live(self) -> None:
        """Run jobs until told to leave."""
        self._channel.send({"tell": "ready"})
        while True:
            message = self._channel.next()
            if message is None or message["do"] == "leave":
                return
            if message["do"] == "define":
                self._definitions[message["spec"]] = Definition(message)
            elif message["do"] == "run":
                self._run(message)
                if message["last"]:
                    self._wait_for_leave()
                    return

    def _wait_for_leave(self) -> None:
        """The outcome is sent: only now may interpreter and atexit handlers take their time."""
        while (message := self._channel.next()) is not None and message["do"] != "leave":
            pass

    def _run(self, message: Message) -> None:
        before = _cpu_seconds()
        ended = self._ended(message, SoloLine(self._channel, message, self._definitions[message["spec"]]))
        ended["cpu_seconds"] = round(_cpu_seconds() - before, 6)
        ended["max_rss_bytes"] = _max_rss_bytes()
        _flush_streams()
        self._channel.send(ended)

    def _ended(self, message: Message, line: SoloLine) -> Message:
        try:
            self._arrange(message, line)
            job = make_job(message, line)
            definition = line.definition
            definition.entry()
            line.channel.send({"tell": "started", "run": message["run"]})
            value = call(definition, job)
            if inspect.isawaitable(value):
                value = _run_async(value, line)
            return ended_with(message["run"], value, job, definition)
        except BaseException as error:  # noqa: BLE001 - whatever the user's code raises is an outcome
            return ended_by(message["run"], error)

    def _arrange(self, message: Message, line: SoloLine) -> None:
        """Give every run the same surroundings, whatever the one before it did."""
        signal.signal(signal.SIGTERM, lambda *_: line.wake())
        os.chdir(message["workdir"])
        os.umask(0o077)
        if dict(os.environ) != self._environment:
            os.environ.clear()
            os.environ.update(self._environment)


class SoloLine(Line):
    """The way of one run's reports, and of the question whether it shall stop."""

    def __init__(self, channel: WorkerChannel, message: Message, definition: Definition) -> None:
        self.channel = channel
        self.definition = definition
        self._run = message["run"]
        self._workdir: str = message["workdir"]
        self._allowance = Allowance(definition.output_bytes)
        self._why: str | None = None
        self._woken = False
        self._next_look = 0.0

    def tell(self, event: Message) -> None:
        if self._allowance.allows(event):
            self.channel.send({"tell": "event", "run": self._run, **event})

    def stop_asked(self) -> str | None:
        now = time.monotonic()
        if self._why is None and (self._woken or now >= self._next_look):
            self._next_look = now + LOOK_EVERY
            self.look()
        return self._why

    def workdir(self) -> str:
        return self._workdir

    def wake(self) -> None:
        """SIGTERM came."""
        self._woken = True

    def look(self) -> str | None:
        """Read the channel for the reason to stop."""
        others = []
        for message in self.channel.waiting():
            if message["do"] == "stop" and message["run"] == self._run:
                self._why = message["why"]
            else:
                others.append(message)
        self.channel.put_back(others)
        return self._why


def _run_async(awaitable: Any, line: SoloLine) -> Any:
    import asyncio  # here: it costs a third of the start of a worker, and solo handlers are seldom async

    return asyncio.run(_attend(awaitable, line))


async def _attend(awaitable: Any, line: SoloLine) -> Any:
    """Run an async handler, cancelling it when the supervisor asks."""
    import asyncio

    task = asyncio.ensure_future(awaitable)
    loop = asyncio.get_running_loop()

    def look() -> None:
        if line.look() is not None:
            loop.remove_reader(line.channel)
            task.cancel()

    loop.add_reader(line.channel, look)
    try:
        return await task
    finally:
        loop.remove_reader(line.channel)


def _flush_streams() -> None:
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError, AttributeError):
            pass  # the handler closed or replaced it: there is nothing to lose


def _cpu_seconds() -> float:
    usages = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def _max_rss_bytes() -> int:
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
