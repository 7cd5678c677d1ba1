"""A verdict on its way into the database, and what became of a batch of them."""

from dataclasses import dataclass, field, replace
from typing import Any, Self

from processor.db.dialects import letters
from processor.judge import Verdict
from processor.lifecycle import Reason, Status
from processor.outcome import Kind, Outcome
from processor.queue.duplicates import Reused


@dataclass(frozen=True, slots=True)
class Settlement:
    """One verdict and the claim it is about. `again` says that it was sent before and the answer was lost.

    `address` is where a delivery went, which its webhook may have left meanwhile.
    """

    job_id: int
    processor_id: str
    claim_no: int
    type: str
    attempt: int
    owner: str | None
    subject: str | None
    verdict: Verdict
    key: str | None = None
    concurrency_key: str | None = None
    again: bool = False
    address: str | None = field(default=None, repr=False)

    @classmethod
    def of(cls, job: Any, processor_id: str, claim_no: int, verdict: Verdict) -> Self:
        """Say what becomes of a job, given as a row or what was read of one, by the claim that is given."""
        names = ("type", "attempt", "owner", "subject", "key", "concurrency_key")
        read = {name: getattr(job, name) for name in names}
        return cls(job_id=job.id, processor_id=processor_id, claim_no=claim_no, verdict=verdict, **read)

    @property
    def size(self) -> int:
        """Roughly how many letters are to be written."""
        outcome = self.verdict.outcome
        texts = sum(letters(text) for text in (outcome.result, outcome.error_message, outcome.error_detail) if text)
        return texts + sum(2 * len(str(wish)) for wish in outcome.enqueue)  # its payload is JSON inside JSON


@dataclass(frozen=True, slots=True)
class Settled:
    """What became of a batch: accepted as written, refused as stale, held by others, refused by the database.

    Of rows that waited for these jobs: `reused` ended with a result, `woken` are pending again, or follow them;
    `unseen` says that some could not be looked at. `parents` are jobs that may have ended with their last child;
    `refusals` say what else the database did not take.
    """

    accepted: tuple[Settlement, ...] = ()
    stale: tuple[Settlement, ...] = ()
    held: tuple[Settlement, ...] = ()
    unstorable: tuple[tuple[Settlement, str], ...] = ()
    reused: tuple[Reused, ...] = ()
    woken: int = 0
    unseen: bool = False
    parents: frozenset[int] = frozenset()
    refusals: tuple[str, ...] = ()

    def __add__(self, other: "Settled") -> "Settled":
        return Settled(
            self.accepted + other.accepted,
            self.stale + other.stale,
            self.held + other.held,
            self.unstorable + other.unstorable,
            self.reused + other.reused,
            self.woken + other.woken,
            self.unseen or other.unseen,
            self.parents | other.parents,
            self.refusals + other.refusals,
        )


def unstorable(settlement: Settlement, why: str) -> Settlement:
    """Give what is written instead of a verdict that the database will not store."""
    outcome = Outcome(
        Kind.PROTOCOL,
        error_type="ResultNotStorable",
        error_message=f"The database cannot store what this attempt returned or said: {why}",
        seconds=settlement.verdict.outcome.seconds,
    )
    notify = settlement.verdict.notify_failure
    verdict = Verdict(Status.FAILED, Reason.UNSTORABLE, outcome, failed=True, notify=notify)
    return replace(settlement, verdict=verdict)
