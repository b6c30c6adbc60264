"""Answers of Kafka that come too late: a transaction whose end nobody was told of."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from jetworker.sandbox.kafka import broker as kafka_port
from jetworker.sandbox.kafka.broker import EmbeddedKafka
from tests.integration.conftest import ROUTES
from tests.support.invariants import judge
from tests.support.jet.fake_server import JetServer
from tests.support.kafka.proxy import END_TXN, KafkaProxy
from tests.support.system import System, a_command
from tests.support.waiting import until

pytestmark = pytest.mark.integration


@pytest.fixture
async def proxy() -> AsyncIterator[KafkaProxy]:
    """Return the only way to a broker of this test's own."""
    ports = kafka_port.free_ports()
    async with KafkaProxy(target=ports[0]) as made:
        advertised = f"PLAINTEXT://127.0.0.1:{made.port}"
        broker = EmbeddedKafka(
            settings={"advertised.listeners": advertised}, ports=ports
        )
        await asyncio.to_thread(broker.__enter__)
        try:
            yield made
        finally:
            await asyncio.to_thread(broker.__exit__, None, None, None)


@pytest.fixture
async def behind_proxy(
    proxy: KafkaProxy, jet: JetServer, tmp_path: Path
) -> AsyncIterator[System]:
    """Return a system whose transactions end within three seconds, or never."""
    shortened = {"JETWORKER_KAFKA__TRANSACTION_TIMEOUT": "3s"}
    address = f"127.0.0.1:{proxy.port}"
    made = await System(address, jet, tmp_path, ROUTES, shortened).create()
    try:
        yield made
    finally:
        await made.close()


async def test_a_commit_whose_answer_is_late_is_neither_lost_nor_repeated(
    proxy: KafkaProxy, behind_proxy: System
) -> None:
    system = behind_proxy
    workers = [await (await system.worker()).ready() for _ in range(2)]
    commands = [a_command(f"l-{n}") for n in range(40)]
    await system.publish(*commands[:20])
    await until(lambda: len(system.jet.deliveries) > 5, "five starts")

    proxy.delay = lambda key: 4.5 if key == END_TXN else 0.0
    await system.publish(*commands[20:])
    await until(lambda: proxy.delayed > 3, "late answers")
    proxy.delay = lambda _key: 0.0
    events = await system.decided(40)

    judge(events, commands, system.jet)
    assert {e.kind for e in events if e.is_terminal} == {"delivery.completed"}
    assert [worker.process.returncode for worker in workers] == [None, None]
    given_up = [w for w in workers if "was not committed" in w.log.read_text()]
    assert given_up, "no transaction was given up: nothing was tested"
