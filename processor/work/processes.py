"""One process tree that the supervisor started: its pipes, its private folder, its end.

    start -> (lives) -> the leader has ended -> sweep: kill what it left, until nothing is -> pipes emptied -> gone

`commands.Command` and the workers in `workers` say what its words mean and which runs it is the home of.
"""

from __future__ import annotations

import os
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import ExitStack
from typing import TYPE_CHECKING

from processor.work import families, limits
from processor.work.lines import Lines, text_of

if TYPE_CHECKING:
    from processor.work.loop import Supervisor
    from processor.work.runs import Run
    from processor.work.specs import Spec

READ_SIZE = 64 * 1024
TAIL_BYTES = 4 * 1024  # of stderr, kept to explain an end that says nothing itself
SWEEP_AGAIN = 0.005
UNKILLABLE_AFTER = 5.0


class Cannot(Exception):
    """The process cannot be started; the message says why."""


class Process(ABC):
    """A leader and its family."""

    def __init__(self, supervisor: Supervisor, spec: Spec) -> None:
        self.supervisor = supervisor
        self.spec = spec
        self.marker = supervisor.new_marker()
        self.pid = 0
        self.ended = False  # the leader; its family may live on
        self.status = 0  # of the leader, as from wait4
        self.cpu_seconds = 0.0
        self.max_rss_bytes: int | None = None
        self._readers: dict[int, Callable[[bytes], None]] = {}
        self._stderr_tail = b""
        self._problem = b""
        self._swept_since = 0.0
        try:
            self.workdir = supervisor.workdirs.make(spec.workdir)
        except OSError as error:
            raise Cannot(f"no private folder can be made below {spec.workdir}: {error}") from error

    # Starting

    def launch(self, argv: list[str], environment: dict[str, str], stdin: int, extra: int) -> None:
        """Start the leader with these descriptors as 0 and 3; its stdout and stderr are read as lines."""
        environment = {**environment, families.MARKER: self.marker}
        with ExitStack() as theirs:
            try:
                out, err = self._line_pipe("stdout", theirs), self._line_pipe("stderr", theirs)
                self.pid, problems = limits.spawn(
                    argv, environment, self.workdir, (stdin, out, err, extra), self.spec.memory_bytes
                )
            except OSError as error:
                self.discard()
                raise Cannot(f"no process can be started: {error}") from error
        self._listen(problems, self._note_problem)
        self.supervisor.kin.add(self)
        self.supervisor.processes[self.pid] = self

    def discard(self) -> None:
        """Undo a start that failed half-way."""
        for descriptor in list(self._readers):
            self._stop_listening(descriptor)
        self.supervisor.workdirs.remove(self.workdir)

    def _line_pipe(self, level: str, theirs: ExitStack) -> int:
        """Make a pipe that is read as lines; the end to write on is closed with `theirs`."""
        reading, writing = os.pipe()
        theirs.callback(os.close, writing)
        os.set_blocking(reading, False)
        lines = Lines()
        self._listen(reading, lambda data: self._take_output(level, lines, data))
        return writing

    def _note_problem(self, data: bytes) -> None:
        self._problem += data

    # Reading

    def _listen(self, descriptor: int, take: Callable[[bytes], None]) -> None:
        """Read a pipe as long as it is open; `take` gets its bytes, and b"" at its end."""
        self._readers[descriptor] = take
        self.supervisor.sources.register(descriptor, lambda _: self._read(descriptor))

    def _stop_listening(self, descriptor: int) -> None:
        self.supervisor.sources.unregister(descriptor)
        del self._readers[descriptor]
        os.close(descriptor)

    def _read(self, descriptor: int) -> bool:
        """Read once; says whether there may be more."""
        try:
            data = os.read(descriptor, READ_SIZE)
        except BlockingIOError:
            return False
        except OSError:
            data = b""
        take = self._readers[descriptor]
        if not data:
            self._stop_listening(descriptor)
        take(data)
        return bool(data)

    def drain(self) -> None:
        """Read what is in the pipes now. Bounded: nobody writes any more, or one turn of the loop's worth."""
        for descriptor in list(self._readers):
            for _ in range(1024):
                if descriptor not in self._readers or not self._read(descriptor):
                    break

    def _take_output(self, level: str, lines: Lines, data: bytes) -> None:
        if level == "stderr" and data:
            self._stderr_tail = (self._stderr_tail + data)[-TAIL_BYTES:]
        run = self.output_run()
        if run is not None and run.cut:
            return  # read and thrown away, without looking
        for line in lines.feed(data) if data else lines.rest():
            self.take_line(level, text_of(line))

    def stderr_tail(self) -> str | None:
        return text_of(self._stderr_tail) or None

    def problem(self) -> str | None:
        """Why the executable could not be started, if so."""
        return self._problem.decode("utf-8", "replace") or None

    # Stopping

    def kill(self) -> None:
        """Kill the group and everything below the leader; the rest follows when the leader's end is seen."""
        if self.pid and not self.ended:
            below = families.descendants(self.pid)
            families.signal_group(self.pid, 9)
            for pid in below:
                families.kill(pid)

    def signal_group(self, number: int) -> None:
        if not self.ended:
            families.signal_group(self.pid, number)

    # Ending

    def leader_ended(self, status: int, cpu_seconds: float, max_rss_bytes: int) -> None:
        """The leader was reaped, its group killed in the moment before."""
        self.ended = True
        self.status = status
        self.cpu_seconds = cpu_seconds
        self.max_rss_bytes = max_rss_bytes
        self._swept_since = time.monotonic()
        self.sweep()

    def sweep(self) -> None:
        left, doomed = self.supervisor.kin.left_of(self)
        if not left:
            self._is_gone()
            return
        for pid in doomed:
            families.kill_tree(pid)
        self._complain_once(left)
        self.supervisor.timers.after(SWEEP_AGAIN, self.sweep)

    def _complain_once(self, left: list[int]) -> None:
        waited = time.monotonic() - self._swept_since
        if UNKILLABLE_AFTER < waited < UNKILLABLE_AFTER + 2 * SWEEP_AGAIN:
            self.supervisor.notice(
                f"process {left[0]} was killed {waited:.0f} s ago and does not go; its run waits for it"
            )

    def _is_gone(self) -> None:
        self.drain()
        for descriptor in list(self._readers):  # an end that something outside our reach holds open
            self._stop_listening(descriptor)
        self.supervisor.kin.forget(self)
        self.gone()
        self.supervisor.workdirs.remove(self.workdir)

    # For the kinds of processes to say

    @abstractmethod
    def output_run(self) -> Run | None:
        """The run that printed lines belong to."""

    @abstractmethod
    def take_line(self, level: str, text: str) -> None:
        """A line was printed."""

    @abstractmethod
    def ask(self, run: Run, why: str) -> None:
        """Ask a run to stop."""

    @abstractmethod
    def force(self, run: Run) -> None:
        """Its grace is over."""

    @abstractmethod
    def catch_up(self) -> None:
        """Read what was said and not yet heard."""

    @abstractmethod
    def runs_inside(self) -> list[Run]:
        """The runs that have not ended."""

    @abstractmethod
    def gone(self) -> None:
        """No process of this tree is left."""

    def may_have_entered(self, run: Run) -> bool:
        """Tell whether the handler of a run may have begun although nobody said so."""
        return False
