"""Where everything is on the screen: the lists and their columns, on narrow and on wide terminals, and the head."""

from rich.text import Text

from processor.cli.shown import visible
from processor.cli.top.dialogs import joined
from processor.cli.top.lines import Cell, last_hour, sums
from processor.cli.top.listing import Place
from processor.cli.top.reading import Overview

WIDE = 180

JOBS = (
    Place("job", width=8, right=True),
    Place("type", share=3),
    Place("how it goes", share=6, from_width=36),
    Place("for", width=11, right=True, from_width=50),
    Place("about", share=3, from_width=110),
)
TYPES = (
    Place("type", share=1),
    Place("run", width=6, right=True),
    Place("due", width=5, right=True, from_width=28),
    Place("later", width=5, right=True, from_width=64),
    Place("wait", width=5, right=True, from_width=64),
    Place("done/h", width=6, right=True, from_width=44),
    Place("failed", width=6, right=True, from_width=36),
    Place("median", width=9, right=True, from_width=92),
    Place("", width=14, from_width=64),
)
PROCESSORS = (
    Place("processor", share=3),
    Place("", width=15, from_width=28),
    Place("slots", width=17, from_width=48),
    Place("last beat", width=11, right=True, from_width=62),
    Place("host", share=2, from_width=74),
)

CSS = """
#head { height: 3; padding: 0 1; }
#body { height: 1fr; layout: vertical; }
#jobs { height: 1fr; }
#side { height: auto; max-height: 45%; layout: vertical; }
#types { height: auto; max-height: 7; }
#processors { height: auto; max-height: 4; }
.-wide #body { layout: horizontal; }
.-wide #jobs { width: 3fr; }
.-wide #side { width: 2fr; height: 1fr; max-height: 100%; margin-left: 2; }
.-wide #types { height: auto; max-height: 70%; margin-bottom: 1; }
.-wide #processors { height: 1fr; max-height: 100%; }
#head, #keys { text-wrap: nowrap; text-overflow: ellipsis; }
#filter { display: none; height: 1; border: none; padding: 0 1; }
.-filtering #filter { display: block; }
.-filtering #keys { display: none; }
#keys { height: 1; }
#keys.-saying { height: auto; max-height: 6; padding: 0 1; text-wrap: wrap; }
"""


def head(seen: Overview | None, address: str, text: str, *, is_off: bool, read_only: bool) -> Text:
    """Give the first lines: the time of the database, what is special, and the sums."""
    title: list[Cell] = [("jobtable top", "bold")]
    if seen is not None:
        title.append((f"   {seen.now:%H:%M:%S} UTC", "dim"))
    if is_off:
        title.append(("   the database is away", "bold red"))
    if read_only:
        title.append(("   read-only", "bold magenta"))
    if text:
        title.append((f"   filter: {visible(text)}", "bold yellow"))
    title.append((f"   {visible(address)}", "dim"))
    return Text("\n").join([joined(title), *([joined(sums(seen)), joined(last_hour(seen))] if seen else [])])
