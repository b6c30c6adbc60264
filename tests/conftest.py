"""A real Kafka for the tests that want one, and what a run says that it left out."""

import os
from collections.abc import AsyncIterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from aiokafka.admin import AIOKafkaAdminClient
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis

from jetworker.config.model import TopicsConfig
from jetworker.kafka import topics as layout
from tests.support import dealing, programs
from tests.support import demo as demos
from tests.support.demo import Shown
from tests.support.kafka import archive
from tests.support.kafka import broker as brokers

# Nothing here is judged by how long it takes: a machine may be busy.
hypothesis.register_profile(
    "unhurried", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
hypothesis.load_profile("unhurried")

# What a marker keeps out of a run, and the target that runs it.
LEFT_OUT = {
    "platform": "need programs that the package index lacks (make test-platform)",
    "nightly": "take hours (make nightly)",
}
_KEPT = pytest.StashKey[ExitStack]()
_LEFT_OUT = pytest.StashKey[dict[str, int]]()


def pytest_configure(config: pytest.Config) -> None:
    """Make the place for what lives as long as the session."""
    config.stash[_KEPT] = ExitStack()
    config.stash[_LEFT_OUT] = {}
    archive.use()


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(
    config: pytest.Config, items: list[pytest.Item]
) -> None:
    """
    Let every worker of xdist begin with what takes long, and end with what does not.

    Each is given an equal part of the list to begin with, and who has nothing left takes
    from the ends of the others': a long test there is one that all wait for.
    """
    if workers := getattr(config, "workerinput", {}).get("workercount"):
        simulated = [item for item in items if _is_simulated(item)]
        marked = (i for i in items if i.get_closest_marker("integration"))
        real = [item for item in marked if item not in simulated]
        short = [item for item in items if item not in {*simulated, *real}]
        items[:] = dealing.deal(simulated, real, short, workers)


def _is_simulated(item: pytest.Item) -> bool:
    return item.path.parent.name in {"simulation", "model"}


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Fail a test whose programs are missing, with the cure: it is never skipped."""
    for mark in item.iter_markers("platform"):
        if missing := programs.missing(mark.args):
            pytest.fail(programs.cure(missing), pytrace=False)


def pytest_deselected(items: Sequence[pytest.Item]) -> None:
    """Count what was asked for and is left out by its marker."""
    for item in items:
        counts = item.config.stash[_LEFT_OUT]
        if "not" in item.config.option.markexpr:
            name = next((m for m in LEFT_OUT if item.get_closest_marker(m)), None)
            if name:
                counts[name] = counts.get(name, 0) + 1


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Hand the counts of a worker of xdist to the process that prints."""
    if output := getattr(session.config, "workeroutput", None):
        output["left out"] = session.config.stash[_LEFT_OUT]


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Take the counts of a worker; all workers have the same."""
    if output := getattr(node, "workeroutput", None):
        node.config.stash[_LEFT_OUT].update(output["left out"])


def pytest_unconfigure(config: pytest.Config) -> None:
    """Say what was left out, and leave the shared broker: no test's timeout runs here."""
    counts = config.stash[_LEFT_OUT]
    printer = config.pluginmanager.get_plugin("terminalreporter")
    if counts and printer and not hasattr(config, "workerinput"):
        told = (f"{counts[m]} that {LEFT_OUT[m]}" for m in LEFT_OUT if m in counts)
        printer.write_line(f"Left out: {', '.join(told)}.")
    config.stash[_KEPT].close()


@pytest.fixture(scope="session")
def kafka(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> str:
    """Return the bootstrap servers of the session's broker, one for all xdist workers."""
    if servers := os.environ.get("TEST_KAFKA_BOOTSTRAP_SERVERS"):
        return servers
    return brokers.join(_common(tmp_path_factory), request.config.stash[_KEPT])


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Shown:
    """Return what the session's run of the demo shows, one for all xdist workers."""
    return demos.shown(_common(tmp_path_factory))


def _common(factory: pytest.TempPathFactory) -> Path:
    """Return the folder of the session, which all xdist workers share."""
    folder = factory.getbasetemp()
    return folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder


@pytest.fixture
async def topics(kafka: str) -> AsyncIterator[TopicsConfig]:
    """Make four new topics as an operator would, and delete them after the test."""
    names = brokers.fresh_topics()
    await layout.create(brokers.settings(kafka, names))
    yield names
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
    await admin.start()
    try:
        await admin.delete_topics(list(names.names))
    finally:
        await admin.close()
