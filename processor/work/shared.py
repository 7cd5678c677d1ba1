"""A worker for many asyncio jobs at once.

The loop reads frames, starts a task for each run, and writes all that was said in one turn as one frame. Nothing on
the way of a job costs a system call of its own. A handler that blocks the loop stops its neighbours, too: nobody in
here can help that, so the supervisor keeps the time.

What a handler prints becomes its own log, also from threads started with asyncio.to_thread: the job is a context
variable."""

from __future__ import annotations

import asyncio
import contextvars
import io
import os
import shutil
import signal
import sys
import threading
from typing import Any

from processor.context import Line
from processor.handlers import Unusable
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

_line: contextvars.ContextVar[SharedLine | None] = contextvars.ContextVar("jobtable_line", default=None)


class Shared:
    def __init__(self, channel: WorkerChannel, workdir: str) -> None:
        self.workdir = workdir
        self._channel = channel
        self._definitions: dict[int, Definition] = {}
        self._lines: dict[int, SharedLine] = {}
        self._flush_planned = False
        self._thread = threading.get_ident()
        self._left: asyncio.Event

    def live(self) -> None:
        """Run jobs until told to leave."""
        signal.signal(signal.SIGTERM, lambda *_: None)  # meant for what handlers started in our group
        sys.stdout, sys.stderr = Prints(sys.stdout, "stdout"), Prints(sys.stderr, "stderr")
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._left = asyncio.Event()
        self._channel.nonblocking()
        self._loop.call_soon(self._obey, self._channel.waiting())  # what came together with the first message
        self._loop.add_reader(self._channel, self._hear)
        self.post({"tell": "ready"})
        await self._left.wait()

    # Talking

    def _hear(self) -> None:
        self._obey(self._channel.receive())

    def _obey(self, messages: list[Message]) -> None:
        """Start what shall be started, and say so before anything of it runs: it may block the loop for good."""
        for message in messages:
            do = message["do"]
            if do == "run":
                self._start(message)
            elif do == "stop":
                self._stop(message)
            elif do == "define":
                self._definitions[message["spec"]] = Definition(message)
            elif do == "leave":
                self._left.set()
        self._flush()

    def post(self, message: Message) -> None:
        """Say something; it is written at the end of this turn. From any thread."""
        self._channel.post(message)
        if threading.get_ident() != self._thread:
            self._loop.call_soon_threadsafe(self._flush)
        elif not self._flush_planned:
            self._flush_planned = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._flush_planned = False
        if self._channel.flush():
            self._loop.remove_writer(self._channel)
        else:
            self._loop.add_writer(self._channel, self._flush)

    # Running

    def _start(self, message: Message) -> None:
        definition = self._definitions[message["spec"]]
        line = self._lines[message["run"]] = SharedLine(self, message["run"], definition)
        self._channel.post({"tell": "started", "run": message["run"]})
        line.task = self._loop.create_task(self._run(message, line))

    async def _run(self, message: Message, line: SharedLine) -> None:
        _line.set(line)
        run = message["run"]
        line.begun = True
        try:
            if line.why is not None:
                raise asyncio.CancelledError  # asked to stop before its first step: cancelling it then says no word
            job = make_job(message, line)
            entry = line.definition.entry()
            if not entry.is_async and line.definition.settings is None:
                raise Unusable(_not_async(entry.title))
            value = await call(line.definition, job)
            ended = ended_with(run, value, job, line.definition)
        except BaseException as error:  # noqa: BLE001 - whatever the user's code raises is an outcome
            ended = ended_by(run, error)
        line.close()
        self._lines.pop(run, None)
        self.post(ended)

    def _stop(self, message: Message) -> None:
        line = self._lines.get(message["run"])
        if line is not None:
            line.why = message["why"]
            if line.begun:
                line.task.cancel()


class SharedLine(Line):
    """The way of one run's reports."""

    __slots__ = ("why", "begun", "task", "definition", "_worker", "_run", "_allowance", "_workdir", "_partial")

    def __init__(self, worker: Shared, run: int, definition: Definition) -> None:
        self.why: str | None = None
        self.begun = False
        self.task: Any = None
        self.definition = definition
        self._worker = worker
        self._run = run
        self._allowance = Allowance(definition.output_bytes)
        self._workdir: str | None = None
        self._partial: dict[str, str] | None = None

    def tell(self, event: Message) -> None:
        if self._allowance.allows(event):
            self._worker.post({"tell": "event", "run": self._run, **event})

    def stop_asked(self) -> str | None:
        return self.why

    def workdir(self) -> str:
        """Make the private folder; the supervisor removes it should we not live to."""
        self._workdir = os.path.join(self._worker.workdir, str(self._run))
        os.mkdir(self._workdir, 0o700)
        self._worker.post({"tell": "workdir", "run": self._run})
        return self._workdir

    def print(self, level: str, text: str) -> None:
        """Turn printed text into log lines, keeping a line without its end for the next call."""
        if self._partial is None:
            self._partial = {}
        *lines, rest = (self._partial.get(level, "") + text).split("\n")
        self._partial[level] = rest
        for line in lines:
            self.tell({"kind": "log", "level": level, "text": line})

    def close(self) -> None:
        for level, rest in (self._partial or {}).items():
            if rest:
                self.tell({"kind": "log", "level": level, "text": rest})
        if self._workdir is not None:
            shutil.rmtree(self._workdir, ignore_errors=True)


class Prints(io.TextIOBase):
    """Stands for sys.stdout or sys.stderr: what a job prints becomes its log, the rest goes where it went before."""

    def __init__(self, real: Any, level: str) -> None:
        self._real = real
        self._level = level

    def write(self, text: str, /) -> int:
        line = _line.get()
        if line is None:
            self._real.write(text)
            self._real.flush()
        else:
            line.print(self._level, text)
        return len(text)

    def flush(self) -> None:
        self._real.flush()

    encoding = "utf-8"
    errors = "backslashreplace"

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return int(self._real.fileno())

    def isatty(self) -> bool:
        return False

    @property
    def buffer(self) -> Any:
        return self._real.buffer


def _not_async(title: str) -> str:
    return (
        f"{title} is no async function and would block its neighbours in a shared worker; its jobs cannot start;"
        " write it as async def, or let it run in a solo worker"
    )
