"""Kafka killed or frozen under load: nothing is lost, nothing is started twice."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from jetworker.sandbox.kafka.broker import EmbeddedKafka
from tests.integration.conftest import ROUTES
from tests.support.invariants import judge
from tests.support.jet.fake_server import JetServer
from tests.support.system import System, a_command
from tests.support.waiting import until

pytestmark = pytest.mark.integration

_STOP = 12  # seconds of shutdown.timeout
_GRACE = 30 / 20  # of the chart, to shutdown.timeout


@pytest.fixture
async def broker() -> AsyncIterator[EmbeddedKafka]:
    """Return a broker of this test's own, to be killed."""
    started = await asyncio.to_thread(EmbeddedKafka().__enter__)
    try:
        yield started
    finally:
        await asyncio.to_thread(started.__exit__, None, None, None)


@pytest.fixture
async def own_system(
    broker: EmbeddedKafka, jet: JetServer, tmp_path: Path
) -> AsyncIterator[System]:
    made = await System(broker.bootstrap_servers, jet, tmp_path, ROUTES).create()
    try:
        yield made
    finally:
        await made.close()


async def test_a_broker_that_is_killed_and_comes_back_loses_nothing(
    broker: EmbeddedKafka, own_system: System
) -> None:
    workers = [await own_system.worker(), await own_system.worker()]
    for worker in workers:
        await worker.ready()
    own_system.jet.seconds = 1.0
    commands = [a_command(f"b-{n}", ("archive", "by-name")[n % 2]) for n in range(60)]
    await own_system.publish(*commands[:40])
    await until(lambda: len(own_system.jet.deliveries) > 10, "ten starts")

    await asyncio.to_thread(broker.restart)
    await own_system.publish(*commands[40:])
    events = await own_system.decided(60)

    judge(events, commands, own_system.jet)
    assert all(worker.process.returncode is None for worker in workers)


async def test_a_broker_that_is_frozen_past_the_session_loses_nothing(
    broker: EmbeddedKafka, own_system: System
) -> None:
    workers = [await own_system.worker(), await own_system.worker()]
    for worker in workers:
        await worker.ready()
    commands = [a_command(f"f-{n}") for n in range(40)]
    await own_system.publish(*commands)
    await until(lambda: len(own_system.jet.deliveries) > 5, "five starts")

    broker.freeze()
    await asyncio.sleep(6)  # the fault: twice as long as a session lasts
    broker.thaw()
    events = await own_system.decided(40)

    judge(events, commands, own_system.jet)
    assert all(worker.process.returncode is None for worker in workers)


@pytest.mark.parametrize("fault", ["freeze", "kill"])
async def test_a_stop_without_kafka_ends_within_the_grace_that_a_chart_gives(
    broker: EmbeddedKafka, own_system: System, fault: str
) -> None:
    """The chart gives half as much again as `shutdown.timeout` is by default."""
    own_system.changes = {"JETWORKER_SHUTDOWN__TIMEOUT": f"{_STOP}s"}
    workers = [await own_system.worker(), await own_system.worker()]
    for worker in workers:
        await worker.ready()
    own_system.jet.seconds = 600.0
    await own_system.publish(*(a_command(f"s-{n}") for n in range(20)))
    await until(lambda: len(own_system.jet.deliveries) > 10, "ten that go on")

    if fault == "freeze":
        broker.freeze()
    else:
        broker.kill()
    clock = asyncio.get_running_loop()
    began = clock.time()
    codes = await asyncio.gather(*(worker.stop() for worker in workers))
    took = clock.time() - began
    if fault == "freeze":
        broker.thaw()

    assert codes == [0, 0]
    assert took / _STOP < _GRACE
    for worker in workers:
        assert "the worker has left" in worker.log.read_text()
