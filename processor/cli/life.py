"""The whole life of one job, as people read it."""

import json
import sys
from collections.abc import Iterator

import click

from processor.cli.shown import STYLES, Row, moment, shortened, span, visible, visible_lines

PAYLOAD_LETTERS = 2000
DETAIL_LINES = 12

_FACTS = (
    ("owner", "owner"),
    ("subject", "subject"),
    ("key", "key"),
    ("concurrency_key", "lane"),
    ("priority", "priority"),
    ("max_attempts", "max attempts"),
    ("timeout_seconds", "time limit"),
    ("expires_at", "expires"),
    ("parent_id", "part of"),
    ("fail_on", "fail on"),
    ("on_complete", "on complete"),
    ("on_failure", "on failure"),
    ("duplicate_of", "equal to"),
    ("trace_parent", "trace"),
    ("cpu_seconds", "processor time"),
    ("max_rss_bytes", "memory"),
)


def write_life(
    job: Row, errors: list[Row], events: list[Row], notifications: list[Row], children: dict[str, int]
) -> None:
    """Write a job: heading, facts, timeline, payload and result, errors of each try, latest events, notifications."""
    for line in outline(job, children):
        click.echo(line)
    _write_section("payload", json_lines(job["payload"]) if job["payload"] != "{}" else [])
    _write_section("result", json_lines(job["result"]))
    for error in errors:
        _write_section(*_failed_try(error))
    _write_section(_events_title(job, events), [event_line(event) for event in events])
    _write_section("notifications", [_told(notification) for notification in notifications])


def outline(job: Row, children: dict[str, int]) -> Iterator[str]:
    """Give the lines that say how a job stands: heading, facts, timeline."""
    yield heading(job)
    for name, label in _FACTS:
        if job[name] is not None:
            yield _line(label, _fact(name, job[name]))
    if children:
        yield _line("children", ", ".join(f"{count:,} {status}" for status, count in sorted(children.items())))
    yield from _section("timeline (UTC)", list(_timeline(job)))


def heading(job: Row) -> str:
    """Name a job and its state."""
    state = f"{job['status']} ({job['reason']})" if job["reason"] else job["status"]
    asked = ", asked to stop" if job["cancel_requested"] and job["status"] == "running" else ""
    shown = click.style(state + asked, fg=STYLES.get(job["status"])) if coloured() else state + asked
    return f"job {job['id']}  {visible(job['type'])}  {shown}"


def coloured() -> bool:
    import os

    return sys.stdout.isatty() and not os.environ.get("NO_COLOR")


def _fact(name: str, value: object) -> str:
    if name in ("timeout_seconds", "cpu_seconds"):
        return span(value)  # type: ignore[arg-type]
    if name == "max_rss_bytes":
        return f"{int(value) / 2**20:.0f} MiB"  # type: ignore[call-overload]
    return moment(value) if name == "expires_at" else visible(value)  # type: ignore[arg-type]


def _line(label: str, text: str) -> str:
    return f"  {label:<15} {text}"


def _write_section(title: str, lines: list[str]) -> None:
    for line in _section(title, lines):
        click.echo(line)


def _section(title: str, lines: list[str]) -> list[str]:
    return ["", title, *(f"  {line}" for line in lines)] if lines else []


def _timeline(job: Row) -> Iterator[str]:
    yield f"{moment(job['created_at'])}  inserted"
    due = job["run_at"] or job["created_at"]
    if job["run_at"] is not None:
        yield f"{moment(job['run_at'])}  due"
    if job["started_at"] is not None:
        waited = (job["started_at"] - max(due, job["created_at"])).total_seconds()
        late = f", {span(waited)} after it was due" if waited >= 0 else ""
        yield f"{moment(job['started_at'])}  try {job['attempt']} started{late}"
    if job["finished_at"] is not None:
        ran = f" after {span(job['seconds'])}" if job["started_at"] is not None else ""
        yield f"{moment(job['finished_at'])}  {job['status']}{ran}"
    elif job["status"] == "running":
        progress = "" if job["progress"] is None else f", {job['progress']:.0f} % {visible(job['progress_message'])}"
        yield f"{'now':<19}  running for {span(job['seconds'])}{progress}"
    if job["processor_id"] is not None:
        yield f"{'':<19}  by processor {visible(job['processor_id'])}, claim {job['claim_no']}"


def json_lines(text: str | None) -> list[str]:
    if text is None or text == "null":
        return []
    try:
        shown = json.dumps(json.loads(text), indent=2, ensure_ascii=False)
    except (ValueError, RecursionError):
        shown = text
    return visible_lines(shortened(shown, PAYLOAD_LETTERS)).split("\n")


def _failed_try(error: Row) -> tuple[str, list[str]]:
    ran = "" if error["seconds"] is None else f" after {span(error['seconds'])}"
    title = f"try {error['attempt']} failed{ran} ({visible(error['reason'])}), {moment(error['created_at'])}"
    lines = visible_lines(f"{error['error_type'] or ''}: {error['error_message'] or ''}".strip(": ")).split("\n")
    detail = visible_lines(error["error_detail"] or "").rstrip().split("\n")
    cut = [f"… {len(detail) - DETAIL_LINES} lines more; --json has all"] if len(detail) > DETAIL_LINES else []
    return title, [*lines, *cut, *(f"  {line}" for line in detail[-DETAIL_LINES:] if line)]


def _events_title(job: Row, events: list[Row]) -> str:
    more = f" (the last {len(events)} of {job['event_no']}; `jobtable logs {job['id']} --states` has all)"
    return f"events{more if job['event_no'] > len(events) else ''}"


def event_line(event: Row) -> str:
    """Write one event of a job in one line (or in the lines of its text)."""
    return f"{event['created_at']:%H:%M:%S} {event['attempt']:>2} {event_text(event)}"


def event_text(event: Row) -> str:
    """Write what an event says: its level or kind, a percentage, its text; of a state, the status and the reason."""
    if event["kind"] == "state":
        why = "" if event["text"] is None else f" ({visible(event['text'])})"
        return f"state    {event['level']}{why}"
    what = event["level"] or event["kind"]
    percent = "" if event["percent"] is None else f"{event['percent']:.0f} % "
    return f"{what:<8} {percent}{visible_lines(event['text'] or '')}".rstrip()


def _told(notification: Row) -> str:
    whom = f" to {visible(notification['owner'])}" if notification["owner"] else ""
    read = f"read {moment(notification['read_at'])}" if notification["read_at"] else "unread"
    why = f": {visible(notification['message'])}" if notification["message"] else ""
    return f"{moment(notification['created_at'])}  {notification['status']}{whom} ({read}){why}"
