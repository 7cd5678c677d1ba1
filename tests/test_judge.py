from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processor.judge import FAILURE, Backoff, Policy, Verdict, judge
from processor.lifecycle import Reason, Status, allows
from processor.outcome import Kind, Outcome

TRICE = Policy(max_attempts=3, backoff=Backoff(delay=10, factor=2, max_delay=100, jitter=0))
FAILURES = sorted(FAILURE)


def rule(
    kind: Kind, *, attempt: int = 1, crashes: int = 0, cancelled: bool = False, policy: Policy = TRICE, **facts: Any
) -> Verdict:
    return judge(
        Outcome(kind, **facts), attempt=attempt, crashes=crashes, cancelled=cancelled, policy=policy, chance=0.5
    )


@pytest.mark.parametrize(
    ("kind", "attempt", "status", "reason"),
    [
        (Kind.RETURNED, 1, Status.COMPLETED, Reason.DONE),
        (Kind.RAISED, 1, Status.SCHEDULED, Reason.RETRY),
        (Kind.RAISED, 3, Status.FAILED, Reason.ERROR),
        (Kind.RETRY, 1, Status.SCHEDULED, Reason.RETRY),
        (Kind.RETRY, 3, Status.FAILED, Reason.ERROR),
        (Kind.SNOOZE, 3, Status.SCHEDULED, Reason.SNOOZE),
        (Kind.REFUSED, 1, Status.FAILED, Reason.ERROR),
        (Kind.CANCELLED, 1, Status.CANCELLED, Reason.ASKED),
        (Kind.STOPPED, 3, Status.PENDING, Reason.RELEASE),
        (Kind.NOT_STARTED, 3, Status.PENDING, Reason.RELEASE),
        (Kind.TIMED_OUT, 1, Status.SCHEDULED, Reason.RETRY),
        (Kind.TIMED_OUT, 3, Status.FAILED, Reason.TIMEOUT),
        (Kind.MEMORY, 3, Status.FAILED, Reason.MEMORY),
        (Kind.WORKDIR, 3, Status.FAILED, Reason.WORKDIR),
        (Kind.EXITED, 3, Status.FAILED, Reason.EXIT),
        (Kind.UNUSABLE, 3, Status.FAILED, Reason.HANDLER),
        (Kind.PROTOCOL, 3, Status.FAILED, Reason.ERROR),
        (Kind.LOST, 1, Status.SCHEDULED, Reason.RETRY),
        (Kind.LOST, 3, Status.FAILED, Reason.LOST),
        (Kind.MALFORMED, 1, Status.FAILED, Reason.MALFORMED),
        (Kind.EXPIRED, 1, Status.FAILED, Reason.EXPIRED),
    ],
)
def test_each_outcome_has_its_verdict(kind: Kind, attempt: int, status: Status, reason: Reason) -> None:
    verdict = rule(kind, attempt=attempt)
    assert (verdict.status, verdict.reason) == (status, reason)


@pytest.mark.parametrize("kind", FAILURES)
def test_a_job_with_one_attempt_is_never_tried_again(kind: Kind) -> None:
    assert rule(kind, policy=Policy()).status is Status.FAILED


@pytest.mark.parametrize("kind", [kind for kind in Kind if kind is not Kind.RETURNED])
def test_a_cancel_that_was_asked_for_ends_everything_but_finished_work(kind: Kind) -> None:
    assert rule(kind, cancelled=True).status is Status.CANCELLED
    assert rule(Kind.RETURNED, cancelled=True).status is Status.COMPLETED


def test_a_job_promised_to_be_started_once_is_not_released_after_it_started() -> None:
    assert rule(Kind.STOPPED, policy=Policy()).reason is Reason.STOPPED
    untouched = rule(Kind.STOPPED, policy=Policy(), started=False)
    assert (untouched.status, untouched.given_back) == (Status.PENDING, 1)


def test_the_pause_before_a_retry_doubles_up_to_its_cap() -> None:
    policy = Policy(max_attempts=99, backoff=TRICE.backoff)
    assert [rule(Kind.RAISED, attempt=n, policy=policy).delay for n in range(1, 7)] == [10, 20, 40, 80, 100, 100]


def test_a_handler_may_say_when_to_come_back() -> None:
    assert rule(Kind.RETRY, delay=3.5).delay == 3.5
    assert rule(Kind.RETRY).delay == 10


def test_jitter_spreads_the_pause_on_both_sides() -> None:
    backoff = Backoff(delay=100, jitter=0.2)
    assert backoff.seconds(1, 0.0) == pytest.approx(80)
    assert backoff.seconds(1, 1.0) == pytest.approx(120)


def test_only_chosen_exceptions_are_retried_where_the_type_chooses() -> None:
    policy = Policy(max_attempts=3, retry_on=("app.Busy", "OSError"))
    busy = rule(Kind.RAISED, policy=policy, error_kinds=("app.Busy", "builtins.Exception"))
    wrong = rule(Kind.RAISED, policy=policy, error_kinds=("builtins.ValueError", "ValueError"))
    assert busy.status is Status.SCHEDULED
    assert wrong.status is Status.FAILED
    assert rule(Kind.TIMED_OUT, policy=policy).status is Status.SCHEDULED


def test_three_deaths_in_a_row_are_poison() -> None:
    patient = Policy(max_attempts=10)
    assert rule(Kind.EXITED, crashes=1, policy=patient).crashes == 2
    third = rule(Kind.LOST, crashes=2, policy=patient)
    assert (third.status, third.reason) == (Status.FAILED, Reason.POISON)
    assert rule(Kind.RAISED, crashes=2, policy=patient).crashes == 0


@given(
    kind=st.sampled_from(Kind),
    attempt=st.integers(1, 10**6),
    crashes=st.integers(0, 5),
    cancelled=st.booleans(),
    max_attempts=st.integers(1, 30),
    chance=st.floats(0, 1, exclude_max=True),
    started=st.booleans(),
)
def test_every_verdict_is_a_legal_move_with_what_it_needs(
    kind: Kind, attempt: int, crashes: int, cancelled: bool, max_attempts: int, chance: float, started: bool
) -> None:
    policy = Policy(max_attempts=max_attempts)
    verdict = judge(
        Outcome(kind, started=started),
        attempt=attempt,
        crashes=crashes,
        cancelled=cancelled,
        policy=policy,
        chance=chance,
    )
    assert allows(Status.RUNNING, verdict.status)
    assert verdict.notify == verdict.final
    assert (verdict.delay is not None) == (verdict.status is Status.SCHEDULED)
    assert verdict.given_back in (0, 1)
    if verdict.status is Status.SCHEDULED and not verdict.given_back:
        assert attempt < max_attempts
