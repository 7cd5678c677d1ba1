"""The dashboard as the tests read it: its panels, also those in folded rows, and every question that it asks."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

FOLDER = Path(__file__).parents[2] / "deployment"
Panel = dict[str, Any]


class Question(NamedTuple):
    """An expression, who asks it, and which labels its answer must have."""

    asker: str
    text: str
    labels: frozenset[str]


def read() -> dict[str, Any]:
    board: dict[str, Any] = json.loads((FOLDER / "grafana" / "jobtable.json").read_text(encoding="utf-8"))
    return board


def everything(board: dict[str, Any]) -> list[Panel]:
    """Give all panels and rows, each row before what is folded into it."""
    return [panel for row in board["panels"] for panel in (row, *row.get("panels", []))]


def panels(board: dict[str, Any]) -> list[Panel]:
    return [panel for panel in everything(board) if panel["type"] != "row"]


def questions(board: dict[str, Any]) -> list[Question]:
    """Give what panels and annotations ask; labels are those of legends, or of `by (…)` in a table."""
    return [*_of_panels(board), *_of_annotations(board)]


def _of_panels(board: dict[str, Any]) -> Iterator[Question]:
    for panel in panels(board):
        for target in panel["targets"]:
            named = re.findall(r"{{(\w+)}}", target["legendFormat"])
            if target.get("format") == "table":
                named = _split(re.match(r".*?\bby \(([^)]*)\)", target["expr"], re.DOTALL)[1])  # type: ignore[index]
            yield Question(panel["title"], target["expr"], frozenset(named) - {"le"})


def _of_annotations(board: dict[str, Any]) -> Iterator[Question]:
    for annotation in board["annotations"]["list"]:
        if "expr" in annotation:
            named = re.findall(r"{{(\w+)}}", annotation["titleFormat"])
            yield Question(annotation["name"], annotation["expr"], frozenset(named))


def choices(board: dict[str, Any]) -> list[tuple[str, str]]:
    """Give the metrics and labels whose values the variables offer."""
    definitions = [variable.get("definition", "") for variable in board["templating"]["list"]]
    return [match.groups() for text in definitions if (match := re.fullmatch(r"label_values\((\w+), (\w+)\)", text))]  # type: ignore[misc]


def asked(text: str, window: str = "1m", period: str = "1h", processor: str = ".+", type_: str = ".+") -> str:
    """Put values where Grafana puts them; nothing with a dollar may be left."""
    values = {"$__rate_interval": window, "$__range": period, "$processor": processor, "$type": type_}
    for name, value in values.items():
        text = text.replace(name, value)
    assert "$" not in text, text
    return text


def series(text: str) -> list[tuple[str, dict[str, str]]]:
    """Give the metrics that an expression reads, each with what it selects: label and pattern."""
    outside = re.sub(r'"[^"]*"', lambda text: '"' + "x" * (len(text[0]) - 2) + '"', text)
    found = re.finditer(r"\b((?:jobtable|process)_\w+|up|ALERTS)\b(?!\()({[^}]*})?", outside)
    return [(match[1], _selected(text[match.end(1) : match.end()])) for match in found]


def _selected(braces: str) -> dict[str, str]:
    return dict(re.findall(r'(\w+)(?:=~|!=|=)"([^"]*)"', braces))


def grouped(text: str) -> Iterator[tuple[frozenset[str], str]]:
    """Give each `by (labels) (…)` with what is between its parentheses."""
    for match in re.finditer(r"\bby \(([^)]*)\) ?\(", text):
        yield frozenset(_split(match[1])), _inside(text[match.end() :])


def _inside(text: str) -> str:
    depth = 1
    for end, letter in enumerate(text):
        depth += {"(": 1, ")": -1}.get(letter, 0)
        if depth == 0:
            return text[:end]
    raise AssertionError(f"a parenthesis is not closed: {text}")


def _split(labels: str) -> list[str]:
    return re.split(r",\s*", labels)


def collisions(board: dict[str, Any]) -> list[tuple[int, int]]:
    """Give the panels that lie on one another, and those outside of 24 columns; a folded row has its own place."""
    levels = [board["panels"], *(row["panels"] for row in board["panels"] if row.get("panels"))]
    found = [(one["id"], one["id"]) for one in everything(board) if one["gridPos"]["x"] + one["gridPos"]["w"] > 24]
    for level in levels:
        found += [(a["id"], b["id"]) for n, a in enumerate(level) for b in level[n + 1 :] if _overlap(a, b)]
    return found


def _overlap(one: Panel, other: Panel) -> bool:
    a, b = one["gridPos"], other["gridPos"]
    return bool(
        a["x"] < b["x"] + b["w"] and b["x"] < a["x"] + a["w"] and a["y"] < b["y"] + b["h"] and b["y"] < a["y"] + a["h"]
    )


def repeated(board: dict[str, Any]) -> list[Any]:
    """Give what must be there once and is there twice: numbers and titles of panels, letters of their questions."""
    numbers = [panel["id"] for panel in everything(board)]
    titles = [panel["title"] for panel in everything(board)]
    letters = [(panel["title"], target["refId"]) for panel in panels(board) for target in panel["targets"]]
    return [one for kind in (numbers, titles, letters) for one in set(kind) if kind.count(one) > 1]
