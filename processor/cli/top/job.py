"""One job: how it stands above, what it tells below, as it tells it."""

import asyncio
from typing import TYPE_CHECKING, Any, ClassVar, cast

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding
from textual.screen import Screen
from textual.widgets import RichLog, Static

from processor.cli.jobs import trouble
from processor.cli.life import event_line, outline
from processor.cli.shown import Row, visible
from processor.cli.top.dialogs import keys
from processor.cli.top.lines import bar
from processor.errors import JobtableError, NotFound
from processor.lifecycle import FINAL, Status
from processor.queue import lookup

if TYPE_CHECKING:
    from processor.cli.top.app import Top

LOOK_SECONDS = 0.3
PAGE = 1000
KEPT_LINES = 5_000
"""Of a log; and events of it, so that a long one is seen at once from near its end."""
LEVELS = {"error": "red", "critical": "red", "warning": "yellow", "stderr": "yellow", "debug": "dim"}
TITLE = " log: time (UTC), try, level"
AWAY = Text(" the database is away", style="bold red")
KINDS = {"state": "bold", "progress": "cyan"}


class JobScreen(Screen[None]):
    """Follows one job; `log_only`: with its log on the whole screen."""

    DEFAULT_CSS = """
    JobScreen #stands { height: auto; max-height: 60%; padding: 0 1; }
    JobScreen.-log-only #stands { max-height: 1; }
    JobScreen #rule { height: 1; text-style: underline; }
    JobScreen #told { height: 1fr; padding: 0 1; scrollbar-size-vertical: 1; }
    JobScreen #told:ansi { scrollbar-color: ansi_cyan; }
    JobScreen #stands, JobScreen #keys { text-wrap: nowrap; text-overflow: ellipsis; }
    JobScreen #keys { height: 1; }
    JobScreen #keys.-saying { height: auto; max-height: 6; padding: 0 1; text-wrap: wrap; }
    """
    BINDINGS: ClassVar[list[Any]] = [
        Binding("escape,q,left", "app.pop_screen"),
        Binding("l", "toggle_log"),
        Binding("c", "app.steer('cancel')"),
        Binding("r", "app.steer('retry')"),
        Binding("p", "app.steer('pause')"),
        Binding("e", "app.explain"),
        Binding("j,down", "scroll(1)"),
        Binding("k,up", "scroll(-1)"),
    ]

    def __init__(self, row: Row, *, log_only: bool) -> None:
        super().__init__()
        self.row = row
        self._place = 0
        self._log_only = log_only
        self._left_out = 0

    def compose(self) -> ComposeResult:
        yield Static("", id="stands")
        yield Static(TITLE, id="rule")
        yield RichLog(id="told", max_lines=KEPT_LINES, wrap=True, auto_scroll=True, min_width=20)
        yield Static("", id="keys")

    def on_mount(self) -> None:
        self.set_class(self._log_only, "-log-only")
        self.say_keys()
        self.query_one("#told").focus()
        self.run_worker(self._follow())

    def say_keys(self) -> None:
        pairs = (("esc", "back"), ("l", "log"), ("e", "explain"), ("c", "cancel"), ("r", "retry"), ("p", "pause"))
        self.query_one("#keys", Static).remove_class("-saying").update(keys(*pairs, ("↑↓", "scroll"), ("?", "help")))

    def action_toggle_log(self) -> None:
        self.toggle_class("-log-only")

    def action_scroll(self, by: int) -> None:
        self.query_one("#told", RichLog).scroll_relative(y=by, animate=False)

    def on_unmount(self) -> None:
        cast("Top", self.app).look_soon()

    async def _follow(self) -> None:
        top = cast("Top", self.app)
        while self.is_attached:
            try:
                more = self._show(*await top.asking.ask(lambda: self._read(top.database)))
            except NotFound as error:
                self.query_one("#told", RichLog).write(Text(error.message, style="bold"))
                return
            except JobtableError:
                more = False
            self.say_whose_log()
            await asyncio.sleep(0 if more else LOOK_SECONDS)

    def say_whose_log(self) -> None:
        """Write above the log what it is, and what of it is not here; or that the database is away."""
        more = f"; not here: {self._left_out:,} events before, jobtable logs {self.row['id']}"
        title = Text(f"{TITLE}{more if self._left_out else ''}")
        self.query_one("#rule", Static).update(AWAY if cast("Top", self.app).asking.is_off else title)

    def _read(self, database: Any) -> tuple[Row, dict[str, int], list[Row], int]:
        """Read how the job stands and what it told since, of that no more than is kept; tell how much is left out."""
        job = lookup.job(database, self.row["id"])
        after = max(self._place, job["event_no"] - KEPT_LINES)
        told = lookup.events(database, job["id"], after=after, limit=PAGE) if job["event_no"] > after else []
        return job, lookup.children(database, job["id"]), told, after - self._place

    def _show(self, job: Row, children: dict[str, int], events: list[Row], left_out: int) -> bool:
        self.row = job
        self.query_one("#stands", Static).update(_stands(job, children))
        log = self.query_one("#told", RichLog)
        self._left_out += left_out
        for event in events:
            log.write(_event(event))
            self._place = event["number"]
        return len(events) == PAGE


def _stands(job: Row, children: dict[str, int]) -> Text:
    lines = [Text.from_ansi(line) for line in outline(job, children)]
    lines[0].stylize("bold")
    if job["status"] == Status.RUNNING and job["progress"] is not None:
        text = f"  {bar(job['progress'])} {job['progress']:.0f} % {visible(job['progress_message'])}"
        lines.insert(1, Text(text, style="cyan"))
    if job["status"] in FINAL and trouble(job):
        lines.insert(1, Text(f"  {visible(trouble(job))}", style="red"))
    return Text("\n", no_wrap=True, overflow="ellipsis").join(lines)


def _event(event: Row) -> Text:
    style = KINDS.get(event["kind"]) or LEVELS.get(event["level"] or "", "")
    return Text(event_line(event), style=style)
