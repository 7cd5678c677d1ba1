"""`jobtable explain`: why is this job not running?"""

from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from processor.cli.given import ID, as_json
from processor.cli.session import Session, configured, pass_session
from processor.cli.shown import visible, write_json

if TYPE_CHECKING:
    from processor.queue.explain import Explanation


@click.command()
@configured
@click.argument("job_id", metavar="ID", type=ID)
@as_json
@pass_session
def explain(session: Session, job_id: int, as_json: bool) -> None:
    """Say why a job does not run: every rule that keeps it, with numbers and names; or that nothing does."""
    from processor.queue import explain as queue

    most = session.settings.processor.max_payload_bytes
    with session.database() as database:
        explanation = queue.explain(database, job_id, max_payload_bytes=most)
    if as_json:
        write_json({**asdict(explanation), "runnable": explanation.runnable})
    else:
        write_explanation(explanation)


def write_explanation(explanation: "Explanation") -> None:
    """Write an explanation for people."""
    state = f"{explanation.status} ({explanation.reason})" if explanation.reason else explanation.status
    click.echo(f"job {explanation.job}  {visible(explanation.type)}  {visible(state)}")
    for finding in explanation.findings:
        mark = click.style("  x ", fg="red") if finding.blocks else "  - "
        click.echo(f"{mark}{visible(finding.text)}")
    if explanation.runnable:
        click.echo(click.style("  Nothing keeps it from running: the next claim with room takes it.", fg="green"))
