"""Where reading ends on a real Kafka, while a transaction is open, and after it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions
from typing_extensions import override

from jetworker.config.model import KafkaConfig, TopicsConfig
from jetworker.core.errors import StoreError
from jetworker.kafka import reader
from jetworker.kafka.clients import KafkaClients
from jetworker.kafka.reader import HIGH_WATERMARKS, STABLE_END, Followed, Onward, read
from tests.support.waiting import until

pytestmark = pytest.mark.integration


@pytest.fixture
def clients(kafka: str, topics: TopicsConfig) -> KafkaClients:
    return KafkaClients(KafkaConfig(bootstrap_servers=kafka), topics)


@asynccontextmanager
async def writing(
    clients: KafkaClients, value: bytes, partition: int = 0
) -> AsyncIterator[None]:
    """Have written a record whose transaction is open until this is left."""
    topic = clients.topics.state
    name = f"{topic}-{value.decode()}"
    async with clients.producer(name) as producer, producer.transaction():
        await producer.send_and_wait(topic, value, b"k", partition=partition)
        yield


async def grow(clients: KafkaClients) -> int:
    """Give the state topic one partition more; returns its number."""
    topic = clients.topics.state
    async with clients.reader(topic) as consumer:
        count = len(consumer.assignment())
    servers = clients.config.bootstrap_servers
    admin = AIOKafkaAdminClient(bootstrap_servers=servers)
    await admin.start()
    try:
        await admin.create_partitions({topic: NewPartitions(count + 1)})
    finally:
        await admin.close()

    async def is_there() -> bool:
        async with clients.reader(topic) as consumer:
            return len(consumer.assignment()) == count + 1

    await until(is_there, "one partition more")
    return count


class GrowsAfterTheFirstReader(KafkaClients):
    """Grows the state topic between two readers, and writes to what is new."""

    is_grown = False

    @override
    @asynccontextmanager
    async def reader(
        self, what: TopicPartition | str, **options: Any
    ) -> AsyncIterator[AIOKafkaConsumer]:
        """Open a reader; as the first is closed, the topic grows."""
        async with super().reader(what, **options) as consumer:
            yield consumer
        if not self.is_grown:
            self.is_grown = True
            plain = KafkaClients(self.config, self.topics)
            async with writing(plain, b"new", await grow(plain)):
                pass


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


async def test_a_topic_that_grows_after_its_ends_were_asked_for_is_to_be_read_anew(
    clients: KafkaClients,
) -> None:
    async with writing(clients, b"old"):
        pass
    growing = GrowsAfterTheFirstReader(clients.config, clients.topics)

    with pytest.raises(StoreError, match="has grown since its ends were asked for"):
        await values(growing, HIGH_WATERMARKS)

    assert sorted(await values(growing, HIGH_WATERMARKS)) == [b"new", b"old"]


@pytest.mark.parametrize("is_onward", [False, True])
async def test_what_is_followed_may_grow_and_nothing_is_missed_or_read_twice(
    clients: KafkaClients, monkeypatch: pytest.MonkeyPatch, *, is_onward: bool
) -> None:
    monkeypatch.setattr(reader, "_GROWTH_EVERY", 0.2)
    async with writing(clients, b"before"):
        pass
    await become_visible(clients, b"before")
    ready = asyncio.Event()
    end = Onward(ready) if is_onward else Followed(ready)
    found: list[bytes] = []

    async def follow() -> None:
        async for batch in read(clients, clients.topics.state, end):
            found.extend(record.value for record in batch)

    following = asyncio.create_task(follow())
    await ready.wait()
    new = await grow(clients)
    for number in range(3):
        for partition in (0, new):
            async with writing(clients, f"{partition}-{number}".encode(), partition):
                pass

    expected = [f"{partition}-{n}".encode() for partition in (0, new) for n in range(3)]
    expected += [b"before"] if is_onward else []
    await until(lambda: sorted(found) == sorted(expected), "all of it, once")
    following.cancel()
