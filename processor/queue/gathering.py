"""What the children of a job come to: how many ended how, what they tell, and whether their parent fails with them."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, cast, func, select

from models import jobs
from models.types import LongText
from processor.db.dialects import Dialect
from processor.lifecycle import Status
from processor.outcome import Kind, Outcome
from processor.queue.followups import TOLD_BYTES
from processor.queue.where import is_

TOLD_CHILDREN = 1000
"""Children whose results a parent ends with; of more, their number."""


@dataclass(slots=True)
class Gathered:
    """A parent, how many of its children ended how, and of some of them what they tell, as JSON texts."""

    parent: Any
    counts: Counter[str]
    told: dict[int, str] = field(default_factory=dict)
    first_failed: tuple[int, str] | None = None

    @property
    def not_completed(self) -> int:
        return self.counts[Status.FAILED] + self.counts[Status.CANCELLED]

    @property
    def fails(self) -> bool:
        """Apply the rule: how many must fail for their parent to fail."""
        rule = str(self.parent.fail_on or "any").strip()
        needed = int(rule) if rule.isdecimal() else max(1, self.counts.total()) if rule == "all" else 1
        return self.not_completed >= needed

    def outcome(self, *, told: bool = True, returned: bool = True) -> Outcome:
        """Say what became of the parent, with what its own work used; with neither: numbers alone."""
        parent = self.parent
        used = {"cpu_seconds": parent.cpu_seconds, "max_rss_bytes": parent.max_rss_bytes}
        if parent.cancel_requested:
            said = {name: getattr(parent, name) for name in ("error_type", "error_message", "error_detail")}
            return Outcome(Kind.CANCELLED, **said, **used)
        if self.fails:
            return Outcome(Kind.CHILDREN, error_type="ChildrenFailed", error_message=self._complaint(), **used)
        return Outcome(Kind.RETURNED, result=self._result(self.told if told else {}, returned=returned), **used)

    def _result(self, told: dict[int, str], *, returned: bool) -> str:
        """Give what the parent completes with; texts go in as they are written."""
        counts = {status.value: self.counts[status] for status in _FATES}
        head = json.dumps(counts)[1:-1]
        children = ", ".join(told[id] for id in sorted(told))
        left_out = self.counts.total() - len(told)
        more = f', "left_out": {left_out}' if left_out else ""
        own = f', "returned": {self.parent.returned}' if returned and self.parent.returned is not None else ""
        return f'{{{head}, "children": [{children}]{more}{own}}}'

    def _complaint(self) -> str:
        failed, cancelled = self.counts[Status.FAILED], self.counts[Status.CANCELLED]
        parts = [f"{count:,} {word}" for count, word in ((failed, "failed"), (cancelled, "were cancelled")) if count]
        first = f"; the first is job {self.first_failed[0]}: {self.first_failed[1]}" if self.first_failed else ""
        rule = self.parent.fail_on or "any"
        return f"Of {self.counts.total():,} children {' and '.join(parts)} (fail_on: {rule}){first}"


PARENT = (
    *(jobs.c[name] for name in ("id", "type", "attempt", "owner", "subject", "key", "concurrency_key", "parent_id")),
    *(jobs.c[name] for name in ("processor_id", "claim_no", "cancel_requested", "fail_on")),
    *(jobs.c[name] for name in ("error_type", "error_message", "error_detail", "cpu_seconds", "max_rss_bytes")),
    cast(jobs.c.result, LongText).label("returned"),
)
"""What is read of a parent."""
_FATES = (Status.COMPLETED, Status.FAILED, Status.CANCELLED)


def gather(connection: Connection, dialect: Dialect, parent: Any) -> Gathered:
    """Read what the children of a row (all of `PARENT`) come to."""
    mine = jobs.c.parent_id == parent.id
    count = select(jobs.c.status, func.count()).where(mine).group_by(jobs.c.status)
    gathered = Gathered(parent, Counter(dict(map(tuple, connection.execute(count)))))
    room = TOLD_BYTES
    for status in (Status.FAILED, Status.CANCELLED, Status.COMPLETED):  # where not all have room: the ones to look at
        left = TOLD_CHILDREN - len(gathered.told)
        if gathered.counts[status] and left > 0:
            room = _tell(connection, dialect, gathered, status, left, room)
    return gathered


def _tell(connection: Connection, dialect: Dialect, gathered: Gathered, status: Status, most: int, room: int) -> int:
    """Add what the first children that ended so tell, as long as there is room (bytes); give what room is left."""
    size = func.coalesce(dialect.bytes_of(jobs.c.result), 0).label("size")
    rows = connection.execute(
        select(jobs.c.id, jobs.c.type, jobs.c.reason, jobs.c.error_message, size)
        .where(jobs.c.parent_id == gathered.parent.id, is_(status))
        .order_by(jobs.c.id)
        .limit(most)
    ).all()
    if rows and status is not Status.COMPLETED and gathered.first_failed is None:
        gathered.first_failed = (rows[0].id, _short(rows[0].error_message) or rows[0].reason or status.value)
    chosen = []
    for row in rows:
        room -= row.size + len(_told(row, status, None))
        if room < 0:
            break
        chosen.append(row)
    results = _results(connection, [row.id for row in chosen]) if status is Status.COMPLETED else {}
    for row in chosen:
        gathered.told[row.id] = _told(row, status, results.get(row.id))
    return max(room, 0)


def _told(row: Any, status: Status, result: str | None) -> str:
    told = {"id": row.id, "type": row.type, "status": status.value}
    if status is not Status.COMPLETED:
        return json.dumps({**told, "error_message": _short(row.error_message)})
    return f'{json.dumps(told)[:-1]}, "result": {result or "null"}}}'


def _results(connection: Connection, ids: Sequence[int]) -> dict[int, str]:
    if not ids:
        return {}
    rows = connection.execute(select(jobs.c.id, cast(jobs.c.result, LongText)).where(jobs.c.id.in_(ids)))
    return dict(map(tuple, rows))


def _short(text: str | None) -> str | None:
    """Give the first line of an error, at most 200 letters of it."""
    return None if text is None else str(text).split("\n", 1)[0][:200]
