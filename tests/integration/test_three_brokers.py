"""Three brokers, each killed in turn: leaders, coordinators and the controller move."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from jetworker.sandbox.kafka.broker import EmbeddedKafka
from tests.integration.conftest import ROUTES
from tests.support.invariants import judge
from tests.support.jet.fake_server import JetServer
from tests.support.kafka.cluster import three_brokers
from tests.support.system import System, a_command
from tests.support.waiting import until

pytestmark = pytest.mark.integration

# What is told of partition 2; the second where the group was joined anew meanwhile,
# because its coordinator was on the broker that is gone.
UNSERVED = ("partitions [2] could not be read", "not restored yet: [2]")


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


async def test_a_partition_whose_only_broker_is_gone_holds_up_no_other(
    brokers: list[EmbeddedKafka], jet: JetServer, tmp_path: Path
) -> None:
    servers = ",".join(each.bootstrap_servers for each in brokers)
    system = System(servers, jet, tmp_path, ROUTES, replication=3)
    await _make(servers, system.config.topics.commands, [[1], [2], [3], [2]])
    await system.create()
    try:
        worker = await (await system.worker()).ready()
        await asyncio.to_thread(brokers[2].kill)

        before = [a_command(f"o-{n}") for n in range(6)]
        await system.publish_to({0: before[:2], 1: before[2:4], 3: before[4:]})
        await system.terminal(len(before))

        async def tells() -> bool:
            text = (await worker.get("/readyz?verbose")).text
            return any(said in text for said in UNSERVED)

        await until(tells, "a worker that tells what it does not read")
        after = [a_command(f"p-{n}") for n in range(6)]
        await system.publish_to({0: after[:2], 1: after[2:4], 3: after[4:]})
        await system.terminal(len(before + after))

        await asyncio.to_thread(brokers[2].start)
        late = a_command("late")
        await system.publish_to({2: [late]})
        events = await system.terminal(len(before + after) + 1)

        judge(events, [*before, *after, late], system.jet)
        await worker.ready()
    finally:
        await system.close()


async def _make(servers: str, topic: str, copies: list[list[int]]) -> None:
    """Make a topic whose partitions have their copies on these brokers."""
    admin = AIOKafkaAdminClient(bootstrap_servers=servers)
    await admin.start()
    try:
        made = NewTopic(
            topic,
            -1,
            -1,
            replica_assignments=dict(enumerate(copies)),
            topic_configs={"min.insync.replicas": "1"},
        )
        await admin.create_topics([made])
    finally:
        await admin.close()
