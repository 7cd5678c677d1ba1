"""What processors that live tell of the types they run, for those who put jobs in or look at them."""

import json
from collections.abc import Collection, Mapping
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
    return rules_of_all(database, types, [name])[name]


def rules_of_all(database: Database, types: Mapping[str, "Type"], names: Collection[str]) -> dict[str, Rules]:
    """Give the rules of several types, as `rules_of` does."""
    told = _told(database) if any(name not in types for name in names) else []
    facts = {name: of_one[name] for of_one in reversed(told) for name in of_one}
    return {
        name: Rules.of(types[name]) if name in types else Rules.from_facts(facts[name]) if name in facts else NO_RULES
        for name in names
    }


def _told(database: Database) -> list[dict[str, dict[str, Any]]]:
    rows = lookup.processors_page(database, limit=1000)
    return [json.loads(row["types"]) for row in rows if not row["lease_over"]]
