"""`jobtable purge`: delete old rows now, as the processors do by and by."""

import time
from collections import Counter
from typing import TYPE_CHECKING

import click

from processor.cli.control import ask
from processor.cli.session import Session, configured, pass_session
from processor.cli.shown import counted, visible

if TYPE_CHECKING:
    from processor.db import Database
    from processor.queue.keeping import Keeps
    from processor.settings import Settings


@click.command()
@configured
@click.option("--dry", is_flag=True, help="Only count what would be deleted.")
@click.option("--yes", is_flag=True, help="Do not ask before deleting.")
@pass_session
def purge(session: Session, dry: bool, yes: bool) -> None:
    """Delete what is older than [retention] keeps it: ended jobs, notifications, processors that ended.

    Rows whose outcome still matters stay, and so do the jobs of types that are run elsewhere and not configured here.
    """
    with session.database() as database:
        keeps = keeps_here(session.settings, database)
        found, needed = _walk(database, keeps, dry=True)
        if needed:
            click.echo(f"kept though old: {counted(needed, 'job')} whose outcome still matters")
        if keeps.others:
            names = ", ".join(visible(name) for name in sorted(keeps.others))
            click.echo(f"left to the processors that run them: jobs of the types {names}")
        if not found or dry:
            click.echo(f"{'would delete' if dry else 'deleted'}: {_listed(found)}")
            return
        ask(f"delete {_listed(found)}?", yes)
        deleted, _ = _walk(database, keeps, dry=False)
        click.echo(f"deleted: {_listed(deleted)}")


def keeps_here(settings: "Settings", database: "Database") -> "Keeps":
    """Say for how long rows are kept by this configuration; decorated handlers are asked for theirs."""
    from dataclasses import replace

    from processor.happenings import Happenings
    from processor.queue.purge import run_elsewhere
    from processor.work.roster import call_up, configured_keeps, keeps_of

    modules = settings.processor.modules
    keeps = keeps_of(settings, call_up(settings, Happenings())) if modules else configured_keeps(settings)
    return replace(keeps, others=run_elsewhere(database, keeps.types))


def _walk(database: "Database", keeps: "Keeps", *, dry: bool) -> tuple[Counter[str], int]:
    """Count or delete everything that is old enough; give how many of each kind, and how many old ones are needed."""
    from processor.queue import purge

    count: Counter[str] = Counter()
    needed = 0
    for walk in purge.walks():
        while not walk.over:
            began = time.monotonic()
            bite = purge.bite(database, walk, keeps, dry=dry)
            count[walk.kind] += bite.deleted
            needed += bite.needed
            if bite.refusal:
                click.echo(f"not deleted: {visible(bite.refusal)}", err=True)
            if not dry:
                time.sleep(time.monotonic() - began)  # others want to write, too
    count["processors"] = purge.processors_that_ended(database, dry=dry)
    return +count, needed


def _listed(count: Counter[str]) -> str:
    notes, processors = count["notifications"], count["processors"]
    states = {kind: number for kind, number in count.items() if kind not in ("notifications", "processors")}
    jobs = counted(sum(states.values()), "job")
    told = f" ({', '.join(f'{number:,} {kind}' for kind, number in states.items())})" if states else ""
    return f"{jobs}{told}, {counted(notes, 'notification')}, {counted(processors, 'processor')}"
