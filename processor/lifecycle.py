"""The states of a job and the moves between them, as data.

    INSERT ─► pending ◄──── scheduled
               │   ▲  ▲         ▲
         claim │   │  └ waiting │ retry, snooze
               ▼   │ release    │               paused: by a person, until resumed
             running ───────────┘
               ├─► completed
               ├─► failed
               └─► cancelled

A new move starts here, with its row in `tests/test_lifecycle.py`; nothing else in the project decides what is legal.
"""

from enum import StrEnum


class Status(StrEnum):
    PENDING = "pending"
    SCHEDULED = "scheduled"
    WAITING = "waiting"
    PAUSED = "paused"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


FINAL = frozenset({Status.COMPLETED, Status.FAILED, Status.CANCELLED})
NOT_STARTED = frozenset({Status.PENDING, Status.SCHEDULED, Status.WAITING, Status.PAUSED})


class Reason(StrEnum):
    """Why a job is in its state, where the state alone does not say it."""

    # completed
    DONE = "done"
    DUPLICATE = "duplicate"
    CACHED = "cached"
    # failed
    ERROR = "error"
    TIMEOUT = "timeout"
    MEMORY = "memory"
    WORKDIR = "workdir"
    EXIT = "exit"
    LOST = "lost"
    POISON = "poison"
    MALFORMED = "malformed"
    EXPIRED = "expired"
    HANDLER = "handler"
    UNSTORABLE = "unstorable"
    STOPPED = "stopped"
    # cancelled; paused, and pending again, by a person
    ASKED = "asked"
    PARENT = "parent"
    # waiting, with DUPLICATE; CHILDREN also failed
    LANE = "lane"
    CHILDREN = "children"
    # paused, until all of a batch is there
    BATCH = "batch"
    # scheduled or pending again
    RETRY = "retry"
    SNOOZE = "snooze"
    RELEASE = "release"


MOVES: dict[str, tuple[frozenset[Status], Status]] = {
    "park": (frozenset({Status.PENDING}), Status.SCHEDULED),
    "promote": (frozenset({Status.SCHEDULED, Status.WAITING}), Status.PENDING),
    "wait": (frozenset({Status.PENDING}), Status.WAITING),
    "await": (frozenset({Status.PENDING, Status.SCHEDULED, Status.PAUSED, Status.RUNNING}), Status.WAITING),
    "claim": (frozenset({Status.PENDING}), Status.RUNNING),
    "complete": (frozenset({Status.RUNNING}), Status.COMPLETED),
    "reuse": (frozenset({Status.PENDING, Status.WAITING}), Status.COMPLETED),
    "gather": (frozenset({Status.WAITING}), Status.COMPLETED),
    "fail": (frozenset({Status.RUNNING, Status.WAITING}), Status.FAILED),
    "delay": (frozenset({Status.RUNNING}), Status.SCHEDULED),
    "release": (frozenset({Status.RUNNING}), Status.PENDING),
    "cancel": (NOT_STARTED | {Status.RUNNING}, Status.CANCELLED),
    "pause": (frozenset({Status.PENDING, Status.SCHEDULED, Status.WAITING}), Status.PAUSED),
    "resume": (frozenset({Status.PAUSED}), Status.PENDING),
    "run_now": (frozenset({Status.SCHEDULED, Status.PENDING}), Status.PENDING),
    "retry": (FINAL, Status.PENDING),
}
"""Each move: the states it may leave, the state it reaches. `retry` is a person's; the processor's own is `delay`."""


def allows(before: Status, after: Status) -> bool:
    """Tell whether any move leads from one state to the other."""
    return any(before in leaves and after is reaches for leaves, reaches in MOVES.values())
