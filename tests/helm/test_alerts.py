"""Alerts and dashboard: every query is valid and reads a metric that exists."""

import json
import re
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from jetworker.runtime.metrics import Metrics
from tests.helm.charts import CHART, Tree, merged, only, read, values

RULES = sorted((CHART / "files" / "rules").glob("*.yaml"))
DASHBOARD: Tree = json.loads((CHART / "files" / "dashboard.json").read_text())
NOT_OURS = {"up", "kafka_consumergroup_lag", "ALERTS"}
needs_promtool = pytest.mark.platform("promtool")
_METRIC = re.compile(r"(?<![\w:])([a-zA-Z_][\w:]*)\{")


def _promtool(*arguments: str | Path, folder: Path = CHART) -> str:
    done = subprocess.run(
        ["promtool", *map(str, arguments)],
        cwd=folder,
        check=False,
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def _rules() -> list[Tree]:
    return [
        rule
        for file in RULES
        for group in read(file)["groups"]
        for rule in group["rules"]
    ]


ALERTS = {rule["alert"]: rule for rule in _rules() if "alert" in rule}
RECORDS = {rule["record"] for rule in _rules() if "record" in rule}
PANELS: list[Tree] = [p for p in DASHBOARD["panels"] if p["type"] != "row"]
QUERIES: list[str] = [
    target["expr"] for panel in PANELS for target in panel["targets"]
] + [each["expr"] for each in DASHBOARD["annotations"]["list"]]


@cache
def _labels() -> dict[str, set[str]]:
    """Return the labels of every series that a worker shows, by name."""
    registry = CollectorRegistry()
    metrics = Metrics(registry, "0.1.0")
    metrics.declare_routes(["a"])
    metrics.commands_lag.labels("0")  # made when the partition is ours
    found: dict[str, set[str]] = {}
    exposed = generate_latest(registry).decode()
    for family in text_string_to_metric_families(exposed):
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    return found


@needs_promtool
def test_the_names_of_the_metrics_are_as_prometheus_wants_them() -> None:
    registry = CollectorRegistry()
    Metrics(registry, "0.1.0").declare_routes(["a"])
    done = subprocess.run(
        ["promtool", "check", "metrics"],
        input=generate_latest(registry),
        check=False,
        capture_output=True,
        timeout=60,
    )

    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


@needs_promtool
def test_the_rules_are_valid_and_free_of_lint() -> None:
    _promtool("check", "rules", "--lint=all", "--lint-fatal", *RULES)


@needs_promtool
def test_each_alert_fires_on_its_fault_and_none_in_a_healthy_day() -> None:
    _promtool("test", "rules", "rules_test.yaml", folder=CHART / "tests")


def test_no_alert_is_without_a_test_that_it_fires() -> None:
    tested = (CHART / "tests" / "rules_test.yaml").read_text()

    for name in ALERTS:
        assert f'alertname="{name}"' in tested, name


@pytest.mark.parametrize("name", ALERTS)
def test_an_alert_says_how_bad_what_and_what_to_do(name: str) -> None:
    alert = ALERTS[name]
    notes = alert["annotations"]

    assert alert["labels"] == {"severity": alert["labels"]["severity"]}
    assert alert["labels"]["severity"] in {"critical", "warning"}
    assert notes.keys() == {"summary", "description", "action", "runbook_url"}
    assert notes["runbook_url"] == f"helm/jetworker/RUNBOOK.md#{name.lower()}"


def test_each_alert_has_its_section_in_the_runbook_and_each_section_its_alert() -> None:
    text = (CHART / "RUNBOOK.md").read_text()
    sections = re.split(r"^## ", text, flags=re.MULTILINE)[1:]

    assert {each.split("\n")[0] for each in sections} == ALERTS.keys()
    for each in sections:
        assert "**Means.**" in each
        assert "**Do.**" in each


@pytest.mark.parametrize("query", sorted({*(r["expr"] for r in _rules()), *QUERIES}))
def test_every_query_reads_series_that_exist_by_labels_that_they_have(
    query: str,
) -> None:
    exposed = _labels()
    names = set(_METRIC.findall(query))

    assert names
    for name, selector in re.findall(r"([a-zA-Z_][\w:]*)\{([^}]*)\}", query):
        if name in NOT_OURS | RECORDS:
            continue
        labels = set(re.findall(r"(\w+)=?[=~!]", selector))
        assert name in exposed, name
        assert labels - {"job"} <= exposed[name], (name, labels)


@pytest.mark.parametrize("file", RULES, ids=lambda path: path.stem)
def test_every_selector_of_a_rule_can_be_scoped_to_a_release(file: Path) -> None:
    for group in read(file)["groups"]:
        for rule in group["rules"]:
            for selector in re.findall(r"\{([^}]*)\}", rule["expr"]):
                assert 'job="jetworker"' in selector, selector


def _of_a_release() -> Tree:
    """Return the rules of a release."""
    return only(values("full"), "PrometheusRule")


def test_a_release_scopes_the_rules_to_itself_and_leaves_out_what_is_unwanted() -> None:
    rule = _of_a_release()
    text = yaml.safe_dump(rule["spec"], width=10_000)

    assert 'job="jetworker"' not in text
    assert 'job="media/test-jet"' in text
    assert "helm/jetworker/RUNBOOK.md" not in text
    assert "https://runbooks.example.com/jetworker#jetworkerstartheld" in text
    names = {
        r["alert"] for g in rule["spec"]["groups"] for r in g["rules"] if "alert" in r
    }
    assert names == ALERTS.keys() - {"JetworkerDeadLetters"}


@needs_promtool
def test_the_rules_of_a_release_are_valid_too(tmp_path: Path) -> None:
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump(_of_a_release()["spec"]))

    _promtool("check", "rules", "--lint=all", "--lint-fatal", tmp_path / "rules.yaml")


def test_alerts_on_the_lag_need_nothing_but_the_workers_own_metrics() -> None:
    assert "kafka_consumergroup_lag" not in str(only(values("full"), "PrometheusRule"))


@needs_promtool
def test_every_query_of_the_dashboard_is_valid(tmp_path: Path) -> None:
    rules = [
        {
            "record": f"panel:{number}:query",
            "expr": query.replace("$__rate_interval", "5m"),
        }
        for number, query in enumerate(QUERIES)
    ]
    file = tmp_path / "dashboard.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}))

    assert f"{len(QUERIES)} rules found" in _promtool("check", "rules", file)


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel["title"])
def test_every_panel_has_a_title_a_unit_a_word_of_help_and_the_chosen_source(
    panel: dict[str, Any],
) -> None:
    assert panel["title"]
    assert panel["description"]
    assert panel["fieldConfig"]["defaults"]["unit"]
    sources = [panel["datasource"], *(t["datasource"] for t in panel["targets"])]
    assert all(each["uid"] == "${datasource}" for each in sources)
    for target in panel["targets"]:
        assert target["legendFormat"]


def test_the_rows_are_the_questions_of_an_operator() -> None:
    rows = [p["title"] for p in DASHBOARD["panels"] if p["type"] == "row"]

    assert rows == [
        "Is it healthy?",
        "What waits, and why?",
        "How fast is it?",
        "What fails?",
        "What does Jet say?",
        "What does Kafka say?",
    ]


def test_no_two_panels_overlap_and_none_leaves_the_grid() -> None:
    taken: dict[tuple[int, int], str] = {}
    for panel in DASHBOARD["panels"]:
        at = panel["gridPos"]
        assert at["x"] + at["w"] <= 24
        for x in range(at["x"], at["x"] + at["w"]):
            for y in range(at["y"], at["y"] + at["h"]):
                assert taken.setdefault((x, y), panel["title"]) == panel["title"]


def test_every_metric_of_the_worker_is_on_the_dashboard() -> None:
    shown = " ".join(QUERIES)
    registry = CollectorRegistry()
    Metrics(registry)
    names = {family.name for family in registry.collect()}

    assert {name for name in names if name not in shown} == set()


def test_grafana_finds_the_dashboard_by_its_label() -> None:
    found = only(values("full"), "ConfigMap", "-dashboard")

    assert found["metadata"]["labels"]["grafana_dashboard"] == "1"
    assert json.loads(found["data"]["jetworker.json"]) == DASHBOARD


def test_alerts_link_to_an_address_unless_a_release_says_where() -> None:
    rule = only(
        merged(values("minimal"), {"prometheusRule": {"enabled": True}}),
        "PrometheusRule",
    )
    links = [
        each["annotations"]["runbook_url"]
        for group in rule["spec"]["groups"]
        for each in group["rules"]
        if "alert" in each
    ]

    assert links
    assert all(each.startswith("https://jetworker.io/runbook#") for each in links)
