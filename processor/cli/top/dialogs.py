"""What lies over the screen for a moment: a question, a page of text."""

from collections.abc import Sequence
from typing import Any, ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Static

from processor.cli.top.lines import Cell


def joined(cells: Sequence[Cell]) -> Text:
    """Put cells together; none of their letters is read as markup."""
    return Text.assemble(*cells, no_wrap=True, overflow="ellipsis")


def keys(*pairs: tuple[str, str]) -> Text:
    """Write which key does what."""
    return joined([cell for key, word in pairs for cell in ((f" {key}", "bold"), (f" {word} ", ""))])


class Question(ModalScreen[bool]):
    """Asks in the last line, or in the last ones where it is long; only y is a yes."""

    DEFAULT_CSS = """
    Question { background: transparent; }
    Question Static { dock: bottom; height: auto; padding: 0 1; text-style: reverse; }
    """
    BINDINGS: ClassVar[list[Any]] = [
        Binding("y,Y", "dismiss(True)"),
        Binding("n,N,escape,q,enter", "dismiss(False)"),
    ]

    def __init__(self, question: str) -> None:
        super().__init__()
        self._question = question

    def compose(self) -> ComposeResult:
        yield Static(Text(f"{self._question}  y yes  n no", overflow="fold"))


class Page(ModalScreen[None]):
    """A text in a frame; it scrolls where it is long."""

    DEFAULT_CSS = """
    Page { align: center middle; background: transparent; }
    Page VerticalScroll {
        width: 76; max-width: 96%; height: auto; max-height: 90%; padding: 0 1; border: round ansi_cyan;
    }
    """
    BINDINGS: ClassVar[list[Any]] = [Binding("escape,q,enter,question_mark,e", "dismiss")]

    def __init__(self, title: str, text: Text) -> None:
        super().__init__()
        self._title = title
        self._text = text

    def compose(self) -> ComposeResult:
        frame = VerticalScroll(Static(self._text))
        frame.border_title = f" {self._title} "
        frame.border_subtitle = " esc closes "
        yield frame
