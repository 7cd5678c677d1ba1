"""Read a file of jobs, one in JSON on each line: what is broken is named with its line, before anything is written."""

import contextlib
import json
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import click

from processor.errors import JobtableError, Refused

if TYPE_CHECKING:
    from processor.queue.enqueue import NewJob

NAMED = 5
"""Broken lines that are named; of more, their number."""


class Batch:
    """The jobs of a file, which is read twice: once to see that all of it can be enqueued, once to do it."""

    def __init__(self, file: IO[bytes], defaults: dict[str, Any]) -> None:
        self._file = file
        self._defaults = defaults

    def check(self) -> Counter[str]:
        """Read all lines; give how many jobs of each type there are. Raises `Refused` naming the broken ones."""
        types, broken, count = Counter[str](), list[str](), 0
        for line, text in self._lines():
            try:
                types[self._job(text).type] += 1
            except JobtableError as error:
                count += 1
                broken += [f"Line {line}: {error}"] if len(broken) < NAMED else []
        if broken:
            more = f" {count - NAMED:,} more lines are broken." if count > NAMED else ""
            raise Refused(f"{' '.join(broken)}{more} Nothing was enqueued.")
        if not types:
            raise Refused("The batch has no line with a job. Nothing was enqueued.", 'A line is {"type": "…"}.')
        return types

    def jobs(self) -> "Iterator[tuple[int, NewJob]]":
        """Give each job with its line."""
        for line, text in self._lines():
            yield line, self._job(text)

    def _lines(self) -> Iterator[tuple[int, bytes]]:
        self._file.seek(0)
        for line, text in enumerate(self._file, 1):
            if text.strip():
                yield line, text.rstrip()

    def _job(self, text: bytes) -> "NewJob":
        from processor.queue.enqueue import NewJob

        try:
            message = json.loads(text)
        except json.JSONDecodeError as error:
            raise Refused(f"It is no JSON: {error.msg} at column {error.pos + 1}.") from error
        except (ValueError, RecursionError) as error:
            raise Refused(f"It is no JSON: {error}.") from error
        if not isinstance(message, dict):
            raise Refused("It is no JSON object.", 'A job is {"type": "…"}, with more columns if you like.')
        if "parent_id" in message:
            raise Refused("It has a parent_id.", "Leave it out: the parent is the batch.")
        return NewJob.from_message({**self._defaults, **message})


def opened(path: str) -> IO[bytes]:
    """Open a file that can be read twice; what comes from the standard input (`-`) or a pipe is put into one first."""
    try:
        if path != "-" and Path(path).is_file():
            return Path(path).open("rb")
        with contextlib.nullcontext(sys.stdin.buffer) if path == "-" else Path(path).open("rb") as source:
            copy = tempfile.TemporaryFile()  # noqa: SIM115 - the caller closes it
            shutil.copyfileobj(source, copy)
            return copy
    except OSError as error:
        raise click.BadParameter(f"{path} cannot be read: {error.strerror}. Nothing was enqueued.") from error
