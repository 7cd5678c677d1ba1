"""`jobtable demo`: the story, told while it happens."""

import os
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

import click

from processor.cli.session import Session, pass_session
from processor.errors import Refused

if TYPE_CHECKING:
    from collections.abc import Sequence

    from processor.cli.demo.report import Ended
    from processor.db import Database
    from processor.queue.explain import Explanation

LIMIT_SECONDS = 180.0
MOST_SLOTS = 8


@click.command()
@click.option(
    "--keep",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Work in this folder (default: ./jobtable-demo, or a temporary one where that cannot be written).",
)
@pass_session
def demo(session: Session, keep: Path | None) -> None:
    """Do real work on the embedded database, in under a minute: documentation pages of Python's standard library.

    The folder stays: its configuration, handlers, database and pages are there to look at and to go on with.
    """
    if session.config is not None or session.flags:
        raise click.UsageError(
            "The demo has a configuration and a database of its own; leave --config and --database-url."
        )
    from processor.cli.demo import folder as folders
    from processor.cli.demo.hook import Hook

    with _interruptible(), Hook() as hook:
        folder = folders.choose(keep)
        folders.lay_out(folder, hook.port, slots=min(max(2, os.cpu_count() or 2), MOST_SLOTS))
        _play(folder)


@contextmanager
def _interruptible() -> Iterator[None]:
    """Let SIGTERM and a closed terminal end the demo like an interrupt: with the processor it started."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _play(folder: Path) -> None:
    from processor.cli.demo import display, plan, play, report
    from processor.db.migrate import upgrade
    from processor.queue.explain import explain
    from processor.settings import load
    from processor.work.incarnation import open_database

    first, second = plan.first_act(), plan.second_act()
    planned = [*first, *second, *plan.epilogue()]
    with open_database(load(folder / "jobtable.toml", environ={})) as database:
        upgrade(database)
        play.insert(folder, first)
        _tell_beginning(folder, len(first), play.INSERT)
        started = time.monotonic()
        why: list[Explanation] = []

        def look(view: play.View) -> None:
            show(view)
            if view.waiting and not why:
                why.append(explain(database, view.waiting))

        with play.processor(folder) as process, display.progress(len(planned)) as show:
            play.watch(database, process, folder, look, LIMIT_SECONDS)
            play.insert_batch(folder, second)
            play.watch(database, process, folder, look, LIMIT_SECONDS)
            play.stop_clock(folder)
            play.watch_clock(database, process, folder, LIMIT_SECONDS)
        ended = report.read(database, planned, folder / "pages")
        _tell_end(folder, database, ended, time.monotonic() - started, why)
    if ended.deviations:
        raise Refused(f"Not everything ended as planned: {'; '.join(ended.deviations[:5])}.", f"Look into {folder}.")


def _tell_beginning(folder: Path, rows: int, insert: str) -> None:
    click.echo(
        "jobtable: the table is the queue.\n\n"
        f"  folder     {folder}\n"
        "             (jobtable.toml, handlers.py, measure.py and the database: read them, change them)\n"
        f"  put in     {rows} rows, by plain SQL and Python's own sqlite3; no client library, any language can:\n"
        f"             {insert}\n"
        "  the work   a page of documentation for each package of Python's standard library,\n"
        "             an HTTP call, equal jobs, jobs that take turns, a batch, a schedule, and three that are to go\n"
        "             wrong\n\n"
        "  the page   watch it in a browser: in another terminal\n"
        f"             cd {_folder(folder)} && {_command()} serve\n"
        f"             and open http://{_listen()}\n\n"
        "Now `jobtable run` takes the rows, the highest priority first, each in a process that it can kill,\n"
        "and writes into the row how it ended. This bar only reads the table:"
    )


def _tell_end(folder: Path, database: "Database", ended: "Ended", seconds: float, why: "Sequence[Explanation]") -> None:
    from processor.cli.demo import report
    from processor.cli.demo.plan import FAILS_ONCE, OVERRUNS
    from processor.cli.explain import write_explanation
    from processor.cli.jobs import write_one

    click.echo(f"\n{len(ended.jobs)} jobs in {seconds:.1f} s. How they ended, from their rows:\n")
    report.write_outcomes(ended)
    click.echo(
        "\nOne ran over its limit and was killed, one failed and was tried again, one was cancelled while it ran"
    )
    click.echo("(UPDATE jobs SET cancel_requested = true). Six were commands that packed the pages, never two at once")
    click.echo(
        "(max_concurrent = 1), and the children of a batch that waited for them; the index followed it (on_complete)."
    )
    click.echo("Three had one key: one was worked on, two got its result. Three had one lane and ran in their order.")
    click.echo("A schedule made one every two seconds.\n")
    for explanation in why:
        click.echo(f"While it waited, `jobtable explain {explanation.job}` said:\n")
        write_explanation(explanation)
        click.echo()
    report.write_notifications(ended)
    click.echo("\nThe whole life of the one that failed first:\n")
    write_one(database, ended.of(FAILS_ONCE)["id"])
    command = _command()
    click.echo(
        f"\nPages:  {folder / 'pages' / 'index.html'}\n"
        "Next:\n"
        f"  cd {_folder(folder)} && {command} serve    # the page: open http://{_listen()}\n"
        f"  {command} list --limit 10\n"
        f"  {command} show {ended.of(OVERRUNS)['id']}\n"
        f'  {command} enqueue pages.write --payload \'{{"package": "json"}}\' && {command} run --drain'
    )


def _listen() -> str:
    """Give the address at which the page is served, unless somebody says otherwise."""
    from processor.sections import Serve

    return Serve().listen


def _folder(folder: Path) -> str:
    """Write the folder as one would type it from here."""
    import shlex

    here = Path.cwd()
    return shlex.quote(str(folder.relative_to(here) if folder.is_relative_to(here) else folder))


def _command() -> str:
    """Write how this program is called here: by its name where the shell finds it."""
    if shutil.which("jobtable"):
        return "jobtable"
    beside = Path(sys.executable).with_name("jobtable")
    return str(beside) if beside.is_file() else f"{sys.executable} -m processor"
