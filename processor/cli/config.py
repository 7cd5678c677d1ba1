"""`jobtable config`: what is in force, and who says so."""

import json

import click

from processor.cli.given import as_json
from processor.cli.session import Session, configured, pass_session
from processor.cli.shown import Column, write_json, write_table

COLUMNS = (
    Column("setting", lambda row: row["key"]),
    Column("value", lambda row: json.dumps(row["value"], ensure_ascii=False, default=str), wraps=True),
    Column("from", lambda row: row["origin"]),
)


@click.command()
@configured
@as_json
@pass_session
def config(session: Session, as_json: bool) -> None:
    """Print the settings in force and where each came from; secrets are masked."""
    from processor.settings import explain

    settings = session.settings
    rows = [{"key": one.key, "value": one.value, "origin": one.origin} for one in explain(settings)]
    if as_json:
        write_json(rows)
        return
    click.echo(f"file: {settings.file or 'none (./jobtable.toml does not exist)'}", err=True)
    write_table(COLUMNS, rows, empty="")
