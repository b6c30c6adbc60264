"""What a worker tells of itself, asked of its real parts before anything runs."""

from collections.abc import AsyncIterator
from pathlib import Path
from threading import Event

import pytest
from prometheus_client import CollectorRegistry

from jetworker.config.model import TopicsConfig
from jetworker.http.report import Report, since_start
from jetworker.kafka.clients import KafkaClients
from jetworker.runtime.clock import Clock
from jetworker.runtime.metrics import Metrics
from jetworker.worker.assembly import VERSION, Outside, assemble
from jetworker.worker.route_table import RouteTable
from tests.support.jet import site as sandboxes
from tests.support.jet.fake_server import JetServer
from tests.support.kafka import broker as brokers

ROUTES = """
routes:
  archive: {job_id: job-1, max_active: 5}
  by-name: {job_name: nightly}
"""


@pytest.fixture
def stopping() -> Event:
    return Event()


@pytest.fixture
def routes(tmp_path: Path) -> Path:
    file = tmp_path / "routes.yaml"
    file.write_text(ROUTES)
    return file


@pytest.fixture
async def report(routes: Path, stopping: Event) -> AsyncIterator[Report]:
    config = brokers.settings("127.0.0.1:1", TopicsConfig())
    metrics, clock = Metrics(CollectorRegistry()), Clock()
    async with (
        JetServer() as server,
        sandboxes.jet_client(server.base_url, server.secret) as jet,
    ):
        kafka = KafkaClients(config.kafka, config.topics)
        outside = Outside(kafka, jet, RouteTable(routes, metrics), clock, metrics)
        parts = assemble(config, outside)
        yield Report(parts, config, metrics, clock, stopping.is_set)


async def test_a_worker_that_has_not_begun_is_alive_and_says_what_it_waits_for(
    report: Report, stopping: Event
) -> None:
    before = dict(report.ready())
    await report.parts.jet.sign_in()
    stopping.set()
    after = dict(report.ready())

    assert set(report.live().values()) <= {None}
    assert before["group"] == after["group"] == "the group is not joined yet"
    assert (before["token"], after["token"]) == ("no token was obtained yet", None)
    assert (before["running"], after["running"]) == (None, "the worker is stopping")


async def test_its_status_has_every_route_with_its_limit_and_what_is_open(
    report: Report,
) -> None:
    status = report.status()

    assert (status["version"], status["group"]) == (VERSION, "jetworker")
    assert status["partitions"] == []
    assert set(status["totals"].values()) == {0}
    rows = {row["route"]: row for row in status["routes"]}
    assert rows.keys() == {"archive", "by-name"}
    assert (rows["archive"]["job"], rows["archive"]["limit"]) == ("job-1", 5)
    assert (rows["by-name"]["job"], rows["by-name"]["limit"]) == (None, None)
    assert [row["open"] for row in rows.values()] == [0, 0]


async def test_a_command_that_no_partition_knows_is_nothing(report: Report) -> None:
    assert report.delivery("c-1") is None


async def test_the_gauges_that_nobody_keeps_are_set_when_somebody_looks(
    report: Report,
) -> None:
    report.refresh()

    def value(name: str) -> float | None:
        return report.metrics.registry.get_sample_value(f"jetworker_{name}")

    assert value("partitions_assigned") == 0
    seen = value("oldest_status_timestamp_seconds") or 0
    assert seen == pytest.approx(Clock().now().timestamp(), abs=600)


def test_the_counters_since_the_start_are_those_of_the_metrics() -> None:
    metrics = Metrics(CollectorRegistry())
    metrics.declare_routes(["archive"])
    metrics.commands_total.labels("accepted").inc(3)
    metrics.deliveries_finished_total.labels("archive", "completed").inc(2)
    metrics.events_published_total.labels("delivery.accepted").inc(3)
    metrics.events_published_total.labels("delivery.completed").inc(2)
    metrics.token_expiry_timestamp_seconds.set(1_795_000_000)

    told = since_start(metrics.registry)

    assert told["commands"]["accepted"] == 3
    assert told["commands"]["rejected"] == 0
    assert told["finished"]["archive"] == {"completed": 2, "failed": 0, "cancelled": 0}
    assert told["events"] == 5
    assert told["tokenExpiresAt"] == "2026-11-18T11:06:40.000Z"
