"""What fails in the client of Kafka is told by us, once, and by nobody after us."""

import asyncio
import gc
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.errors import ProducerFenced
from aiokafka.structs import OffsetAndMetadata

from jetworker.core.errors import StoreError
from jetworker.kafka.clients import KafkaClients
from jetworker.kafka.state_store import Write
from jetworker.wire.record import Record
from tests.integration.test_store import running, snapshot, store_kafka, taken_over

__all__ = ["store_kafka"]

pytestmark = pytest.mark.integration


@pytest.fixture
async def complaints() -> AsyncIterator[list[str]]:
    """Return what asyncio complains of: errors that nobody has looked at."""
    found: list[str] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: found.append(str(context)))
    yield found
    loop.set_exception_handler(None)


async def forget() -> None:
    """Let what is over go, and with it what nobody has looked at."""
    for _ in range(3):
        await asyncio.sleep(0)
        gc.collect()


@pytest.mark.parametrize(
    ("others", "offset"), [(0, None), (50, None), (50, 7)], ids=["one", "many", "all"]
)
async def test_a_fence_is_told_to_who_commits_alone(
    store_kafka: KafkaClients, complaints: list[str], others: int, offset: int | None
) -> None:
    events = store_kafka.topics.events
    more = [Record(events, str(n).encode(), b"{}") for n in range(others)]
    async with running(store_kafka) as stale:
        await stale.submit(Write((snapshot(store_kafka, b"before"),)))
        async with running(store_kafka):
            step = Write((snapshot(store_kafka, b"zombie"), *more), offset)
            with pytest.raises(StoreError):
                await stale.submit(step)
    del stale
    await forget()

    assert complaints == []


async def test_so_is_one_that_shows_by_the_offset_alone(
    store_kafka: KafkaClients, complaints: list[str]
) -> None:
    async with running(store_kafka) as stale, running(store_kafka):
        with pytest.raises(StoreError):
            await stale.submit(Write((), offset=7))
    del stale
    await forget()

    assert complaints == []


async def an_offset(producer: AIOKafkaProducer, kafka: KafkaClients) -> None:
    offset = {TopicPartition(kafka.topics.commands, 0): OffsetAndMetadata(7, "")}
    await producer.send_offsets_to_transaction(offset, kafka.config.group_id)


async def a_batch(producer: AIOKafkaProducer, kafka: KafkaClients) -> None:
    batch = producer.create_batch()
    batch.append(key=b"k", value=b"v", timestamp=None)
    await (await producer.send_batch(batch, kafka.topics.state, partition=0))


async def a_record(producer: AIOKafkaProducer, kafka: KafkaClients) -> None:
    topic = kafka.topics.state
    await (await producer.send(topic, key=b"k", value=b"v", partition=0))


@pytest.mark.parametrize("hand_over", [an_offset, a_batch, a_record])
async def test_so_is_one_that_comes_when_who_commits_has_given_up(
    store_kafka: KafkaClients,
    complaints: list[str],
    hand_over: Callable[[AIOKafkaProducer, KafkaClients], Coroutine[Any, Any, None]],
) -> None:
    async with store_kafka.producer("given-up") as stale:
        await stale.partitions_for(store_kafka.topics.state)
        async with store_kafka.producer("given-up"):
            pass
        await stale.begin_transaction()
        handing = asyncio.create_task(hand_over(stale, store_kafka))
        await asyncio.sleep(0)  # it is handed over, and not yet sent
        handing.cancel()
        await asyncio.wait([handing])
        sending = stale._sender.sender_task  # noqa: SLF001 -- it ends by the fence
        await asyncio.wait([sending])
        assert isinstance(sending.exception(), ProducerFenced)
        assert handing.cancelled()
    del stale, sending, handing
    await forget()

    assert complaints == []


async def test_so_is_one_in_the_midst_of_a_takeover(
    store_kafka: KafkaClients, complaints: list[str]
) -> None:
    failed: list[StoreError] = []

    async def take_over() -> None:
        try:
            async with taken_over(store_kafka):
                pass
        except StoreError as exc:
            failed.append(exc)

    await asyncio.gather(*(take_over() for _ in range(6)))
    told = len(failed)
    failed.clear()
    await forget()

    assert told > 0
    assert complaints == []
