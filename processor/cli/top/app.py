"""The screen with everything on it, and its keys."""

import asyncio
import signal
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, ClassVar

from rich.text import Text
from textual.app import App, ComposeResult
from textual.binding import Binding
from textual.containers import Container
from textual.timer import Timer
from textual.widgets import Input, Static

from processor.cli.shown import Row, visible
from processor.cli.top import steering
from processor.cli.top.asking import Asking, rest_after
from processor.cli.top.clerk import Clerk
from processor.cli.top.dialogs import Page, Question, keys
from processor.cli.top.job import JobScreen
from processor.cli.top.layout import CSS, JOBS, PROCESSORS, TYPES, WIDE, head
from processor.cli.top.lines import job_lines, processor_lines, type_lines
from processor.cli.top.listing import Listing
from processor.cli.top.reading import Overview, Reader
from processor.cli.top.texts import HELP, explanation
from processor.errors import JobtableError
from processor.queue.explain import explain

if TYPE_CHECKING:
    from processor.db import Database
    from processor.settings import Settings

SAY_SECONDS = 6.0


class Top(App[int]):
    """`jobtable top`."""

    ENABLE_COMMAND_PALETTE = False
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (WIDE, "-wide")]  # noqa: RUF012 - it is declared so
    CSS = CSS
    BINDINGS: ClassVar[list[Any]] = [
        Binding("q", "leave(0)"),
        Binding("ctrl+c", "leave(130)", priority=True),
        Binding("c", "steer('cancel')"),
        Binding("r", "steer('retry')"),
        Binding("p", "steer('pause')"),
        Binding("e", "explain"),
        Binding("l", "log"),
        Binding("1", "part('running')"),
        Binding("2", "part('waiting')"),
        Binding("3", "part('failed')"),
        Binding("slash", "filter"),
        Binding("escape", "unfilter"),
        Binding("question_mark", "help"),
    ]

    def __init__(self, settings: "Settings", database: "Database", *, read_only: bool) -> None:
        super().__init__(ansi_color=True)
        self.theme = "ansi-dark"  # the terminal's own colours, on its own ground: light or dark as it is
        self.clerk = Clerk()
        self.database = database
        self._settings = settings
        self._read_only = read_only
        self._reader = Reader(settings, database)
        self._seen: Overview | None = None
        self.asking = Asking(self.clerk, self.set_timer, self._say_and_show)
        self._look_now = asyncio.Event()
        self._said: Timer | None = None

    def compose(self) -> ComposeResult:
        yield Static("", id="head")
        with Container(id="body"):
            yield Listing(JOBS, "Reading the table …", id="jobs")
            with Container(id="side"):
                yield Listing(TYPES, "No type is known yet.", id="types")
                yield Listing(PROCESSORS, "No processor is alive. Start one: jobtable run", id="processors")
        yield Input(placeholder="a part of a type, subject, key, owner or error", id="filter", compact=True)
        yield Static("", id="keys")

    def on_mount(self) -> None:
        for number in (signal.SIGTERM, signal.SIGHUP):
            asyncio.get_running_loop().add_signal_handler(number, self.exit, 0)
        self._listing("jobs").focus()
        self._say_keys()
        self.run_worker(self._look())

    # --- looking -----------------------------------------------------------------------------------------------------

    async def _look(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            began = loop.time()
            if len(self.screen_stack) == 1 or not isinstance(self.screen_stack[1], JobScreen):
                await self._look_once()
            self._look_now.clear()
            try:
                rest = rest_after(loop.time() - began, is_off=self.asking.is_off)
                await asyncio.wait_for(self._look_now.wait(), rest)
            except TimeoutError:
                continue

    async def _look_once(self) -> None:
        with suppress(JobtableError):
            self._seen = await self.asking.ask(self._reader.read)
        self._show()

    def _say_and_show(self, text: str) -> None:
        self._say(text)
        self._show()

    def look_soon(self) -> None:
        """Do not rest until the next look."""
        self._look_now.set()

    def _show(self) -> None:
        for screen in self.screen_stack:
            if isinstance(screen, JobScreen):
                screen.say_whose_log()
        wanted, address = self._reader.text, self.database.address
        shown = head(self._seen, address, wanted, is_off=self.asking.is_off, read_only=self._read_only)
        self.screen_stack[0].query_one("#head", Static).update(shown)
        if self._seen is None:
            return
        none = (
            f"No job has {self._reader.text!r} in it."
            if self._reader.text
            else "Nothing runs, nothing waits, nothing failed."
        )
        self._listing("jobs").show(job_lines(self._seen), visible(none))
        self._listing("types").show(type_lines(self._seen))
        self._listing("processors").show(processor_lines(self._seen))

    # --- saying ------------------------------------------------------------------------------------------------------

    def _say(self, text: str) -> None:
        """Say something at the bottom for a while, in as many lines as it needs."""
        for screen in self.screen_stack:
            for line in screen.query("#keys").results(Static):
                line.add_class("-saying")
                line.update(Text(text, style="bold"))
        if self._said is not None:
            self._said.stop()
        self._said = self.set_timer(SAY_SECONDS, self._say_keys)

    def _say_keys(self) -> None:
        pairs = (("↵", "job"), ("l", "log"), ("e", "explain"), ("c", "cancel"), ("r", "retry"), ("p", "pause"))
        more = (("/", "filter"), ("?", "help"), ("q", "quit"))
        line = self.screen_stack[0].query_one("#keys", Static).remove_class("-saying")
        line.update(keys(*pairs, *more))
        for screen in self.screen_stack:
            if isinstance(screen, JobScreen):
                screen.say_keys()

    # --- keys --------------------------------------------------------------------------------------------------------

    def action_leave(self, code: int) -> None:
        self.exit(code)

    def action_help(self) -> None:
        self.push_screen(Page("keys", HELP))

    def action_part(self, title: str) -> None:
        """Go to the jobs that run, wait or failed."""
        self._listing("jobs").focus()
        self._listing("jobs").go_to(title)

    def action_filter(self) -> None:
        if isinstance(self.screen, JobScreen):
            return
        self._filter.value = self._reader.text
        self.screen.add_class("-filtering")
        self._filter.focus()

    @property
    def _filter(self) -> Input:
        return self.screen_stack[0].query_one("#filter", Input)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        self._filter_by(event.value.strip())

    def action_unfilter(self) -> None:
        """Leave the line where a filter is written, or else take the filter away."""
        self._filter_by(self._reader.text if self.screen.has_class("-filtering") else "")

    def _filter_by(self, text: str) -> None:
        self._reader.text = text
        self.screen.remove_class("-filtering")
        self._listing("jobs").focus()
        self.look_soon()

    def _listing(self, name: str) -> Listing:
        return self.screen_stack[0].query_one(f"#{name}", Listing)

    def on_listing_chosen(self, event: Listing.Chosen) -> None:
        job, type_ = self._job(), self._selected("types")
        if job is not None:
            self.push_screen(JobScreen(job, log_only=False))
        elif type_ is not None:
            self._filter_by(type_["type"])

    def action_log(self) -> None:
        job = self._job()
        if job is None:
            self._say("Select a job: tab goes to their list.")
        else:
            self.push_screen(JobScreen(job, log_only=True))

    def _job(self) -> Row | None:
        """Give the job that is meant: the one that is followed, or the one that is selected."""
        if isinstance(self.screen, JobScreen):
            return self.screen.row
        return self._selected("jobs")

    def _selected(self, name: str) -> Row | None:
        listing = self._listing(name)
        return listing.selected.row if listing.has_focus and listing.selected is not None else None

    # --- changing ----------------------------------------------------------------------------------------------------

    def action_steer(self, word: str) -> None:
        job = self._job()
        type_ = None if job is not None or word != "pause" else self._selected("types")
        if job is not None:
            self._ask(steering.of_job(self._settings, word, job))
        elif type_ is not None:
            self._ask(steering.of_type(type_))
        else:
            self._say("Select a job, or for p a type: tab goes from list to list.")

    def _ask(self, change: steering.Change | str) -> None:
        if isinstance(change, str):
            self._say(change)
        elif self._read_only:
            self._say("This is --read-only: nothing is changed.")
        else:
            self.push_screen(Question(change.question), self._answered(change))

    def _answered(self, change: steering.Change) -> Callable[[bool | None], None]:
        def answered(yes: bool | None) -> None:
            if yes:
                self.run_worker(self._make(change))

        return answered

    async def _make(self, change: steering.Change) -> None:
        try:
            self._say(await self.clerk.do(lambda: change.make(self.database)))
        except JobtableError as error:
            self._say(visible(str(error)))
        self._reader.count_again()
        self.look_soon()

    async def action_explain(self) -> None:
        job = self._job()
        if job is None:
            self._say("Select a job: tab goes to their list.")
            return
        most = self._settings.processor.max_payload_bytes
        try:
            found = await self.clerk.do(lambda: explain(self.database, job["id"], max_payload_bytes=most))
        except JobtableError as error:
            self._say(visible(str(error)))
            return
        self.push_screen(Page(f"job {found.job}", explanation(found)))
