"""What every command has: the settings of this call, and the database they name."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from processor.db import Database
    from processor.settings import Settings

F = TypeVar("F", bound=Callable[..., Any])


@dataclass
class Session:
    """One call of `jobtable`. `flags` are settings given on the command line, by their dotted keys."""

    config: Path | None = None
    flags: dict[str, Any] = field(default_factory=dict)

    @cached_property
    def settings(self) -> "Settings":
        """The settings in force. Raises `SettingsError`."""
        return self.load()

    def load(self) -> "Settings":
        """Read the settings anew."""
        from processor.settings import load

        return load(self.config, flags=self.flags)

    @contextmanager
    def database(self) -> "Iterator[Database]":
        """Open the database for reading and changing jobs.

        Raises `SchemaError` where its tables are not ours, `DatabaseUnreachable`.
        """
        from processor.db import schema

        with self.unchecked_database() as database:
            schema.check(database)
            yield database

    @contextmanager
    def unchecked_database(self) -> "Iterator[Database]":
        """Open the database whatever its tables are."""
        from processor.work.incarnation import open_database

        with open_database(self.settings) as database:
            yield database


pass_session = click.make_pass_decorator(Session, ensure=True)


def configured(command: F) -> F:
    """Let a command take --config and --database-url, so that they may stand before or after its name."""
    config = click.option(
        "--config",
        type=click.Path(path_type=Path),
        callback=_keep_config,
        expose_value=False,
        metavar="PATH",
        help="Configuration file (default: JOBTABLE_CONFIG, else ./jobtable.toml if it exists).",
    )
    url = setting("database.url", "--database-url", "--url", metavar="URL", help="Address of the database.")
    return config(url(command))


def setting(key: str, *names: str, **attributes: Any) -> Callable[[F], F]:
    """Make an option that sets a key of the configuration for this call; the settings judge its value."""

    def keep(context: click.Context, parameter: click.Parameter, value: str | None) -> None:
        if value is not None:
            context.ensure_object(Session).flags[key] = value

    return click.option(*names, callback=keep, expose_value=False, **attributes)


def _keep_config(context: click.Context, parameter: click.Parameter, value: Path | None) -> None:
    if value is not None:
        context.ensure_object(Session).config = value
