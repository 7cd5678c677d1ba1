"""Whose are the orphans that the supervisor adopted?

Asked when a tree's leader has ended: which of our adopted children did it leave behind? Its own are told by session,
by marker, or by having been seen below it. Those that belong to nobody (a new session *and* an emptied environment) are
killed too, but only when they belong to nobody at a second look: in the middle of an exec a process has no
environment for a moment.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from typing import TYPE_CHECKING

from processor.work import families, workdirs

if TYPE_CHECKING:
    from processor.work.processes import Process

SECOND_LOOK = 0.02


class Kin:
    def __init__(self, own_pid: int) -> None:
        self._own_pid = own_pid
        self._trees: dict[int, Process] = {}  # by the leader's pid, from its start until nothing of it is left
        self._staff: set[int] = set()  # our own short-lived aids
        self._nobodys: dict[int, float] = {}  # pid -> when it was first seen to belong to nobody

    def add(self, process: Process) -> None:
        self._trees[process.pid] = process

    def forget(self, process: Process) -> None:
        if self._trees.get(process.pid) is process:  # the number may be another's by now
            del self._trees[process.pid]

    def reaped(self, pid: int) -> None:
        self._staff.discard(pid)
        self._nobodys.pop(pid, None)

    def left_of(self, process: Process) -> tuple[list[int], list[int]]:
        """List what is left of a tree, and which of it may be killed now; an orphan of nobody may be of this tree."""
        left = [(pid, self.owner(pid)) for pid in self.adopted()]
        left = [(pid, owner) for pid, owner in left if owner is process or owner is None]
        return [pid for pid, _ in left], [pid for pid, owner in left if owner is process or self._is_nobodys(pid)]

    def below(self, process: Process) -> list[int]:
        """List what a living leader started and did not end."""
        orphans = [pid for pid in self.adopted() if self.owner(pid) in (process, None)]
        return [pid for pid in families.descendants(process.pid) if families.is_alive(pid)] + orphans

    def adopted(self) -> list[int]:
        """List our living children that we did not start."""
        strange = (pid for pid in families.children(self._own_pid) if pid not in self._staff)
        return [pid for pid in strange if not self._leads(pid) and families.is_alive(pid)]

    def owner(self, pid: int) -> Process | None:
        facts = families.stat(pid)
        if facts is not None and facts.session in self._trees:
            return self._trees[facts.session]
        marker = families.marker_of(pid)
        return next((tree for tree in self._trees.values() if tree.marker == marker), None)

    def _is_nobodys(self, pid: int) -> bool:
        seen = self._nobodys.setdefault(pid, time.monotonic())
        return len(self._trees) == 1 or time.monotonic() - seen >= SECOND_LOOK

    # Our own aids, and the last of everybody

    def remove_later(self, folder: str) -> None:
        """Have a folder removed by a process of its own, which may outlive us."""
        argv = [sys.executable, "-I", "-S", workdirs.__file__, folder]
        try:
            self._staff.add(os.posix_spawn(sys.executable, argv, {}, setsid=True))
        except OSError:
            workdirs.remove(folder)  # no process to be had: slowly, then

    def kill_marked(self, token: str) -> int:
        """Kill what a supervisor that was itself killed has left running; says how many there were."""
        return families.kill_marked(token)

    def kill_all(self) -> bool:
        """Kill and reap every child but our aids; says whether there was one."""
        left = [pid for pid in families.children(self._own_pid) if pid not in self._staff]
        for pid in left:
            families.kill_tree(pid)
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)
        return bool(left)

    def _leads(self, pid: int) -> bool:
        process = self._trees.get(pid)
        return process is not None and not process.ended
