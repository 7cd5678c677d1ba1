"""The dashboard is one that Grafana reads, asks only what exists, and leaves out nothing without a reason."""

import json
import re
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
import yaml
from prometheus_client import CollectorRegistry

from processor.lifecycle import Reason, Status
from processor.queue.deliveries import TYPE as DELIVERY
from tests.deployment import dashboard
from tests.deployment.dashboard import Panel
from tests.deployment.prometheus import Prometheus
from tests.test_docs import anchors
from tests.test_docs_metrics import all_answered, all_happened

BOARD = dashboard.read()
SCHEMA = json.loads(Path(__file__).with_name("dashboard.schema.json").read_text(encoding="utf-8"))
RULES = [
    rule
    for group in yaml.safe_load((dashboard.FOLDER / "alerts.yml").read_text(encoding="utf-8"))["groups"]
    for rule in group["rules"]
]
OF_PROMETHEUS = {"up": {"instance", "job"}, "ALERTS": {"alertname", "alertstate", "severity", "instance", "type"}}
"""Series that Prometheus makes itself."""
LEFT_OUT = {
    "process_virtual_memory_bytes": "addresses that are reserved, not memory in use; the resident memory is shown",
}
SUFFIXES = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count")}
WORDS = {
    "status": {*map(str, Status), "5xx"},
    "outcome": set(map(str, Status)),
    "reason": set(map(str, Reason)),
    "type": {DELIVERY, "$type"},
    "job": {"jobtable", "jobtable-server"},
    "instance": {"$processor"},
    "alertname": {"Jobtable.+"},
    "alertstate": {"firing"},
}


# --- its form --------------------------------------------------------------------------------------------------------


def refusals(board: dict[str, Any]) -> list[object]:
    """Give all that is wrong with the form of a dashboard."""
    found = [
        f"{error.instance_path}: {error.message}" for error in jsonschema_rs.validator_for(SCHEMA).iter_errors(board)
    ]
    return [*found, *dashboard.collisions(board), *dashboard.repeated(board)]


def test_its_form_is_right() -> None:
    assert refusals(BOARD) == []
    assert len(dashboard.panels(BOARD)) > 50


def first(board: dict[str, Any], type_: str = "timeseries") -> Panel:
    return next(panel for panel in dashboard.everything(board) if panel["type"] == type_)


SPOILT: dict[str, Callable[[dict[str, Any]], object]] = {
    "a panel of a kind that does not exist": lambda board: first(board).update(type="graph"),
    "options of another kind of panel": lambda board: first(board).update(options=first(board, "stat")["options"]),
    "a misspelled option": lambda board: first(board)["options"].update(legendary={}),
    "no data source": lambda board: first(board).pop("datasource"),
    "a data source of one installation": lambda board: first(board)["datasource"].update(uid="P1809F7CD0C75ACF3"),
    "a question without a data source": lambda board: first(board)["targets"][0].pop("datasource"),
    "no question": lambda board: first(board).update(targets=[]),
    "no unit": lambda board: first(board)["fieldConfig"]["defaults"].pop("unit"),
    "a unit that does not exist": lambda board: first(board)["fieldConfig"]["defaults"].update(unit="seconds"),
    "no description": lambda board: first(board).pop("description"),
    "an empty description": lambda board: first(board).update(description=""),
    "a description in a folded row that is empty": lambda board: folded(board).update(description=""),
    "no title": lambda board: first(board).update(title=""),
    "thresholds without a beginning": lambda board: first(board, "stat")["fieldConfig"]["defaults"].update(
        thresholds={"mode": "absolute", "steps": [{"color": "red", "value": 1}]}
    ),
    "a stat without a colour": lambda board: first(board, "stat")["fieldConfig"]["defaults"].pop("color"),
    "two panels on one place": lambda board: first(board)["gridPos"].update(first(board, "stat")["gridPos"]),
    "two panels on one place in a folded row": lambda board: folded(board)["gridPos"].update(x=6),
    "a panel that leaves the grid": lambda board: first(board)["gridPos"].update(x=20, w=12, y=900),
    "a panel wider than the grid": lambda board: first(board)["gridPos"].update(w=25),
    "a number twice": lambda board: first(board).update(id=first(board, "stat")["id"]),
    "a number of a folded panel twice": lambda board: folded(board).update(id=first(board)["id"]),
    "a letter twice": lambda board: first(board)["targets"].append(first(board)["targets"][0]),
    "a link that leads elsewhere": lambda board: folded(board).update(
        links=[{"title": "x", "url": "https://example.com", "targetBlank": True}]
    ),
    "panels of a row that is not folded": lambda board: first(board, "row").update(panels=[deepcopy(first(board))]),
    "an unknown variable kind": lambda board: board["templating"]["list"][0].update(type="magic"),
    "the number of one installation": lambda board: board.update(id=17),
    "a newer schema": lambda board: board.update(schemaVersion=99),
}


def folded(board: dict[str, Any]) -> Panel:
    """Give a panel of a folded row that has a neighbour."""
    panel: Panel = next(row for row in board["panels"] if row.get("panels"))["panels"][0]
    return panel


@pytest.mark.parametrize("what", SPOILT)
def test_a_wrong_form_is_seen(what: str) -> None:
    board = deepcopy(BOARD)
    SPOILT[what](board)
    assert refusals(board)


# --- what it asks ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> dict[str, set[str]]:
    """The series of real processors and servers with their labels, and the two that a scrape adds."""
    registries = all_happened(), all_answered(tmp_path_factory.mktemp("server"))
    return {**OF_PROMETHEUS, **{name: labels for registry in registries for name, labels in told(registry)}}


def told(registry: CollectorRegistry) -> list[tuple[str, set[str]]]:
    return [
        (family.name + suffix, {"instance", "job", *labels} - (set() if suffix == "_bucket" else {"le"}))
        for family in registry.collect()
        for labels in [{label for sample in family.samples for label in sample.labels}]
        for suffix in SUFFIXES.get(family.type, ("",))
    ]


def unknown(text: str, known: dict[str, set[str]]) -> list[str]:
    """Give what an expression names and nobody tells: series, labels, and words of labels."""
    wrong = [name for name, _ in dashboard.series(text) if name not in known]
    for name, selected in dashboard.series(text):
        wrong += [f"{name}.{label}" for label in selected if label not in known.get(name, set())]
        words = [(label, word) for label, words in selected.items() for word in _alternatives(words)]
        wrong += [f"{label}={word}" for label, word in words if word not in WORDS.get(label, set())]
    for labels, inside in dashboard.grouped(text):
        names = [name for name, _ in dashboard.series(inside)]
        wrong += [f"by ({label}) of {name}" for name in names for label in labels - known.get(name, set())]
    return wrong


def _alternatives(words: str) -> list[str]:
    return words.split("|")


def test_every_metric_label_and_word_exists(known: dict[str, set[str]]) -> None:
    wrong = {question: found for question in dashboard.questions(BOARD) if (found := unknown(question.text, known))}
    assert wrong == {}
    assert dashboard.choices(BOARD)
    assert all(label in known[name] for name, label in dashboard.choices(BOARD))


@pytest.mark.parametrize(
    "text",
    [
        "sum(jobtable_job)",
        "sum(rate(jobtable_jobs_started[1m]))",
        "sum(jobtable_job_run_seconds)",
        "sum(jobtable_slots_total)",
        'sum(jobtable_slots{type="$type"})',
        'sum(jobtable_jobs{status="done"})',
        'sum(jobtable_jobs{status=~"pending|blocked"})',
        "sum by (typ) (jobtable_jobs)",
        "sum by (le) (jobtable_job_run_seconds_sum)",
        "max by (type) (rate(jobtable_claim_seconds_count[1m]))",
    ],
)
def test_what_does_not_exist_is_seen(text: str, known: dict[str, set[str]]) -> None:
    assert unknown(text, known)


def test_every_metric_is_shown_or_left_out_with_a_reason(known: dict[str, set[str]]) -> None:
    asked = {name for question in dashboard.questions(BOARD) for name, _ in dashboard.series(question.text)}
    shown = {re.sub(r"_(bucket|sum|count)$", "", name) for name in asked}
    exist = {re.sub(r"_(bucket|sum|count)$", "", name) for name in known}
    assert {name for name in exist if name not in shown} == set(LEFT_OUT)
    assert all(len(reason) > 20 for reason in LEFT_OUT.values())


def test_numbers_of_the_table_are_never_added_up_over_processors() -> None:
    """Each processor and server tells the same ones."""
    table = r"\bjobtable_(?:jobs|oldest_due_seconds|unhandled_jobs|unhandled_types|schedules|queue_limit)\b"
    for question in dashboard.questions(BOARD):
        for match in re.finditer(table, question.text):
            before = question.text[: match.start()]
            assert re.search(r"\b(max|min)( by \([^)]*\) )?\($", before), question


@pytest.mark.parametrize("question", dashboard.questions(BOARD), ids=lambda question: question.asker)
def test_a_real_prometheus_understands_every_question(
    question: dashboard.Question, empty_prometheus: Prometheus
) -> None:
    empty_prometheus.query(dashboard.asked(question.text))


def test_a_real_prometheus_refuses_a_wrong_question(empty_prometheus: Prometheus) -> None:
    for text in ("sum by (type (jobtable_jobs)", "rate(jobtable_jobs)", "histogram_quantile(jobtable_jobs)"):
        assert empty_prometheus.ask("query", query=text)["status"] == "error"


# --- where it leads --------------------------------------------------------------------------------------------------


def links(panel: Panel) -> list[str]:
    return [link["url"].removeprefix("${docs}/") for link in panel.get("links", [])]


def test_every_link_leads_to_a_section_that_exists() -> None:
    asked = [url for panel in dashboard.panels(BOARD) for url in links(panel)]
    for url in [*asked, *links(BOARD)]:
        path, _, anchor = url.partition("#")
        text = (dashboard.FOLDER.parent / "docs" / path).read_text(encoding="utf-8")
        assert not anchor or anchor in anchors(text), url


def test_every_alert_has_a_panel_that_says_what_to_do() -> None:
    linked = {url for panel in dashboard.panels(BOARD) for url in links(panel)}
    missing = [rule["alert"] for rule in RULES if f"operations.md#{rule['alert'].lower()}" not in linked]
    assert missing == []


def limits(rule: dict[str, Any]) -> set[float]:
    """Give the numbers above 0 that an alert compares with."""
    return {float(number) for number in re.findall(r">=? ([\d.]+)", rule["expr"]) if float(number) > 0}


def steps(panel: Panel) -> set[float]:
    """Give the numbers at which a panel turns red, in whatever part of it."""
    config = panel["fieldConfig"]
    found = [config["defaults"].get("thresholds"), *(each["value"] for each in _overridden(config))]
    return {step["value"] for one in found if one for step in one["steps"] if step["color"] == "red" and step["value"]}


def _overridden(config: dict[str, Any]) -> list[dict[str, Any]]:
    return [each for one in config["overrides"] for each in one["properties"] if each["id"] == "thresholds"]


def test_thresholds_are_those_of_the_alerts() -> None:
    compared = set()
    for panel in dashboard.panels(BOARD):
        rules = [rule for rule in RULES if f"operations.md#{rule['alert'].lower()}" in links(panel) and limits(rule)]
        if steps(panel) and rules:
            compared |= {rule["alert"] for rule in rules if limits(rule) & steps(panel)}
            assert steps(panel) <= set().union(*map(limits, rules)), panel["title"]
    numbered = {rule["alert"] for rule in RULES if limits(rule)}
    assert compared == numbered
