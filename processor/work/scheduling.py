"""Let schedules fire: write the configuration's, look at all of them, and be awake when the next one falls due.

A look comes every five seconds, so that a row which somebody changed by SQL is found, and at the time of the next
firing. Whoever made the job, every processor claims then: the one that was late may be the one that has room.
"""

import json
import math
import time

from processor import happenings as h
from processor.errors import DatabaseError, DatabaseUnreachable, SchemaError
from processor.queue import firing, schedules
from processor.queue.firing import Attended
from processor.queue.schedules import Schedule
from processor.sections import Schedule as Wanted
from processor.settings import Settings
from processor.work.rhythm import Rhythm
from processor.work.state import State

LOOK_PAUSE = 5.0
"""Seconds between two looks when nothing falls due."""
HELD_PAUSE = 0.2
"""Seconds until another look at a schedule that another processor is about to let fire."""
MOST_AT_ONCE = 20
"""Schedules of one turn, each a transaction: a thousand at midnight must not keep jobs from being settled."""
REFUSED_PAUSE = 60.0
"""Seconds until a row is tried again that the database let nobody change."""


class Scheduling:
    def __init__(self, state: State) -> None:
        self._state = state
        self._rhythm = Rhythm(LOOK_PAUSE, jitter=0.2)
        self._next_at = math.inf  # of the next firing, by the monotonic clock
        self._unwritten = True
        self.is_behind = True
        """Whether a look has to come before everything that is due has been seen to."""
        self._said: set[tuple[str, str]] = set()
        self._passed_over: dict[str, float] = {}

    def reload(self) -> None:
        """Take over a configuration that was changed."""
        self._unwritten = True
        self._rhythm.now()

    def pause(self) -> float:
        """How long nothing of this is due, in seconds."""
        if not self._works():
            return math.inf
        return min(self._rhythm.remaining(), max(0.0, self._next_at - time.monotonic()))

    def step(self) -> None:
        if self._state.patience.away or not self._works() or self.pause() > 0:
            return
        with self._state.patience.step():
            try:
                self._write_configuration()
                self._look()
            except (DatabaseUnreachable, SchemaError):
                raise
            except DatabaseError as error:  # this user may not look at schedules: the work goes on
                self._complain("", error.message)

    def _works(self) -> bool:
        state = self._state
        return not state.draining and state.life.registered and not state.life.is_over

    def _write_configuration(self) -> None:
        if not self._unwritten:
            return
        settings = self._state.settings
        wanted = [_schedule(name, entry) for name, entry in settings.schedules.items()]
        try:
            refused = schedules.keep(self._state.database, wanted, _source(settings))
        except DatabaseUnreachable:
            raise
        except DatabaseError as error:  # this user may not delete: the work goes on
            refused = {"": f"What the configuration names no more was not removed. {error.message}"}
        self._unwritten = False
        for name, why in refused.items():
            self._complain(name, why)

    def _look(self) -> None:
        state, now = self._state, time.monotonic()
        fell_due = now >= self._next_at
        self._rhythm.rest()
        self._next_at = math.inf  # a look that fails comes again with the rhythm, not ahead of every claim
        look = firing.look(state.database)
        for unreadable in look.unreadable:
            self._complain(*unreadable)
        state.happenings.emit(h.SchedulesSeen(look.ready, look.paused, len(look.unreadable)))
        self._passed_over = {name: until for name, until in self._passed_over.items() if until > now}
        wanting = [name for name in look.wanting if name not in self._passed_over]
        attended: list[Attended] = []
        for name in wanting:
            if sum(not one.held for one in attended) >= MOST_AT_ONCE:
                break
            attended.append(self._attend(name))
        self.is_behind = len(attended) < len(wanting)
        again = (HELD_PAUSE if all(one.held for one in attended) else 0.0) if wanting else look.seconds
        self._next_at = now + again
        state.more_is_due = state.more_is_due or fell_due or any(one.jobs for one in attended)

    def _attend(self, name: str) -> Attended:
        state = self._state
        try:
            attended = firing.attend(state.database, name, self._queue_limit)
        except (DatabaseUnreachable, SchemaError):
            self._pass_over(name, LOOK_PAUSE)  # it may be for this one: others come first when the database answers
            raise
        except DatabaseError as refusal:  # refused, a broken trigger, a right that is missing
            return self._give_up(name, refusal.message)
        except (ArithmeticError, AttributeError, TypeError, ValueError) as error:  # a row that nobody could foresee
            return self._give_up(name, f"It cannot be read: {error!r}")
        if attended.error is not None:
            self._passed_over[name] = time.monotonic() + LOOK_PAUSE
            self._complain(name, attended.error)
        if attended.skipped is not None:
            state.happenings.emit(h.ScheduleSkipped(name, attended.type, attended.skipped))
        if attended.job is not None:
            fired = h.ScheduleFired(name, attended.type, attended.jobs, attended.job, attended.late)
            state.happenings.emit(fired)
        return attended

    def _give_up(self, name: str, why: str) -> Attended:
        self._pass_over(name, REFUSED_PAUSE)
        self._complain(name, why)
        return Attended()

    def _pass_over(self, name: str, pause: float) -> None:
        self._passed_over[name] = time.monotonic() + pause

    def _queue_limit(self, type_: str) -> int | None:
        return self._state.roster.types[type_].rules.queue_limit

    def _complain(self, name: str, error: str) -> None:
        """Say it once, not at every look."""
        if (name, error) not in self._said:
            self._said.add((name, error))
            self._state.happenings.emit(h.ScheduleUnusable(name, error))


def _schedule(name: str, entry: Wanted) -> Schedule:
    return Schedule(
        name=name,
        type=entry.type,
        payload=json.dumps(entry.payload),
        priority=entry.priority,
        owner=entry.owner,
        subject=entry.subject,
        cron=entry.cron,
        every_seconds=entry.every,
        time_zone=entry.time_zone,
        jitter_seconds=entry.jitter,
        catch_up=entry.catch_up,
        catch_up_limit=entry.catch_up_limit,
        skip_if_running=entry.skip_if_running,
    )


def _source(settings: Settings) -> str:
    """Name the configuration: its processor and its file, so that two on one machine do not remove each other's."""
    return f"{settings.processor.name}:{settings.file.absolute() if settings.file else 'environment'}"
