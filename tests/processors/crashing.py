"""The command, dying by SIGKILL at one exact point: `python -m tests.processors.crashing MODULE:NAME:before|after …`.

The named function is replaced where its caller finds it. `before` dies without calling it; `after` lets it finish,
with its commit, and dies before the caller sees the answer.
"""

import importlib
import os
import signal
import sys
from typing import Any


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
        if when == "after":
            answer = original(*arguments, **named)
            if name == "claim" and not answer:
                return answer  # nothing was due yet
        return die()

    setattr(owner, name, crash)


if __name__ == "__main__":
    from processor.cli import main

    arm(sys.argv.pop(1))
    main()
