"""Where reading ends on a real Kafka, while a transaction is open, and after it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from jetworker.config.model import KafkaConfig, TopicsConfig
from jetworker.kafka.clients import KafkaClients
from jetworker.kafka.reader import HIGH_WATERMARKS, STABLE_END, Followed, read
from tests.support.waiting import until

pytestmark = pytest.mark.integration


@pytest.fixture
def clients(kafka: str, topics: TopicsConfig) -> KafkaClients:
    return KafkaClients(KafkaConfig(bootstrap_servers=kafka), topics)


@asynccontextmanager
async def writing(clients: KafkaClients, value: bytes) -> AsyncIterator[None]:
    """Have written a record whose transaction is open until this is left."""
    name = f"{clients.topics.state}-{value.decode()}"
    async with clients.producer(name) as producer, producer.transaction():
        await producer.send_and_wait(clients.topics.state, value, b"k", partition=0)
        yield


async def values(clients: KafkaClients, end: object) -> list[bytes]:
    found = []
    async for batch in read(clients, clients.topics.state, end):  # type: ignore[arg-type]  # each of them
        found += [record.value for record in batch]
    return found


async def become_visible(clients: KafkaClients, *expected: bytes) -> None:
    """Wait for what is committed: Kafka answers a commit before its marker is written."""

    async def is_visible() -> bool:
        return await values(clients, STABLE_END) == list(expected)

    await until(is_visible, f"visible records: {expected}")


async def test_what_an_open_transaction_wrote_is_waited_for_or_left_out(
    clients: KafkaClients,
) -> None:
    async with writing(clients, b"1"):
        pass
    await become_visible(clients, b"1")
    async with writing(clients, b"2"):
        assert await values(clients, STABLE_END) == [b"1"]
        waiting = asyncio.create_task(values(clients, HIGH_WATERMARKS))
        done, _ = await asyncio.wait([waiting], timeout=0.5)
        assert not done

    assert await waiting == [b"1", b"2"]


async def test_what_follows_sees_all_that_comes_after_it_listens(
    clients: KafkaClients,
) -> None:
    async with writing(clients, b"before"):
        pass
    await become_visible(clients, b"before")
    listening = asyncio.Event()
    batches = read(clients, clients.topics.state, Followed(listening))
    first = asyncio.ensure_future(anext(batches))
    await listening.wait()
    async with writing(clients, b"after"):
        pass

    assert [record.value for record in await first] == [b"after"]
    await batches.aclose()  # type: ignore[attr-defined]  # it is a generator
