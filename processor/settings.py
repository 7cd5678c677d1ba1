"""What is in force: `load` reads the settings, `limits` completes a type's, `explain` says where each came from.

A key that nobody knows and a value that cannot be meant are refused with the place they were written in, because a
setting that is silently ignored is found at three in the morning. Defaults are complete: no file is a good file.
`sections` has the keys, `quantities` the values, `layers` the places, `provenance` the words.
"""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import Field, PrivateAttr, ValidationError

from processor import layers, provenance
from processor.identity import Jwt
from processor.provenance import Effective
from processor.quantities import beside, listed
from processor.sections import (
    Database,
    Log,
    Metrics,
    Processor,
    Retention,
    Retry,
    Schedule,
    Section,
    Serve,
    Traces,
    Type,
    TypeName,
    Webhooks,
)

__all__ = [
    "Database",
    "Effective",
    "Jwt",
    "Limits",
    "Log",
    "Metrics",
    "Processor",
    "Retention",
    "Retry",
    "Schedule",
    "Serve",
    "Settings",
    "Traces",
    "Type",
    "Webhooks",
    "explain",
    "load",
]

INHERITED = frozenset(
    {
        "timeout",
        "grace",
        "max_attempts",
        "interpreter",
        "pythonpath",
        "memory_limit_bytes",
        "workdir_limit_bytes",
        "max_output_bytes",
        "max_result_bytes",
    }
)
"""Keys of a type that fall back to the same key of [processor]."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What holds for the jobs of one type: its own keys, else those of [processor], [retry], [retention]."""

    timeout: float
    grace: float
    max_attempts: int
    retry: Retry
    retention: Retention
    retry_on: tuple[str, ...] | None
    notify: str
    jobs_per_worker: int
    interpreter: Path | None
    pythonpath: tuple[Path, ...]
    environment: dict[str, str]
    pass_environment: tuple[str, ...]
    memory_limit_bytes: int | None
    workdir_limit_bytes: int
    max_output_bytes: int
    max_result_bytes: int


class Settings(Section):
    database: Database = Field(default_factory=Database)
    processor: Processor = Field(default_factory=Processor)
    retry: Retry = Retry()
    retention: Retention = Retention()
    metrics: Metrics = Metrics()
    traces: Traces = Traces()
    serve: Serve = Serve()
    jwt: Jwt = Jwt()
    webhooks: Webhooks = Webhooks()
    log: Log = Log()
    types: dict[TypeName, Type] = Field(default={})
    schedules: dict[TypeName, Schedule] = Field(default={})

    _file: Path | None = PrivateAttr(default=None)
    _written: layers.Layer = PrivateAttr(default_factory=dict)

    @property
    def file(self) -> Path | None:
        """The configuration file that was read; None: there is none."""
        return self._file

    def limits(self, type: Type) -> Limits:
        """Complete a type's keys with the global ones; `type` may also come from a decorated handler."""
        own = {key: getattr(type, key) for key in INHERITED}
        return Limits(
            **{key: getattr(self.processor, key) if value is None else value for key, value in own.items()},
            retry=self.retry.model_copy(update=type.retry.model_dump(exclude_none=True)),
            retention=self.retention.model_copy(update=type.retention.model_dump(exclude_none=True)),
            retry_on=type.retry_on,
            notify=type.notify,
            jobs_per_worker=type.jobs_per_worker,
            environment={**self.processor.environment, **type.environment},
            pass_environment=tuple(dict.fromkeys((*self.processor.pass_environment, *type.pass_environment))),
        )


def load(
    path: Path | str | None = None,
    environ: Mapping[str, str] | None = None,
    flags: Mapping[str, Any] | None = None,
) -> Settings:
    """Read file, environment (default: this process's) and flags into settings.

    `flags` maps dotted keys ("processor.max_concurrent") to values; None means not given. Relative paths written in the
    file, and defaults, are read against the file's folder; those of environment and flags against the current one.
    Raises SettingsError with every problem found.
    """
    environ = os.environ if environ is None else environ
    file = layers.find_file(None if path is None else Path(path), environ)
    in_file = layers.from_file(file, Settings) if file is not None else {}
    typed = layers.merge(layers.from_environment(environ, Settings, in_file), layers.from_flags(flags or {}))
    written = layers.merge(in_file, {keys: _from_here(keys[-1], setting) for keys, setting in typed.items()})
    tree: dict[str, Any] = {"database": {}, "processor": {}, **layers.nest(written)}  # their defaults need the folder
    try:
        settings = Settings.model_validate(tree, context={"folder": layers.folder_of(file)})
    except ValidationError as error:
        raise provenance.refusal(error, written, file, Settings) from error
    settings._file, settings._written = file, written
    for type in settings.types.values():
        type.read_secret()  # an unreadable file is refused now, not at the first job
    return settings


def explain(settings: Settings) -> list[Effective]:
    """List every setting in force with where it came from; a type's inherited keys say from where."""
    return provenance.explain(settings, settings._written, INHERITED)


def _from_here(key: str, setting: layers.Setting) -> layers.Setting:
    """Make the paths of flags and environment absolute: whoever typed them stands in this folder."""
    try:
        return layers.Setting(_absolute(key, setting.value), setting.place, setting.origin)
    except ValueError:  # refused by the models, with its place
        return setting


def _absolute(key: str, value: Any) -> Any:
    here = Path.cwd()
    if key in ("workdir", "run_dir", "interpreter", "secret_file") and isinstance(value, str | Path):
        return beside(here, value)
    if key in ("pythonpath", "keys") and isinstance(value, str | list | tuple):
        return [beside(here, folder) for folder in listed(value)]
    if key == "url" and isinstance(value, str) and re.match(r"sqlite(\+\w+)?:///[^/:]", value):
        scheme, _, path = value.partition(":///")
        return f"{scheme}:///{beside(here, path)}"
    return value
