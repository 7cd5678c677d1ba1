"""What we decide about an outcome: pure, so that every rule is a row in a test.

    outcome + job + policy + chance  ->  verdict

A crash, a timeout, a cancellation and a lost processor are not special paths: each is an outcome that enters here.
Rules in order: a cancel that was asked for wins over any further try · a handler's own word (`Cancel`, `Fail`,
`Snooze`, `Retry`) · a job whose process died three times in a row is poison · then attempts and back-off.
"""

from dataclasses import dataclass, replace

from processor.lifecycle import FINAL, Reason, Status
from processor.outcome import Kind, Outcome

POISON_CRASHES = 3
"""Deaths in a row after which a job is not tried again (Sidekiq's number, known in the field as the poison pill)."""

CRASHES = frozenset({Kind.EXITED, Kind.LOST, Kind.MEMORY})
"""Outcomes in which the job may have taken its process down."""

FAILURE: dict[Kind, Reason] = {
    Kind.RAISED: Reason.ERROR,
    Kind.RETRY: Reason.ERROR,
    Kind.REFUSED: Reason.ERROR,
    Kind.PROTOCOL: Reason.ERROR,
    Kind.TIMED_OUT: Reason.TIMEOUT,
    Kind.MEMORY: Reason.MEMORY,
    Kind.WORKDIR: Reason.WORKDIR,
    Kind.EXITED: Reason.EXIT,
    Kind.LOST: Reason.LOST,
    Kind.UNUSABLE: Reason.HANDLER,
    Kind.MALFORMED: Reason.MALFORMED,
    Kind.EXPIRED: Reason.EXPIRED,
    Kind.CHILDREN: Reason.CHILDREN,
}

_NEVER_AGAIN = frozenset({Kind.REFUSED, Kind.MALFORMED, Kind.EXPIRED, Kind.CHILDREN})
"""Another try cannot end better."""


@dataclass(frozen=True, slots=True)
class Backoff:
    """How long a further try waits: `delay * factor ** (attempt - 1)`, at most `max_delay`, spread by `jitter`.

    Seconds; `jitter` is the share of the delay (0 to 1) by which it may be longer or shorter, so that tries which
    failed together do not come back together.
    """

    delay: float = 10.0
    factor: float = 2.0
    max_delay: float = 3600.0
    jitter: float = 0.2

    def seconds(self, attempt: int, chance: float) -> float:
        """Give the wait after this attempt; `chance` is in [0, 1)."""
        exponent = min(max(attempt, 1) - 1, 63)
        wait = min(self.delay * self.factor**exponent, self.max_delay)
        return max(0.0, wait * (1 + self.jitter * (2 * chance - 1)))


@dataclass(frozen=True, slots=True)
class Policy:
    """What a job's type says about its end, with the row's own wishes already applied."""

    max_attempts: int = 1
    backoff: Backoff = Backoff()
    retry_on: tuple[str, ...] | None = None
    notify: str = "both"

    def retries(self, outcome: Outcome) -> bool:
        """Tell whether this kind of failure may be tried again."""
        if outcome.kind is not Kind.RAISED or self.retry_on is None:
            return True
        return any(name in self.retry_on for name in outcome.error_kinds)

    def notifies(self, status: Status) -> bool:
        """Tell whether this final state is worth a notification; a cancelled job counts as not completed."""
        if self.notify == "both":
            return True
        return self.notify == ("completed" if status is Status.COMPLETED else "failed")


@dataclass(frozen=True, slots=True)
class Verdict:
    """Where the job goes now.

    `delay` in seconds; `given_back` is 1 where the attempt does not count; `notify_failure` is for those who find that
    it must end otherwise: cancelled meanwhile, or not to be stored.
    """

    status: Status
    reason: Reason
    outcome: Outcome
    delay: float | None = None
    given_back: int = 0
    crashes: int = 0
    failed: bool = False
    notify: bool = False
    notify_failure: bool = False

    @property
    def final(self) -> bool:
        return self.status in FINAL


LONGEST_DELAY = 366 * 86_400.0
"""Seconds; a handler (or a Retry-After) that asks for more gets this, or the row would lie beyond every calendar."""


def judge(outcome: Outcome, *, attempt: int, crashes: int, cancelled: bool, policy: Policy, chance: float) -> Verdict:
    """Decide about one outcome.

    `attempt` counts this try; `crashes` the tries in a row before it that took their process down; `cancelled` says
    that somebody asked for the job to stop.
    """
    verdict = _decide(outcome, attempt, crashes, cancelled, policy, chance)
    return replace(
        verdict,
        notify=verdict.final and policy.notifies(verdict.status),
        notify_failure=policy.notifies(Status.FAILED),
    )


def _decide(outcome: Outcome, attempt: int, crashes: int, cancelled: bool, policy: Policy, chance: float) -> Verdict:
    if outcome.kind is Kind.RETURNED:
        return Verdict(Status.COMPLETED, Reason.DONE, outcome)
    if outcome.kind is Kind.CANCELLED or cancelled:
        return Verdict(Status.CANCELLED, Reason.ASKED, outcome)
    if outcome.kind is Kind.SNOOZE:
        return Verdict(Status.SCHEDULED, Reason.SNOOZE, outcome, delay=_bounded(outcome.delay or 0.0), given_back=1)
    if outcome.kind is Kind.STOPPED:
        return _stopped(outcome, crashes, policy)
    if outcome.kind is Kind.NOT_STARTED:
        return Verdict(Status.PENDING, Reason.RELEASE, outcome, given_back=1, crashes=crashes)
    return _failed(outcome, attempt, crashes, policy, chance)


def _stopped(outcome: Outcome, crashes: int, policy: Policy) -> Verdict:
    """A job that was stopped half-way goes back, unless it was promised to be started once only."""
    if outcome.started and policy.max_attempts == 1:
        return Verdict(Status.FAILED, Reason.STOPPED, outcome, crashes=crashes, failed=True)
    return Verdict(Status.PENDING, Reason.RELEASE, outcome, given_back=1, crashes=crashes)


def _failed(outcome: Outcome, attempt: int, crashes: int, policy: Policy, chance: float) -> Verdict:
    reason = FAILURE[outcome.kind]
    crashes = crashes + 1 if outcome.kind in CRASHES else 0
    again = outcome.kind not in _NEVER_AGAIN and attempt < policy.max_attempts and policy.retries(outcome)
    if again and crashes >= POISON_CRASHES:
        again, reason = False, Reason.POISON
    if not again:
        return Verdict(Status.FAILED, reason, outcome, crashes=crashes, failed=True)
    delay = outcome.delay if outcome.delay is not None else policy.backoff.seconds(attempt, chance)
    return Verdict(Status.SCHEDULED, Reason.RETRY, outcome, delay=_bounded(delay), crashes=crashes, failed=True)


def _bounded(delay: float) -> float:
    return min(max(delay, 0.0), LONGEST_DELAY)
