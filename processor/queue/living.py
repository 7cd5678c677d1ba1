"""What processors that live tell of the types they run, for those who put jobs in or look at them."""

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from processor.db.database import Database
from processor.queue import lookup
from processor.queue.rules import NO_RULES, Rules

if TYPE_CHECKING:
    from processor.sections import Type


def live_types(database: Database) -> set[str] | None:
    """Collect the types that living processors run; None where no processor lives."""
    told = _told(database)
    return {name for types in told for name in types} if told else None


def known_types(database: Database, types: Mapping[str, "Type"]) -> list[str]:
    """Name the types that are configured (`types`), that living processors run, or that people said something of."""
    return sorted({*types, *(live_types(database) or ()), *(row["name"] for row in lookup.types(database))})


def rules_of(database: Database, types: Mapping[str, "Type"], name: str) -> Rules:
    """Give the rules of a type: of the configured `types`, else as a living processor tells them, else none."""
    own = types.get(name)
    if own is not None:
        return Rules.of(own)
    return next((Rules.from_facts(told[name]) for told in _told(database) if name in told), NO_RULES)


def _told(database: Database) -> list[dict[str, dict[str, Any]]]:
    rows = lookup.processors_page(database, limit=1000)
    return [json.loads(row["types"]) for row in rows if not row["lease_over"]]
