"""What the steps of the loop share. Only the loop's thread changes it; the heartbeat reads `holdings`."""

import math
import time
from dataclasses import dataclass, field

from processor.db import Database
from processor.happenings import Happenings, JobStopping
from processor.settings import Settings
from processor.work.heartbeat import Holdings
from processor.work.incarnation import Incarnation
from processor.work.ledger import Ledger, Run
from processor.work.patience import Patience
from processor.work.roster import Roster
from processor.work.tracing import Tracing

MISFIT_PAUSE = 60.0
"""Seconds until a row is tried again that the database let nobody claim: a trigger may have gone."""
MOST_MISFITS = 1000
FIRST_CONTENTION_PAUSE = 0.02
"""Seconds until another claim where another processor was deciding; doubled each time, up to a poll."""
FIRST_REFUSAL_PAUSE = 0.5
LONGEST_REFUSAL_PAUSE = 30.0
"""Seconds without a claim after this machine could not start a job: others may, and the queue is not churned."""


@dataclass
class State:
    settings: Settings
    roster: Roster
    database: Database
    patience: Patience
    happenings: Happenings
    tracing: Tracing | None = None
    ledger: Ledger = field(default_factory=Ledger)
    draining: bool = False
    more_is_due: bool = True
    short_of_processes: bool = False
    claim_after: float = 0.0
    refusal_pause: float = FIRST_REFUSAL_PAUSE
    contention_pause: float = 0.0
    released: int = 0
    claim_no: int = 0
    newest_claim: int = 0
    abandoned: list[int] = field(default_factory=list)
    misfits: dict[int, float] = field(default_factory=dict)
    """Rows that can neither be claimed nor be marked as failed, and until when they are passed over."""
    rate_free_at: float = math.inf
    """When a rate lets something start again that the last claim had to leave, by the monotonic clock."""
    decided: set[str] = field(default_factory=set)
    """Types of which a claim found rows that had to be decided about: where one ends, another may begin."""
    unreadable: set[tuple[str, str]] = field(default_factory=set)
    """Rules that nobody can read, as (type, why), that were said."""
    untraceable: set[str] = field(default_factory=set)
    """Types of which a job's `trace_parent` was no traceparent, that were said."""
    holds: dict[str, float] = field(default_factory=dict)
    """Types that a handler asked to hold back, and until when by the monotonic clock; not written yet."""
    failing: set[str] = field(default_factory=set)
    """Webhooks whose latest try had failed when one was made here."""
    unseen: bool = False
    """Whether rows may go on that a settle could not look at."""
    parents: set[int] = field(default_factory=set)
    """Jobs that may have ended with their last child."""
    former: list[str] = field(default_factory=list)
    """Ids of earlier incarnations of this process whose rows do not say yet that they are over."""
    life: Incarnation = field(init=False)

    def can_claim(self) -> bool:
        """Tell whether a claim now could bring anything."""
        processor = self.settings.processor
        room = self.ledger.room(processor.max_concurrent, processor.processes)
        due = self.more_is_due or self.rate_pause() <= 0
        wanted = due and room.jobs > 0 and not self.draining and time.monotonic() >= self.claim_after
        return wanted and self.life.registered and not self.life.is_over

    def rate_pause(self) -> float:
        """Give the seconds until a rate lets something start that waits for it."""
        return self.rate_free_at - time.monotonic()

    def passed_over(self) -> set[int]:
        """Give the rows that no claim should meet just now."""
        if self.misfits:
            instant = time.monotonic()
            self.misfits = {job: until for job, until in self.misfits.items() if until > instant}
        return set(self.misfits)

    def pass_over(self, job: int) -> None:
        self.misfits[job] = time.monotonic() + MISFIT_PAUSE

    def hold(self, type_: str, seconds: float) -> None:
        """Remember that a type is to be held back for so long; it is written with the next thing that is."""
        self.holds[type_] = max(self.holds.get(type_, 0.0), time.monotonic() + seconds)

    def machine_refused(self) -> None:
        """Nothing could be started here: claim no more for a while, longer each time, until something starts."""
        self.refusal_pause = min(self.refusal_pause * 2, LONGEST_REFUSAL_PAUSE)
        self.claim_after = time.monotonic() + self.refusal_pause

    def decided_elsewhere(self, held: bool) -> None:
        """Another processor was deciding about a type: come back soon, less soon each time; or it was not."""
        longest = self.settings.processor.poll_interval
        self.contention_pause = min(max(self.contention_pause * 2, FIRST_CONTENTION_PAUSE), longest) if held else 0.0
        self.claim_after = max(self.claim_after, time.monotonic() + self.contention_pause)

    def machine_works(self) -> None:
        self.refusal_pause = FIRST_REFUSAL_PAUSE

    def holdings(self) -> Holdings:
        return self.ledger.holdings(self.newest_claim, self.abandoned)

    def stop(self, run: Run, why: str) -> None:
        """Ask a running job to stop; the supervisor kills it after its grace. Asking twice changes nothing."""
        if run.stopping is None:
            run.stopping = why
            self.happenings.emit(JobStopping(run.job.id, run.job.type, why))
            self.life.crew.stop(run.number, why)

    def stop_all(self) -> None:
        for run in list(self.ledger.runs.values()):
            self.stop(run, "release")

    def forget_claims(self) -> None:
        """A new incarnation counts its claims from the start."""
        self.claim_no = self.newest_claim = 0
        self.abandoned.clear()
