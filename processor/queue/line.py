"""Read the first due rows of a type in which owners take turns or priorities age; `processor.turns` has the order.

What is asked for is a beginning of that order, of so many rows, and never more than a few times as many are read: the
rows of a priority by age are in the index of claims, its owners in the index `jobs_turns`, where each is found by
skipping all rows of the one before. So 500,000 rows of one owner cost what 500 cost.
"""

from collections.abc import Collection, Iterator, Sequence
from datetime import datetime
from functools import lru_cache
from itertools import groupby
from typing import Any, NamedTuple, Self

from sqlalchemy import ColumnElement, Connection, Select, bindparam, literal_column, select, union_all

from models import job_types, jobs, now
from models.types import Identity, Name
from processor.ageing import Ageing
from processor.db.dialects import Dialect
from processor.queue.rules import Rules
from processor.queue.taking import order
from processor.queue.where import is_due_without
from processor.turns import Place, Rank, Turns, merged

PRIORITIES = 100
"""Priorities, each with more rows than are asked for, that are compared by their levels; what is below is not seen."""
OWNERS = 600
"""Owners that are found in one go: MariaDB ends a recursion after 1,000."""
ROWS = 2_000
"""Rows of the owners of one priority that are read in one go, unless a single one has more turns than that."""
TOGETHER = 10
"""Owners whose rows are read by one statement."""


class Standing(NamedTuple):
    """A row as the claim's first step sees it; `priority` is its level."""

    id: int
    type: str
    priority: int
    created_at: datetime
    concurrency_key: None = None
    key: None = None


class Line:
    """The due rows of one type, as its rules order them at an instant. Raises `ValueError` for an unreadable ageing."""

    def __init__(
        self, connection: Connection, dialect: Dialect, type_: str, rules: Rules, turns: Turns, instant: datetime
    ) -> None:
        self._connection = connection
        self._dialect = dialect
        self._type = type_
        self._ageing: Ageing | None = rules.parsed_ageing()
        self._fair = rules.fair != "none"
        self._instant = instant
        self.turns = turns

    @classmethod
    def read(cls, connection: Connection, dialect: Dialect, type_: str, rules: Rules) -> Self:
        """Read whose turn was the latest."""
        said = select(job_types.c.turns).where(job_types.c.name == type_).scalar_subquery()
        turns, instant = connection.execute(select(said, now())).one()
        return cls(connection, dialect, type_, rules, Turns.read(turns), instant)

    def standings(self, size: int, without: Collection[int] = ()) -> list["Standing"]:
        """Give the first rows as they compete with those of other types: by their levels."""
        rows = self.first(size, without)
        return [Standing(row.id, self._type, self._level(row), row.created_at) for row in rows]

    def first(self, size: int, without: Collection[int] = ()) -> list[Place]:
        """Give the first rows, as many as `size` where there are so many."""
        return merged(self._ranks(size, frozenset(without)), size, self._level)

    def _level(self, place: Place) -> int:
        if self._ageing is None:
            return place.priority
        return self._ageing.level(place.priority, place.created_at, self._instant)

    def _ranks(self, size: int, without: frozenset[int]) -> Iterator[Rank]:
        """Read priority by priority: all of them where they age, else until there are rows enough."""
        below, number = None, 0
        while number < PRIORITIES:
            rows = self._page(below, size, without)
            for priority, group in groupby(rows, key=lambda row: row.priority):
                by_age, number = list(group), number + 1
                is_cut = len(rows) == size and priority == rows[-1].priority
                yield self._cut(by_age, size, without) if is_cut else self._whole(by_age)
            if len(rows) < size or self._ageing is None:
                return
            below = rows[-1].priority

    def _whole(self, by_age: list[Place]) -> Rank:
        return Rank(self.turns.in_turn(by_age) if self._fair else by_age, by_age)

    def _cut(self, by_age: list[Place], size: int, without: frozenset[int]) -> Rank:
        """Read on where a page ended within a priority."""
        priority = by_age[0].priority
        if self._ageing is not None and len(by_age) < size:
            by_age = self._read(_by_age(without), priority=priority, most=size)
        if not self._fair:
            return Rank(by_age, by_age)
        return Rank(self._in_turn(priority, len(by_age), without), by_age)

    def _page(self, below: int | None, size: int, without: frozenset[int]) -> list[Place]:
        return self._read(_page(without, below is not None), below=below, most=size)

    # -- owners ----------------------------------------------------------------------------------------------------

    def _in_turn(self, priority: int, size: int, without: frozenset[int]) -> list[Place]:
        """Read the first rows of one priority of which there are more: round by round, until there are enough."""
        heads = self._heads(priority, size, without)
        if len(heads) >= min(size, OWNERS):
            return heads
        rounds = size if len(heads) * size <= ROWS else 2 * size // len(heads)
        lines, open_ended = {head.owner: [head] for head in heads}, list(heads)
        while True:
            for head, line in zip(open_ended, self._lines(open_ended, rounds, without), strict=True):
                lines[head.owner] = line
            open_ended = [head for head in open_ended if len(lines[head.owner]) >= rounds]
            if not open_ended or sum(map(len, lines.values())) >= size:
                break
            rounds = min(size, 4 * rounds)
        rows = sorted((place for line in lines.values() for place in line), key=lambda row: (row.created_at, row.id))
        return self.turns.in_turn(rows)[:size]

    def _heads(self, priority: int, size: int, without: frozenset[int]) -> list[Place]:
        """Read the oldest row of each owner, in the order of their turns, of so many owners."""
        nobody, every = _nobodys(without).limit(literal_column("1")), _heads(self._dialect, without, None)
        latest = self.turns.latest.get(priority)
        if priority not in self.turns.latest:
            stretches = [nobody, every]
        elif latest is None:
            stretches = [every, nobody]
        else:
            after, until = (_heads(self._dialect, without, bound) for bound in ("after", "until"))
            stretches = [after, nobody, until]
        heads: list[Place] = []
        for statement in stretches:
            if len(heads) < size:
                most = min(size - len(heads), OWNERS)
                heads += self._read(statement, priority=priority, most=most, latest=latest)
        return heads

    def _lines(self, heads: Sequence[Place], rounds: int, without: frozenset[int]) -> Iterator[list[Place]]:
        """Read the oldest rows of each of these owners."""
        for start in range(0, len(heads), TOGETHER):
            part = heads[start : start + TOGETHER]
            named = {f"owner_{number}": head.owner for number, head in enumerate(part) if head.owner is not None}
            asked = {"priority": part[0].priority, "most": rounds}
            rows = self._read(_lines(self._dialect, without, tuple(named)), **asked, **named) if named else []
            if len(named) < len(part):
                rows += self._read(_nobodys(without), **asked)
            for head in part:
                yield [row for row in rows if row.owner == head.owner] or [head]

    def _read(self, statement: Any, **given: Any) -> list[Place]:
        return [Place(*row) for row in self._connection.execute(statement, {"type": self._type, **given})]


# -- statements, each put together once ----------------------------------------------------------------------------


def _places(without: frozenset[int], *which: Any) -> Select[Any]:
    columns = (jobs.c.id, jobs.c.priority, jobs.c.created_at, jobs.c.owner)
    return select(*columns).where(jobs.c.type == bindparam("type", type_=Name), *is_due_without(without), *which)


def _of_priority() -> Any:
    return jobs.c.priority == bindparam("priority", type_=Identity)


def _most() -> Any:
    return bindparam("most", type_=Identity)


@lru_cache(maxsize=64)
def _page(without: frozenset[int], is_bounded: bool) -> Select[Any]:
    """Read the first rows by priority and age, or those with a priority `below`."""
    bound = [jobs.c.priority < bindparam("below", type_=Identity)] if is_bounded else []
    return _places(without, *bound).order_by(*order(jobs)).limit(_most())


@lru_cache(maxsize=64)
def _by_age(without: frozenset[int]) -> Select[Any]:
    return _places(without, _of_priority()).order_by(jobs.c.created_at, jobs.c.id).limit(_most())


@lru_cache(maxsize=64)
def _nobodys(without: frozenset[int]) -> Select[Any]:
    """Read the oldest rows that have no owner."""
    return _by_age(without).where(jobs.c.owner.is_(None))


@lru_cache(maxsize=64)
def _lines(dialect: Dialect, without: frozenset[int], owners: tuple[str, ...]) -> Any:
    """Read the oldest rows of the owners in the parameters of these names, up to `most` of each."""
    mine = [dialect.bytewise(jobs.c.owner) == bindparam(name, type_=Name) for name in owners]
    return union_all(*(select(_by_age(without).where(one).subquery()) for one in mine))


@lru_cache(maxsize=64)
def _heads(dialect: Dialect, without: frozenset[int], bound: str | None) -> Any:
    """Skip from owner to owner by name, and read the oldest row of each: `after` the `latest`, `until` it, or all."""
    mine, latest = dialect.bytewise(jobs.c.owner), bindparam("latest", type_=Name)
    due = (jobs.c.type == bindparam("type", type_=Name), *is_due_without(without), _of_priority())
    until = [mine <= latest] if bound == "until" else []

    def first(begin: ColumnElement[bool]) -> Select[Any]:
        return select(jobs.c.owner).where(*due, begin, *until).order_by(mine).limit(literal_column("1"))

    begin = first(mine > latest if bound == "after" else mine >= literal_column("''"))
    turn = select(literal_column("1", Identity).label("number"), begin.scalar_subquery().label("owner"))
    turns = turn.cte("turns", recursive=True)
    following = first(mine > turns.c.owner).correlate(turns).scalar_subquery()
    more = (turns.c.owner.is_not(None), turns.c.number < _most())
    turns = turns.union_all(select(turns.c.number + literal_column("1"), following).where(*more))
    oldest = select(jobs.c.id).where(*due, mine == turns.c.owner).order_by(jobs.c.created_at, jobs.c.id)
    id = oldest.limit(literal_column("1")).correlate(turns).scalar_subquery()
    found = select(turns.c.number, id.label("id")).where(turns.c.owner.is_not(None)).subquery("found")
    head = jobs.alias("head")
    read = select(head.c.id, head.c.priority, head.c.created_at, head.c.owner)
    return read.join(found, found.c.id == head.c.id).order_by(found.c.number)
