"""Who comes next where owners take turns and where priorities age: pure, so that the order can be looked at alone.

Within one priority the owners take turns: round by round, each owner's next job by age, the owners by their names as
bytes, beginning after the one whose turn was the latest; jobs without an owner are those of one more, who comes before
all names. Between priorities the higher one goes first; with ageing the one with the higher level, which is that of the
oldest job of that priority that is still there.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Self

REMEMBERED = 100
"""Priorities of which it is known whose turn was the latest; of others the first begins."""


@dataclass(frozen=True, slots=True)
class Place:
    """What the order needs to know of a due row."""

    id: int
    priority: int
    created_at: datetime
    owner: str | None


@dataclass(frozen=True, slots=True)
class Turns:
    """Whose turn was the latest, for each priority; None is who has no name. The latest of all is the last."""

    latest: dict[int, str | None] = field(default_factory=dict)

    @classmethod
    def read(cls, text: str | None) -> Self:
        """Read what `written` wrote; what cannot be read is nothing."""
        try:
            pairs = [(int(priority), owner) for priority, owner in json.loads(text or "[]")]
        except (ValueError, TypeError, OverflowError, RecursionError):
            return cls()
        return cls({priority: owner for priority, owner in pairs if owner is None or _is_a_name(owner)})

    def written(self) -> str:
        return json.dumps(list(self.latest.items()), separators=(",", ":"))

    def plus(self, started: Iterable[Place]) -> "Turns":
        """Give the turns after these jobs started, in their order."""
        latest = dict(self.latest)
        for place in started:
            latest.pop(place.priority, None)
            latest[place.priority] = place.owner
        return Turns(dict(list(latest.items())[-REMEMBERED:]))

    def in_turn(self, places: Sequence[Place]) -> list[Place]:
        """Order all due rows of one priority, which are given by age."""
        seen: Counter[str | None] = Counter()
        turns = []
        for place in places:
            turns.append((seen[place.owner], self._place_of(place), place))
            seen[place.owner] += 1
        return [place for *_, place in sorted(turns, key=lambda turn: turn[:2])]

    def _place_of(self, place: Place) -> tuple[bool, bool, str]:
        """Give the place of an owner in a round: who comes after the latest before who does not."""
        mine, had_a_turn = _name(place.owner), place.priority in self.latest
        return (had_a_turn and mine <= _name(self.latest[place.priority]), *mine)


def _is_a_name(owner: object) -> bool:
    """Tell whether a database takes it as a name: no half letters, no NUL."""
    return isinstance(owner, str) and "\0" not in owner and owner.encode(errors="replace").decode() == owner


def _name(owner: str | None) -> tuple[bool, str]:
    return (owner is not None, owner or "")


@dataclass(slots=True)
class Rank:
    """The due rows of one priority: as they take turns, and by age; `started` of them are ahead already."""

    in_turn: Sequence[Place]
    by_age: Sequence[Place]
    started: int = 0
    oldest: int = 0

    def next(self, taken: set[int]) -> Place:
        """Give the next in turn, and find the oldest that is left."""
        place = self.in_turn[self.started]
        self.started += 1
        taken.add(place.id)
        while self.oldest < len(self.by_age) and self.by_age[self.oldest].id in taken:
            self.oldest += 1
        return place

    @property
    def is_over(self) -> bool:
        return self.started >= len(self.in_turn) or self.oldest >= len(self.by_age)


def merged(ranks: Iterable[Rank], size: int, level: Callable[[Place], int]) -> list[Place]:
    """Give the first rows of all priorities: always of the one whose oldest row has the highest level."""
    left, order, taken = [rank for rank in ranks if not rank.is_over], list[Place](), set[int]()

    def height(rank: Rank) -> tuple[int, datetime, int]:
        oldest = rank.by_age[rank.oldest]
        return (-level(oldest), oldest.created_at, oldest.id)

    while left and len(order) < size:
        best = min(left, key=height)
        order.append(best.next(taken))
        if best.is_over:
            left.remove(best)
    return order
