"""Fixtures for tests on a real Kafka."""

import os
from collections.abc import AsyncIterator
from contextlib import ExitStack

import pytest
from aiokafka.admin import AIOKafkaAdminClient
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis

from jetworker.config.model import TopicsConfig
from jetworker.kafka import topics as layout
from tests.support.kafka import broker as brokers

# Nothing here is judged by how long it takes: a machine may be busy.
hypothesis.register_profile(
    "unhurried", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
hypothesis.load_profile("unhurried")

_KEPT = pytest.StashKey[ExitStack]()


def pytest_configure(config: pytest.Config) -> None:
    """Make the place for what lives as long as the session."""
    config.stash[_KEPT] = ExitStack()


def pytest_unconfigure(config: pytest.Config) -> None:
    """Leave the shared broker: here no test's timeout runs while others still use it."""
    config.stash[_KEPT].close()


@pytest.fixture(scope="session")
def kafka(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> str:
    """Return the bootstrap servers of the session's broker, one for all xdist workers."""
    if servers := os.environ.get("TEST_KAFKA_BOOTSTRAP_SERVERS"):
        return servers
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent
    return brokers.join(folder, request.config.stash[_KEPT])


@pytest.fixture
async def topics(kafka: str) -> AsyncIterator[TopicsConfig]:
    """Make four new topics as an operator would, and delete them after the test."""
    names = brokers.fresh_topics()
    await layout.create(brokers.settings(kafka, names))
    yield names
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
    await admin.start()
    try:
        await admin.delete_topics(list(names.model_dump().values()))
    finally:
        await admin.close()
