"""The committer, with a producer that only takes note: what goes into which transaction."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, cast

import pytest
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.producer.message_accumulator import BatchBuilder
from prometheus_client import CollectorRegistry
from typing_extensions import override

from jetworker.config.model import KafkaConfig, TopicsConfig
from jetworker.core.errors import StoreError
from jetworker.core.resumption import Input, Position
from jetworker.kafka.clients import KafkaClients
from jetworker.kafka.ownership import Ownership
from jetworker.kafka.state_store import StateStore, Write
from jetworker.runtime.clock import Clock
from jetworker.runtime.metrics import Metrics
from jetworker.wire.positions import POSITION
from jetworker.wire.record import Record
from tests.support.batches import records_of
from tests.support.waiting import PATIENCE

STATE = TopicsConfig().state
EVENTS = TopicsConfig().events


@dataclass
class Producer:
    """Takes note of each transaction: its offsets, and the keys of its records."""

    shown: range = range(6)
    offsets: list[int] = field(default_factory=list)
    keys: list[bytes] = field(default_factory=list)
    transactions: list[tuple[list[int], list[bytes]]] = field(default_factory=list)

    async def partitions_for(self, _topic: str) -> set[int]:
        return set(self.shown)

    async def begin_transaction(self) -> None:
        self.offsets, self.keys = [], []

    async def send_offsets_to_transaction(
        self, offsets: dict[TopicPartition, Any], _group: str
    ) -> None:
        self.offsets += [each.offset for each in offsets.values()]

    async def send_batch(
        self, batch: BatchBuilder, _topic: str, *, partition: int
    ) -> "asyncio.Future[Any]":
        assert partition in self.shown
        self.keys += [each.key for each in records_of(batch)]
        done = asyncio.get_running_loop().create_future()
        done.set_result(SimpleNamespace(offset=0))
        return done

    async def commit_transaction(self) -> None:
        await asyncio.sleep(0)
        self.transactions.append((self.offsets, self.keys))


class Brokers(KafkaClients):
    """All of them; who shows most shows so many partitions."""

    def __init__(self, most: int) -> None:
        super().__init__(
            KafkaConfig(bootstrap_servers="none", group_id="g"), TopicsConfig()
        )
        self._most = most
        self.asked = 0

    @override
    async def count(self, producer: AIOKafkaProducer, topic: str) -> int:
        assert topic == EVENTS
        self.asked += 1
        return self._most


class FrozenBrokers(Brokers):
    """Fences nobody; who asks whose the state is stands still meanwhile."""

    @override
    @asynccontextmanager
    async def producer(self, transactional_id: str) -> AsyncIterator[AIOKafkaProducer]:
        assert not transactional_id, "it was fenced"
        yield cast(AIOKafkaProducer, Producer())


@dataclass
class Frozen:
    """A member that was frozen for longer than a session while it asked."""

    is_woken: bool = False

    def check_member(self) -> None:
        if self.is_woken:
            raise StoreError

    async def committed(self, _partition: int) -> int | None:
        return None

    async def found(self, partition: int) -> Input:
        raise AssertionError(partition)


@asynccontextmanager
async def committing(
    producer: Producer, kafka: Brokers | None = None
) -> AsyncIterator[StateStore]:
    kafka = kafka or Brokers(most=6)
    theirs = cast(AIOKafkaProducer, producer)
    store = StateStore(theirs, 0, kafka, Metrics(CollectorRegistry()), Clock())
    store._position = Position("g", 7, None, 6, 6, 6)  # noqa: SLF001 -- as if taken over
    task = asyncio.create_task(store.run())
    try:
        async with asyncio.timeout(PATIENCE):
            yield store
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def step(key: bytes, offset: int | None = None, *, can_wait: bool = False) -> Write:
    return Write((Record(STATE, key, b"{}", partition=0),), offset, can_wait)


async def test_what_can_wait_goes_with_the_next_that_cannot_in_order() -> None:
    producer = Producer()
    async with committing(producer) as store:
        for key in (b"a", b"b", b"c"):
            _ = store.submit(step(key, can_wait=True))
        await asyncio.sleep(0)
        await store.submit(step(b"now"))

    assert producer.transactions == [([], [b"a", b"b", b"c", b"now"])]


async def test_what_can_wait_is_committed_without_company_too() -> None:
    producer = Producer()
    async with committing(producer) as store:
        early = store.submit(step(b"a", can_wait=True))
        await store.submit(step(b"b", can_wait=True))
        assert early.done()

    assert producer.transactions == [([], [b"a", b"b"])]


async def test_a_thousand_that_can_wait_are_committed_without_waiting() -> None:
    """Two transactions of as many steps as one may have."""
    producer = Producer()
    async with committing(producer) as store:
        keys = [b"%d" % number for number in range(1000)]
        await asyncio.gather(*(store.submit(step(k, can_wait=True)) for k in keys))

    assert producer.transactions == [([], keys[:500]), ([], keys[500:])]


async def test_a_transaction_begins_with_the_offsets_only_where_they_moved() -> None:
    """Two requests less each; one that has nothing else shows whether we are fenced."""
    producer = Producer()
    async with committing(producer) as store:
        await store.submit(step(b"a"))
        await store.submit(step(b"b", offset=9))
        await store.submit(step(b"c"))
        await store.submit(Write(()))

    assert producer.transactions == [
        ([], [b"a"]),
        ([9], [b"b", POSITION]),
        ([], [b"c"]),
        ([9], []),
    ]


EVENT = Write((Record(EVENTS, b"c-1", b"{}", partition=5),), None)


async def test_events_stay_where_they_began_though_a_broker_is_late() -> None:
    """Who tells the producer of fewer partitions may not know of a growth yet."""
    producer = Producer(shown=range(2))

    async with committing(producer, Brokers(most=6)) as store:
        with pytest.raises(StoreError):
            await store.submit(EVENT)

    assert producer.transactions == []


async def test_events_whose_partition_is_gone_go_where_their_key_leads() -> None:
    """The events topic was made anew, with fewer partitions."""
    producer = Producer(shown=range(2))

    async with committing(producer, Brokers(most=2)) as store:
        await store.submit(EVENT)

    assert producer.transactions == [([], [b"c-1"])]


async def test_brokers_are_asked_once_a_transaction_for_what_is_gone() -> None:
    """They are asked inside of it, and its time is bounded; one may be slow to answer."""
    producer, brokers = Producer(shown=range(2)), Brokers(most=2)

    async with committing(producer, brokers) as store:
        await asyncio.gather(*(store.submit(EVENT) for _ in range(100)))

    assert producer.transactions == [([], [b"c-1"] * 100)]
    assert brokers.asked == 1


async def test_who_was_frozen_while_it_asked_whose_a_partition_is_fences_nobody(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whoever has it by now would lose its starts in flight, for nothing."""
    source = Frozen()

    async def check(_: Ownership, _partition: int) -> int:
        source.is_woken = True
        return 1

    monkeypatch.setattr(Ownership, "check", check)
    taken = StateStore.take_over(
        FrozenBrokers(most=6), 0, source, Metrics(CollectorRegistry()), Clock()
    )

    with pytest.raises(StoreError):
        await taken.__aenter__()
