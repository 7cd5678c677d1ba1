"""Workers as the supervisor sees them: Python processes with a channel, which run handlers.

What comes through the channel is as hostile as the handler: anything that is no frame, or says what a worker may
not say, ends the worker as `protocol`. How many jobs are inside, and what becomes of them, is for `worker_kinds` to
say."""

from __future__ import annotations

import os
import socket
import sys
from abc import abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, Any

from processor.work.commands import cannot_start, signal_ending
from processor.work.messages import Broken, Channel, Message
from processor.work.processes import Cannot, Process

if TYPE_CHECKING:
    from processor.work.loop import Supervisor
    from processor.work.runs import Run
    from processor.work.specs import Spec

WORKER = str(Path(__file__).with_name("worker.py"))
CHANNEL = 3  # where a new worker finds its end
CHANNEL_LOST = 76  # exit code of a worker whose channel a handler closed or broke; EX_PROTOCOL of sysexits.h
LAST_WORDS = 0.5  # seconds between the end of a channel and the end of its process
STRAY_LINES = 50  # printed outside any job, per worker; the rest is thrown away


class Worker(Process):
    """A Python process with a channel."""

    kind = ""

    def __init__(self, supervisor: Supervisor, spec: Spec) -> None:
        super().__init__(supervisor, spec)
        self.ready = False
        self.jobs = 0
        self.condemned = False
        self._known: set[int] = set()  # numbers of the specs it was told
        self._broken: str | None = None
        self._stray = 0
        try:
            ours, theirs = socket.socketpair()
        except OSError as error:
            self.discard()
            raise Cannot(f"no process can be started: {error}") from error
        ours.setblocking(False)
        self.channel = Channel(ours)
        try:
            self._launch(theirs)
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
        self.supervisor.sources.register(ours.fileno(), self._hear)
        self.channel.post({"do": "begin", "kind": self.kind, "pythonpath": spec.pythonpath, "workdir": self.workdir})

    def _launch(self, theirs: socket.socket) -> None:
        try:
            nothing = os.open(os.devnull, os.O_RDONLY)
        except OSError as error:
            self.discard()
            raise Cannot(f"no process can be started: {error}") from error
        interpreter = self.spec.interpreter or sys.executable
        argv = [interpreter, "-I", "-X", "utf8", WORKER, str(CHANNEL)]
        try:
            self.launch(argv, self.spec.environment, nothing, theirs.fileno())
        finally:
            os.close(nothing)

    # Talking

    def take(self, run: Run) -> None:
        """Give it a run."""
        self.jobs += 1
        run.home = self
        spec = run.spec
        if spec.number not in self._known:
            self._known.add(spec.number)
            self.channel.post(spec.for_workers)
        message = run.message
        message["spec"] = spec.number
        self.post(message)
        run.message = {}  # the payload is on its way; a run may live for long

    def post(self, message: Message) -> None:
        self.channel.post(message)
        self.supervisor.dirty.add(self)

    def flush(self) -> None:
        """Write what was posted; what the socket does not take is written when it does."""
        try:
            done = self.channel.flush()
        except (OSError, ValueError):
            return  # it is ending, and its end is seen elsewhere
        if self.channel.fileno() >= 0:
            self.supervisor.sources.modify(self.channel.fileno(), writing=not done)

    def _hear(self, mask: int) -> None:
        if self.supervisor.sources.is_writing(mask):
            self.flush()
        if self.supervisor.sources.is_reading(mask):
            self._receive()

    def _receive(self) -> bool:
        """Read once; says whether there may be more."""
        try:
            messages = self.channel.receive()
        except Broken as error:
            self._obey_all(error.before)  # what was said before the breach counts: it may be how the job ended
            self._break(f"the control channel of the worker carried something else than frames ({error})")
            return False
        if messages is None:
            self._channel_ended()
            return False
        self._obey_all(messages)
        return bool(messages)

    def _obey_all(self, messages: list[Message]) -> None:
        for message in messages:
            if self._broken is None:
                try:
                    self._obey(message)
                except (TypeError, ValueError, KeyError, OverflowError, RecursionError) as error:
                    self._break(f"the worker said something that makes no sense ({error}): {str(message)[:200]}")

    def _obey(self, message: Message) -> None:
        tell = message.get("tell")
        run = self.run_of(message.get("run"))
        if tell == "ready":
            self.ready = True
        elif run is None:
            return  # ended meanwhile
        elif tell == "started":
            run.start(self.pid)
        elif tell == "ended" and run.said(message):
            self.run_said(run)
        elif tell == "event":
            run.event(message)
        elif tell == "workdir":
            self.supervisor.watches.watch_workdir(run, os.path.join(self.workdir, str(run.number)))
        else:
            self._break(f"the worker said something it may not: {str(message)[:200]}")

    def _break(self, why: str) -> None:
        self._broken = self._broken or why
        self._channel_ended()

    def _channel_ended(self) -> None:
        if self.channel.fileno() < 0:
            return
        self.condemn()
        self.supervisor.sources.unregister(self.channel.fileno())
        self.channel.close()
        if self._broken:
            self.kill()
        elif not self.ended:
            self.supervisor.timers.after(LAST_WORDS, self._still_there)

    def _still_there(self) -> None:
        if not self.ended:
            self._broken = "the handler closed the control channel of its worker"
            self.kill()

    def catch_up(self) -> None:
        for _ in range(64):
            if self.channel.fileno() < 0 or not self._receive():
                return

    def condemn(self) -> None:
        """Let no new run enter."""
        self.condemned = True
        self.supervisor.retire(self)

    def dismiss(self) -> None:
        """Let it end by itself: it has nothing to do."""
        self.condemn()
        self.post({"do": "leave"})

    # Its end

    def leader_ended(self, status: int, cpu_seconds: float, max_rss_bytes: int) -> None:
        self.condemn()
        self.catch_up()
        super().leader_ended(status, cpu_seconds, max_rss_bytes)

    def gone(self) -> None:
        self.catch_up()
        if self.channel.fileno() >= 0:
            self.supervisor.sources.unregister(self.channel.fileno())
            self.channel.close()
        runs = self.runs_inside()
        for run in runs:
            run.end(**self._ending(run, len(runs)))
        for run in runs:
            run.finish(**self.measured())

    def _ending(self, run: Run, together: int) -> dict[str, Any]:
        """The outcome of a run that was inside when the worker ended, without a word about it."""
        if not self.ready and not os.WIFSIGNALED(self.status):
            return {"outcome": "unusable", "message": self._start_problem(), "error_detail": self.stderr_tail()}
        ending = self._own_ending()
        if together == 1:
            return ending
        return {
            "outcome": "lost",
            "message": f"{ending['message']}, while {together} jobs ran in it; which of them did it cannot be told",
        }

    def _own_ending(self) -> dict[str, Any]:
        code = os.WEXITSTATUS(self.status) if os.WIFEXITED(self.status) else None
        if self._broken or code == CHANNEL_LOST:
            broken = self._broken or "the handler closed or broke the control channel of its worker"
            message = broken + "; leave descriptors alone that the handler did not open"
            return {"outcome": "protocol", "message": message}
        if code is None:
            return signal_ending(self.status, self.stderr_tail())
        message = f"the process ended with exit code {code} in the middle of the job"
        detail = self.stderr_tail()
        return {
            "outcome": "exited",
            "exit_code": code,
            "error_type": f"exit code {code}",
            "message": message,
            "error_detail": detail,
        }

    def _start_problem(self) -> str:
        interpreter = self.spec.interpreter or sys.executable
        problem = self.problem()
        if problem is not None:
            return cannot_start(interpreter, problem)
        last = (self.stderr_tail() or "it said nothing").strip().rpartition("\n")[2]
        return (
            f"the worker, run by {interpreter}, ended before it was ready: {last}; jobs of this type cannot start;"
            " try that interpreter by hand (it must be Python 3.9 or later)"
        )

    def take_line(self, level: str, text: str) -> None:
        run = self.output_run()
        if run is not None:
            run.log(level, text)
        elif self._stray < STRAY_LINES and text.strip():
            self._stray += 1
            self.supervisor.notice(f"worker {self.pid} printed outside any job: {text[:500]}")

    # For the kinds of workers to say

    @abstractmethod
    def run_of(self, number: Any) -> Run | None:
        """The run of this number, if it is inside."""

    @abstractmethod
    def run_said(self, run: Run) -> None:
        """A run said how it ended."""

    def measured(self) -> dict[str, Any]:
        return {}
