"""What a worker tells of itself, asked of its real parts before anything runs."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from threading import Event as Flag

import pytest
from prometheus_client import CollectorRegistry

from jetworker.config.model import TopicsConfig
from jetworker.core.delivery import Event, EventType, State
from jetworker.core.transitions import Transition
from jetworker.http.report import Report
from jetworker.kafka.clients import KafkaClients
from jetworker.runtime.clock import Clock
from jetworker.runtime.metrics import Metrics
from jetworker.worker.assembly import VERSION, Outside, Parts, assemble
from jetworker.worker.route_table import RouteTable
from tests.support.builders import a_delivery
from tests.support.jet import site as sandboxes
from tests.support.jet.fake_server import JetServer
from tests.support.kafka import broker as brokers

ROUTES = """
routes:
  archive: {job_id: job-1, max_active: 5}
  by-name: {job_name: nightly}
"""


@pytest.fixture
def stopping() -> Flag:
    return Flag()


@pytest.fixture
def routes(tmp_path: Path) -> Path:
    file = tmp_path / "routes.yaml"
    file.write_text(ROUTES)
    return file


@pytest.fixture
async def parts(routes: Path) -> AsyncIterator[Parts]:
    config = brokers.settings("127.0.0.1:1", TopicsConfig())
    metrics, clock = Metrics(CollectorRegistry()), Clock()
    async with (
        JetServer() as server,
        sandboxes.jet_client(server.base_url, server.secret) as jet,
    ):
        kafka = KafkaClients(config.kafka, config.topics)
        outside = Outside(kafka, jet, RouteTable(routes, metrics), clock, metrics)
        yield assemble(config, outside)


@pytest.fixture
def report(parts: Parts, stopping: Flag) -> Report:
    config = brokers.settings("127.0.0.1:1", TopicsConfig())
    metrics = Metrics(CollectorRegistry())
    return Report(parts.standing, config, metrics, Clock(), stopping.is_set)


async def test_a_worker_that_has_not_begun_is_alive_and_says_what_it_waits_for(
    report: Report, parts: Parts, stopping: Flag
) -> None:
    before = dict(report.ready())
    await parts.jet.sign_in()
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


@dataclass
class Kept:
    """A partition of ours, as far as it is reported."""

    live: object
    hindrance: str | None = None


async def test_a_partition_that_waits_after_a_growth_is_neither_ready_nor_restored(
    report: Report,
    parts: Parts,
) -> None:
    grown = "the topics have grown, and commands wait"
    partitions = {0: Kept(object()), 1: Kept(object(), grown), 2: Kept(None)}
    parts.worker._partitions = partitions  # type: ignore[assignment]  # noqa: SLF001 -- Kafka fills it

    report.refresh()

    assert grown in (report.ready()["state"] or "")
    value = report.metrics.registry.get_sample_value
    assert value("jetworker_partitions_restored") == 1
    assert value("jetworker_ready") == 0


async def test_what_was_counted_since_the_start_is_asked_of_who_counted_it(
    report: Report,
    parts: Parts,
) -> None:
    counts = parts.counts
    counts.answered("accepted")
    counts.answered("rejected", "unknown_route")
    held = a_delivery(State.HELD)
    counts.enter(held)
    ended = a_delivery(State.FAILED)
    counts.count(held, Transition(ended, (Event(EventType.FAILED, ended),)))

    told = report.status()

    assert told["sinceStart"] == {
        "commands": {"accepted": 1, "applied": 0, "rejected": 1, "duplicate": 0},
        "finished": {
            "archive": {"completed": 0, "failed": 1, "cancelled": 0},
            "by-name": {"completed": 0, "failed": 0, "cancelled": 0},
        },
        "events": 2,
        "tokenExpiresAt": None,
    }
    assert (told["totals"]["held"], told["totals"]["failed"]) == (1, 1)
    await parts.jet.sign_in()
    assert report.status()["sinceStart"]["tokenExpiresAt"] is not None
    assert report.deliveries({}, 0, 10) == (0, [])
