"""Three brokers, each killed in turn: leaders, coordinators and the controller move."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from jetworker.sandbox.kafka.broker import EmbeddedKafka
from tests.integration.conftest import ROUTES
from tests.support.invariants import judge
from tests.support.jet.fake_server import JetServer
from tests.support.kafka.cluster import three_brokers
from tests.support.system import System, a_command

pytestmark = [pytest.mark.integration, pytest.mark.timeout(240)]


@pytest.fixture
async def brokers() -> AsyncIterator[list[EmbeddedKafka]]:
    """Return three that are up."""
    with ExitStack() as kept:
        yield await asyncio.to_thread(kept.enter_context, three_brokers())


@pytest.fixture
async def replicated(
    brokers: list[EmbeddedKafka], jet: JetServer, tmp_path: Path
) -> AsyncIterator[System]:
    """Return a system whose records are on all of them."""
    servers = ",".join(each.bootstrap_servers for each in brokers)
    system = System(servers, jet, tmp_path, ROUTES, replication=3)
    await system.create()
    try:
        yield system
    finally:
        await system.close()


async def test_each_of_three_brokers_may_be_lost_and_come_back(
    brokers: list[EmbeddedKafka], replicated: System
) -> None:
    system = replicated
    workers = [await system.worker(), await system.worker()]
    for worker in workers:
        await worker.ready()
    commands = [a_command("n-0")]
    await system.publish(*commands)
    await system.terminal(1)

    for n, broker in enumerate(brokers):
        during = [a_command(f"n-{n}-{m}") for m in range(8)]
        await asyncio.to_thread(broker.kill)
        await system.publish(*during)
        commands += during
        await system.terminal(len(commands))
        await asyncio.to_thread(broker.start)

    events = await system.events()
    judge(events, commands, system.jet)
    assert {e.kind for e in events if e.is_terminal} == {"delivery.completed"}
    assert [worker.process.returncode for worker in workers] == [None, None]
