"""`jobtable serve`: the page for people, the API for programs."""

import click

from processor.cli.session import Session, configured, pass_session, setting


@click.command()
@configured
@setting("serve.listen", "--listen", metavar="HOST:PORT", help="Where to listen (default: 127.0.0.1:9760).")
@setting("serve.read_only", "--read-only", is_flag=True, flag_value="true", help="Answer questions, change nothing.")
@pass_session
def serve(session: Session) -> None:
    """Serve the page at / and the HTTP API under /api/v1; no processor has to run.

    Without any token (`jobtable token create`) only this machine is served, and everybody on it.
    """
    try:
        from processor.api import server
    except ImportError as error:
        from processor.errors import StartRefused

        raise StartRefused(
            f"The API needs libraries that are not installed ({error.name}).", 'Run pip install "jobtable[web]".'
        ) from error
    with session.database() as database:
        is_open = server.is_open(session.settings, database)
        if is_open:
            click.echo("warning: There is no token yet, so everybody on this machine may do everything.", err=True)
    server.run(session.settings, is_open=is_open)
