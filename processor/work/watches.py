"""Limits that nobody tells us about when they are crossed: memory of a tree, size of a folder.

Looked at several times a second, and only while something has such a limit. A folder is measured in slices, and a large
one more seldom, so that a handler with a million files costs a twentieth of our time at most.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from processor.work import families, workdirs

if TYPE_CHECKING:
    from processor.work.loop import Supervisor
    from processor.work.processes import Process
    from processor.work.runs import Run

PAUSE = 0.1
SHARE = 20  # a folder that takes t to measure is measured again after 20 t
SLICE_PAUSE = 0.002


class Watches:
    def __init__(self, supervisor: Supervisor) -> None:
        self._supervisor = supervisor
        self._watching_memory = False

    # Memory

    def watch_memory(self) -> None:
        """Begin to look, if nobody does: a process with a limit was started."""
        if not self._watching_memory:
            self._watching_memory = True
            self._supervisor.timers.after(PAUSE, self._look_at_memory)

    def _look_at_memory(self) -> None:
        limited = [process for process in self._supervisor.processes.values() if process.spec.memory_bytes]
        for process in limited:
            if _is_over(process):
                _end_for_memory(process)
        self._watching_memory = False
        if limited:
            self.watch_memory()

    # Folders

    def watch_workdir(self, run: Run, path: str) -> None:
        if run.spec.workdir_bytes:
            self._later(PAUSE, run, path, None, 0.0)

    def _later(self, seconds: float, run: Run, path: str, sums: Iterator[int] | None, spent: float) -> None:
        self._supervisor.timers.after(seconds, lambda: self._measure_on(run, path, sums, spent))

    def _measure_on(self, run: Run, path: str, sums: Iterator[int] | None, spent: float) -> None:
        if run.ending is not None:
            return
        began = time.monotonic()
        sums = sums or workdirs.measure(path)
        size = next(sums, None)
        spent += time.monotonic() - began
        if size is None:
            self._later(max(PAUSE, SHARE * spent), run, path, None, 0.0)
        elif size > (run.spec.workdir_bytes or 0):
            run.ask(
                "workdir",
                "workdir",
                f"its workdir grew past {run.spec.workdir_bytes} bytes; write less, or raise workdir_bytes",
            )
        else:
            self._later(SLICE_PAUSE, run, path, sums, spent)


def _is_over(process: Process) -> bool:
    limit = process.spec.memory_bytes or 0
    return families.memory_of(process.pid) > limit and families.fair_memory_of(process.pid) > limit


def _end_for_memory(process: Process) -> None:
    runs = process.runs_inside()
    message = f"its processes held more than {process.spec.memory_bytes} bytes of memory and were killed"
    for run in runs:
        if len(runs) == 1:
            run.end("memory", message)
        else:
            run.end(
                "lost",
                f"{message}, while {len(runs)} jobs ran in the shared worker; which of them did it cannot be told",
            )
    process.kill()
