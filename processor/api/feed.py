"""What jobs tell, as it is stored: one reader for all who follow a job, whichever jobs these are.

The place of who listens is the number of an event. Each gets what is behind it, in order and without gaps, since the
numbers of a job become visible in order.
"""

import asyncio
from contextlib import AbstractContextManager
from dataclasses import dataclass

from processor.api.reader import Listener, Reader
from processor.lifecycle import FINAL, Status
from processor.queue import news
from processor.queue.lookup import Row

AT_ONCE = 200
"""Jobs of one statement."""
PAGE = 2000
"""Events of one statement."""


@dataclass(eq=False, slots=True)
class JobListener(Listener):
    """Somebody who follows a job. `end` says how it ended: the row, or None where it is there no more."""

    job_id: int
    place: int
    end: Row | None = None


class Feed(Reader[JobListener]):
    """The reader of what jobs tell."""

    def listening(self, job_id: int, after: int) -> AbstractContextManager[JobListener]:
        """Follow a job from the event behind `after` on."""
        return self._listening(JobListener(job_id, after))

    async def _look(self) -> bool:
        """Give everybody what is new; tell whether there is more of it."""
        followed: dict[int, list[JobListener]] = {}
        for one in self._listeners:
            if one.waits:
                followed.setdefault(one.job_id, []).append(one)
        more = False
        jobs = list(followed.items())
        for start in range(0, len(jobs), AT_ONCE):
            more |= await self._give(dict(jobs[start : start + AT_ONCE]))
        return more

    async def _give(self, followed: dict[int, list[JobListener]]) -> bool:
        heads = await asyncio.to_thread(news.heads, self._database, followed)
        places = _places(followed, heads)
        rows = await asyncio.to_thread(news.events_behind, self._database, places, limit=PAGE) if places else []
        by_job: dict[int, list[Row]] = {}
        for row in rows:
            by_job.setdefault(row["job_id"], []).append(row)
        for id, listeners in followed.items():
            for one in listeners:
                _bring_back(one, heads.get(id))
                self._hand(one, [row for row in by_job.get(id, ()) if row["number"] > one.place], heads)
        return len(rows) >= PAGE

    def _hand(self, one: JobListener, rows: list[Row], heads: dict[int, Row]) -> None:
        head = heads.get(one.job_id)
        if rows:
            one.given.extend(rows)
            one.place = rows[-1]["number"]
        if head is None or (Status(head["status"]) in FINAL and one.place >= head["event_no"]):
            one.has_ended, one.end = True, head
        if rows or one.has_ended:
            one.news.set()


def _bring_back(one: JobListener, head: Row | None) -> None:
    """Let who has heard of more than the job told go on from there: a backup was restored."""
    if head is not None:
        one.place = min(one.place, head["event_no"])


def _places(followed: dict[int, list[JobListener]], heads: dict[int, Row]) -> dict[int, int]:
    """Find of each job that has told more than somebody has, from where on it is to be read."""
    places = {id: min(one.place for one in listeners) for id, listeners in followed.items()}
    return {id: place for id, place in places.items() if id in heads and heads[id]["event_no"] > place}
