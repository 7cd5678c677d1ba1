"""docs/metrics.md has every metric with its kind and labels and every log event with its level, and no others."""

import re
from pathlib import Path

from processor import happenings as h
from processor import logs
from processor.metrics import Metrics

PAGE = (Path(__file__).parent.parent / "docs" / "metrics.md").read_text(encoding="utf-8")
METRIC = re.compile(r"^\| `(jobtable_\w+)` \| (\w+)(?:, table)? \| (.*?) ?\| .+ \|$", re.MULTILINE)
EVENTS = re.compile(r"^\| (`[a-z_`, ]+`) \| (\w+)", re.MULTILINE)


def exported() -> set[tuple[str, str, frozenset[str]]]:
    """Name, kind and labels of every metric of ours, after at least one of each happened."""
    metrics = Metrics(["mail"])
    for happening in (
        h.JobStarted(1, "mail", 1, 0.1),
        h.JobSettled(2, "mail", 1, "completed", "done", 0.1),
        h.JobSettled(2, "mail", 1, "scheduled", "retry", 0.1),
        h.ClaimsReleased(1, "audit"),
        h.ProcessorDeclaredDead("p", "host", "lock"),
        h.HandlerUnusable("mail", "x"),
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
    found = set()
    for family in metrics.registry.collect():
        if family.name.startswith("jobtable_"):
            name = f"{family.name}_total" if family.type == "counter" else family.name
            labels = {label for sample in family.samples for label in sample.labels} - {"le"}
            found.add((name, family.type, frozenset(labels)))
    return found


def test_every_metric_is_documented_with_kind_and_labels_and_no_other() -> None:
    rows = [(name, kind, frozenset(filter(None, labels.split(", ")))) for name, kind, labels in METRIC.findall(PAGE)]
    assert len(rows) == len(set(rows))
    assert set(rows) == exported()


def test_every_event_is_documented_with_its_level_and_no_other() -> None:
    _, _, section = PAGE.partition("## Log lines")
    rows = {(event.strip("` "), level) for events, level in EVENTS.findall(section) for event in events.split(",")}
    assert rows == {(event, level) for level, event in logs.LINES.values()}
