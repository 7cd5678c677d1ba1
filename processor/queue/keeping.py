"""How long rows are kept once they are over, by type: values alone, without a database."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

NOTIFICATIONS = "notifications"
KINDS = (NOTIFICATIONS, "completed", "failed", "cancelled")
"""What has an age of its own: jobs by their final state, and notifications."""
FOREVER = math.inf


@dataclass(frozen=True, slots=True)
class Keep:
    """For how many seconds rows of one type are kept; `FOREVER`: they are not deleted."""

    completed: float = 7 * 86_400.0
    failed: float = 30 * 86_400.0
    cancelled: float = 30 * 86_400.0
    notifications: float = 30 * 86_400.0


DEFAULT = Keep()


@dataclass(frozen=True, slots=True)
class Keeps:
    """What holds for each type. `others` are types that this configuration does not have and other processors run."""

    default: Keep = DEFAULT
    types: Mapping[str, Keep] = field(default_factory=dict)
    others: frozenset[str] = frozenset()

    def of(self, type_: str, kind: str) -> float:
        """Give the seconds for which rows of a type are kept."""
        if type_ in self.others:
            return FOREVER
        seconds: float = getattr(self.types.get(type_, self.default), kind)
        return seconds

    def shortest(self, kind: str) -> float:
        """Give the age below which no row of this kind is deleted, whatever its type."""
        return float(min(getattr(keep, kind) for keep in (self.default, *self.types.values())))

    def special(self, kind: str) -> Iterator[tuple[str, float]]:
        """Give the types that differ from the default, with their seconds."""
        for type_ in (*self.types, *self.others):
            if (seconds := self.of(type_, kind)) != getattr(self.default, kind):
                yield type_, seconds
