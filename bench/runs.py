"""One measured run: a process from its start to its end, and what the tables say of it."""

import os
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from bench import server as servers
from tests.databases import Server

ROOT = Path(__file__).parents[1]


class Broken(Exception):
    """A run did not do its work; the message says what it left or said."""


@dataclass(frozen=True, slots=True)
class Run:
    """Seconds are of the whole process (`whole`) and from the first claim to the last settle (`steady`)."""

    name: str
    jobs: int
    whole: float
    steady: float
    cpu: float
    server_cpu: float | None

    @property
    def rate(self) -> float:
        """Jobs in a second, from the first claim to the last settle."""
        return self.jobs / self.steady

    @property
    def whole_rate(self) -> float:
        """Jobs in a second, with start and end of the process."""
        return self.jobs / self.whole


class Contestant(Protocol):
    """Something that drains a queue."""

    name: str

    def fill(self, jobs: int) -> None:
        """Put the jobs in, with nothing else there."""

    def command(self) -> Sequence[str]:
        """Give what drains the queue and ends."""

    def environment(self) -> Mapping[str, str]:
        """Give what its process needs to know besides."""

    def drained(self) -> tuple[int, float]:
        """Count the jobs that are done, and the seconds from the first claim to the last settle."""


def measure(server: Server, contestant: Contestant, jobs: int) -> Run:
    """Drain so many jobs. Raises `Broken` unless all of them are done."""
    contestant.fill(jobs)
    before = servers.cpu_seconds(server)
    whole, cpu = _run(contestant.command(), contestant.environment())
    after = servers.cpu_seconds(server)
    done, steady = contestant.drained()
    if done != jobs:
        raise Broken(f"{contestant.name} did {done:,} of {jobs:,} jobs")
    return Run(contestant.name, jobs, whole, steady, cpu, None if before is None or after is None else after - before)


def _run(command: Sequence[str], environment: Mapping[str, str]) -> tuple[float, float]:
    """Run a process to its end; give its seconds, and the CPU seconds of it and all the children it waited for."""
    begin = time.monotonic()
    with Path(os.devnull).open("wb") as nowhere:
        process = subprocess.Popen(  # noqa: S603 - our own commands
            command, stdout=nowhere, stderr=nowhere, cwd=ROOT, env={**os.environ, **environment}
        )
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.monotonic() - begin
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise Broken(f"{' '.join(command)} ended with exit code {process.returncode}")
    return seconds, usage.ru_utime + usage.ru_stime
