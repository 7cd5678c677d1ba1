"""The command, hit at exact points: `python -m tests.processors.crashing MODULE:NAME:before|after|lost,… …`.

The named function is replaced where its caller finds it. `before` dies by SIGKILL without calling it; `after` lets it
finish, with its commit, and dies before the caller sees the answer. `lost` lives: once, the answer is lost on its way.
"""

import importlib
import os
import signal
import sys
from typing import Any

from processor.errors import DatabaseUnreachable

ASKED_ANYWAY = "release"
"""It is called with nothing to do, too; the point is reached when it has a claim to give back."""
IDLE = ("claim", "park", "promote", "cancel_asked", "declare_dead")
"""They often find nothing to do; the point is reached when they did something."""


def die(*arguments: Any, **named: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def arm(point: str) -> None:
    module_name, name, when = point.split(":")
    owner: Any = importlib.import_module(module_name)
    *path, name = name.split(".")
    for part in path:
        owner = getattr(owner, part)
    original = getattr(owner, name)

    def crash(*arguments: Any, **named: Any) -> Any:
        if name == ASKED_ANYWAY and not arguments[-1]:
            return original(*arguments, **named)
        if when == "before":
            return die()
        answer = original(*arguments, **named)
        if name in IDLE and not answer:
            return answer
        if when == "after":
            return die()
        setattr(owner, name, original)
        raise DatabaseUnreachable("of this test", "the answer was lost on its way")

    setattr(owner, name, crash)


if __name__ == "__main__":
    from processor.cli import main

    for point in sys.argv.pop(1).split(","):
        arm(point)
    main()
