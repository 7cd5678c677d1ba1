"""Names of types that nobody knows: misspelled, mostly, and then what was meant would be left as it is."""

import difflib
from collections.abc import Collection
from typing import TYPE_CHECKING

from processor.cli.shown import visible

if TYPE_CHECKING:
    from processor.db import Database
    from processor.settings import Settings


def unknown(settings: "Settings", database: "Database", names: Collection[str]) -> list[str]:
    """Give those names that no configuration here, no living processor, no person and no job ever used."""
    from processor.queue import lookup

    known = _known(settings, database)
    strange = [name for name in names if name not in known]
    return [name for name in strange if not lookup.jobs_page(database, lookup.Filter(types=(name,)), limit=1)]


def resembling(settings: "Settings", database: "Database", name: str) -> str:
    """Write which type may have been meant; nothing where none is like it."""
    from processor.queue import lookup

    waiting = {type_ for _, type_ in lookup.active(database)}
    close = difflib.get_close_matches(name, sorted(_known(settings, database) | waiting), 1)
    return f"Did you mean {visible(close[0])}?" if close else ""


def _known(settings: "Settings", database: "Database") -> set[str]:
    from processor.queue import lookup
    from processor.queue.living import live_types

    said = {row["name"] for row in lookup.types(database)}
    return {*settings.types, *(live_types(database) or ()), *said}
