"""What a key changes, the question that is asked before, and what is said afterwards."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from processor.cli.control import notifies
from processor.cli.jobs import state
from processor.cli.shown import Row, visible
from processor.lifecycle import MOVES, Status
from processor.queue import control
from processor.queue.lookup import Filter

if TYPE_CHECKING:
    from processor.db import Database
    from processor.settings import Settings

DONE = {"cancel": "cancelled", "retry": "to be run again", "pause": "paused", "resume": "resumed"}


@dataclass(frozen=True, slots=True)
class Change:
    """A change that somebody may want: the question, and what makes it and says how it went."""

    question: str
    make: Callable[["Database"], str]


def of_job(settings: "Settings", word: str, row: Row) -> Change | str:
    """Give the change of a job, or say why its state does not allow it. Of a paused one, `pause` is `resume`."""
    word = "resume" if word == "pause" and row["status"] == Status.PAUSED else word
    leaves, _ = MOVES[word]
    if row["status"] not in leaves:
        return f"Job {row['id']} is {state(row)}: there is nothing to {word}."
    return Change(
        f"{word.capitalize()} job {row['id']} ({visible(row['type'])})?", partial(_make, settings, word, row["id"])
    )


def _make(settings: "Settings", word: str, job_id: int, database: "Database") -> str:
    which = Filter(ids=(job_id,))
    if word == "cancel":
        return _cancel(settings, job_id, database)
    verb = {"retry": control.retry, "pause": control.pause, "resume": control.resume}[word]
    if not verb(database, which):
        return f"Job {job_id} is in another state by now, or waits for others; nothing was changed."
    return f"Job {job_id} is {DONE[word]}."


def _cancel(settings: "Settings", job_id: int, database: "Database") -> str:
    cancelled, asked = control.cancel(database, Filter(ids=(job_id,)), notifies(settings))
    if asked:
        return f"Job {job_id} is asked to stop; it is killed after the grace period of its type."
    return f"Job {job_id} is cancelled." if cancelled else f"Job {job_id} was asked to stop before, or has ended."


def of_type(row: Row) -> Change:
    """Give the change of a type: none of its jobs is started any more, or they are again."""
    name = row["type"]
    if row["is_paused"]:
        return Change(f"Resume the type {visible(name)}?", partial(_resume_type, name))
    return Change(f"Pause the type {visible(name)}? What runs goes on.", partial(_pause_type, name))


def _pause_type(name: str, database: "Database") -> str:
    control.pause_type(database, name)
    return f"The type {visible(name)} is paused on every processor."


def _resume_type(name: str, database: "Database") -> str:
    control.resume_type(database, name)
    return f"The type {visible(name)} is resumed."
