"""`jobtable webhook`: which address is told when which jobs end."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from processor.cli.given import OneOf, as_json, name
from processor.cli.given import duration as seconds
from processor.cli.session import Session, configured, pass_session
from processor.cli.shown import Column, Row, moment, visible, write_json, write_table

if TYPE_CHECKING:
    from processor.queue.webhooks import Webhook

OUTCOMES = ("any", "completed", "failed", "cancelled")


def _last(row: Row) -> str:
    return "" if row["last_job_id"] is None else f"{row['last_job_id']} {row['last_job_status']}"


COLUMNS = (
    Column("id", lambda row: row["id"]),
    Column("state", lambda row: row["state"]),
    Column("owner", lambda row: "(all)" if row["owner"] is None else row["owner"]),
    Column("type", lambda row: "(all)" if row["type"] is None else row["type"]),
    Column("outcome", lambda row: row["outcome"]),
    Column("last delivery", _last),
    Column("created (UTC)", lambda row: moment(row["created_at"])),
    Column("name", lambda row: row["name"] or ""),
    Column("address", lambda row: row["url"], wraps=True),
)


@click.group(invoke_without_command=True)
@configured
@click.pass_context
def webhook(context: click.Context) -> None:
    """Make, list and steer webhooks: addresses that are told when jobs end."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


@webhook.command()
@configured
@click.argument("url")
@click.option("--owner", type=name, metavar="NAME", help="It tells of the jobs of this owner.")
@click.option("--all-owners", is_flag=True, help="It tells of the jobs of every owner.")
@click.option("--type", "type_", type=name, metavar="NAME", help="It tells of this type alone.")
@click.option("--outcome", type=OneOf(OUTCOMES), default="any", help="It tells of this end alone.")
@click.option("--with-result", is_flag=True, help="It tells what the handler returned, up to 64 KiB.")
@click.option("--name", "named", type=name, metavar="TEXT", help="What it is for.")
@pass_session
def create(
    session: Session,
    url: str,
    owner: str | None,
    all_owners: bool,
    type_: str | None,
    outcome: str,
    with_result: bool,
    named: str | None,
) -> None:
    """Make a webhook and print the secret that signs what it sends; it is shown this once."""
    if (owner is not None) == all_owners:
        raise click.UsageError("Of whose jobs shall it tell? Give --owner NAME or --all-owners; one of the two.")
    from processor.queue import webhooks

    with session.database() as database:
        made, secret = webhooks.create(
            database,
            owner=owner,
            url=url,
            type_=type_,
            outcome=outcome,
            name=named,
            with_result=with_result,
            allowed=session.settings.webhooks.networks,
        )
    click.echo(f"made the webhook {made.id}; its secret is shown this once:", err=True)
    click.echo(secret)


@webhook.command("list")
@configured
@as_json
@pass_session
def list_(session: Session, as_json: bool) -> None:
    """List webhooks: what each tells, whether it does, and its latest delivery."""
    from processor.queue import webhooks

    with session.database() as database:
        rows = [_row(one) for one in webhooks.list_all(database)]
    if as_json:
        write_json(rows)
    else:
        write_table(COLUMNS, rows, empty="There is no webhook.")


def _row(webhook: "Webhook") -> Row:
    paused = "paused" if webhook.paused_reason == "asked" else webhook.paused_reason
    alive = "failing" if webhook.failures else "on"
    state = alive if webhook.paused_at is None else paused
    return {"id": webhook.id, "state": state, **asdict(webhook)}


@webhook.command("set")
@configured
@click.argument("id")
@click.option("--address", "url", metavar="URL", help="Where it tells; what waits goes there, too.")
@click.option("--type", "type_", metavar="NAME", help="It tells of this type alone; '' for all.")
@click.option("--outcome", type=OneOf(OUTCOMES), help="It tells of this end alone, or of any.")
@click.option("--with-result", type=bool, metavar="yes|no", help="Whether it tells what the handler returned.")
@click.option("--name", metavar="TEXT", help="What it is for; '' for nothing.")
@pass_session
def set_webhook(session: Session, /, id: str, type_: str | None, **given: Any) -> None:
    """Change what is given of a webhook: what it tells, and where. Its secret stays."""
    told = {key: value for key, value in (given | {"type": type_}).items() if value is not None}
    if not told:
        raise click.UsageError("Nothing to set: give at least one option.")
    told |= {key: None for key in ("type", "name") if told.get(key) == ""}
    from processor.queue import webhooks

    with session.database() as database:
        webhooks.change(database, id, told, session.settings.webhooks.networks)
    click.echo(f"changed the webhook {visible(id)}")


@webhook.command()
@configured
@click.argument("id")
@pass_session
def pause(session: Session, id: str) -> None:
    """Let a webhook tell nothing until it is resumed; deliveries that wait are kept."""
    from processor.queue import webhooks

    with session.database() as database:
        webhooks.pause(database, id)
    click.echo(f"paused the webhook {visible(id)}")


@webhook.command()
@configured
@click.argument("id")
@pass_session
def resume(session: Session, id: str) -> None:
    """Let a webhook tell again, and first what was kept."""
    from processor.queue import webhooks

    with session.database() as database:
        webhooks.resume(database, id)
    click.echo(f"resumed the webhook {visible(id)}")


@webhook.command()
@configured
@click.argument("id")
@pass_session
def delete(session: Session, id: str) -> None:
    """Delete a webhook and cancel its deliveries that wait."""
    from processor.queue import webhooks

    with session.database() as database:
        webhooks.remove(database, id)
    click.echo(f"deleted the webhook {visible(id)}")


@webhook.command()
@configured
@click.argument("id")
@pass_session
def test(session: Session, id: str) -> None:
    """Make a delivery that tells of no job, and print its number; `jobtable show` says what became of it."""
    from processor.queue import deliveries

    with session.database() as database:
        click.echo(deliveries.make_test(database, id))


@webhook.command()
@configured
@click.argument("id")
@click.option("--keep", type=seconds, default="24h", metavar="DURATION", help="The former secret signs, too, so long.")
@pass_session
def rotate(session: Session, id: str, keep: float) -> None:
    """Give a webhook a new secret and print it; it is shown this once."""
    from processor.queue import webhooks

    with session.database() as database:
        secret = webhooks.rotate(database, id, keep)
    click.echo(f"the webhook {visible(id)} has a new secret, which is shown this once:", err=True)
    click.echo(secret)
