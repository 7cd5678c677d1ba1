"""One job, run as a processor runs it, by an incarnation that nobody sees: no row, no claim, no write.

It is the daemon's own way from `dispatch` to the verdict, and ends there. It can die in any state without a trace in
the table: the supervisor reads end-of-file and kills what it started.
"""

from collections.abc import Callable, Iterable

from processor.db import Database
from processor.happenings import Happenings
from processor.judge import Verdict
from processor.queue.claim import ClaimedJob
from processor.queue.events import Event
from processor.settings import Settings
from processor.work.claiming import Claiming
from processor.work.incarnation import Incarnation, need_workdir
from processor.work.listening import Listening
from processor.work.patience import Patience
from processor.work.resting import rest
from processor.work.roster import Roster
from processor.work.signals import Signals
from processor.work.state import State

LONGEST_REST = 60.0
"""Seconds; everything that happens ends a rest by itself."""


def alone(settings: Settings, type_: str) -> Settings:
    """Give settings that know this type alone, so that no other handler is asked what it is."""
    own = {name: entry for name, entry in settings.types.items() if name == type_}
    kept: dict[str, object] = {"types": own}
    if own:
        kept["processor"] = settings.processor.model_copy(update={"modules": ()})
    return settings.model_copy(update=kept)


class Replay:
    """Runs one job; `tell` hears what it reports while it runs. Raises `StartRefused` where no folder can be made.

    The first SIGINT or SIGTERM asks it to stop, a second one kills it.
    """

    def __init__(
        self,
        settings: Settings,
        roster: Roster,
        database: Database,
        happenings: Happenings,
        tell: Callable[[Event], None],
    ) -> None:
        need_workdir(settings.processor.workdir)
        self._state = State(settings, roster, database, Patience(happenings), happenings)
        self._listening = Listening(self._state)
        self._signals = Signals()
        self._tell = tell

    @property
    def interrupted(self) -> bool:
        return self._signals.stops > 0

    def run(self, job: ClaimedJob) -> Verdict:
        """Run it to its end and give the verdict that a processor would have written."""
        self._signals.install(reloads=False)
        state = self._state
        state.life = Incarnation(state.settings.processor.run_dir, unseen=True)
        try:
            Claiming(state).dispatch(job)
            while state.ledger.runs:
                self._turn()
        finally:
            state.life.end()
        return state.ledger.outbox[0].verdict

    def _turn(self) -> None:
        crew = self._state.life.crew
        self._obey()
        crew.flush()
        rest(self._signals, crew, LONGEST_REST)
        self._signals.hush()
        self._listening.take_in()
        if crew.lost:
            self._listening.give_up("The supervisor ended while the job ran.")
        self._pass_on()

    def _obey(self) -> None:
        if self._signals.stops:
            for run in self._state.ledger.runs.values():
                self._state.stop(run, "cancel")
        if self._signals.stops > 1:
            self._state.life.crew.kill()

    def _pass_on(self) -> None:
        ledger = self._state.ledger
        for run in ledger.runs.values():
            events, run.events = run.events, []
            self._tell_each(events)
        while ledger.unsaid:
            self._tell_each(ledger.unsaid.popleft().events)

    def _tell_each(self, events: Iterable[Event]) -> None:
        for event in events:
            self._tell(event)
