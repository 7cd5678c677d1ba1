"""What a value in the configuration may look like: durations, sizes, counts, lists, tables and paths.

Durations are seconds and sizes are bytes; both may be written with a unit ("10m", "64MiB"). Every refusal says what is
accepted. Relative paths are read against the folder in the validation context.
"""

import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo

_SECONDS = {"": 1.0, "ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_BINARY = {unit: 1024.0**power for power, unit in enumerate(("kib", "mib", "gib", "tib"), 1)}
_DECIMAL = {unit: 1000.0**power for power, unit in enumerate(("kb", "mb", "gb", "tb"), 1)}
_BYTES = {"": 1.0, "b": 1.0, **_BINARY, **_DECIMAL}
NEVER = "never"
_QUANTITY = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z]*)\s*")


def quantity(units: Mapping[str, float], accepted: str) -> Callable[[Any], Any]:
    """Make a validator that reads a number, or a text with one of the units."""

    def read(value: Any) -> Any:
        match = _QUANTITY.fullmatch(value) if isinstance(value, str) else None
        if match is not None and match[2].lower() in units:
            return float(match[1]) * units[match[2].lower()]
        if isinstance(value, int | float) and not isinstance(value, bool):
            return value
        raise ValueError(f"expected {accepted}")

    return read


def _kept(value: Any) -> Any:
    """Read for how long rows are kept: a duration of at most ten years, or `never` for rows that are never deleted."""
    accepted = f'a duration of at most ten years such as "7d", or "{NEVER}"'
    seconds = value if value == NEVER else quantity(_SECONDS, accepted)(value)
    if seconds != NEVER and not 0 <= seconds <= 3653 * 86400:
        raise ValueError(f"expected {accepted}")
    return seconds


def matching(pattern: str, accepted: str) -> Callable[[str], str]:
    """Make a validator that says in words what the pattern asks for."""
    compiled = re.compile(pattern)

    def check(value: str) -> str:
        if not compiled.fullmatch(value):
            raise ValueError(f"expected {accepted}")
        return value

    return check


def _number(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError("expected a number")
    return value


def listed(value: Any) -> Any:
    """Read one text as the parts between its commas, so that an environment variable can hold a list."""
    return [part for part in re.split(r"\s*,\s*", value.strip()) if part] if isinstance(value, str) else value


def beside(folder: Path, path: str | Path) -> Path:
    """Make a path absolute without following links: a venv's `python` is one, and must stay one."""
    if "\0" in str(path):
        raise ValueError("expected a path without NUL")
    try:
        return Path(os.path.normpath(folder / Path(path).expanduser()))
    except RuntimeError as error:  # `~somebody` who has no home folder
        raise ValueError(f"expected a path; {error}") from error


def against_folder(path: Path, info: ValidationInfo) -> Path:
    return beside((info.context or {}).get("folder") or Path.cwd(), path)


def _runnable(argv: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
    """Make `./bin/count` absolute, since the command starts in its workdir; a bare name is looked up in PATH."""
    if not argv or not argv[0] or any("\0" in word for word in argv):
        raise ValueError("expected a list that begins with the program")
    program = str(against_folder(Path(argv[0]), info)) if "/" in argv[0] else argv[0]
    return (program, *argv[1:])


def _table(table: dict[str, str]) -> dict[str, str]:
    for name, text in table.items():
        if not name or re.search(r"[=\x00\r\n]", name) or "\0" in text:
            raise ValueError(f"expected names without '=' and texts without NUL, got {name!r}")
    return table


Seconds = Annotated[
    float,
    Field(ge=0, le=366 * 86400, allow_inf_nan=False),
    BeforeValidator(quantity(_SECONDS, 'seconds (30) or a text such as "500ms", "90s", "10m" or "2h"')),
]
Kept = Annotated[float | Literal["never"], BeforeValidator(_kept)]
Positive = Annotated[Seconds, Field(gt=0)]
Size = Annotated[
    int,
    Field(ge=1, le=2**50),
    BeforeValidator(quantity(_BYTES, 'whole bytes (1048576) or a text such as "64MiB" or "1GB"')),
]
Portion = Annotated[
    int,
    Field(ge=1, le=16 * 1024**2),  # three times that, escaped, fits a frame between processes
    BeforeValidator(quantity(_BYTES, 'whole bytes (1048576) or a text such as "64MiB" or "1GB"')),
]
Count = Annotated[int, Field(ge=1, le=100_000), BeforeValidator(_number)]
Ratio = Annotated[float, Field(allow_inf_nan=False), BeforeValidator(_number)]
Names = Annotated[tuple[str, ...], BeforeValidator(listed)]
Argv = Annotated[tuple[str, ...], AfterValidator(_runnable)]
Table = Annotated[dict[str, str], AfterValidator(_table)]
File = Annotated[Path, AfterValidator(against_folder)]
Files = Annotated[tuple[File, ...], BeforeValidator(listed)]
