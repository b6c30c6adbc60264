"""Which of the chart's alerts fire if what a worker's metrics did goes on for an hour."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from tests.support import yaml_text

RULES = Path(__file__).parents[2] / "helm" / "jetworker" / "files" / "rules"
ALERTS = {
    rule["alert"]
    for file in RULES.glob("*.yaml")
    for group in yaml_text.read(file.read_text())["groups"]
    for rule in group["rules"]
    if "alert" in rule
}
_FIRING = 'group by (alertname) (ALERTS{alertstate="firing", alertname!~"%s"})'


def assert_firing(
    before: str, after: str, alerts: set[str], folder: Path, besides: str = ""
) -> None:
    """
    Fail unless exactly these alerts fire at the end of the hour; *besides* may.

    *before* and *after* are what `/metrics` said. What counters rose by in between they
    rise by in every minute; gauges stay as they were last.
    """
    expected = [
        {"labels": f'{{alertname="{name}"}}', "value": 1} for name in sorted(alerts)
    ]
    test = {
        "interval": "1m",
        "input_series": [
            {"series": series, "values": values}
            for series, values in (
                *_series(before, after),
                ('up{job="jetworker"}', "1x70"),
            )
        ],
        "promql_expr_test": [
            {"expr": _FIRING % besides, "eval_time": "65m", "exp_samples": expected}
        ],
    }
    file = folder / "alerts.json"  # which is YAML too
    rules = [str(RULES / f"{name}.yaml") for name in ("recording", "alerts", "lag")]
    file.write_text(json.dumps({"rule_files": rules, "tests": [test]}))
    done = subprocess.run(
        ["promtool", "test", "rules", str(file)],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def _series(before: str, after: str) -> Iterator[tuple[str, str]]:
    was = {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(before)
        for sample in family.samples
    }
    for family in text_string_to_metric_families(after):
        for sample in family.samples:
            labels = {"job": "jetworker", "pod": "jetworker-0", **sample.labels}
            told = ", ".join(f'{key}="{value}"' for key, value in labels.items())
            key = sample.name, frozenset(sample.labels.items())
            values = _values(family, sample.name, was.get(key, 0.0), sample.value)
            if values:
                yield f"{sample.name}{{{told}}}", values


def _values(family: Metric, name: str, was: float, now: float) -> str | None:
    """Return the series of 70 minutes; none for times, which would stand still."""
    if name.endswith(("_created", "_timestamp_seconds")):
        return None
    if family.type == "gauge":
        return f"{was}x4 {now}x65"
    return f"{was}x4 {now}+{now - was}x65"
