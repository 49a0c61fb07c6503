"""The Grafana dashboard and the alerts ask only for metrics that rproxy has, with labels that these have."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parent.parent
DASHBOARD = json.loads((ROOT / "config" / "grafana-dashboard.json").read_text())
ALERTS = yaml.safe_load((ROOT / "config" / "prometheus-alerts.yml").read_text())
RULES = [rule for group in ALERTS["groups"] for rule in group["rules"]]
METRICS = (ROOT / "docs" / "metrics.md").read_text()
OF_THE_SCRAPE = {"job", "instance", "le"}
NAME = re.compile(r"\brproxy_\w+")
PROMISED = {
    "LeaderDown",
    "NoReader",
    "ReplicaLags",
    "Errors",
    "WritesLost",
    "ClientsRefused",
    "ReloadFailed",
    "WorkerRestarts",
    "LoopLag",
    "FilesNearLimit",
}


def expressions() -> Iterator[tuple[str, str]]:
    """Every expression, with what it stands in."""
    yield from ((rule["alert"], rule["expr"]) for rule in RULES)
    yield from ((panel["title"], target["expr"]) for panel in DASHBOARD["panels"] for target in panel["targets"])


def documented() -> dict[str, set[str]]:
    """The labels of every metric in docs/metrics.md's tables: `rproxy_x` | type | `a`, `b` |."""
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in METRICS.splitlines() if line.startswith("| `rproxy_")
    ]
    found: dict[str, set[str]] = {}
    for row in rows:
        for name in NAME.findall(row[0]):
            labels = set(re.findall(r"`(\w+)", row[2]))
            found |= {f"{name}{end}": labels for end in (("_bucket", "_sum", "_count") if row[1] == "histogram" else ("",))}
    return found


@pytest.mark.parametrize(("where", "expression"), list(expressions()))
def test_an_expression_asks_for_metrics_that_there_are_by_labels_that_they_have(where: str, expression: str) -> None:
    known = documented()
    names = set(NAME.findall(expression))
    assert names and names <= known.keys()
    labels = set().union(*(known[name] for name in names)) | OF_THE_SCRAPE
    grouped = {word for words in re.findall(r"\b(?:by|on) \(([\w, ]+)\)", expression) for word in re.findall(r"\w+", words)}
    matched = set(re.findall(r"(\w+)=~?\"", expression))
    assert grouped | matched <= labels
    assert expression.count("(") == expression.count(")") and expression.count("{") == expression.count("}")
    for name in names:
        rated = re.search(rf"\b(rate|increase)\({name}\b", expression)
        assert bool(rated) == name.endswith(("_total", "_bucket")), f"{name} is a counter that is rated, or is none"


def test_every_alert_says_what_is_wrong_and_how_much_it_matters() -> None:
    for rule in RULES:
        assert rule["labels"]["severity"] in ("critical", "warning")
        assert {"summary", "description"} <= rule["annotations"].keys()
        assert set(re.findall(r"\$labels\.(\w+)", json.dumps(rule["annotations"]))) <= set.union(
            *documented().values(), OF_THE_SCRAPE
        )
    assert {f"Rproxy{name}" for name in PROMISED} <= {rule["alert"] for rule in RULES}


def test_the_panels_of_the_dashboard_do_not_overlap() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        place: dict[str, Any] = panel["gridPos"]
        cells = {(x, y) for x in range(place["x"], place["x"] + place["w"]) for y in range(place["y"], place["y"] + place["h"])}
        assert not cells & taken and max(x for x, _ in cells) < 24, panel["title"]
        taken |= cells
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])


def test_every_variable_of_the_dashboard_is_declared() -> None:
    declared = {variable["name"] for variable in DASHBOARD["templating"]["list"]}
    assert set(re.findall(r"\$\{?(\w+)", json.dumps(DASHBOARD))) - {"__rate_interval"} <= declared
