"""Pages of text: which key does what, and why a job does not run."""

from typing import TYPE_CHECKING

from rich.text import Text

from processor.cli.shown import visible

if TYPE_CHECKING:
    from processor.queue.explain import Explanation

_KEYS = (
    ("↑ ↓  j k", "select"),
    ("page keys  g G", "go far"),
    ("1 2 3", "to the jobs that run, that wait, that failed"),
    ("tab", "from list to list: jobs, types, processors"),
    ("", ""),
    ("enter", "one job, with its live log; of a type, its jobs"),
    ("l", "only its log"),
    ("e", "explain: why does it not run?"),
    ("c", "cancel: what waits ends, what runs is asked to stop"),
    ("r", "retry: one that ended is run again"),
    ("p", "pause or resume: a job that waits, or a type"),
    ("", ""),
    ("/", "filter the jobs; esc ends that"),
    ("q  ctrl-c", "quit; jobs go on"),
    ("", ""),
    ("", "It asks before it changes something."),
)

HELP = Text("\n").join([Text.assemble((f"{key:<16}", "bold"), text) for key, text in _KEYS])


def explanation(found: "Explanation") -> Text:
    """Write an explanation for people."""
    state = f"{found.status} ({found.reason})" if found.reason else found.status
    lines = [Text.assemble((visible(found.type), "bold"), f"   {visible(state)}"), Text("")]
    for finding in found.findings:
        mark = ("x ", "bold red") if finding.blocks else ("- ", "dim")
        lines.append(Text.assemble(mark, visible(finding.text)))
    if found.runnable:
        lines.append(Text("Nothing keeps it from running: the next claim with room takes it.", style="green"))
    return Text("\n").join(lines)
