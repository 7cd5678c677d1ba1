"""docs/metrics.md has every metric with its kind and labels and every log event with its level, and no others."""

import re
from pathlib import Path

from prometheus_client import CollectorRegistry

from processor import happenings as h
from processor import logs
from processor.api.numbers import Numbers
from processor.db import Database
from processor.metrics import Metrics
from tests.conftest import migrate

PAGE = (Path(__file__).parent.parent / "docs" / "metrics.md").read_text(encoding="utf-8")
METRIC = re.compile(r"^\| `(jobtable_\w+)` \| (\w+)(?:, table)? \| (.*?) ?\| .+ \|$", re.MULTILINE)
SERVER = "\n## Of the server\n"
EVENTS = re.compile(r"^\| (`[a-z_`, ]+`) \| (\w+)", re.MULTILINE)


def all_happened() -> CollectorRegistry:
    """Give the registry of a processor to which at least one of each happened."""
    metrics = Metrics(["mail"])
    for happening in (
        h.JobStarted(1, "mail", 1, 0.1),
        h.JobSettled(2, "mail", 1, "completed", "done", 0.1),
        h.JobSettled(2, "mail", 1, "scheduled", "retry", 0.1),
        h.ClaimsReleased(1, "audit"),
        h.ProcessorDeclaredDead("p", "host", "lock"),
        h.OutcomeUnstorable(1, "mail", "x"),
        h.RowRefused(1, "mail", "x", True),
        h.ScheduleFired("s", "mail", 1, 1, 0.1),
        h.ScheduleSkipped("s", "mail", "full"),
        h.SchedulesSeen(1, 0, 0),
        h.SettingsRefused("x"),
        h.RowsDeleted("completed", 1, 0.1),
        h.Sampled({}, {}, {}, {"mail": 9}),
    ):
        metrics(happening)
    return metrics.registry


def named(registry: CollectorRegistry) -> set[tuple[str, str, frozenset[str]]]:
    """Name, kind and labels of every metric of ours in a registry."""
    found = set()
    for family in registry.collect():
        if family.name.startswith("jobtable_"):
            name = f"{family.name}_total" if family.type == "counter" else family.name
            labels = {label for sample in family.samples for label in sample.labels} - {"le"}
            found.add((name, family.type, frozenset(labels)))
    return found


def documented(text: str) -> list[tuple[str, str, frozenset[str]]]:
    return [(name, kind, frozenset(filter(None, labels.split(", ")))) for name, kind, labels in METRIC.findall(text)]


def test_every_metric_is_documented_with_kind_and_labels_and_no_other() -> None:
    rows = documented(PAGE.partition(SERVER)[0])
    assert len(rows) == len(set(rows))
    assert set(rows) == named(all_happened())


def all_answered(folder: Path) -> CollectorRegistry:
    """Give the registry of a server that answered a request, and whose database answered."""
    url = f"sqlite:///{folder}/jobs.db"
    migrate(url)
    with Database(url) as database:
        numbers = Numbers(database, ["mail"], 15.0)
        numbers.answered("GET", "/jobs", 200, 0.1)
        numbers.page("")
    return numbers.registry


def test_every_metric_of_the_server_is_documented_and_no_other(tmp_path: Path) -> None:
    _, there, section = PAGE.partition(SERVER)
    rows = documented(section)
    assert there
    assert len(rows) == len(set(rows))
    assert set(rows) == named(all_answered(tmp_path))


def test_every_event_is_documented_with_its_level_and_no_other() -> None:
    _, _, section = PAGE.partition("## Log lines")
    rows = {(event.strip("` "), level) for events, level in EVENTS.findall(section) for event in events.split(",")}
    assert rows == {(event, level) for level, event in logs.LINES.values()}
