"""`jobtable processors`: who works on this table, and who shall end."""

import json

import click

from processor.cli.given import as_json
from processor.cli.session import Session, configured, pass_session
from processor.cli.shown import Column, Row, decoded, moment, span, visible, write_json, write_table


def _state(row: Row) -> str:
    if row["lease_over"] and row["status"] in ("live", "draining"):
        return f"{row['status']} (lease over)"
    return "live (shall drain)" if row["drain_requested"] and row["status"] == "live" else str(row["status"])


COLUMNS = (
    Column("name", lambda row: row["name"]),
    Column("host", lambda row: row["host"]),
    Column("pid", lambda row: str(row["pid"]), right=True),
    Column("status", _state),
    Column("running", lambda row: f"{row['running']}/{row['max_concurrent']}", right=True),
    Column("last beat", lambda row: f"{span(row['beat_age_seconds'])} ago", right=True),
    Column("started (UTC)", lambda row: moment(row["started_at"])),
    Column("ended (UTC)", lambda row: moment(row["ended_at"])),
    Column("version", lambda row: row["version"]),
    Column("id", lambda row: row["id"]),
    Column("types", lambda row: ", ".join(json.loads(row["types"])), wraps=True),
)


@click.group(invoke_without_command=True)
@configured
@click.option("--all", "everyone", is_flag=True, help="Those that ended, too.")
@click.option("--limit", type=click.IntRange(1, 100_000), default=50, show_default=True, help="At most so many.")
@as_json
@pass_session
@click.pass_context
def processors(context: click.Context, session: Session, everyone: bool, limit: int, as_json: bool) -> None:
    """List the processors that work on this database."""
    if context.invoked_subcommand is not None:
        return
    from processor.queue import lookup

    with session.database() as database:
        rows = lookup.processors_page(database, everyone=everyone, limit=limit)
    if as_json:
        write_json([{**decoded(row), "types": sorted(json.loads(row["types"]))} for row in rows])
    else:
        write_table(COLUMNS, rows, empty="No processor is alive. Start one with `jobtable run`.")


@processors.command()
@configured
@click.argument("processor_id", metavar="ID")
@pass_session
def drain(session: Session, processor_id: str) -> None:
    """Ask a processor to end in order, wherever it runs: it claims no more and lets running jobs finish."""
    from processor.queue import control

    with session.database() as database:
        control.drain_processor(database, processor_id)
    click.echo(f"asked to drain: {visible(processor_id)}. Its next heartbeat hears it.")
