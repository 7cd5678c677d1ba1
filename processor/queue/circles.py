"""Who waits for whom, so that no job waits for an equal one that waits, directly or through others, for it.

```
 original ── waits for its child ──► job          a job that has an equal among its ancestors
    ▲                                 │
    └──────── the same work ──────────┘           it does the work itself: nobody else ever would
```

Two families may wait for each other in the same way. A job waits for the jobs whose `parent_id` it is until it has
ended, whatever it does now: it will; and for its original, while it waits as a duplicate.
"""

import random
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence

from sqlalchemy import Connection, case, literal_column, select, union

from models import jobs
from processor.lifecycle import Reason, Status
from processor.queue.upkeep import BATCH
from processor.queue.where import LAST_FINAL, is_

WAITED_FOR = case((jobs.c.started_at.is_(None), jobs.c.parent_id), else_=jobs.c.id)
"""Of a duplicate that waits, the next that somebody may wait for: itself if it was started once, else its parent."""
Link = tuple[int, int]
"""Whom somebody may wait for of the duplicates of an original, and that original."""


class Waits:
    """Who waits for these jobs, for those who do, and so on: walked together, a statement for each generation."""

    def __init__(self, connection: Connection, ids: Iterable[int]) -> None:
        self._waiting_for: defaultdict[int, set[int]] = defaultdict(set)
        ahead, seen = set(ids), set[int]()
        while ahead:
            seen |= ahead
            for job, waits in _generation(connection, ahead):
                self._waiting_for[job].add(waits)
            ahead = {waits for job in ahead for waits in self._waiting_for.get(job, ())} - seen

    def add(self, job: int, waits: int) -> None:
        """Note that somebody waits for a job from now on."""
        self._waiting_for[job].add(waits)

    def lead_back(self, job: int, original: int) -> bool:
        """Tell whether there is a circle if a job waits for an original."""
        ahead, seen = [job], {job}
        while ahead and original not in seen:
            more = self._waiting_for.get(ahead.pop(), set()) - seen
            seen |= more
            ahead += more
        return original in seen


def _generation(connection: Connection, ids: Collection[int]) -> Iterator[Link]:
    """Read who waits for each of these jobs."""
    for some in _portions(ids):
        is_open = jobs.c.status > literal_column(f"'{LAST_FINAL.value}'")
        parents = select(jobs.c.id, jobs.c.parent_id).where(jobs.c.id.in_(some), is_open, jobs.c.parent_id.is_not(None))
        duplicates = select(jobs.c.duplicate_of, WAITED_FOR).where(
            is_(Status.WAITING), jobs.c.duplicate_of.in_(some), WAITED_FOR.is_not(None)
        )
        yield from map(tuple, connection.execute(union(parents, duplicates)))


def found(connection: Connection, types: Collection[str]) -> Sequence[int]:
    """Find duplicates of these types that wait in a circle, among so many as can be looked at in one go.

    There are some where families came to wait for each other at one instant, or somebody wrote a `parent_id`.
    """
    links = _links(connection, types)
    links = random.sample(links, min(len(links), BATCH))  # others in another look: each of them can be found
    waits = Waits(connection, {next_ for next_, _ in links})
    circling = [link for link in links if waits.lead_back(*link)]
    if not circling:
        return []
    waited_for, originals = (sorted(set(ids)) for ids in zip(*circling, strict=True))
    which = (jobs.c.duplicate_of.in_(originals), WAITED_FOR.in_(waited_for), jobs.c.type.in_(sorted(types)))
    return connection.execute(select(jobs.c.id).where(is_(Status.WAITING), *which).limit(BATCH)).scalars().all()


def _links(connection: Connection, types: Collection[str]) -> Sequence[Link]:
    """Read which duplicates may be in a circle: their originals wait themselves."""
    linked = (
        select(WAITED_FOR.label("next"), jobs.c.duplicate_of)
        .where(is_(Status.WAITING), jobs.c.duplicate_of.is_not(None), WAITED_FOR.is_not(None))
        .where(jobs.c.type.in_(sorted(types)))
        .distinct()
        .subquery("linked")
    )
    original = jobs.alias("original")
    rows = (
        select(linked.c.next, linked.c.duplicate_of)
        .join(original, original.c.id == linked.c.duplicate_of)
        .where(original.c.status == Status.WAITING.value)
        .where(original.c.reason.in_([Reason.CHILDREN.value, Reason.DUPLICATE.value]))
    )
    return [(next_, original) for next_, original in connection.execute(rows)]


def _portions(ids: Collection[int]) -> Iterator[list[int]]:
    every = sorted(ids)
    for start in range(0, len(every), BATCH):
        yield every[start : start + BATCH]
