"""`jobtable notifications`: who was told what, and what is still unread."""

import click

from processor.cli.given import ID, as_json, name
from processor.cli.session import Session, configured, pass_session
from processor.cli.shown import Column, counted, moment, write_json, write_table

COLUMNS = (
    Column("id", lambda row: str(row["id"]), right=True),
    Column("job", lambda row: str(row["job_id"]), right=True),
    Column("type", lambda row: row["type"]),
    Column("status", lambda row: row["status"], styled=True),
    Column("owner", lambda row: row["owner"]),
    Column("subject", lambda row: row["subject"]),
    Column("at (UTC)", lambda row: moment(row["created_at"])),
    Column("read (UTC)", lambda row: moment(row["read_at"])),
    Column("message", lambda row: row["message"], wraps=True),
)


@click.group(invoke_without_command=True)
@configured
@click.option("--unread", is_flag=True, help="Only what nobody marked as read.")
@click.option("--owner", type=name, metavar="TEXT", help="Only what is addressed to this owner.")
@click.option("--limit", type=click.IntRange(1, 100_000), default=50, show_default=True, help="At most so many.")
@as_json
@pass_session
@click.pass_context
def notifications(
    context: click.Context, session: Session, unread: bool, owner: str | None, limit: int, as_json: bool
) -> None:
    """List notifications, newest first: one for each job that ended."""
    if context.invoked_subcommand is not None:
        return
    from processor.queue import lookup

    with session.database() as database:
        rows = lookup.notifications_page(database, unread=unread, owner=owner, limit=limit)
    if as_json:
        write_json(rows)
    else:
        write_table(COLUMNS, rows, empty="There are no such notifications.")


@notifications.command()
@configured
@click.argument("ids", metavar="[ID]...", nargs=-1, type=ID)
@click.option("--all", "everything", is_flag=True, help="Every one that is unread.")
@click.option("--owner", type=name, metavar="TEXT", help="With --all: only those of this owner.")
@pass_session
def read(session: Session, ids: tuple[int, ...], everything: bool, owner: str | None) -> None:
    """Mark notifications as read."""
    if bool(ids) == everything:
        raise click.UsageError("Name notifications by their ids, or give --all; one of the two.")
    if owner is not None and ids:
        raise click.UsageError("--owner narrows --all; ids need no owner.")
    from processor.queue import control

    with session.database() as database:
        changed = control.mark_read(database, ids, owner=owner)
    click.echo(f"marked as read: {counted(changed, 'notification')}")
