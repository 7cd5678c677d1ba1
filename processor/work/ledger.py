"""What this processor holds: running jobs, verdicts that are not written yet, and what jobs told in between.

A slot is taken from the claim until the settle is acknowledged. A processor that finished a thousand jobs while the
database was away holds a thousand verdicts and claims nothing more.
"""

import random
from collections import Counter, deque
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from itertools import islice

from processor.judge import Policy, judge
from processor.outcome import Outcome
from processor.queue.claim import ClaimedJob, Slots
from processor.queue.events import Event, Told
from processor.queue.leases import Orphan
from processor.queue.settlement import Settlement
from processor.work.heartbeat import Holdings
from processor.work.roster import Runnable


@dataclass(slots=True)
class Run:
    """One claimed job on its way through the supervisor."""

    number: int
    job: ClaimedJob
    runnable: Runnable
    policy: Policy
    processor_id: str
    started: bool = False
    stopping: str | None = None
    trace_parent: str | None = None
    address: str | None = field(default=None, repr=False)
    events: list[Event] = field(default_factory=list)
    told_at: float = 0.0

    def tell(self, event: Event) -> None:
        """Remember an event; of progress only the latest counts."""
        if event.kind == "progress":
            self.events = [earlier for earlier in self.events if earlier.kind != "progress"]
        self.events.append(event)

    def told(self) -> Told:
        return Told(self.job.id, self.processor_id, self.job.claim_no, self.job.attempt, tuple(self.events))


class Ledger:
    """The slots of one processor and what is in them."""

    def __init__(self) -> None:
        self.runs: dict[int, Run] = {}
        self.outbox: deque[Settlement] = deque()
        self.held: list[Settlement] = []
        self.unsaid: deque[Told] = deque()
        self._by_claim: dict[tuple[int, int], Run] = {}
        self._numbers = 0
        self._processes = 0
        self._running: Counter[str] = Counter()

    @property
    def used(self) -> int:
        return len(self.runs) + len(self.outbox) + len(self.held)

    def room(self, jobs: int, processes: int) -> Slots:
        return Slots(jobs - self.used, processes - self._processes)

    def running(self, type_: str) -> int:
        return self._running[type_]

    def open(self, job: ClaimedJob, runnable: Runnable, processor_id: str) -> Run:
        self._numbers += 1
        policy = runnable.policy
        if job.max_attempts is not None:
            policy = replace(policy, max_attempts=job.max_attempts)
        run = Run(self._numbers, job, runnable, policy, processor_id)
        self.runs[run.number] = run
        self._by_claim[job.id, job.claim_no] = run
        self._processes += runnable.process
        self._running[job.type] += 1
        return run

    def close(self, run: Run, outcome: Outcome) -> Settlement:
        """Judge what became of a run and keep the verdict until it is written."""
        del self.runs[run.number]
        del self._by_claim[run.job.id, run.job.claim_no]
        self._processes -= run.runnable.process
        self._running[run.job.type] -= 1
        if run.events:
            self.unsaid.append(run.told())
        settlement = _settlement(run, outcome)
        self.outbox.append(settlement)
        return settlement

    def next_batch(self, limit: int, limit_bytes: int) -> list[Settlement]:
        """Give the oldest verdicts: at most so many, and no more than so many bytes but for a single large one."""
        batch: list[Settlement] = []
        size = 0
        for settlement in islice(self.outbox, limit):
            size += settlement.size
            if batch and size > limit_bytes:
                break
            batch.append(settlement)
        return batch

    def doubt(self, batch: Iterable[Settlement]) -> None:
        """The answer to this batch was lost: it stays, marked as sent before."""
        doubted = [replace(settlement, again=True) for settlement in batch]
        for index, settlement in enumerate(doubted):
            self.outbox[index] = settlement

    def replace_first(self, settlement: Settlement) -> None:
        """Put another verdict in the place of the oldest."""
        self.outbox[0] = settlement

    def written(self, batch: Iterable[Settlement], held: Iterable[Settlement]) -> None:
        """Drop a batch that was answered; what others hold locked is kept for another time."""
        for _ in batch:
            self.outbox.popleft()
        self.held += held

    def try_again(self) -> None:
        self.outbox += self.held
        self.held = []

    def talkative(self, instant: float, pause: float) -> list[Run]:
        """Give the runs that have something to tell and have not told anything for a pause (seconds)."""
        return [run for run in self.runs.values() if run.events and instant - run.told_at >= pause]

    def was_told(self, stories: Iterable[tuple[Told, Run | None]], instant: float) -> None:
        """Forget what was written; of a run that goes on, remember when."""
        for told, run in stories:
            if run is None:
                self.unsaid.remove(told)
            else:
                run.events, run.told_at = [], instant

    def holdings(self, newest_claim: int, abandoned: Iterable[int]) -> Holdings:
        running = [(run.job.id, run.job.claim_no) for run in list(self.runs.values())]
        ended = [(settlement.job_id, settlement.claim_no) for settlement in [*self.outbox, *self.held]]
        return Holdings((*running, *ended), newest_claim, tuple(abandoned))

    def holds_for(self, processor_id: str) -> bool:
        """Tell whether something is still to be written under the claims of an incarnation."""
        return any(settlement.processor_id == processor_id for settlement in (*self.outbox, *self.held)) or any(
            run.processor_id == processor_id for run in self.runs.values()
        )

    def find(self, job_id: int, claim_no: int) -> Run | None:
        return self._by_claim.get((job_id, claim_no))


def _settlement(run: Run, outcome: Outcome) -> Settlement:
    job = run.job
    verdict = judge(
        outcome,
        attempt=job.attempt,
        crashes=job.crashes,
        cancelled=run.stopping == "cancel",
        policy=run.policy,
        chance=random.random(),  # noqa: S311 - spreads retries, guards nothing
    )
    settlement = Settlement.of(job, run.processor_id, job.claim_no, verdict)
    return settlement if run.address is None else replace(settlement, address=run.address)


def settlement_of(orphan: Orphan, outcome: Outcome, policy: Policy) -> Settlement:
    """Judge a job whose processor is gone: the same rules, the dead processor's claim."""
    if orphan.max_attempts is not None:
        policy = replace(policy, max_attempts=orphan.max_attempts)
    verdict = judge(
        outcome,
        attempt=orphan.attempt,
        crashes=orphan.crashes,
        cancelled=orphan.cancel_requested,
        policy=policy,
        chance=random.random(),  # noqa: S311
    )
    return Settlement.of(orphan, orphan.processor_id, orphan.claim_no, verdict)
