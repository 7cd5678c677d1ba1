"""Why is this job not running? The claim's own rules, for one row, in their order, in words with numbers.

What decides about limits, rates, lanes and equals is `Situation`, which is what a claim decides by. Nothing is locked
and nothing is changed: the answer is true of the moment in which it was read.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, and_, func, or_, select

from models import jobs, now
from processor.db.database import Database
from processor.db.dialects import Dialect
from processor.lifecycle import FINAL, Reason, Status
from processor.queue import lookup, words
from processor.queue.circles import Waits
from processor.queue.fitness import no_letter
from processor.queue.rules import NO_RULES, Rules
from processor.queue.situation import Decisions, Situation, said_of
from processor.queue.taking import order
from processor.queue.where import is_, is_due, is_one_of

COUNTED = 1000
"""Rows ahead that are counted; more are "more than"."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One rule and what it says of the job; `blocks`: it keeps the job from running now."""

    rule: str
    blocks: bool
    text: str


@dataclass(frozen=True, slots=True)
class Explanation:
    job: int
    type: str
    status: str
    reason: str | None
    findings: tuple[Finding, ...]

    @property
    def runnable(self) -> bool:
        """Tell whether the next claim that has room takes the job."""
        return not any(finding.blocks for finding in self.findings)


def explain(database: Database, job_id: int, *, max_payload_bytes: int = 1024**2) -> Explanation:
    """Say what keeps a job from running, or that nothing does. Raises `NotFound`."""
    row = lookup.job(database, job_id)
    alive = [one for one in lookup.processors_page(database, limit=COUNTED) if not one["lease_over"]]
    with database.read() as connection:
        case = _Case(connection, database.dialect, row, alive, max_payload_bytes)
        findings = tuple(case.findings())
    return Explanation(row["id"], row["type"], row["status"], row["reason"], findings)


class _Case:
    """One row and everything that is asked about it."""

    def __init__(
        self,
        connection: Connection,
        dialect: Dialect,
        row: lookup.Row,
        alive: list[lookup.Row],
        max_payload_bytes: int,
    ) -> None:
        self._connection = connection
        self._dialect = dialect
        self._row = row
        self._alive = alive
        self._able = [one for one in alive if one["status"] == "live" and row["type"] in json.loads(one["types"])]
        self._max_payload_bytes = max_payload_bytes
        self._now: datetime = connection.execute(select(now())).scalar_one()
        self._said = connection.execute(said_of(row["type"])).first()
        self._situation: Situation | None = None

    def findings(self) -> Iterator[Finding]:
        status = Status(self._row["status"])
        if status in FINAL:
            yield Finding(
                "ended",
                True,
                f"It has ended: {words.state(self._row)}, {words.ago(self._now, self._row['finished_at'])}.",
            )
        elif status is Status.RUNNING:
            yield Finding("running", True, self._running())
        elif self._row["reason"] == Reason.CHILDREN and status is Status.WAITING:
            if self._row["cancel_requested"]:
                yield Finding("cancel", True, "Somebody asked it to stop: it ends as cancelled, after its children.")
            yield Finding("children", True, self._children())
        else:
            yield from self._handled()
            yield from self._held_by_people()
            yield from self._due()
            yield from self._malformed()
            if status is Status.WAITING:
                yield from self._waiting()
            else:
                yield from self._decided()
                yield from self._in_order()
                yield from self._slots()

    def _running(self) -> str:
        owner = self._row["processor_id"]
        names = [one["name"] for one in self._alive if one["id"] == owner]
        where = (
            f"on processor {names[0]}" if names else f"claimed by processor {owner}, which is not alive: rescue follows"
        )
        return f"It runs since {words.ago(self._now, self._row['started_at'])}, try {self._row['attempt']}, {where}."

    def _handled(self) -> Iterator[Finding]:
        if not self._alive:
            yield Finding("processor", True, "No processor is alive. Start one: jobtable run.")
        elif not self._able:
            others = "; ".join(
                f"{one['name']} runs {words.listed(json.loads(one['types']))}" for one in self._alive[: words.NAMED]
            )
            yield Finding("type", True, f"No processor that is alive runs the type {self._row['type']!r}; {others}.")

    def _held_by_people(self) -> Iterator[Finding]:
        if self._row["cancel_requested"]:
            yield Finding("cancel", True, "Somebody asked it to stop: it is cancelled at the next poll.")
        if self._row["reason"] == Reason.BATCH and self._row["status"] == Status.PAUSED:
            yield Finding("batch", True, self._batch())
        elif self._row["status"] == Status.PAUSED:
            yield Finding("paused", True, f"Somebody paused it. Let it go on: jobtable resume {self._row['id']}.")
        if self._said is not None and self._said.paused:
            until = self._said.paused_until
            end = (
                f"until {words.instant(until)} ({words.within(self._now, until)})"
                if until and until > self._now
                else "until somebody resumes it"
            )
            text = f"Its type is paused {end}. Let it go on: jobtable types resume {self._row['type']}."
            yield Finding("paused", True, text)

    def _due(self) -> Iterator[Finding]:
        run_at, reason = self._row["run_at"], self._row["reason"]
        if run_at is not None and run_at > self._now:
            why = {Reason.RETRY: " for its next try", Reason.SNOOZE: ", as its handler asked"}.get(reason, "")
            yield Finding("due", True, f"It is due {words.within(self._now, run_at)}{why}, at {words.instant(run_at)}.")
        elif self._row["status"] == Status.SCHEDULED:
            yield Finding("due", True, "It is due and becomes pending at the next poll of a processor.")
        expires_at = self._row["expires_at"]
        if expires_at is not None and expires_at <= self._now:
            yield Finding(
                "expires", False, "Its expires_at has passed: it is claimed and fails as expired, without a run."
            )

    def _malformed(self) -> Iterator[Finding]:
        payload = self._row["payload"] or ""
        size, letter = len(payload.encode(errors="replace")), no_letter(payload)
        if size > self._max_payload_bytes:
            how = f"its payload has {size:,} bytes; max_payload_bytes allows {self._max_payload_bytes:,}"
            yield Finding("malformed", False, f"It is claimed and fails as malformed: {how}.")
        elif letter is not None:
            yield Finding(
                "malformed", False, f"It is claimed and fails as malformed: its payload has {letter} in a text."
            )

    def _waiting(self) -> Iterator[Finding]:
        original = self._row["duplicate_of"]
        if original is None and self._row["concurrency_key"] is None:
            yield Finding("waiting", True, "It waits for nothing any more: it goes on within seconds.")
        elif original is not None:
            yield Finding("duplicate", True, self._equal_to(original))
        else:
            yield Finding("lane", True, self._lane())

    def _children(self) -> str:
        """Say how far its children are."""
        mine = jobs.c.parent_id == self._row["id"]
        count = select(jobs.c.status, func.count()).where(mine).group_by(jobs.c.status)
        counts = dict(map(tuple, self._connection.execute(count)))
        ended = sum(counts.get(status, 0) for status in FINAL)
        goes_on = [f"{counts[status]:,} {status}" for status in Status if status not in FINAL and status in counts]
        some = self._ids(mine, is_one_of(set(Status) - FINAL), limit=words.NAMED + 1)
        still = f": {', '.join(goes_on)}, such as {words.names(some)}" if goes_on else ""
        return f"It waits for its children: {ended:,} of {sum(counts.values()):,} have ended{still}."

    def _batch(self) -> str:
        parent = self._row["parent_id"] or self._row["id"]
        command = f"jobtable cancel {parent}"
        return f"Not all of its batch is there yet. Where nobody puts it in any more, {command} ends all of it."

    def _decided(self) -> Iterator[Finding]:
        """Say what the rules of its type decide about it: all that a claim would find there, and why."""
        nothing = {"max_concurrent": None, "rate": None, "rate_log": None, "turns": None, "instant": self._now}
        said = nothing if self._said is None else dict(self._said._mapping)
        try:
            situation = Situation(
                self._connection, self._dialect, self._row["type"], self._rules(), said, self._max_payload_bytes
            )
        except ValueError as error:
            yield Finding("rate", True, f"The rate of its type in job_types cannot be read: {error}.")
            return
        self._situation = situation
        yield from self._limits(situation)
        special = self._row["key"] is not None or self._row["concurrency_key"] is not None
        if situation.rules.concern_every_row or special:
            yield from self._fate(situation)

    def _rules(self) -> Rules:
        """Give the rules of its type as the first processor that runs it tells them."""
        return Rules.from_facts(json.loads(self._able[0]["types"])[self._row["type"]]) if self._able else NO_RULES

    def _limits(self, situation: Situation) -> Iterator[Finding]:
        limit, rate = situation.rules.max_concurrent, situation.rate
        if limit is not None and situation.running >= limit:
            holders = self._ids(is_(Status.RUNNING), jobs.c.type == self._row["type"])
            held = f", held by {words.names(holders)}" if holders else ""
            yield Finding("limit", True, f"Its type is at its limit: {situation.running} of {limit}{held}.")
        if rate is not None and not situation.starts.free(rate, situation.instant.timestamp()):
            wait = situation.starts.next_free(rate, situation.instant.timestamp()) - situation.instant.timestamp()
            yield Finding("rate", True, f"The rate of its type, {rate}, is used up: next start in {words.span(wait)}.")

    def _fate(self, situation: Situation) -> Iterator[Finding]:
        """Say what an admission would do about it, with all the room there is."""
        me, room = self._row["id"], situation.room(situation.window)
        rows = situation.next_rows(situation.window, locked=False)
        keys = situation.keys(rows)
        decisions = situation.decide(rows, keys, situation.window)
        if me in decisions.wait_for:
            yield Finding("duplicate", True, self._equal_to(decisions.wait_for[me]))
        elif me in decisions.reuse:
            original = decisions.reuse[me]
            yield Finding(
                "cached", True, f"It will not run: it gets the result of job {original}, which is the same work."
            )
        elif me in decisions.lane_full:
            yield Finding("lane", True, self._lane())
        elif room > 0 and self._is_due():
            allowed = situation.decide(rows, keys, room)
            if me not in allowed.run:
                yield Finding("order", True, self._not_reached(rows, allowed))

    def _is_due(self) -> bool:
        due = select(jobs.c.id).where(jobs.c.id == self._row["id"], *is_due())
        return self._connection.execute(due).first() is not None

    def _not_reached(self, rows: Sequence[Any], decisions: Decisions) -> str:
        if self._row["id"] not in {row.id for row in rows}:
            return f"More than {len(rows)} due jobs of its type come before it."
        return f"{len(decisions.run)} due jobs of its type come before it and take what its limit or rate leaves."

    def _equal_to(self, original: int) -> str:
        found = self._connection.execute(select(jobs.c.status, jobs.c.reason).where(jobs.c.id == original)).first()
        if found is None:
            return f"It waits for job {original}, which is gone: it goes on within seconds."
        if found.status == Status.WAITING and found.reason == Reason.CHILDREN and self._is_waited_for_by(original):
            return f"It is the same work as job {original}, which waits for it: it goes on within seconds."
        state = words.state({"status": found.status, "reason": found.reason})
        return f"It is the same work as job {original}, which is {state}; it gets the result of that one."

    def _is_waited_for_by(self, original: int) -> bool:
        return Waits(self._connection, [self._row["id"]]).lead_back(self._row["id"], original)

    def _lane(self) -> str:
        lane = self._row["concurrency_key"]
        in_lane = (jobs.c.type == self._row["type"], jobs.c.concurrency_key == lane)
        holders = self._ids(is_(Status.RUNNING), *in_lane)
        before = self._ids(or_(is_(Status.PENDING), is_(Status.WAITING)), *in_lane, self._before())
        held = f"held by {words.names(holders)}" if holders else "free"
        ahead = f"; before it in the lane: {words.names(before)}" if before else ""
        return f"Its lane {lane!r} is {held}{ahead}."

    def _before(self) -> Any:
        mine = {name: self._row[name] for name in ("priority", "created_at", "id")}
        return or_(
            jobs.c.priority > mine["priority"],
            and_(jobs.c.priority == mine["priority"], jobs.c.created_at < mine["created_at"]),
            and_(jobs.c.priority == mine["priority"], jobs.c.created_at == mine["created_at"], jobs.c.id < mine["id"]),
        )

    def _in_order(self) -> Iterator[Finding]:
        if self._row["status"] != Status.PENDING:
            return
        ahead = self._ahead()
        if ahead:
            count = f"more than {COUNTED}" if len(ahead) > COUNTED else str(len(ahead))
            come = "job comes" if len(ahead) == 1 else "jobs come"
            text = f"In the order of its type {count} due {come} before it: {words.names(ahead)}."
        else:
            text = "It is the next of its type."
        yield Finding("place", False, text + self._order())

    def _ahead(self) -> list[int]:
        if self._situation is None or not self._situation.rules.have_an_order:
            return self._ids(jobs.c.type == self._row["type"], *is_due(), self._before(), limit=COUNTED + 1)
        places = self._situation.places(COUNTED + 1)
        if self._row["id"] in places:
            return places[: places.index(self._row["id"])]
        by_age = (jobs.c.type == self._row["type"], *is_due(), self._before())
        return places if self._is_due() else self._ids(*by_age, limit=COUNTED + 1)

    def _order(self) -> str:
        """Say what the order of its type is, where it is another than that of claims."""
        if self._situation is None:
            return ""
        rules, text = self._situation.rules, ""
        if rules.fair != "none":
            text = " Owners take turns within a priority."
        if ageing := rules.parsed_ageing():
            level = ageing.level(self._row["priority"], self._row["created_at"], self._now)
            text += f" Its priority {self._row['priority']} counts as {level} ({ageing})."
        return text

    def _slots(self) -> Iterator[Finding]:
        yield from self._here()
        full = [one for one in self._able if one["running"] >= one["max_concurrent"]]
        if self._able and len(full) == len(self._able):
            used = ", ".join(
                f"{one['name']} {one['running']} of {one['max_concurrent']}" for one in full[: words.NAMED]
            )
            yield Finding("slots", True, f"Every processor that runs its type is full: {used}.")

    def _here(self) -> Iterator[Finding]:
        """Say whether every processor runs as many of the type as it may."""
        limits = {one["id"]: json.loads(one["types"])[self._row["type"]].get("max_per_processor") for one in self._able}
        if not limits or None in limits.values():
            return
        runs = {
            id: len(self._ids(is_(Status.RUNNING), jobs.c.type == self._row["type"], jobs.c.processor_id == id))
            for id in limits
        }
        if all(runs[id] >= limit for id, limit in limits.items()):
            used = ", ".join(
                f"{one['name']} {runs[one['id']]} of {limits[one['id']]}" for one in self._able[: words.NAMED]
            )
            yield Finding("limit", True, f"Every processor runs as many of its type as it may: {used}.")

    def _ids(self, *which: Any, limit: int = COUNTED) -> list[int]:
        rows = select(jobs.c.id).where(*which).order_by(*order(jobs)).limit(limit)
        return list(self._connection.execute(rows).scalars())
