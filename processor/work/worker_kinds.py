"""The two kinds of Python workers.

A `Solo` runs one job at a time and can be killed alone. A `Shared` runs many asyncio jobs; when one of them does
not end in time the whole worker is killed, so it is condemned first: no new run enters it, and its other runs are
`lost` with the culprit's name."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Any

from processor.work.workers import Worker

if TYPE_CHECKING:
    from processor.work.loop import Supervisor
    from processor.work.runs import Run
    from processor.work.specs import Spec


class Solo(Worker):
    """One job at a time; by default one job in all."""

    kind = "solo"

    def __init__(self, supervisor: Supervisor, spec: Spec) -> None:
        self.run: Run | None = None
        super().__init__(supervisor, spec)

    def take(self, run: Run) -> None:
        if self.jobs:
            self._move_out()
        self.run = run
        run.message["workdir"] = self.workdir
        run.message["last"] = self.jobs + 1 >= (self.spec.jobs_per_worker or 1)
        super().take(run)

    def run_of(self, number: Any) -> Run | None:
        return self.run if self.run is not None and self.run.number == number else None

    def output_run(self) -> Run | None:
        return self.run

    def ask(self, run: Run, why: str) -> None:
        self.post({"do": "stop", "run": run.number, "why": why})
        self.flush()  # before the signal: who is woken by it finds the reason
        self.signal_group(signal.SIGTERM)

    def force(self, run: Run) -> None:
        self.kill()

    def run_said(self, run: Run) -> None:
        """Wait for its process, unless it is clean and may take another job."""
        if self._may_stay(run):
            self.drain()
            self.supervisor.rest(self)
            self.run = None
            run.finish()  # with the figures of the worker: wait4 has none yet
        else:
            self.dismiss()
            run.kill_after(self.spec.grace)

    def _may_stay(self, run: Run) -> bool:
        if self.condemned or self.jobs >= (self.spec.jobs_per_worker or 1) or run.was_asked:
            return False
        return run.outcome not in ("memory", "protocol") and not self.supervisor.kin.below(self)

    def _move_out(self) -> None:
        """Give the next run a folder of its own."""
        left, self.workdir = self.workdir, self.supervisor.workdirs.make(self.spec.workdir)
        self.supervisor.workdirs.remove(left)

    def runs_inside(self) -> list[Run]:
        return [self.run] if self.run is not None else []

    def measured(self) -> dict[str, Any]:
        if self.jobs == 1:
            return {"cpu_seconds": self.cpu_seconds, "max_rss_bytes": self.max_rss_bytes}
        return {}


class Shared(Worker):
    """Many asyncio jobs at once."""

    kind = "shared"

    def __init__(self, supervisor: Supervisor, spec: Spec) -> None:
        self.runs: dict[int, Run] = {}
        super().__init__(supervisor, spec)

    def take(self, run: Run) -> None:
        self.runs[run.number] = run
        super().take(run)
        if run.spec.jobs_per_worker and self.jobs >= run.spec.jobs_per_worker:
            self.condemn()

    def run_of(self, number: Any) -> Run | None:
        return self.runs.get(number) if isinstance(number, int) else None

    def output_run(self) -> Run | None:
        return None

    def ask(self, run: Run, why: str) -> None:
        self.post({"do": "stop", "run": run.number, "why": why})

    def force(self, run: Run) -> None:
        """Kill the worker for one run that does not end; the others are lost with it."""
        if self.run_of(run.number) is not run:
            return
        self.condemn()
        self.kill()
        what = run.outcome.replace("_", " ")
        for other in self.runs.values():
            other.end(
                "lost", f"its shared worker was killed, because job {run.job.get('id')} ({what}) did not end in time"
            )

    def run_said(self, run: Run) -> None:
        del self.runs[run.number]
        run.finish()
        if self.condemned and not self.runs:
            self.dismiss()

    def runs_inside(self) -> list[Run]:
        return list(self.runs.values())

    def may_have_entered(self, run: Run) -> bool:
        """What it wrote last may be lost with it; a solo worker's word is out before the handler begins."""
        return self.ready
