"""The supervisor: the processor's own child, which starts, limits, kills and reaps every process that runs a job.

    python -I processor/work/supervisor.py <control descriptor> [descriptors to keep open …]

It is exec'd, has one thread, no database and no code of users, so nothing that hangs elsewhere can delay a kill. It
speaks the frames of docs/architecture.md on the control descriptor. The further descriptors (the incarnation's
lock) are held open as long as it lives and go to no child.

This file is the way in; the loop is in `loop`. It is run as a file and not as `-m`, because under `-I` no path
leads to the package: it is put in place here, and only it, so that what lies beside it (site-packages, perhaps)
stays out of reach."""

from __future__ import annotations

import gc
import importlib.util
import os
import socket
import sys


def adopt_package(file: str) -> None:
    """Make `processor`, two folders above this file, importable without any path."""
    folder = os.path.dirname(os.path.dirname(os.path.abspath(file)))
    spec = importlib.util.spec_from_file_location(
        "processor", os.path.join(folder, "__init__.py"), submodule_search_locations=[folder]
    )
    assert spec is not None and spec.loader is not None
    module = sys.modules["processor"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)


def main(arguments: list[str]) -> None:
    from processor.work import limits
    from processor.work.loop import Supervisor

    descriptors = [int(argument) for argument in arguments]
    limits.reserve_low_descriptors()
    control, *_ = [limits.keep(descriptor) for descriptor in descriptors]
    limits.adopt_orphans()
    limits.raise_descriptor_limit()
    gc.set_threshold(50_000, 20, 50)  # thousands of runs live here at once and hardly any cycle
    Supervisor(socket.socket(fileno=control)).live()


if __name__ == "__main__":
    adopt_package(__file__)
    main(sys.argv[1:])
