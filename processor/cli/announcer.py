"""What systemd is told, as a listener: when the processor takes jobs, and when it stops."""

from processor.happenings import DrainStarted, ProcessorStarted, SettingsRefused, SettingsReloaded
from processor.notify import Notifier


class Announcer:
    """The listener that tells systemd when the processor takes jobs and when it stops."""

    def __init__(self, notifier: Notifier) -> None:
        self._notifier = notifier

    def __call__(self, happening: object) -> None:
        match happening:
            case ProcessorStarted():
                self._notifier.ready(f"takes jobs of {len(happening.types)} types")
            case SettingsReloaded():
                self._notifier.ready(f"takes jobs of {len(happening.types)} types")
            case SettingsRefused():
                self._notifier.ready("the new settings were refused, the old ones are in force")
            case DrainStarted():
                self._notifier.stopping(f"waits for {happening.running} jobs")
