"""Starting a process with nothing but what it shall have.

The child gets a session of its own, descriptors 0 to 3 and no other, default signals, umask 077, its private folder
as current directory, limits, and a death signal in case the supervisor is killed. Written with fork and exec
instead of `subprocess`, because descriptor 3 must be placed, the exit status is wait4's (for the accounting), and
an executable on a hanging file system must not hold up the supervisor: an error of exec is read when the child has
ended, never waited for. Safe only in a process with one thread, which the supervisor is."""

from __future__ import annotations

import ctypes
import fcntl
import os
import resource
import signal
import sys
from collections.abc import Mapping, Sequence
from typing import NoReturn

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
REPORTING_ROOM = 64 * 1024 * 1024  # above the soft limit, so that a MemoryError can still be reported
BADNESS = b"900"  # the kernel's out-of-memory killer shall choose handlers before daemons
CANNOT_EXEC = 127

_libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


def adopt_orphans() -> bool:
    """Become the parent of every descendant whose own parent ends. Linux only; says whether it is so."""
    return _libc is not None and _libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0


def spawn(
    argv: Sequence[str],
    environment: Mapping[str, str],
    folder: str,
    descriptors: Sequence[int],
    memory_bytes: int | None = None,
) -> tuple[int, int]:
    """Start argv with the given descriptors as 0, 1, 2, …; gives its pid and a pipe that tells why exec failed."""
    problems, tell = os.pipe()
    supervisor = os.getpid()
    try:
        pid = os.fork()
    except OSError:
        os.close(problems)
        os.close(tell)
        raise
    if pid == 0:
        _become(argv, environment, folder, descriptors, memory_bytes, tell, supervisor)
    os.close(tell)
    os.set_blocking(problems, False)
    return pid, problems


def raise_descriptor_limit() -> None:
    """Let ourselves have as many descriptors as we may, some eight for each process that runs; children keep theirs."""
    soft, hard = _DESCRIPTORS
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


_DESCRIPTORS = resource.getrlimit(resource.RLIMIT_NOFILE)


def reserve_low_descriptors() -> None:
    """Occupy 0 to 3, so that no descriptor of ours is overwritten while a child arranges its own."""
    while True:
        descriptor = os.open(os.devnull, os.O_RDWR)
        if descriptor > 3:
            os.close(descriptor)
            return


def keep(descriptor: int) -> int:
    """Move a descriptor we were started with out of the way, and let no child have it."""
    kept = fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, 4)
    os.close(descriptor)
    if descriptor <= 3:
        reserve_low_descriptors()
    return kept


def _become(
    argv: Sequence[str],
    environment: Mapping[str, str],
    folder: str,
    descriptors: Sequence[int],
    memory_bytes: int | None,
    tell: int,
    supervisor: int,
) -> NoReturn:
    """In the child, up to exec. Nothing here may return or raise."""
    try:
        os.setsid()
        _die_with(supervisor)
        for number, descriptor in enumerate(descriptors):
            os.dup2(descriptor, number, inheritable=True)
        os.umask(0o077)
        os.chdir(folder)
        _limit(memory_bytes)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE, signal.SIGCHLD):
            signal.signal(number, signal.SIG_DFL)
        signal.set_wakeup_fd(-1)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        os.execvpe(argv[0], list(argv), dict(environment))
    except BaseException as error:  # noqa: BLE001 - told to the parent; this process is the child
        os.write(tell, f"{type(error).__name__}: {error}".encode("utf-8", "replace")[:2000])
    finally:
        os._exit(CANNOT_EXEC)


def _die_with(supervisor: int) -> None:
    if _libc is None:
        return
    _libc.prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
    if os.getppid() != supervisor:  # it died before the line above took effect
        os._exit(CANNOT_EXEC)


def _limit(memory_bytes: int | None) -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_NOFILE, _DESCRIPTORS)
    if memory_bytes:
        hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
        wanted = memory_bytes + REPORTING_ROOM
        hard = wanted if hard == resource.RLIM_INFINITY else min(hard, wanted)
        resource.setrlimit(resource.RLIMIT_DATA, (min(memory_bytes, hard), hard))
    try:
        descriptor = os.open("/proc/self/oom_score_adj", os.O_WRONLY)
        os.write(descriptor, BADNESS)
        os.close(descriptor)
    except OSError:
        pass  # no such file outside Linux, not permitted in some containers: a wish, not a limit
