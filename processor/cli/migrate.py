"""`jobtable migrate`: make the tables, bring them up to date, or take them away."""

from typing import TYPE_CHECKING

import click

from processor.cli.session import Session, configured, pass_session
from processor.cli.shown import visible
from processor.errors import NotFound, SchemaTooNew

if TYPE_CHECKING:
    from processor.db import Database
    from processor.db.migrate import Migrated


@click.command()
@configured
@click.option("--down", is_flag=True, help="Go back instead: to --revision, or to no tables at all. Rows are lost.")
@click.option("--revision", metavar="REVISION", help="Stop at this revision instead of the newest (or of none).")
@click.option("--yes", is_flag=True, help="Do not ask before --down removes tables.")
@pass_session
def migrate(session: Session, down: bool, revision: str | None, yes: bool) -> None:
    """Create the tables, or bring them up to date; rows are kept.

    Safe to run at any time, and by several processes at once: one migrates, the others wait and find it done.
    Where [database] wakeup is on it also installs the trigger that wakes a sleeping processor (PostgreSQL), and
    removes it where it is off.
    """
    with session.unchecked_database() as database:
        if down:
            _ask(database, yes)
            _set_wakeup(database, wanted=False)
        migrated = _move(database, down, revision)
        click.echo(f"{database.address}: {_said(migrated)}")
        if not down:
            _set_wakeup(database, wanted=session.settings.database.wakeup)


def _move(database: "Database", down: bool, revision: str | None) -> "Migrated":
    from processor.db import schema
    from processor.db.migrate import downgrade, upgrade

    found = schema.revision(database)
    if found is not None and found not in schema.REVISIONS:
        raise SchemaTooNew(database.address, found, schema.REVISIONS[-1])
    if revision is not None and revision not in schema.REVISIONS:
        message = f"There is no revision {visible(revision)}. Nothing was changed."
        raise NotFound(message, f"Known revisions: {', '.join(schema.REVISIONS)}.")
    return downgrade(database, revision or "base") if down else upgrade(database, revision or "head")


def _set_wakeup(database: "Database", *, wanted: bool) -> None:
    """Bring the wake-up trigger in line with the settings. Raises `Refused` where the database has no notices."""
    from processor.queue import wakeup

    if wanted != wakeup.is_on(database):
        (wakeup.switch_on if wanted else wakeup.switch_off)(database)
        click.echo(f"{database.address}: {'installed' if wanted else 'removed'} the wake-up trigger")


def _said(migrated: "Migrated") -> str:
    if not migrated.changed:
        return f"already at {migrated.after}" if migrated.after else "there are no tables"
    if migrated.before is None:
        return f"created the tables (revision {migrated.after})"
    if migrated.after is None:
        return f"removed the tables (they were at revision {migrated.before})"
    return f"went from revision {migrated.before} to {migrated.after}"


def _ask(database: "Database", yes: bool) -> None:
    from processor.cli.control import ask

    ask(f"Remove tables and their rows from {database.address}?", yes)
