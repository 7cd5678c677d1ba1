"""Read the settings anew beside the loop: a user's modules may take 20 s to say what they are; jobs end meanwhile."""

import threading
from collections.abc import Callable

from processor.errors import SettingsError, StartRefused
from processor.happenings import Happenings
from processor.settings import Settings
from processor.work.incarnation import need_workdir
from processor.work.roster import Roster, call_up


class Reading(threading.Thread):
    """One reading. When it is over, `found` has what was read, or `error` says why there is nothing."""

    def __init__(self, reload: Callable[[], Settings], happenings: Happenings, wake: Callable[[], None]) -> None:
        super().__init__(name="reading", daemon=True)
        self._reload = reload
        self._happenings = happenings
        self._wake = wake
        self.found: tuple[Settings, Roster] | None = None
        self.error = "Reading them failed in a way nobody foresaw; the traceback stands in the log."
        self.start()

    def run(self) -> None:
        try:
            settings = self._reload()
            need_workdir(settings.processor.workdir)
            self.found = settings, call_up(settings, self._happenings)
        except (SettingsError, StartRefused) as error:
            self.error = str(error)
        finally:
            self._wake()

    @property
    def is_over(self) -> bool:
        return not self.is_alive()
