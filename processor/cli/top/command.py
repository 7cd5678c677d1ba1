"""`jobtable top`: the way into the screen."""

import sys

import click

from processor.cli.session import Session, configured, pass_session
from processor.cli.watch import is_terminal
from processor.errors import StartRefused


@click.command()
@configured
@click.option("--read-only", is_flag=True, help="Look, and change nothing.")
@pass_session
def top(session: Session, read_only: bool) -> int:
    """Show live what runs, what waits and why, and what failed; with keys to steer it. Help: press ?."""
    try:
        from processor.cli.top.app import Top
    except ImportError as error:
        raise StartRefused(
            f"`jobtable top` needs a library that is not installed ({error.name}).", 'Run pip install "jobtable[tui]".'
        ) from error
    if not (sys.stdin.isatty() and sys.stdout.isatty() and sys.stderr.isatty()):
        raise StartRefused(
            "`jobtable top` needs a terminal.", "For a pipe there are `jobtable list --json` and others."
        )
    if not is_terminal():
        raise StartRefused(
            "`jobtable top` cannot draw on this terminal: TERM is dumb, unknown or not set.",
            "Set TERM to what it is, or use `jobtable list`.",
        )
    with session.database() as database:
        code = Top(session.settings, database, read_only=read_only).run(mouse=False)
    return code or 0
