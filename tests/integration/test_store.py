"""The store on a real Kafka: fenced, all or nothing, and restored to the barrier."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions
from prometheus_client import CollectorRegistry

from jetworker.config.model import KafkaConfig, TopicsConfig
from jetworker.core.command import CommandId
from jetworker.core.delivery import State
from jetworker.core.errors import Fenced, StoreError
from jetworker.core.finished import DedupeIndex, Finished, finish
from jetworker.core.resumption import Cause, Gap, Input
from jetworker.kafka.clients import KafkaClients
from jetworker.kafka.group import ConsumerGroup
from jetworker.kafka.ownership import Source
from jetworker.kafka.state_store import StateStore, TakenOver, Write
from jetworker.runtime.clock import Clock
from jetworker.runtime.metrics import Metrics
from jetworker.wire import snapshots
from jetworker.wire.record import Record
from tests.support.builders import NOW, a_delivery
from tests.support.waiting import PATIENCE, until

pytestmark = pytest.mark.integration


@pytest.fixture
def store_kafka(kafka: str, topics: TopicsConfig) -> KafkaClients:
    return KafkaClients(
        KafkaConfig(bootstrap_servers=kafka, group_id=topics.commands), topics
    )


class Nobody:
    """Takes no notice of what is assigned."""

    async def on_assigned(self, partitions: Sequence[int]) -> None:
        pass

    async def on_revoked(self, partitions: Sequence[int]) -> None:
        pass


@dataclass
class Standing:
    """A group that stands somewhere on a log of a hundred records, or of fewer."""

    offset: int | None = None
    topic_id: str | None = "t1"
    begins: int = 0

    def check_member(self) -> None:
        """It is a member."""

    async def committed(self, _partition: int) -> int | None:
        return self.offset

    async def found(self, _partition: int) -> Input:
        return Input(self.offset, self.begins, 100, self.topic_id, 6)


def taken_over(
    kafka: KafkaClients, source: Source | None = None
) -> AbstractAsyncContextManager[TakenOver]:
    metrics = Metrics(CollectorRegistry())
    return StateStore.take_over(kafka, 0, source or Standing(), metrics, Clock())


@asynccontextmanager
async def running(kafka: KafkaClients) -> AsyncIterator[StateStore]:
    async with taken_over(kafka) as taken:
        task = asyncio.create_task(taken.store.run())
        try:
            yield taken.store
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


def snapshot(kafka: KafkaClients, key: bytes, value: bytes | None = b"{}") -> Record:
    return Record(kafka.topics.state, key, value, partition=0)


async def read_back(kafka: KafkaClients) -> dict[bytes, bytes]:
    async with taken_over(kafka) as taken:
        return taken.latest


async def test_what_was_committed_is_restored_up_to_the_barrier(
    store_kafka: KafkaClients,
) -> None:
    async with running(store_kafka) as store:
        records = [snapshot(store_kafka, b"a", b"1"), snapshot(store_kafka, b"b", b"2")]
        await store.submit(Write(tuple(records)))
        await store.submit(Write((snapshot(store_kafka, b"a", b"3"),)))
        await store.submit(Write((snapshot(store_kafka, b"b", None),)))

    assert await read_back(store_kafka) == {b"a": b"3"}


async def test_a_stale_owner_commits_nothing_any_more(
    store_kafka: KafkaClients,
) -> None:
    async with running(store_kafka) as stale:
        await stale.submit(Write((snapshot(store_kafka, b"before"),)))
        async with running(store_kafka) as owner:
            with pytest.raises(StoreError):
                await stale.submit(Write((snapshot(store_kafka, b"zombie"),)))
            await owner.submit(Write((snapshot(store_kafka, b"after"),)))

    assert (await read_back(store_kafka)).keys() == {b"before", b"after"}


async def test_the_committer_says_that_it_was_fenced(store_kafka: KafkaClients) -> None:
    async with taken_over(store_kafka) as stale, taken_over(store_kafka):
        _ = stale.store.submit(Write(()))
        with pytest.raises(Fenced):
            await stale.store.run()


async def test_a_record_that_cannot_be_sent_takes_the_whole_step_with_it(
    store_kafka: KafkaClients,
) -> None:
    async with running(store_kafka) as store:
        keyless = Record(store_kafka.topics.state, None, b"{}", partition=0)
        step = Write((snapshot(store_kafka, b"torn"), keyless), offset=7)
        with pytest.raises(StoreError):
            await store.submit(step)
        with pytest.raises(StoreError):
            await store.submit(Write((snapshot(store_kafka, b"later"),)))

    assert await read_back(store_kafka) == {}


@pytest.mark.parametrize(
    ("found", "told"),
    [
        (Standing(begins=5), Gap(Cause.RETENTION, 3, 2)),
        (Standing(topic_id="t2"), Gap(Cause.RECREATED, 3)),
    ],
    ids=["retention", "recreated"],
)
async def test_a_gap_is_told_once_even_if_nothing_is_read_after_it(
    store_kafka: KafkaClients, found: Standing, told: Gap
) -> None:
    """The takeover itself keeps where reading goes on, for the next owner."""
    async with running(store_kafka) as store:
        await store.submit(Write((), offset=3))

    gaps = []
    for _ in range(2):
        async with taken_over(store_kafka, found) as taken:
            gaps.append(taken.gap)

    assert gaps == [told, None]


async def test_the_offset_moves_with_its_step_(
    store_kafka: KafkaClients,
) -> None:
    async with running(store_kafka) as store:
        await store.submit(Write((snapshot(store_kafka, b"a"),), offset=5))
        await store.submit(Write((snapshot(store_kafka, b"b"),)))
    group = ConsumerGroup(store_kafka, Nobody(), Clock())
    async with group.joined():
        assert [await group.committed(each) for each in (0, 1)] == [5, None]


async def test_a_parked_tombstone_has_neither_key_nor_value(
    store_kafka: KafkaClients,
) -> None:
    async with running(store_kafka) as store:
        empty = Record(store_kafka.topics.dead_letters, None, None, (("h", b"v"),))
        await store.submit(Write((empty,)))
    async with store_kafka.reader(store_kafka.topics.dead_letters) as consumer:
        await consumer.seek_to_beginning()
        record = await asyncio.wait_for(consumer.getone(), PATIENCE)

    assert (record.key, record.value, dict(record.headers)) == (None, None, {"h": b"v"})


async def test_a_hundred_thousand_snapshots_are_restored(
    kafka: str, store_kafka: KafkaClients
) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=kafka, max_batch_size=1 << 20)
    await producer.start()
    first = CommandId("command-00000000")
    ended = a_delivery(State.COMPLETED, command_id=first, finished_at=NOW)
    pattern = snapshots.encode(finish(ended))
    for number in range(100_000):
        key = b"command-%08d" % number
        value = pattern.replace(first.encode(), key)
        await producer.send(store_kafka.topics.state, value, key, partition=0)
    await producer.stop()

    latest = await read_back(store_kafka)
    memory = DedupeIndex()
    for value in latest.values():
        found = snapshots.decode(value)
        assert isinstance(found, Finished)
        memory.add(found)

    assert len(memory) == 100_000


async def test_where_events_of_old_are_is_kept_when_their_topic_grows(
    store_kafka: KafkaClients,
) -> None:
    names = [CommandId(f"c-{n}") for n in range(20)]
    async with running(store_kafka) as store:
        before = [store.told_on(name) for name in names]

    admin = AIOKafkaAdminClient(bootstrap_servers=store_kafka.config.bootstrap_servers)
    await admin.start()
    try:
        await admin.create_partitions({store_kafka.topics.events: NewPartitions(50)})
    finally:
        await admin.close()

    async def has_grown() -> bool:
        async with running(store_kafka) as store:
            assert [store.told_on_before(name) for name in names] == before
            return max(store.told_on(name) for name in names) > max(before)

    await until(has_grown, "a store that knows of the new partitions")
