"""What happens in a processor, as values.

The core says *that* something happened, in one line: `happenings.emit(Settled(...))`. Words are in `logs`, numbers in
`metrics`, and tests listen to the same values. Durations are seconds.
"""

from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class ProcessorStarted:
    processor: str
    name: str
    database: str
    types: tuple[str, ...]
    max_concurrent: int
    unusable: tuple[str, ...] = ()
    """Types whose handler cannot be started."""


@dataclass(frozen=True, slots=True)
class DrainStarted:
    processor: str
    running: int
    seconds: float


@dataclass(frozen=True, slots=True)
class ProcessorStopped:
    processor: str
    released: int


@dataclass(frozen=True, slots=True)
class ProcessorFenced:
    """This incarnation lost its lease: what it ran was killed, a new incarnation registers."""

    processor: str
    running: int


@dataclass(frozen=True, slots=True)
class SettingsReloaded:
    types: tuple[str, ...]
    unusable: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SettingsRefused:
    error: str


@dataclass(frozen=True, slots=True)
class ClaimFinished:
    """One claim statement was answered: `jobs` rows for `slots` free slots."""

    jobs: int
    slots: int
    seconds: float


@dataclass(frozen=True, slots=True)
class JobStarted:
    job: int
    type: str
    attempt: int
    wait_seconds: float


@dataclass(frozen=True, slots=True)
class JobSettled:
    """An outcome was accepted. `status` is where the job is now: a final state, or pending/scheduled again."""

    job: int
    type: str
    attempt: int
    status: str
    reason: str
    seconds: float
    message: str | None = None


@dataclass(frozen=True, slots=True)
class JobReused:
    """A job ended with the result of an equal one: `duplicate` waited for it, `cached` came after it."""

    job: int
    type: str
    original: int
    reason: str


@dataclass(frozen=True, slots=True)
class ParentEnded:
    """A job that waited for its children has ended with the last of them."""

    job: int
    type: str
    status: str
    reason: str
    message: str | None = None


@dataclass(frozen=True, slots=True)
class TypeHeld:
    """A handler asked that nothing of its type starts for so many seconds."""

    job: int
    type: str
    seconds: float


@dataclass(frozen=True, slots=True)
class WebhookGone:
    """A webhook is paused, because its address answered 410: there is nothing any more, for good."""

    webhook: str


@dataclass(frozen=True, slots=True)
class RuleUnusable:
    """Nothing of a type is started, because nobody can read what its row in `job_types` says. Said once."""

    type: str
    error: str


@dataclass(frozen=True, slots=True)
class SettleFinished:
    jobs: int
    seconds: float


@dataclass(frozen=True, slots=True)
class OutcomeStale:
    """An outcome was refused: the claim it carries does not own the job any more."""

    job: int
    type: str
    attempt: int
    outcome: str


@dataclass(frozen=True, slots=True)
class OutcomeUnstorable:
    job: int
    type: str
    error: str


@dataclass(frozen=True, slots=True)
class RowRefused:
    """A pending row cannot be claimed: the database refuses the change. `failed`: it was marked so, else left."""

    job: int
    type: str
    error: str
    failed: bool


@dataclass(frozen=True, slots=True)
class JobRescued:
    """A dead processor's job was settled: failed as `lost` or `poison`, or back in the queue."""

    job: int
    type: str
    status: str
    reason: str
    owner: str  # the processor that had claimed it


@dataclass(frozen=True, slots=True)
class ProcessorDeclaredDead:
    processor: str
    name: str
    proof: str  # "lock" or "lease"


@dataclass(frozen=True, slots=True)
class ClaimsReleased:
    """Claims whose answer never arrived, or that the database knows and this processor does not, went back."""

    jobs: int
    cause: str  # "abandoned" or "audit"


@dataclass(frozen=True, slots=True)
class JobStopping:
    job: int
    type: str
    why: str  # "cancel" or "release"


@dataclass(frozen=True, slots=True)
class TypeUnknown:
    """Rows of a type that this processor cannot run are due. Said once per type."""

    type: str
    jobs: int


@dataclass(frozen=True, slots=True)
class HandlerUnusable:
    type: str
    error: str


@dataclass(frozen=True, slots=True)
class DatabaseLost:
    error: str


@dataclass(frozen=True, slots=True)
class DatabaseReturned:
    seconds: float


@dataclass(frozen=True, slots=True)
class SupervisorLost:
    running: int


@dataclass(frozen=True, slots=True)
class MachineRefused:
    """A job could not be started here and went back; nothing is claimed for so many seconds."""

    error: str
    seconds: float


@dataclass(frozen=True, slots=True)
class SupervisorNotice:
    text: str


@dataclass(frozen=True, slots=True)
class EventsRefused:
    """What a job told cannot be stored and was dropped; the job itself goes on."""

    job: int
    error: str


@dataclass(frozen=True, slots=True)
class MoveRefused:
    """A row whose time lies ahead, or came, cannot be moved; its neighbours were. Said once for each refusal."""

    error: str


@dataclass(frozen=True, slots=True)
class TraceParentIgnored:
    """A row's `trace_parent` is no W3C traceparent; the job runs without it. Said once for each type."""

    job: int
    type: str


@dataclass(frozen=True, slots=True)
class SpansRefused:
    """The collector did not take spans; they are dropped. Said once a minute."""

    error: str


@dataclass(frozen=True, slots=True)
class HeartbeatSent:
    seconds: float


@dataclass(frozen=True, slots=True)
class HeartbeatMissed:
    error: str


@dataclass(frozen=True, slots=True)
class Sampled:
    """The cheap periodic count of active rows: `rows[(status, type)]`, and the age of the oldest due row per type.

    `queue_limits` are those of this processor's types that have one.
    """

    rows: dict[tuple[str, str], int]
    oldest_due_seconds: dict[str, float]
    unhandled: dict[str, int]
    queue_limits: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ScheduleFired:
    """A schedule made `jobs`, the last of them `job`, so many seconds after its time."""

    schedule: str
    type: str
    jobs: int
    job: int
    late_seconds: float


@dataclass(frozen=True, slots=True)
class ScheduleSkipped:
    """A schedule made no job: its time was missed, its last job goes on (`running`), or its queue is `full`."""

    schedule: str
    type: str
    why: str


@dataclass(frozen=True, slots=True)
class ScheduleUnusable:
    """A schedule does not fire, or made no job: nobody can read it, or the database refuses it. Said once."""

    schedule: str
    error: str


@dataclass(frozen=True, slots=True)
class SchedulesSeen:
    """All schedules were looked at."""

    ready: int
    paused: int
    unreadable: int


@dataclass(frozen=True, slots=True)
class SlotsUsed:
    used: int
    total: int


@dataclass(frozen=True, slots=True)
class RowsDeleted:
    """Old rows were deleted: jobs of a final state (`completed` …), `notifications`, or `processors`."""

    kind: str
    count: int
    seconds: float


@dataclass(frozen=True, slots=True)
class DeletionRefused:
    """Old rows stay because the database refuses to delete them. Said once an hour, with the refusal of one.

    `kind` is as in `RowsDeleted`, or `all` where this user may delete nothing.
    """

    kind: str
    error: str


@dataclass(frozen=True, slots=True)
class ServerStarted:
    """`jobtable serve` answers; `is_open`: there is no token yet, so everybody on this machine may do everything."""

    address: str
    is_open: bool


@dataclass(frozen=True, slots=True)
class ServerStopped:
    address: str


@dataclass(frozen=True, slots=True)
class ServerLost:
    """The server beside a processor ended by itself, and is started again after so many seconds."""

    code: int
    seconds: float


@dataclass(frozen=True, slots=True)
class KeysUnreadable:
    """The identity provider's keys could not be read; those known before stay."""

    source: str
    error: str


@dataclass(frozen=True, slots=True)
class RequestUnanswered:
    """A request could not be answered because the database is away, has no room, or has other tables."""

    method: str
    path: str
    error: str


@dataclass(frozen=True, slots=True)
class RequestFailed:
    """A request met a bug of ours; `number` is what the answer names, `trace` where it happened."""

    number: str
    method: str
    path: str
    error: str
    trace: str


Listener = Callable[[object], None]


class Happenings:
    """A list of listeners. Each processor has its own, so nothing global needs a reset."""

    def __init__(self, *listeners: Listener) -> None:
        self._listeners = list(listeners)

    def listen(self, listener: Listener) -> None:
        self._listeners.append(listener)

    def emit(self, happening: object) -> None:
        for listener in self._listeners:
            listener(happening)
