"""What became of a replayed job: its outcome, and where a processor would have put it."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from processor.cli.life import coloured, json_lines
from processor.cli.shown import STYLES, counted, decoded, json_text, shortened, span, visible, visible_lines
from processor.lifecycle import Reason, Status

if TYPE_CHECKING:
    from processor.judge import Verdict
    from processor.queue.taking import ClaimedJob

LETTERS = 200
MOST_SHOWN = 20


def answer(
    job: "ClaimedJob", max_attempts: int, verdict: "Verdict", *, held: float | None, interrupted: bool
) -> dict[str, Any]:
    """Put the answer together; the jobs it enqueued count only where it completed."""
    outcome = asdict(verdict.outcome)
    enqueued = outcome.pop("enqueue") if verdict.status is Status.COMPLETED else []
    outcome.pop("enqueue", None)
    return {
        "job": job.id,
        "type": job.type,
        "attempt": job.attempt,
        "max_attempts": max_attempts,
        "interrupted": interrupted,
        "outcome": {**outcome, "result": decoded(outcome)["result"]},
        "verdict": {"status": verdict.status.value, "reason": verdict.reason.value, "delay": verdict.delay},
        "enqueued": list(enqueued),
        "held_seconds": held,
    }


def write_ended(found: dict[str, Any]) -> None:
    """Write an answer for people."""
    outcome, verdict = found["outcome"], found["verdict"]
    click.echo()
    _write("outcome", _outcome(outcome))
    if verdict["status"] == Status.COMPLETED.value:
        _write("result", *json_lines(json_text(outcome["result"])))
    else:
        _write("error", *_error(outcome))
    state = f"{verdict['status']} ({verdict['reason']})"
    shown = click.style(state, fg=STYLES.get(verdict["status"])) if coloured() else state
    _write("verdict", f"{shown}{_what_follows(found)}")
    for place, wish in enumerate(found["enqueued"][:MOST_SHOWN]):
        _write("" if place else "enqueues", _wish(wish))
    if found["enqueued"]:
        _write("", f"{counted(len(found['enqueued']), 'job')}, not inserted: this is a replay")
    if found["held_seconds"] is not None:
        _write("holds", f"its type for {span(found['held_seconds'])}; not done: this is a replay")


def _write(label: str, *lines: str) -> None:
    for place, line in enumerate(lines):
        click.echo(f"{'' if place else label:<9} {line}".rstrip())


def _outcome(outcome: dict[str, Any]) -> str:
    used = [f"processor time {span(outcome['cpu_seconds'])}"] if outcome["cpu_seconds"] is not None else []
    if outcome["max_rss_bytes"] is not None:
        used.append(f"memory {outcome['max_rss_bytes'] / 2**20:.0f} MiB")
    ended = f"{outcome['kind'].replace('_', ' ')} after {span(outcome['seconds'])}"
    return f"{ended} ({', '.join(used)})" if used else ended


def _error(outcome: dict[str, Any]) -> list[str]:
    head = f"{outcome['error_type'] or ''}: {outcome['error_message'] or ''}".strip(": ")
    text = f"{head}\n{outcome['error_detail'] or ''}".rstrip()
    return visible_lines(text).split("\n") if text else []


def _what_follows(found: dict[str, Any]) -> str:
    verdict, tries = found["verdict"], f"try {found['attempt']} of {found['max_attempts']}"
    if verdict["reason"] == Reason.RETRY.value:
        return f": {tries}, the next one in about {span(verdict['delay'])}"
    if verdict["reason"] == Reason.SNOOZE.value:
        return f": started again in {span(verdict['delay'])}; this try does not count"
    if verdict["status"] == Status.PENDING.value:
        return ": it goes back, and this try does not count"
    return f": not tried again, {tries}" if verdict["status"] == Status.FAILED.value else ""


def _wish(wish: dict[str, Any]) -> str:
    others = [f"{name}={value}" for name, value in wish.items() if name not in ("type", "payload")]
    payload = shortened(json_text(wish.get("payload", {})), LETTERS)
    return visible(" ".join([str(wish["type"]), payload, *others]))
