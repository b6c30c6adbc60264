"""The routes file while a worker runs: what a change moved, and what is refused, is told."""

from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs

from jetworker.runtime.metrics import Metrics
from jetworker.worker.route_table import RouteTable

GOOD = "routes: {archive: {job_id: job-1}}"


@pytest.fixture
def metrics() -> Metrics:
    return Metrics(CollectorRegistry())


def is_valid(metrics: Metrics) -> float | None:
    return metrics.registry.get_sample_value("jetworker_routes_valid")


def reloads(metrics: Metrics, outcome: str) -> float | None:
    name = "jetworker_routes_reloads_total"
    return metrics.registry.get_sample_value(name, {"outcome": outcome})


def test_an_invalid_file_stays_told_however_often_it_is_looked_at(
    tmp_path: Path, metrics: Metrics
) -> None:
    path = tmp_path / "routes.yaml"
    path.write_text(GOOD)
    table = RouteTable(path, metrics)
    assert is_valid(metrics) == 1

    path.write_text("routes: {oops: {}}")
    for _ in range(3):
        table.look()

    assert "oops" in str(table.error)
    assert (is_valid(metrics), reloads(metrics, "rejected")) == (0, 1)
    assert list(table.routes) == ["archive"]


@pytest.mark.parametrize("repaired", [GOOD, GOOD.replace("job-1", "job-2")])
def test_a_repaired_file_is_told_as_valid_also_where_it_is_the_old_one(
    tmp_path: Path, metrics: Metrics, repaired: str
) -> None:
    path = tmp_path / "routes.yaml"
    path.write_text(GOOD)
    table = RouteTable(path, metrics)
    path.write_text("no: [")
    table.look()

    path.write_text(repaired)
    table.look()

    assert (table.error, is_valid(metrics)) == (None, 1)
    assert reloads(metrics, "applied") == (repaired != GOOD)


def test_a_file_that_is_gone_is_told_until_it_is_back(
    tmp_path: Path, metrics: Metrics
) -> None:
    path = tmp_path / "routes.yaml"
    path.write_text(GOOD)
    table = RouteTable(path, metrics)
    path.unlink()
    for _ in range(2):
        table.look()
    gone = table.error, is_valid(metrics)
    path.write_text(GOOD)
    table.look()

    assert "cannot be read" in str(gone[0])
    assert gone[1] == 0
    assert (table.error, is_valid(metrics)) == (None, 1)


def test_a_change_says_which_routes_came_went_and_changed(tmp_path: Path) -> None:
    file = tmp_path / "routes.yaml"
    file.write_text("routes: {a: {job_id: x}, b: {job_id: x}, c: {job_id: x}}")
    table = RouteTable(file, Metrics(CollectorRegistry()))
    heard: list[Any] = []
    table.on_change(lambda: heard.append(sorted(table.current())))

    file.write_text("routes: {a: {job_id: x}, b: {job_id: y}, d: {job_id: x}}")
    with capture_logs() as lines:
        table.look()

    assert heard == [["a", "b", "d"]]
    assert lines == [
        {
            "event": "the routes file changed, new commands and those that wait follow it",
            "log_level": "info",
            "routes": 3,
            "added": ["d"],
            "removed": ["c"],
            "changed": ["b"],
        }
    ]
