"""A worker: runs handlers in the interpreter they belong to, which may be the user's own.

    python -I processor/work/worker.py <channel descriptor>     run what the supervisor sends
    python -I processor/work/worker.py --describe               what handlers are there? JSON on stdin to JSON on stdout

It is run as a file. From the daemon's installation it takes the package `processor` and nothing else, by putting
that one package in place instead of a folder on the path: a library of the daemon can never be imported by a
handler that forgot to install its own. The kinds of workers are in `solo` and `shared`.

`--describe` reads {"pythonpath": […], "handlers": {"type": "package.module:function"}, "modules":
["package.module"]} and answers {"types": {"type": {"handler", "name", "async", "options"} or {"handler",
"error"}}}."""

import importlib.util
import json
import os
import sys

OLDEST = (3, 9)


def adopt_package(file: str) -> None:
    """Make `processor`, two folders above this file, importable without any path."""
    folder = os.path.dirname(os.path.dirname(os.path.abspath(file)))
    spec = importlib.util.spec_from_file_location(
        "processor", os.path.join(folder, "__init__.py"), submodule_search_locations=[folder]
    )
    assert spec is not None and spec.loader is not None
    module = sys.modules["processor"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)


def add_paths(paths: "list[str]") -> None:
    """Search the user's folders first, as PYTHONPATH would."""
    sys.path[:0] = [path for path in paths if path not in sys.path]


def serve(descriptor: int) -> None:
    from processor.work.channel import WorkerChannel

    channel = WorkerChannel(descriptor)
    first = channel.next()
    if first is None:
        return
    add_paths(first["pythonpath"])
    if first["kind"] == "shared":
        from processor.work.shared import Shared

        Shared(channel, first["workdir"]).live()
    else:
        from processor.work.solo import Solo

        Solo(channel).live()


def describe() -> None:
    """Answer on the real stdout; what the imported code prints goes to stderr."""
    from processor.handlers import describe as describe_handlers

    answer = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    request = json.load(sys.stdin)
    add_paths(request.get("pythonpath") or [])
    types = describe_handlers(request.get("handlers") or {}, request.get("modules") or [])
    with answer:
        json.dump({"types": types}, answer, default=repr)


def main(arguments: "list[str]") -> None:
    if sys.version_info < OLDEST:
        sys.exit("a worker needs Python 3.9 or later, this is " + sys.version.split()[0])
    adopt_package(__file__)
    if arguments == ["--describe"]:
        describe()
    else:
        serve(int(arguments[0]))


if __name__ == "__main__":
    main(sys.argv[1:])
