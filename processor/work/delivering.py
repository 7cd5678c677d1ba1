"""What a delivery is run with: where its webhook goes and what signs it, read when it starts.

Neither lies in the job. It travels in the definition that the worker gets, as the secrets of http types do.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from processor.errors import DatabaseError, DatabaseUnreachable
from processor.happenings import MoveRefused, WebhookGone
from processor.outcome import Kind, Outcome
from processor.queue import targets
from processor.queue.deliveries import TYPE
from processor.queue.settlement import Settlement
from processor.work.ledger import Run
from processor.work.state import State

GONE = "processor.work.webhook.Gone"
"""What the handler raises where the address answered that it is gone for good."""
SNOOZE_SECONDS = 60.0
"""A delivery whose webhook is paused, or cannot be read, looks again after so long."""


def target_of(state: State, run: Run, spec: dict[str, Any]) -> dict[str, Any] | Outcome:
    """Complete the spec for one delivery, or say at once what becomes of it."""
    try:
        target = targets.target(state.database, run.job.concurrency_key or "", run.job.owner)
    except DatabaseError as error:
        return Outcome(Kind.SNOOZE, delay=SNOOZE_SECONDS, error_message=error.message)
    if target is None or target.paused_reason == targets.GONE:
        why = "was deleted" if target is None else "is paused, because its address is gone"
        return Outcome(Kind.CANCELLED, error_type="WebhookGone", error_message=f"Its webhook {why}.")
    if target.paused_reason is not None or target.held_for > 0:
        return Outcome(Kind.SNOOZE, delay=target.held_for or SNOOZE_SECONDS)
    if target.failures:
        state.failing.add(target.id)
    run.address = target.url
    section = state.settings.webhooks
    facts = {
        "url": target.url,
        "secrets": target.secrets,
        "allow": section.allow,
        "timeout": section.timeout,
        "mask": state.settings.serve.mask,
    }
    return {**spec, "spec": f"{TYPE} {target.id}", "settings": facts}


def report(state: State, batch: Sequence[Settlement]) -> list[Settlement]:
    """Write what tries tell of their webhooks, before the verdicts let the next ones start; give the verdicts.

    A try that failed, or was not made because others had, does not wake the next one of its lane: else all that wait
    for an address that is dead would be taken up one after the other. `waiting.look` finds one every few seconds.
    """
    return [_report(state, one) if one.type == TYPE and one.concurrency_key else one for one in batch]


def _report(state: State, one: Settlement) -> Settlement:
    outcome = one.verdict.outcome
    if not one.again:  # it was noted when it was sent before
        _note(state, one, one.concurrency_key or "")
    wakes = outcome.kind is not Kind.SNOOZE and outcome.kind not in _FAILED
    return one if wakes else replace(one, concurrency_key=None)


def _note(state: State, one: Settlement, webhook: str) -> None:
    outcome, url = one.verdict.outcome, one.address
    try:
        if outcome.error_type == GONE:
            if targets.disable(state.database, webhook, one.owner, url):
                state.happenings.emit(WebhookGone(webhook))
        elif outcome.kind in _FAILED:
            wish = outcome.delay if outcome.kind is Kind.RETRY else None
            targets.failed(state.database, webhook, one.owner, state.settings.webhooks.backoff, wish, url)
        elif outcome.kind is Kind.RETURNED and webhook in state.failing:
            targets.succeeded(state.database, webhook, one.owner, url)
            state.failing.discard(webhook)
    except DatabaseUnreachable:
        raise
    except DatabaseError as error:  # this user may not, say; the verdict is written all the same
        state.happenings.emit(MoveRefused(error.message))


_FAILED = frozenset({Kind.RAISED, Kind.RETRY, Kind.TIMED_OUT})
