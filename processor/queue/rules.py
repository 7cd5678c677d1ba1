"""What limits the jobs of one type: as configured, changed at run time by the type's row in `job_types`."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import TYPE_CHECKING, Any, Self

from processor.ageing import Ageing
from processor.rates import Rate

if TYPE_CHECKING:
    from processor.sections import Type

UNLIMITED = "unlimited"
"""A rate in `job_types` that lifts the configured one."""


@dataclass(frozen=True, slots=True)
class Rules:
    """What is None does not limit. `reuse_result_for` in seconds."""

    max_concurrent: int | None = None
    rate: str | None = None
    max_per_processor: int | None = None
    max_per_lane: int = 1
    dedupe: str = "key"
    reuse_result_for: float = 0.0
    across_owners: bool = False
    queue_limit: int | None = None
    fair: str = "none"
    age_priority: str | None = None

    @classmethod
    def of(cls, configured: "Type") -> Self:
        """Give what limits a type by its configuration."""
        return cls(**{field.name: getattr(configured, field.name) for field in fields(cls)})

    @property
    def concern_every_row(self) -> bool:
        """Tell whether each row of the type must be decided about, and not only those with a lane or a key."""
        limits = self.max_concurrent is not None or self.rate is not None
        return limits or self.dedupe == "payload" or self.have_an_order

    @property
    def have_an_order(self) -> bool:
        """Tell whether the rows come in another order than that of claims: owners take turns, or priorities age."""
        return self.fair != "none" or self.age_priority is not None

    def in_force(self, said: Mapping[str, Any] | None) -> "Rules":
        """Give the rules with what the type's row in `job_types` says."""
        if said is None:
            return self
        limit = self.max_concurrent if said["max_concurrent"] is None else said["max_concurrent"]
        rate = self.rate if said["rate"] is None else said["rate"]
        return replace(self, max_concurrent=limit, rate=None if rate == UNLIMITED else rate)

    def parsed_rate(self) -> Rate | None:
        """Give the rate. Raises `ValueError` for one that somebody wrote by hand and nobody can read."""
        return None if self.rate is None else Rate.parse(self.rate)

    def parsed_ageing(self) -> Ageing | None:
        """Give how priorities age. Raises `ValueError` for what nobody can read."""
        return None if self.age_priority is None else Ageing.parse(self.age_priority)

    def facts(self) -> dict[str, Any]:
        """Give what differs from no rules at all, for others to read."""
        return {name: value for name, value in asdict(self).items() if value != getattr(NO_RULES, name)}

    @classmethod
    def from_facts(cls, facts: Mapping[str, Any]) -> Self:
        """Read what another processor, perhaps of another version, told of its rules."""
        return cls(**{field.name: facts[field.name] for field in fields(cls) if field.name in facts})


NO_RULES = Rules()
