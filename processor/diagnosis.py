"""What somebody who looks at a queue finds: each point with how bad it is, in words, and what to do."""

from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    OK = "ok"
    WARNING = "warning"  # look at it in the morning
    PROBLEM = "problem"  # jobs do not run, or will not


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """One point that was looked at. `text` and `remedy` are whole sentences."""

    check: str
    level: Level
    text: str
    remedy: str = ""


def ok(check: str, text: str) -> Diagnosis:
    return Diagnosis(check, Level.OK, text)


def warning(check: str, text: str, remedy: str) -> Diagnosis:
    return Diagnosis(check, Level.WARNING, text, remedy)


def problem(check: str, text: str, remedy: str) -> Diagnosis:
    return Diagnosis(check, Level.PROBLEM, text, remedy)
