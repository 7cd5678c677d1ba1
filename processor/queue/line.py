"""Read the first due rows of a type in which owners take turns or priorities age; `processor.turns` has the order.

What is asked for is a beginning of that order, of so many rows, and never more than a few times as many are read: the
rows of a priority by age are in the index of claims, its owners in the index `jobs_turns`, where each is found by
skipping all rows of the one before. So 500,000 rows of one owner cost what 500 cost.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from functools import lru_cache
from itertools import groupby, islice
from typing import Any, NamedTuple

from sqlalchemy import Connection, Select, bindparam, literal_column, select, union_all
from sqlalchemy.exc import DBAPIError

from models import jobs, now
from models.types import Identity, Name
from processor.ageing import Ageing
from processor.db.dialects import Dialect
from processor.queue import turns_index
from processor.queue.rules import Rules
from processor.queue.taking import order
from processor.queue.where import is_due_without
from processor.turns import Place, Rank, Turns, merged

PRIORITIES = 100
"""Priorities, each with more rows than are asked for, that are compared by their levels; what is below is not seen."""
PAGE = 50
"""Rows that are read to find some owners without a recursion; where they are all of one, the next begins behind him."""
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


def standings(
    connection: Connection, dialect: Dialect, type_: str, rules: Rules, size: int, without: Collection[int] = ()
) -> list[Standing]:
    """Give the best rows as they compete with those of other types: by their levels, whosever turn it is."""
    instant = connection.execute(select(now())).scalar_one()
    line = Line(connection, dialect, type_, replace(rules, fair="none"), Turns(), instant)
    return [Standing(row.id, type_, line.level(row), row.created_at) for row in line.first(size, without)]


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

    def first(self, size: int, without: Collection[int] = ()) -> list[Place]:
        """Give the first rows, as many as `size` where there are so many."""
        return merged(self._ranks(size, frozenset(without)), size, self.level)

    def level(self, place: Place) -> int:
        """Give what the priority of a row has become."""
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
        try:
            return Rank(self._in_turn(priority, len(by_age), without), by_age)
        except DBAPIError as error:
            if self._dialect.code(error) not in self._dialect.missing_index:
                raise
            return Rank(by_age, by_age)

    def _page(self, below: int | None, size: int, without: frozenset[int]) -> list[Place]:
        return self._read(_page(without, below is not None), below=below, most=size)

    # -- owners ----------------------------------------------------------------------------------------------------

    def _in_turn(self, priority: int, size: int, without: frozenset[int]) -> list[Place]:
        """Read the first rows of one priority of which there are more: round by round, until there are enough."""
        heads = list(islice(self._heads(priority, size, without), size))
        if len(heads) >= size:
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

    def _heads(self, priority: int, size: int, without: frozenset[int]) -> Iterator[Place]:
        """Read the oldest row of each owner, in the order of their turns."""
        asked = {"priority": priority, "most": size if self._dialect.skips_by_recursion else min(size, PAGE)}
        latest = self.turns.latest.get(priority)
        if priority in self.turns.latest and latest is None:
            yield from self._named(asked, without)
            yield from self._read(_nobodys(self._dialect, without), **asked)[:1]
        elif latest is None:
            yield from self._read(_nobodys(self._dialect, without), **asked)[:1]
            yield from self._named(asked, without)
        else:
            misread = []  # SQLite keeps bytes that are no text, which come after the name they are read as
            for place in self._named(asked, without, after=latest):
                if place.owner == latest:
                    misread.append(place)
                else:
                    yield place
            yield from self._read(_nobodys(self._dialect, without), **asked)[:1]
            yield from self._named(asked, without, until=latest)
            yield from misread

    def _named(
        self, asked: dict[str, Any], without: frozenset[int], after: str | None = None, until: str | None = None
    ) -> Iterator[Place]:
        """Read the oldest row of each owner who has a name, past all other rows of the one before."""
        bounds = (after is not None, until is not None)
        if self._dialect.skips_by_recursion:
            rows = self._read(_skipping(self._dialect, without, *bounds), **asked, after=after, until=until)
            yield from sorted(rows, key=lambda row: row.owner or "")
            return
        while True:
            bounds = (after is not None, until is not None)
            rows = self._read(_named(self._dialect, without, *bounds), **asked, after=after, until=until)
            for _, line in groupby(rows, key=lambda row: row.owner):
                yield next(line)
            if len(rows) < asked["most"] or rows[-1].owner == after:
                return
            after = rows[-1].owner

    def _lines(self, heads: Sequence[Place], rounds: int, without: frozenset[int]) -> Iterator[list[Place]]:
        """Read the oldest rows of each of these owners."""
        for start in range(0, len(heads), TOGETHER):
            part = heads[start : start + TOGETHER]
            named = {f"owner_{number}": head.owner for number, head in enumerate(part) if head.owner is not None}
            asked = {"priority": part[0].priority, "most": rounds}
            rows = self._read(_lines(self._dialect, without, tuple(named)), **asked, **named) if named else []
            if len(named) < len(part):
                rows += self._read(_nobodys(self._dialect, without), **asked)
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


def _by_owner(dialect: Dialect, without: frozenset[int], *which: Any, fixed: bool = False) -> Select[Any]:
    """Read rows of one priority by owner and age; `fixed`: they are of one."""
    rows = _places(without, _of_priority(), *which).limit(_most())
    owner, age = (dialect.bytewise(jobs.c.owner),), (jobs.c.created_at, jobs.c.id)
    if fixed:
        return dialect.by_index(rows, jobs, turns_index.NAME, age, fixed=owner)
    return dialect.by_index(rows, jobs, turns_index.NAME, owner + age)


@lru_cache(maxsize=64)
def _nobodys(dialect: Dialect, without: frozenset[int]) -> Select[Any]:
    """Read the oldest rows that have no owner."""
    return _by_owner(dialect, without, jobs.c.owner.is_(None), fixed=True)


@lru_cache(maxsize=64)
def _named(dialect: Dialect, without: frozenset[int], is_after: bool, is_until: bool) -> Select[Any]:
    """Read rows by owner: all, those `after` a name, those `until` one."""
    owner = dialect.bytewise(jobs.c.owner)
    begin = owner > bindparam("after", type_=Name) if is_after else jobs.c.owner.is_not(None)
    return _by_owner(dialect, without, begin, *([owner <= bindparam("until", type_=Name)] if is_until else []))


@lru_cache(maxsize=64)
def _skipping(dialect: Dialect, without: frozenset[int], is_after: bool, is_until: bool) -> Any:
    """Skip from owner to owner by name, and read the oldest row of each, in no order."""
    owner = dialect.bytewise(jobs.c.owner)
    due = (jobs.c.type == bindparam("type", type_=Name), *is_due_without(without), _of_priority())
    until = [owner <= bindparam("until", type_=Name)] if is_until else []

    def first(column: Any, *begin: Any) -> Any:
        found = select(column).where(*due, *begin, *until).order_by(owner, jobs.c.created_at, jobs.c.id)
        return found.limit(literal_column("1"))

    begin = owner > bindparam("after", type_=Name) if is_after else owner >= literal_column("''")
    number, name = literal_column("1", Identity).label("number"), first(jobs.c.owner, begin).scalar_subquery()
    turns = select(number, name.label("owner")).cte("turns", recursive=True)
    following = first(jobs.c.owner, owner > turns.c.owner).correlate(turns).scalar_subquery()
    more = (turns.c.owner.is_not(None), turns.c.number < _most())
    turns = turns.union_all(select(turns.c.number + literal_column("1"), following).where(*more))
    oldest = first(jobs.c.id, owner >= turns.c.owner, owner <= turns.c.owner).correlate(turns).scalar_subquery()
    found = select(oldest.label("id")).where(turns.c.owner.is_not(None)).subquery("found")
    head = jobs.alias("head")
    read = select(head.c.id, head.c.priority, head.c.created_at, head.c.owner)
    return read.join(found, found.c.id == head.c.id)


@lru_cache(maxsize=64)
def _lines(dialect: Dialect, without: frozenset[int], owners: tuple[str, ...]) -> Any:
    """Read the oldest rows of the owners in the parameters of these names, up to `most` of each."""
    owner, named = dialect.bytewise(jobs.c.owner), (bindparam(name, type_=Name) for name in owners)
    lines = (_by_owner(dialect, without, owner >= name, owner <= name) for name in named)  # an equation loses the order
    return union_all(*(select(line.subquery()) for line in lines))
