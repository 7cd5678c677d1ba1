"""How much there is to do, as gauges: the same numbers from every processor and every server of a database.

Both tell them by the same names, so that they are there while nothing runs: use `max`, not `sum`.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from processor.happenings import Sampled
from processor.lifecycle import FINAL, Status

OTHER = "other"
"""The label of each type that is not configured here, so that rows cannot make series."""
ACTIVE = tuple(str(status) for status in Status if status not in FINAL)


class Depth(Collector):
    """The last `Sampled`, taken as a whole, so that a scrape never sees half of one. `types` have labels of their own.

    None: nothing is known, and nothing told.
    """

    def __init__(self, types: Callable[[], frozenset[str]], last: Sampled | None = None) -> None:
        self.types = types
        self._last = last

    @property
    def last(self) -> Sampled:
        return self._last or Sampled({}, {}, {})

    def take(self, sampled: Sampled | None) -> None:
        self._last = sampled

    def collect(self) -> Iterator[Metric]:
        if self._last is None:
            return
        yield family("jobs", "Active rows of the table.", ["status", "type"], self._rows())
        yield family("oldest_due_seconds", "How long the oldest due job has waited.", ["type"], self._ages())

    def _rows(self) -> dict[tuple[str, str], int]:
        types = self.types()
        rows = {(status, type): 0 for type in types for status in ACTIVE}
        for (status, type), count in self.last.rows.items():
            key = status, type if type in types else OTHER
            rows[key] = rows.get(key, 0) + count
        return rows

    def _ages(self) -> dict[tuple[str], float]:
        types = self.types()
        ages = {(type,): 0.0 for type in types}
        for type, age in self.last.oldest_due_seconds.items():
            label = (type if type in types else OTHER,)
            ages[label] = max(ages.get(label, 0.0), age)
        return ages


def family(name: str, text: str, labels: list[str], values: Mapping[Any, float]) -> GaugeMetricFamily:
    """Make one metric of ours, its series in order."""
    made = GaugeMetricFamily(f"jobtable_{name}", text, labels=labels)
    for key in sorted(values):
        made.add_metric(list(key), values[key])
    return made
