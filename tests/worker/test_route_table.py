"""The routes file is followed, and what a change moved is told."""

from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs

from jetworker.runtime.metrics import Metrics
from jetworker.worker.route_table import RouteTable


def test_a_change_says_which_routes_came_went_and_changed(tmp_path: Path) -> None:
    file = tmp_path / "routes.yaml"
    file.write_text("routes: {a: {job_id: x}, b: {job_id: x}, c: {job_id: x}}")
    table = RouteTable(file, Metrics(CollectorRegistry()))
    heard: list[Any] = []
    table.on_change(lambda: heard.append(sorted(table.current())))

    file.write_text("routes: {a: {job_id: x}, b: {job_id: y}, d: {job_id: x}}")
    with capture_logs() as lines:
        table._look()  # noqa: SLF001 -- its loop does nothing else, every two seconds

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
