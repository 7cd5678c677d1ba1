"""`jobtable token`: who may use the API, and for what."""

from datetime import datetime
from typing import TYPE_CHECKING

import click

from processor.cli.given import as_json, name
from processor.cli.given import duration as seconds
from processor.cli.session import Session, configured, pass_session
from processor.cli.shown import Column, Row, moment, visible, write_json, write_table

if TYPE_CHECKING:
    from processor.queue.tokens import Token

COLUMNS = (
    Column("id", lambda row: row["id"]),
    Column("state", lambda row: row["state"]),
    Column("owner", lambda row: "(all)" if row["owner"] is None else row["owner"]),
    Column("scopes", lambda row: ",".join(row["scopes"])),
    Column("created (UTC)", lambda row: moment(row["created_at"])),
    Column("expires (UTC)", lambda row: moment(row["expires_at"])),
    Column("revoked (UTC)", lambda row: moment(row["revoked_at"])),
    Column("used (UTC)", lambda row: moment(row["last_used_at"])),
    Column("name", lambda row: row["name"] or ""),
)


@click.group(invoke_without_command=True)
@configured
@click.pass_context
def token(context: click.Context) -> None:
    """Make, list and revoke the tokens by which the API knows who asks."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


def _scopes(value: str) -> list[str]:
    """Read scopes with commas between."""
    from processor.quantities import listed
    from processor.queue.tokens import SCOPES

    given: list[str] = listed(value)
    if not given or set(given) - set(SCOPES):
        raise click.BadParameter(
            f"{value!r} is no list of scopes: write some of {', '.join(SCOPES)} with commas between"
        )
    return given


@token.command()
@configured
@click.option("--owner", type=name, metavar="NAME", help="It reaches the rows of this owner.")
@click.option("--all-owners", is_flag=True, help="It reaches the rows of every owner.")
@click.option("--scope", "scopes", type=_scopes, required=True, metavar="LIST", help="read, write, metrics, admin.")
@click.option("--name", "named", type=name, metavar="TEXT", help="What it is for.")
@click.option("--expires", type=seconds, metavar="DURATION", help="It is valid for so long (2h, 90d).")
@pass_session
def create(
    session: Session, owner: str | None, all_owners: bool, scopes: list[str], named: str | None, expires: float | None
) -> None:
    """Make a token and print it; it is shown this once."""
    if (owner is not None) == all_owners:
        raise click.UsageError("Whose rows may it reach? Give --owner NAME or --all-owners; one of the two.")
    from processor.queue import tokens

    with session.database() as database:
        is_first = not tokens.any_exist(database)
        made, text = tokens.create(database, owner=owner, scopes=scopes, name=named, expires_in=expires)
    click.echo(_described(made), err=True)
    if is_first:
        click.echo("note: it is the first one; from now on every request to the API needs a token.", err=True)
    click.echo(text)


def _described(made: "Token") -> str:
    whose = "all owners" if made.owner is None else visible(made.owner)
    until = f"until {moment(made.expires_at)} UTC" if made.expires_at else "until it is revoked"
    return f"made the token {made.id} of {whose}: {', '.join(_in_order(made))}; valid {until}. It is shown this once:"


@token.command("list")
@configured
@as_json
@pass_session
def list_(session: Session, as_json: bool) -> None:
    """List tokens: what each may, whether it is valid, and when it was used last."""
    from processor.queue import lookup, tokens

    with session.database() as database:
        made = tokens.list_all(database)
        instant = lookup.database_now(database)
    rows = [_row(one, instant) for one in made]
    if as_json:
        write_json(rows)
    else:
        write_table(COLUMNS, rows, empty="There is no token.")


def _row(token: "Token", instant: datetime) -> Row:
    ended = "revoked" if token.revoked_at is not None else "expired"
    return {
        "id": token.id,
        "name": token.name,
        "owner": token.owner,
        "scopes": _in_order(token),
        "state": "valid" if token.is_valid(instant) else ended,
        "created_at": token.created_at,
        "expires_at": token.expires_at,
        "revoked_at": token.revoked_at,
        "last_used_at": token.last_used_at,
    }


def _in_order(token: "Token") -> list[str]:
    from processor.queue.tokens import SCOPES

    return [scope for scope in SCOPES if scope in token.scopes]


@token.command()
@configured
@click.argument("id")
@pass_session
def revoke(session: Session, id: str) -> None:
    """Let a token open nothing any more, from the next request on."""
    from processor.queue import tokens

    with session.database() as database:
        tokens.revoke(database, id)
    click.echo(f"revoked the token {visible(id)}")
