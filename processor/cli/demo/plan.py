"""Which jobs the demo puts in, and how each of them shall end."""

import importlib.util
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass

UNSUITABLE = frozenset({"antigravity", "this", "idlelib", "lib2to3", "turtle", "turtledemo"})
"""They open a browser or a window, print a poem, or write files, when they are imported."""

LETTERS = ("abc", "def", "ghijkl", "mnop", "qrst", "uvwxyz")
OWNER = "demo"
POEM = ("the rows go in,", "the work is done,", "the rows say so.")


@dataclass(frozen=True, slots=True)
class Planned:
    """One row to insert. `ends`: the status that it shall have, and the reasons it may; `attempts`: how many tries."""

    type: str
    payload: str = "{}"
    priority: int = 5
    subject: str | None = None
    ends: tuple[str, ...] = ("completed", "done")
    attempts: int = 1
    key: str | None = None
    lane: str | None = None
    followed_by: str | None = None

    def row(self, parent: int | None = None) -> tuple[str | int | None, ...]:
        job = (self.type, self.payload, self.priority, OWNER, self.subject)
        return (*job, self.key, self.lane, self.followed_by, parent)


CANCELLED, OVERRUNS, FAILS_ONCE = "demo.cancelled", "demo.overrun", "demo.fail_once"
EQUALS, LANE = "demo.same_work", "demo.in_turn"
BATCH, INDEX = "batch", "pages.index"
CLOCK = "demo.clock"
"""Made by a schedule, nobody knows how many times."""
DUPLICATE = ("completed", "duplicate", "cached")


def first_act() -> list[Planned]:
    """All that can be done at once: a page for each package, and the jobs that are to go wrong."""
    return [
        *(_page(name, priority) for name, priority in packages()),
        Planned(OVERRUNS, priority=8, ends=("failed", "timeout")),
        Planned(FAILS_ONCE, priority=8, attempts=2),
        Planned(CANCELLED, priority=7, ends=("cancelled", "asked")),
        Planned("demo.call", json.dumps({"text": "hello from a row"}), priority=8),
        Planned(EQUALS, priority=8, key="the same"),
        Planned(EQUALS, priority=8, key="the same", ends=DUPLICATE, attempts=0),
        Planned(EQUALS, priority=8, key="the same", ends=DUPLICATE, attempts=0),
        *(Planned(LANE, json.dumps({"line": line}), priority=8, lane="poem") for line in POEM),
    ]


def _page(package: str, priority: int) -> Planned:
    return Planned("pages.write", json.dumps({"package": package}), priority, f"package:{package}")


def second_act() -> list[Planned]:
    """What needs all pages: a job that waits for its children, which are commands that measure and pack them."""
    measures = [Planned("pages.measure", json.dumps({"letters": some}), 6, f"letters:{some}") for some in LETTERS]
    return [Planned(BATCH, priority=6, followed_by=INDEX), *measures]


def epilogue() -> list[Planned]:
    """What the processor makes itself, when the batch has ended."""
    return [Planned(INDEX, priority=6)]


def packages() -> Iterator[tuple[str, int]]:
    """Walk the public packages and modules of this Python's standard library, with a priority for each.

    Packages come first, because their many modules take longest; what is written in C comes last.
    """
    for name in sorted(sys.stdlib_module_names - UNSUITABLE):
        spec = None if name.startswith("_") else importlib.util.find_spec(name)
        if spec is not None:
            is_package, is_python = spec.submodule_search_locations is not None, (spec.origin or "").endswith(".py")
            yield name, 9 if is_package else 5 if is_python else 3
