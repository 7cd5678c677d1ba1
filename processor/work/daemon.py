"""The loop of a processor: listen, settle, upkeep, claim, rest.

One thread decides and talks to the database; it waits in one place. Beside it a heartbeat thread keeps the lease, a
sampler counts for the metrics and retention deletes old rows, each with its own connection. Whatever needs the database
goes through `Patience`: when it is away, outcomes are kept, nothing is claimed, and limits and kills go on in the
supervisor, which needs neither.

A processor ends in order (it drains), or its incarnation does: fenced by others or past its own deadline it kills what
it runs, writes what may still be written under the old claims, and registers as somebody new.
"""

import time
from collections.abc import Callable

from processor import happenings as h
from processor.db import schema
from processor.errors import JobtableError
from processor.happenings import Happenings
from processor.queue import leases, turns_index, upkeep, wakeup
from processor.settings import Settings
from processor.work.chores import Chores
from processor.work.claiming import Claiming
from processor.work.incarnation import Incarnation, need_workdir, open_database
from processor.work.listener import Listener
from processor.work.listening import Listening
from processor.work.patience import Patience
from processor.work.reading import Reading
from processor.work.resting import rest
from processor.work.retention import Retention
from processor.work.roster import Roster, call_up, keeps_of
from processor.work.sampler import Sampler
from processor.work.scheduling import Scheduling
from processor.work.settling import Settling
from processor.work.signals import Signals
from processor.work.state import State
from processor.work.tracing import Tracing

KILL_SECONDS = 2.0
"""How long a fenced processor waits to hear what became of the workers that are being killed."""
LEAVE_AT_ONCE = 3
"""So many signals end a processor that cannot write its verdicts (the database is away); others rescue its jobs."""
LONGEST_REST = 1.0
"""Seconds; the loop turns at least so often, so that a watchdog can tell rest from a hang."""


class Daemon:
    """A processor from its start to its end. `drain=True` ends it when nothing is left that it can run.

    `reload` reads the settings anew for SIGHUP; `pulse` is called at every turn of the loop.
    """

    def __init__(
        self,
        settings: Settings,
        happenings: Happenings,
        *,
        drain: bool = False,
        reload: Callable[[], Settings] | None = None,
        pulse: Callable[[], None] = lambda: None,
    ) -> None:
        self._happenings = happenings
        self._drain_when_empty = drain
        self._reload = reload
        self._pulse = pulse
        self._signals = Signals()
        self._state = State(
            settings, call_up(settings, happenings), open_database(settings), Patience(happenings), happenings
        )
        if settings.traces.enabled:
            self._state.tracing = Tracing(settings.traces, happenings)
        self._listening = Listening(self._state)
        self._settling = Settling(self._state)
        self._chores = Chores(self._state)
        self._scheduling = Scheduling(self._state)
        self._claiming = Claiming(self._state)
        self._reading: Reading | None = None
        self._drain_until: float | None = None
        self._stopping_all = False

    def run(self) -> None:
        """Work until asked to stop.

        Raises `StartRefused` and `SchemaError` before anything is claimed.
        """
        self._signals.install()
        need_workdir(self._state.settings.processor.workdir)
        if not self._wait_for_database():
            return
        sampler = Sampler(self._state.settings, self._happenings)
        retention = Retention(self._state.settings, self._happenings)
        listener = self._listener()
        self._be_born()
        sampler.start(lambda: {type_: one.rules.queue_limit for type_, one in self._state.roster.types.items()})
        retention.start(lambda: keeps_of(self._state.settings, self._state.roster))
        try:
            while not self._is_done():
                self.turn()
        finally:
            listener.stop()
            sampler.stop()
            retention.stop()
            self._leave()

    def _listener(self) -> Listener:
        """Hear the database's notices, where the settings ask for that and it has any."""

        def hurry() -> None:
            self._chores.hurry()
            self._signals.wake()

        listener = Listener(open_database(self._state.settings, connections=1), hurry)
        if self._state.settings.database.wakeup:
            wakeup.need_notices(self._state.database)
            listener.start()
        return listener

    def turn(self) -> None:
        """Do every step once, then rest until something happens."""
        self._pulse()
        self._obey()
        self._stay_alive()
        self._listening.step()
        self._settling.step()
        self._chores.step()
        self._scheduling.step()
        self._claiming.step()
        self._rest()

    # -- birth and end -------------------------------------------------------------------------------------------------

    def _wait_for_database(self) -> bool:
        """Wait for the database and check its schema; False when asked to stop meanwhile."""
        patience = self._state.patience
        while not self._signals.stops:
            self._pulse()
            with patience.step():
                schema.check(self._state.database)
                self._make_turns_index(self._state.roster)
                return True
            self._sleep(patience.again_at - time.monotonic())
        return False

    def _make_turns_index(self, roster: Roster) -> None:
        turns_index.ensure(self._state.database, [one.rules for one in roster.types.values()])

    def _be_born(self) -> None:
        self._state.life = Incarnation(self._state.settings.processor.run_dir)
        self._state.forget_claims()
        self._register()

    def _register(self) -> None:
        state = self._state
        with state.patience.step():
            state.life.register(
                state.settings,
                state.roster,
                state.database,
                holdings=state.holdings,
                wake=self._signals.wake,
                happenings=self._happenings,
            )
            self._chores.poll.now()

    def _stay_alive(self) -> None:
        """Register where the database was away until now; come back as somebody new where this life is over."""
        if self._state.life.is_over:
            self._begin_anew()
        elif not self._state.life.registered and not self._state.patience.away:
            self._register()

    def _begin_anew(self) -> None:
        state = self._state
        self._happenings.emit(h.ProcessorFenced(state.life.id, len(state.ledger.runs)))
        state.life.stop_beating()
        state.life.crew.kill()
        deadline = time.monotonic() + KILL_SECONDS
        while state.ledger.runs and not state.life.crew.lost and (left := deadline - time.monotonic()) > 0:
            self._sleep(left)
            self._listening.take_in()
        self._listening.give_up("This processor lost its lease, so its workers were killed.")
        state.life.end()
        state.former.append(state.life.id)
        self._be_born()

    def _is_done(self) -> bool:
        state = self._state
        if self._signals.stops >= LEAVE_AT_ONCE:
            return True
        if state.ledger.runs or state.ledger.outbox or (state.ledger.held and not self._stopping_all):
            return False  # past its deadline, a stop does not wait for rows that others hold: they are rescued
        if state.draining:
            return True
        return (
            self._drain_when_empty
            and not (state.more_is_due or state.parents or self._scheduling.is_behind)
            and state.life.registered
            and self._nothing_is_due()
        )

    def _nothing_is_due(self) -> bool:
        with self._state.patience.step():
            state = self._state
            return upkeep.count_due(state.database, tuple(state.roster.types), state.passed_over()) == 0
        return False

    def _leave(self) -> None:
        state = self._state
        state.life.stop_beating()
        state.life.crew.dismiss()  # before anybody may take over what it runs
        if state.life.registered:
            with state.patience.step():
                leases.release(state.database, state.life.id, state.abandoned)
                leases.leave(state.database, state.life.id)
        state.life.end()
        if state.tracing is not None:
            state.tracing.stop()
        self._happenings.emit(h.ProcessorStopped(state.life.id, state.released))
        state.database.close()

    # -- what people ask -----------------------------------------------------------------------------------------------

    def _obey(self) -> None:
        self._signals.hush()
        if self._signals.reload and self._reload is not None and self._reading is None:
            self._signals.reload = False
            self._reading = Reading(self._reload, self._happenings, self._signals.wake)
        if self._reading is not None and self._reading.is_over:
            self._take_over(self._reading)
            self._reading = None
        if (self._signals.stops or self._state.life.is_asked_to_drain) and not self._state.draining:
            self._begin_drain()
        past = self._drain_until is not None and time.monotonic() >= self._drain_until
        if (past or self._signals.stops > 1) and not self._stopping_all:
            self._stopping_all = True
            self._state.stop_all()

    def _begin_drain(self) -> None:
        state, seconds = self._state, self._state.settings.processor.drain_timeout
        state.draining = True
        self._drain_until = time.monotonic() + seconds
        self._happenings.emit(h.DrainStarted(state.life.id, len(state.ledger.runs), seconds))
        with state.patience.step():
            leases.drain(state.database, state.life.id)

    def _take_over(self, reading: Reading) -> None:
        """Take over settings that were changed; settings that cannot be used change nothing."""
        state = self._state
        if reading.found is None:
            self._happenings.emit(h.SettingsRefused(reading.error))
            return
        settings, roster = reading.found
        try:
            self._make_turns_index(roster)
        except JobtableError as error:
            self._happenings.emit(h.SettingsRefused(str(error)))
            return
        if settings.database != state.settings.database:
            self._happenings.emit(h.SettingsRefused("[database] changed, which needs a restart; the rest is in force."))
            settings = settings.model_copy(update={"database": state.settings.database})
        state.settings, state.roster, state.more_is_due = settings, roster, True
        self._chores.set_pace()
        self._scheduling.reload()
        with state.patience.step():
            state.life.describe(settings, roster, state.database)
        self._happenings.emit(h.SettingsReloaded(tuple(sorted(roster.types)), roster.unusable))

    # -- the one place that waits --------------------------------------------------------------------------------------

    def _rest(self) -> None:
        self._state.life.crew.flush()
        self._sleep(self._pause())

    def _pause(self) -> float:
        """How long nothing will have to be done, in seconds, unless something happens."""
        state = self._state
        if state.patience.lost:
            pause = state.patience.again_at - time.monotonic()
        elif state.can_claim():
            pause = 0.0
        else:
            steps = (self._chores, self._settling, self._scheduling)
            pause = min(max(0.0, state.rate_pause()), *(step.pause() for step in steps))
            until = state.claim_after - time.monotonic()
            if state.more_is_due and until > 0:
                pause = min(pause, until)
        if self._drain_until is not None and not self._stopping_all:
            pause = min(pause, self._drain_until - time.monotonic())
        return pause

    def _sleep(self, seconds: float) -> None:
        life = getattr(self._state, "life", None)
        rest(self._signals, life.crew if life is not None else None, min(seconds, LONGEST_REST))
