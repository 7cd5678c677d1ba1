"""Write what people and programs see: tables, JSON, spans of time.

Rows hold what strangers wrote. Nothing in them may move a cursor, change a colour or turn the writing: every letter
that is not printable is shown as its escape. On a terminal tables fit its width; in a pipe nothing is cut.
"""

import json
import math
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import click

Row = dict[str, Any]

_JSON_COLUMNS = ("payload", "result")
_TRUTHS = ("is_paused", "lease_over")
"""Conditions that some databases answer with 0 and 1."""

STYLES = {
    "completed": "green",
    "failed": "red",
    "cancelled": "yellow",
    "running": "cyan",
    "paused": "magenta",
    "waiting": "magenta",
}


# --- JSON ------------------------------------------------------------------------------------------------------------


def write_json(value: Any) -> None:
    """Write a value as JSON; ASCII alone, so that it is safe in every pipe and on every terminal."""
    click.echo(json_text(value, indent=2))


def json_text(value: Any, indent: int | None = None) -> str:
    return json.dumps(value, indent=indent, default=_plain)


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return iso(value)
    return float(value) if isinstance(value, Decimal) else str(value)


def iso(instant: datetime) -> str:
    """Write an instant as ISO 8601 in UTC, always with microseconds: texts of one length sort as they follow."""
    return instant.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def decoded(row: Row) -> Row:
    """Give a row for JSON: its JSON columns decoded, its conditions as true and false."""
    changed = {name: _value(row[name]) for name in _JSON_COLUMNS if name in row}
    changed |= {name: bool(row[name]) for name in _TRUTHS if name in row}
    return {**row, **changed}


def _value(text: str | None) -> Any:
    try:
        return None if text is None else json.loads(text)
    except (ValueError, RecursionError):
        return text  # what no program here wrote


# --- texts -----------------------------------------------------------------------------------------------------------


def visible(value: Any) -> str:
    """Write a value in one line; what is no printable letter becomes its escape."""
    text = "" if value is None else str(value)
    return text if text.isprintable() else "".join(c if c.isprintable() else _escaped(c) for c in text)


def visible_lines(value: str) -> str:
    """Write a text that may have several lines."""
    return "\n".join(visible(line.expandtabs()) for line in value.split("\n"))


def _escaped(letter: str) -> str:
    return letter.encode("unicode_escape").decode("ascii")


def moment(instant: datetime | None) -> str:
    """Write an instant for people, in UTC to the second."""
    return "" if instant is None else f"{instant.astimezone(UTC):%Y-%m-%d %H:%M:%S}"


def span(seconds: float | Decimal | None) -> str:
    """Write a duration with the two units that matter."""
    if seconds is None or not math.isfinite(seconds):
        return ""
    whole = float(seconds)
    if abs(whole) < 1:
        return f"{whole * 1000:.0f} ms"
    if abs(whole) < 60:
        return f"{whole:.1f} s"
    for size, unit, part, smaller in ((86400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s")):
        if abs(whole) >= size:
            return f"{int(whole // size)} {unit} {int(whole % size // part)} {smaller}"
    raise AssertionError("every span has a unit")


def counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def shortened(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[: length - 1]}…"


# --- tables ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Column:
    """One column: its title, and the text of a row's cell. `styled` colours the cell by the word it shows."""

    title: str
    cell: Callable[[Row], str]
    right: bool = False
    styled: bool = False
    wraps: bool = False


def write_table(columns: Sequence[Column], rows: Iterable[Row], *, empty: str) -> None:
    """Write rows as a table without the columns that would be empty; `empty` is said where there are no rows."""
    cells = [[visible(column.cell(row)) for column in columns] for row in rows]
    if not cells:
        click.echo(empty)
        return
    shown = [place for place in range(len(columns)) if any(line[place] for line in cells)]
    kept = [columns[place] for place in shown]
    lines = [[line[place] for place in shown] for line in cells]
    if sys.stdout.isatty():
        _write_on_terminal(kept, lines)
    else:
        _write_plain(kept, lines)


def _write_plain(columns: list[Column], lines: list[list[str]]) -> None:
    lines = [[column.title for column in columns], *lines]
    widths = [max(len(line[place]) for line in lines) for place in range(len(columns))]
    for line in lines:
        padded = [
            cell.rjust(width) if column.right else cell.ljust(width)
            for cell, width, column in zip(line, widths, columns, strict=True)
        ]
        click.echo("  ".join(padded).rstrip())


def _write_on_terminal(columns: list[Column], lines: list[list[str]]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for column in columns:
        justify = "right" if column.right else "left"
        overflow = "fold" if column.wraps else "ellipsis"
        table.add_column(column.title, justify=justify, overflow=overflow, no_wrap=not column.wraps)  # type: ignore[arg-type]
    for line in lines:
        table.add_row(
            *(
                Text(cell, style=STYLES.get(cell.split(" ")[0], "") if column.styled else "")
                for cell, column in zip(line, columns, strict=True)
            )
        )
    Console(highlight=False).print(table)
