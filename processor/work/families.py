"""Which processes belong to what we started, and how they are killed to the last one.

The supervisor is a child subreaper: whatever loses its parent below us becomes our own child. So once a leader is dead,
every survivor of its tree is one of our children, or a descendant of one, no matter which session, group or environment
it gave itself: the walk is exact and nobody can leave. Whose an adopted child is, is told by its session, by the marker
in its environment, or by having been seen below a leader before; one that belongs to nobody is killed.

Outside Linux there is no /proc to walk and only the process group is killed.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from typing import NamedTuple

MARKER = "JOBTABLE_RUN"
PAGE = os.sysconf("SC_PAGE_SIZE")


class Stat(NamedTuple):
    state: str
    parent: int
    session: int
    started: int  # clock ticks since boot: tells a process from a later one with its number


def stat(pid: int) -> Stat | None:
    """Read what the kernel says of a process; None when it is gone."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
    except OSError:
        return None
    return Stat(fields[0].decode(), int(fields[1]), int(fields[3]), int(fields[19]))


def is_alive(pid: int) -> bool:
    facts = stat(pid)
    return facts is not None and facts.state not in "ZX"


def children(pid: int) -> list[int]:
    """List the living and dead children of a process; [] when it is gone."""
    found: list[int] = []
    try:
        for thread in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{thread}/children", "rb") as file:
                found += map(int, file.read().split())
    except FileNotFoundError:
        return found or _children_by_scan(pid)
    except OSError:
        return found  # it ended while we read
    return found


def descendants(pid: int) -> list[int]:
    """List everything below a process, parents first."""
    found = children(pid)
    for child in found:  # grows while we walk
        found += [grandchild for grandchild in children(child) if grandchild not in found]
    return found


def all_processes() -> Iterator[int]:
    try:
        return (int(name) for name in os.listdir("/proc") if name.isdigit())
    except OSError:
        return iter(())


def marker_of(pid: int) -> str | None:
    """Read the marker a process was started with, as long as its environment still carries it."""
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            entries = file.read().split(b"\0")
    except OSError:
        return None
    prefix = MARKER.encode() + b"="
    return next(
        (entry[len(prefix) :].decode("ascii", "replace") for entry in entries if entry.startswith(prefix)), None
    )


def kill_marked(token: str) -> int:
    """Kill what carries the marker of a supervisor; says how many there were."""
    left = [pid for pid in all_processes() if (marker_of(pid) or "").startswith(token + ".")]
    for pid in left:
        kill(pid)
    return len(left)


def kill(pid: int) -> None:
    """Kill one process that may not be our child, and surely no other that got its number meanwhile."""
    before = stat(pid)
    if before is None or before.state in "ZX":
        return
    try:
        descriptor = os.pidfd_open(pid)
    except (AttributeError, OSError):
        _kill_by_number(pid)
        return
    try:
        after = stat(pid)
        if after is not None and after.started == before.started:
            signal.pidfd_send_signal(descriptor, signal.SIGKILL)
    except OSError:
        pass  # gone
    finally:
        os.close(descriptor)


def kill_tree(pid: int) -> None:
    """Kill a process and what is below it, again and again while new ones appear."""
    for _ in range(10):
        living = [member for member in (pid, *descendants(pid)) if is_alive(member)]
        for member in living:
            kill(member)
        if len(living) <= 1:
            return


def signal_group(leader: int, number: int) -> None:
    """Signal the group of a leader that is not reaped yet: its number cannot be anybody else's."""
    try:
        os.killpg(leader, number)
    except (ProcessLookupError, PermissionError):
        pass  # empty; on some systems also when only zombies are left


def memory_of(leader: int) -> int:
    """Add up what a tree holds in memory, pages that members share counted for each of them; cheap."""
    members = [leader, *descendants(leader)]
    return sum(map(_resident, members))


def fair_memory_of(leader: int) -> int:
    """As memory_of, but pages that several members share are divided among them; slow, so asked before a kill only."""
    return sum(map(_proportional, [leader, *descendants(leader)]))


def _resident(pid: int) -> int:
    try:
        with open(f"/proc/{pid}/statm", "rb") as file:
            return int(file.read().split()[1]) * PAGE
    except (OSError, IndexError):
        return 0


def _proportional(pid: int) -> int:
    try:
        with open(f"/proc/{pid}/smaps_rollup", "rb") as file:
            line = next(line for line in file if line.startswith(b"Pss:"))
            return int(line.split()[1]) * 1024
    except (OSError, StopIteration):
        return _resident(pid)


def _kill_by_number(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except OSError:
        pass


def _children_by_scan(pid: int) -> list[int]:
    """For kernels without CONFIG_PROC_CHILDREN."""
    if not os.path.exists(f"/proc/{pid}/task"):
        return []
    facts = ((other, stat(other)) for other in all_processes())
    return [other for other, fact in facts if fact is not None and fact.parent == pid]
