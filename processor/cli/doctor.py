"""`jobtable doctor`: what is wrong here, how bad is it, and what to do."""

from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from processor.cli.given import as_json
from processor.cli.session import Session, configured, pass_session
from processor.cli.shown import visible, write_json
from processor.diagnosis import Diagnosis, Level, ok, problem
from processor.errors import JobtableError, SettingsError

if TYPE_CHECKING:
    from processor.settings import Settings
    from processor.work.roster import Roster

COLOURS = {Level.OK: "green", Level.WARNING: "yellow", Level.PROBLEM: "red"}


@click.command()
@configured
@as_json
@pass_session
def doctor(session: Session, as_json: bool) -> None:
    """Check configuration, database, processors and queues; nothing is changed.

    Each line is ok, a warning or a problem, with what to do. The exit code is 1 where there is a problem.
    """
    found = []
    for diagnosis in _examine(session):
        found.append(diagnosis)
        if not as_json:
            _write(diagnosis)
    if as_json:
        write_json([asdict(diagnosis) for diagnosis in found])
    if any(diagnosis.level is Level.PROBLEM for diagnosis in found):
        raise click.exceptions.Exit(1)


def _write(diagnosis: Diagnosis) -> None:
    level = click.style(f"{diagnosis.level.value:<8}", fg=COLOURS[diagnosis.level])
    click.echo(f"{level} {diagnosis.check:<13} {visible(diagnosis.text)}")
    if diagnosis.remedy:
        click.echo(f"{'':<22} -> {visible(diagnosis.remedy)}")


def _examine(session: Session) -> Iterator[Diagnosis]:
    try:
        settings = session.settings
    except SettingsError as error:
        yield problem("configuration", error.message, error.remedy)
        return
    file = "No file, the defaults are in force" if settings.file is None else f"{settings.file} is in force"
    yield ok("configuration", f"{file}; `jobtable config` shows all of it.")
    roster, refusals = _call_up(settings)
    yield from refusals or [ok("handlers", f"Configured types: {len(settings.types)}; what they name can be run.")]
    yield from _of_database(session, settings, roster)


def _call_up(settings: "Settings") -> "tuple[Roster, list[Diagnosis]]":
    """Ask the interpreters of this configuration about its handlers, as a processor does when it starts."""
    from processor.happenings import HandlerUnusable, Happenings
    from processor.work.roster import Roster, call_up

    refusals: list[Diagnosis] = []

    def listen(happening: object) -> None:
        if isinstance(happening, HandlerUnusable):
            remedy = "Correct it, SIGHUP, then `jobtable retry --status failed`: its jobs fail with this sentence."
            refusals.append(problem("handlers", f"The type {happening.type!r}: {happening.error}.", remedy))

    try:
        return call_up(settings, Happenings(listen)), refusals
    except SettingsError as error:
        return Roster(), [problem("handlers", error.message, error.remedy)]


def _of_database(session: Session, settings: "Settings", roster: "Roster") -> Iterator[Diagnosis]:
    from processor.queue import doctor
    from processor.work.roster import keeps_of

    rules = {name: runnable.rules for name, runnable in roster.types.items()}
    try:
        with session.unchecked_database() as database:
            yield from doctor.look(database, keeps_of(settings, roster), rules, lambda: datetime.now(UTC))
    except JobtableError as error:
        yield problem("database", error.message, error.remedy)
