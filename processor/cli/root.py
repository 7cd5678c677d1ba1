"""`jobtable`: finds the command, runs it, and ends as it should.

    0    done
    1    refused or failed       error: what happened. What follows. What to do.
    2    wrong usage or settings
    124  not in time: `enqueue --wait`
    130  interrupted

What is no `JobtableError` and no wrong usage is a bug of ours and keeps its traceback.
"""

import difflib
import io
import sys
from importlib import import_module
from typing import Any, NoReturn

import click

from processor.cli.session import Session, configured
from processor.errors import JobtableError

INTERRUPTED = 130

COMMANDS = {
    "demo": "demo.command:demo",
    "migrate": "migrate:migrate",
    "run": "run:run",
    "serve": "serve:serve",
    "top": "top.command:top",
    "enqueue": "enqueue:enqueue",
    "list": "jobs:list_jobs",
    "show": "jobs:show",
    "explain": "explain:explain",
    "logs": "logs:logs",
    "replay": "replay:replay",
    "cancel": "control:cancel",
    "pause": "control:pause",
    "resume": "control:resume",
    "run-now": "control:run_now",
    "priority": "control:priority",
    "retry": "control:retry",
    "delete": "control:delete",
    "purge": "purge:purge",
    "notifications": "notifications:notifications",
    "processors": "processors:processors",
    "types": "types:types",
    "schedules": "schedules:schedules",
    "token": "token:token",
    "webhook": "webhook:webhook",
    "config": "config:config",
    "doctor": "doctor:doctor",
}
"""Where each command is, in the order of `--help`: from the first look to daily work."""


class Root(click.Group):
    """Loads a command when it is asked for, and turns errors into a line and an exit code."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        module, _, attribute = COMMANDS[name].partition(":")
        command: click.Command = getattr(import_module(f"processor.cli.{module}"), attribute)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and not args[0].startswith("-") and args[0] not in COMMANDS:
            close = difflib.get_close_matches(args[0], COMMANDS, 1)
            hint = f" Did you mean {close[0]}?" if close else ""
            ctx.fail(f"There is no command {args[0]!r}.{hint}")
        return super().resolve_command(ctx, args)

    def main(self, *arguments: Any, **named: Any) -> NoReturn:
        named["standalone_mode"] = False
        try:
            code = super().main(*arguments, **named)
        except click.UsageError as error:
            code = _say(_usage(error), error.exit_code)
        except JobtableError as error:
            code = _say(str(error), error.exit_code)
        except click.Abort:  # interrupted, or the answer to a question was the end of the input
            code = INTERRUPTED
        sys.exit(code if isinstance(code, int) else 0)


def _usage(error: click.UsageError) -> str:
    message = " ".join(error.format_message().split())
    path = error.ctx.command_path if error.ctx is not None else "jobtable"
    return f"{message.rstrip('.?')}{'?' if message.endswith('?') else '.'} See `{path} --help`."


def _say(message: str, code: int) -> int:
    from processor.cli.shown import visible_lines

    click.echo(f"error: {visible_lines(message)}", err=True)
    return code


def _say_version(context: click.Context, parameter: click.Parameter, wanted: bool) -> None:
    if wanted:
        from processor.version import our_version

        click.echo(f"jobtable {our_version()}")
        context.exit()


@click.group(cls=Root, invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]})
@configured
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_say_version,
    help="Show the version and exit.",
)
@click.pass_context
def root(context: click.Context) -> None:
    """The table is the queue: INSERT a row, the work is done, the row says so.

    Start with `jobtable demo`; it works in a folder of its own and ends by itself.
    """
    context.ensure_object(Session)
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


def start() -> None:
    """Run the command that `sys.argv` names."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a letter that the terminal lacks must not end a command
    root.main(prog_name="jobtable")
