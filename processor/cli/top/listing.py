"""Lines on the screen, one of them selected: what is selected stays so while lines come, go and move."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from rich.segment import Segment
from rich.style import Style
from rich.text import Text
from textual.binding import Binding
from textual.geometry import Size
from textual.message import Message
from textual.strip import Strip
from textual.widget import Widget

from processor.cli.top.lines import Line

GAP = 2


@dataclass(frozen=True, slots=True)
class Place:
    """A column: its title, its width, or its share of what the others leave; `from_width`: only shown from there on."""

    title: str
    width: int = 0
    share: int = 0
    right: bool = False
    from_width: int = 0


class Listing(Widget, can_focus=True):
    """A list with a heading. Up and down, j and k, page keys, g and G select."""

    DEFAULT_CSS = "Listing { width: 1fr; height: 1fr; }"
    BINDINGS: ClassVar[list[Any]] = [
        Binding("up,k", "step(-1)"),
        Binding("down,j", "step(1)"),
        Binding("pageup,ctrl+b", "page(-1)"),
        Binding("pagedown,ctrl+f", "page(1)"),
        Binding("home,g", "end(-1)"),
        Binding("end,G", "end(1)"),
        Binding("enter", "choose"),
    ]

    class Chosen(Message):
        """Enter was pressed on a line."""

        def __init__(self, line: Line) -> None:
            super().__init__()
            self.line = line

    def __init__(self, places: Sequence[Place], empty: str, id: str) -> None:
        super().__init__(id=id)
        self._places = places
        self._empty = empty
        self._lines: list[Line] = []
        self._selected = 0
        self._is_moved = False
        self._top = 0

    def show(self, lines: list[Line], empty: str | None = None) -> None:
        """Show these lines; the selection stays on its key, else at its place; where nobody moved it, at the top."""
        old = self.selected if self._is_moved else None
        again = [n for n, line in enumerate(lines) if old is not None and line.key == old.key]
        self._lines = lines
        self._empty = self._empty if empty is None else empty
        self._select(again[0] if again else self._selected if self._is_moved else 0, 1)
        self.refresh(layout=True)

    @property
    def selected(self) -> Line | None:
        """The line that is selected; None where there is none."""
        line = self._lines[self._selected] if self._selected < len(self._lines) else None
        return line if line is not None and line.key is not None else None

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        return max(1, len(self._lines)) + 1

    # --- keys --------------------------------------------------------------------------------------------------------

    def action_step(self, by: int) -> None:
        self._is_moved = True
        self._select(self._selected + by, by)

    def action_page(self, by: int) -> None:
        self._is_moved = True
        self._select(self._selected + by * max(1, self.size.height - 2), by)

    def action_end(self, by: int) -> None:
        self._is_moved = by > 0
        self._select(0 if by < 0 else len(self._lines) - 1, -by)

    def go_to(self, title: str) -> None:
        """Select the first line below a heading that begins so."""
        for number, line in enumerate(self._lines):
            if line.key is None and line.cells[1][0].startswith(title):
                self._is_moved, self._top = True, number
                self._select(number + 1, 1)

    def action_choose(self) -> None:
        if self.selected is not None:
            self.post_message(self.Chosen(self.selected))

    def _select(self, wanted: int, by: int) -> None:
        """Select a line, or the next one in this direction that has a key, or the next in the other."""
        places = [n for n, line in enumerate(self._lines) if line.key is not None]
        ahead = [n for n in places if (n >= wanted if by > 0 else n <= wanted)]
        if places:
            self._selected = (ahead[0] if by > 0 else ahead[-1]) if ahead else places[-1 if by > 0 else 0]
        else:
            self._selected = 0
        self._scroll()
        self.refresh()

    def _scroll(self) -> None:
        room = max(1, self.size.height - 1)
        first = 0 if self._selected <= 1 else self._selected  # the heading above the first line stays in view
        self._top = max(0, min(self._top, first, len(self._lines) - room), self._selected - room + 1)

    # --- drawing -----------------------------------------------------------------------------------------------------

    def on_resize(self) -> None:
        self._scroll()

    def render_line(self, y: int) -> Strip:
        width = self.size.width
        if y == 0:
            style = "bold underline" if self.has_focus else "dim underline"
            titles = tuple((place.title, style) for place in self._places)
            return self._strip(titles, width, style)
        number = self._top + y - 1
        if not self._lines:
            return self._text(self._empty if y == 1 else "", "dim", width)
        if number >= len(self._lines):
            return Strip.blank(width, Style())
        line = self._lines[number]
        if line.key is None:
            return self._text("".join(text for text, _ in line.cells), line.cells[1][1], width)
        return self._strip(line.cells, width, "", selected=number == self._selected and self.has_focus)

    def _text(self, text: str, style: str, width: int) -> Strip:
        return Strip([Segment(fitted(f" {text}", width), Style.parse(style or "none"))])

    def _strip(self, cells: Sequence[tuple[str, str]], width: int, gaps: str, *, selected: bool = False) -> Strip:
        mark = Style(reverse=True) if selected else Style()
        plain = Style.parse(gaps or "none") + mark
        pieces = [Segment(" ", plain)]
        for (text, style), place, room in self._fit(cells, width - 2):
            look = mark if selected else Style.parse(style or "none")
            pieces += [Segment(fitted(text, room, right=place.right), look), Segment(" " * GAP, plain)]
        return Strip([*pieces[:-1], Segment(" ", plain)]).adjust_cell_length(width, plain)

    def _fit(self, cells: Sequence[tuple[str, str]], width: int) -> list[tuple[tuple[str, str], Place, int]]:
        shown = [(cell, place) for cell, place in zip(cells, self._places, strict=True) if width >= place.from_width]
        left = width - sum(place.width for _, place in shown) - GAP * (len(shown) - 1)
        shares = sum(place.share for _, place in shown) or 1
        return [
            (cell, place, place.width + (max(0, left) * place.share // shares if place.share else 0))
            for cell, place in shown
        ]


def fitted(text: str, width: int, *, right: bool = False) -> str:
    """Fit a text to a number of cells; of letters that take two, none is cut in half."""
    one = Text(text, no_wrap=True)
    one.truncate(width, overflow="ellipsis")
    one.align("right" if right else "left", width)
    return one.plain
