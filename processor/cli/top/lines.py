"""What is read, as lines of texts: jobs by what they do, types, processors, and the sums above them.

A cell is a text with a style. Styles are of the terminal's own sixteen colours, so that they are seen on a light and on
a dark one, and each says in colour what the words say, too.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from processor.cli.jobs import state, trouble
from processor.cli.shown import STYLES, Row, span, visible
from processor.cli.top.reading import SHOWN, Overview, takes
from processor.lifecycle import Reason, Status
from processor.queue.statistics import RECENT

Cell = tuple[str, str]
"""A text, and its style."""

BAR = 10
"""Letters of a progress bar; each shows a tenth, and its eighths."""
EIGHTHS = " ▏▎▍▌▋▊▉█"
BATCH = "batch"
SPARKS = "▁▂▃▄▅▆▇█"
IN_A_COLUMN = 4


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a list. What has no key is a heading and cannot be selected."""

    cells: tuple[Cell, ...]
    key: Any = None
    row: Row | None = None


def job_lines(seen: Overview) -> list[Line]:
    """Give what runs, the longest first, then what waits and why, what is to run next first, then what failed."""
    running = [_line(row, _progress(row), age(row["seconds"])) for row in seen.running]
    waiting = [_line(row, _why(seen, row), _since(seen, row["created_at"])) for row in seen.waiting]
    failed = [_line(row, _failure(row), _since(seen, row["finished_at"])) for row in seen.failed]
    return [
        *_part("running", "cyan", running, SHOWN, "the longest"),
        *_part("waiting, next to run on top", "magenta", waiting, SHOWN, "the first"),
        *_part("failed in the last 24 hours", "red", failed, RECENT, "the newest"),
    ]


def _part(title: str, style: str, lines: list[Line], most: int, which: str) -> list[Line]:
    cut = f", {which} {most}" if len(lines) >= most else ""
    return [Line((("", ""), (f"{title}{cut}", f"bold {style}"))), *lines] if lines else []


def age(seconds: float | None) -> str:
    """Write a duration in whole seconds, so that what is read twice a second does not flicker."""
    return f"{seconds:.0f} s" if seconds is not None and seconds < 60 else span(seconds)


def _since(seen: Overview, instant: datetime) -> str:
    return age(max(0.0, (seen.now - instant).total_seconds()))


def _line(row: Row, what: Cell, since: str) -> Line:
    about = row["subject"] or row["owner"] or ""
    cells = ((str(row["id"]), "dim"), (visible(row["type"]), ""), what, (since, ""), (visible(about), "dim"))
    return Line(cells, row["id"], row)


def _progress(row: Row) -> Cell:
    if row["progress"] is None:
        return visible(row["progress_message"]) or "…", "cyan"
    return f"{bar(row['progress'])} {row['progress']:3.0f} % {visible(row['progress_message'])}".rstrip(), "cyan"


def bar(percent: float) -> str:
    """Draw a progress bar."""
    eighths = round(max(0.0, min(100.0, percent)) / 100 * BAR * 8)
    full, rest = divmod(eighths, 8)
    drawn = "█" * full + (EIGHTHS[rest] if rest else "")
    return drawn.ljust(BAR, "░")


_WAITS_FOR = {
    Reason.LANE: "until its lane is free",
    Reason.CHILDREN: "for its children",
    Reason.DUPLICATE: "for a job of the same work",
}


def _why(seen: Overview, row: Row) -> Cell:
    """Say in a few words why a job does not run; `explain` has all of it."""
    status, type_ = row["status"], row["type"]
    if status == Status.PAUSED:
        return "paused" if row["reason"] != Reason.BATCH else "until its batch is whole", "magenta"
    if status == Status.WAITING:
        return _WAITS_FOR.get(row["reason"], state(row)), "magenta"
    if seen.is_paused(type_):
        return "its type is paused", "magenta"
    if type_ not in seen.live:
        return _nobody(seen), "yellow"
    if row["run_at"] is not None and row["run_at"] > seen.now:
        again = {Reason.RETRY: ", next try", Reason.SNOOZE: ", as it asked"}.get(row["reason"], "")
        return f"due in {span((row['run_at'] - seen.now).total_seconds())}{again}", "dim"
    return _room(seen, type_), ""


def _nobody(seen: Overview) -> str:
    if any(takes(row) for row in seen.processors):
        return "no processor runs its type"
    return "every processor drains" if seen.is_anybody_alive else "no processor is alive"


def _room(seen: Overview, type_: str) -> str:
    limit, running = seen.rules(type_).max_concurrent, seen.counted.number(Status.RUNNING, type_)
    if limit is not None and running >= limit:
        return f"due, its limit is reached, {running} of {limit}"
    free_at = seen.rate_free_at(type_)
    if free_at is not None:
        return f"due, its rate is used up for {span((free_at - seen.now).total_seconds())}"
    return "due, every slot is taken" if seen.is_full(type_) else "due"


def _failure(row: Row) -> Cell:
    return f"{visible(row['reason'])}  {visible(trouble(row))}".strip(), "red"


# --- types and processors --------------------------------------------------------------------------------------------


def type_lines(seen: Overview) -> list[Line]:
    """Give each type: what is to be done, and what became of it in the last hour."""
    idle = {BATCH} - set(seen.counted.statistics.counts)  # every processor has it, and most have no use for it
    return [_type_line(seen, name) for name in seen.types if name not in idle]


def _type_line(seen: Overview, name: str) -> Line:
    counted, ended = seen.counted, seen.counted.statistics.counts.get(name, {})
    limit, failed = seen.rules(name).max_concurrent, ended.get(Status.FAILED, 0)
    times = counted.statistics.times_of.get(name)
    ran = times.ran if times else None
    running = counted.number(Status.RUNNING, name)
    waits = counted.number(Status.WAITING, name) + counted.number(Status.PAUSED, name)
    cells = (
        (visible(name), ""),
        (f"{running}/{limit}" if limit is not None else _number(running), "cyan"),
        (_number(counted.number(Status.PENDING, name)), ""),
        (_number(counted.number(Status.SCHEDULED, name)), ""),
        (_number(waits), ""),
        (_number(ended.get(Status.COMPLETED, 0)), "green"),
        (_number(failed), "red"),
        (span(ran.p50) if ran else "·", ""),
        _note(seen, name),
    )
    return Line(cells, name, {"type": name, "is_paused": seen.is_paused(name)})


def _note(seen: Overview, name: str) -> Cell:
    if seen.is_paused(name):
        return "paused", "magenta"
    return ("", "") if name in seen.live else ("nobody runs it", "yellow")


def _number(count: int) -> str:
    """Write a number in five letters; none as a dot, so that the eye finds what is there."""
    for size, unit in ((10**9, "G"), (10**6, "M"), (10**3, "k")):
        if count >= 10 * size or (count >= size > 10**3):
            return f"{count / size:.1f}{unit}" if count < 100 * size else f"{count // size}{unit}"
    return f"{count:,}" if count else "·"


def processor_lines(seen: Overview) -> list[Line]:
    """Give each processor that is not known to have ended."""
    return [_processor_line(row) for row in seen.processors]


def _processor_line(row: Row) -> Line:
    late = bool(row["lease_over"])
    drains = row["drain_requested"] or row["status"] == "draining"
    condition = "does not answer" if late else "drains" if drains else "works"
    share = 100 * row["running"] / row["max_concurrent"] if row["max_concurrent"] else 0
    cells = (
        (visible(row["name"]), ""),
        (condition, "yellow" if late or drains else "green"),
        (f"{bar(share)} {row['running']}/{row['max_concurrent']}", "cyan"),
        (f"{age(row['beat_age_seconds'])} ago", "yellow" if late else "dim"),
        (visible(row["host"]), "dim"),
    )
    return Line(cells, row["id"], row)


# --- sums ------------------------------------------------------------------------------------------------------------


def sums(seen: Overview) -> list[Cell]:
    """Give what there is to do now, in all."""
    slots = sum(row["max_concurrent"] for row in seen.processors if not row["lease_over"])
    number = seen.counted.number
    parts = [
        (f"{number(Status.RUNNING):,} of {slots:,}", "running", STYLES["running"]),
        (f"{number(Status.PENDING):,}", "due", ""),
        (f"{number(Status.SCHEDULED):,}", "later", ""),
        (f"{number(Status.WAITING):,}", "waiting", ""),
        (f"{number(Status.PAUSED):,}", "paused", ""),
    ]
    return [cell for figure, word, style in parts for cell in ((figure, f"bold {style}"), (f" {word}   ", ""))]


def last_hour(seen: Overview) -> list[Cell]:
    """Give what ended in the last hour, and how much of it when."""
    found = seen.counted.statistics
    failed = found.finished[Status.FAILED]
    return [
        ("last hour: ", "dim"),
        (f"{found.finished[Status.COMPLETED]:,}", "bold green"),
        (" done   ", ""),
        (f"{failed:,}", "bold red" if failed else "bold"),
        (" failed   ", ""),
        (f"{found.per_minute:,.1f}", "bold"),
        (" a minute   ", ""),
        (sparks([bucket.finished for bucket in found.buckets]), "cyan"),
    ]


def sparks(numbers: Sequence[int]) -> str:
    """Draw numbers as small columns, so many in each that they are seen on a narrow terminal, too."""
    sums = [sum(numbers[place : place + IN_A_COLUMN]) for place in range(0, len(numbers), IN_A_COLUMN)]
    most = max(sums, default=0)
    return "".join(SPARKS[1 + min(6, number * 7 // most)] if number else SPARKS[0] for number in sums)
