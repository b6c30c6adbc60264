"""A worker whose partitions come and go while it reads."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from types import SimpleNamespace
from typing import Any, cast

import pytest
from aiokafka import ConsumerRebalanceListener, TopicPartition
from typing_extensions import override

from jetworker.config.model import KafkaConfig, TopicsConfig
from jetworker.core.growth import Layout
from jetworker.kafka.clients import KafkaClients
from jetworker.worker.worker import Worker
from tests.support.life import Life
from tests.support.waiting import PATIENCE

COMMANDS = TopicPartition(TopicsConfig().commands, 0)


@dataclass
class Consumer:
    """
    A log that begins at 7, whose partition is given back while one asks where.

    After that nothing comes, and the worker is to stop.
    """

    stopping: asyncio.Event
    listener: ConsumerRebalanceListener = field(init=False)
    is_ours: bool = True

    def assignment(self) -> set[TopicPartition]:
        return {COMMANDS} if self.is_ours else set()

    def paused(self) -> set[TopicPartition]:
        return set()

    def pause(self, *_partitions: TopicPartition) -> None:
        """It is read."""

    def resume(self, *_partitions: TopicPartition) -> None:
        """It is read."""

    def seek(self, _partition: TopicPartition, _offset: int) -> None:
        """It begins later."""

    def partitions_for_topic(self, _topic: str) -> set[int]:
        return {0}

    async def getmany(self, **_: int) -> dict[TopicPartition, list[Any]]:
        await asyncio.sleep(0)
        if self.is_ours:
            return {COMMANDS: [SimpleNamespace(offset=7)]}
        self.stopping.set()
        return {}

    async def beginning_offsets(
        self, partitions: Iterable[TopicPartition]
    ) -> dict[TopicPartition, int]:
        await self.listener.on_partitions_revoked([COMMANDS])
        self.is_ours = False
        return dict.fromkeys(partitions, 7)


@dataclass
class Lagging(Consumer):
    """One that is nine records behind; it is given back then, or *while* that is asked."""

    is_asked: bool = False
    is_while: bool = False

    @override
    async def getmany(self, **_: int) -> dict[TopicPartition, list[Any]]:
        await asyncio.sleep(0)
        if self.is_asked:
            await self.give_back()
            self.stopping.set()
        return {}

    async def position(self, _partition: TopicPartition) -> int:
        return 0

    async def end_offsets(
        self, partitions: Iterable[TopicPartition]
    ) -> dict[TopicPartition, int]:
        if self.is_while:
            await self.give_back()
        self.is_asked = True
        return dict.fromkeys(partitions, 9)

    async def give_back(self) -> None:
        if self.is_ours:
            self.is_ours = False
            await self.listener.on_partitions_revoked([COMMANDS])

    def last_stable_offset(self, _partition: TopicPartition) -> None:
        """Nobody knows."""

    def highwater(self, _partition: TopicPartition) -> None:
        """Nobody knows."""


@dataclass
class Kafka:
    """Gives a member its partition, and lets nobody restore it."""

    consumer: Consumer
    topics: TopicsConfig = field(default_factory=TopicsConfig)
    config: KafkaConfig = field(
        default_factory=lambda: KafkaConfig(bootstrap_servers="nowhere:9092")
    )

    def member(self, _pulse: Any) -> Consumer:
        return self.consumer

    @asynccontextmanager
    async def joined(
        self, _consumer: Any, listener: ConsumerRebalanceListener
    ) -> AsyncIterator[None]:
        self.consumer.listener = listener
        await listener.on_partitions_assigned([COMMANDS])
        cast("Any", listener).begin(0, 0)  # as its life does
        yield

    @asynccontextmanager
    async def reader(self, *_: Any, **__: Any) -> AsyncIterator[Any]:
        await asyncio.Event().wait()
        yield

    async def topic_id(self, _consumer: Any) -> str:
        return "the one"

    async def layout(self, _consumer: Any) -> Layout:
        return Layout(1, 1)


async def test_a_gap_of_a_partition_that_is_given_back_meanwhile_is_its_next_owners() -> (
    None
):
    stopping, life = asyncio.Event(), Life()
    kafka = Kafka(Consumer(stopping))
    worker = Worker(
        cast("KafkaClients", kafka),
        life.partition.terms,
        life.partition.services,
        timedelta(seconds=1),
        lambda _share: None,
    )

    await asyncio.wait_for(worker.run(stopping), PATIENCE)

    assert worker.assigned == set()
    assert worker.deafness is None


@pytest.mark.parametrize("is_while", [False, True], ids=["then", "while asked"])
async def test_what_is_given_back_is_not_told_to_lag_any_more(
    monkeypatch: pytest.MonkeyPatch, is_while: bool
) -> None:
    """Its next owner tells it too, and who scales by the sum would count it twice."""

    async def look_once(worker: Worker) -> None:
        await worker._look()  # noqa: SLF001 -- as every few seconds
        await asyncio.Event().wait()

    monkeypatch.setattr(Worker, "_look_on", look_once)
    stopping, life = asyncio.Event(), Life()
    consumer = Lagging(stopping, is_while=is_while)
    worker = Worker(
        cast("KafkaClients", Kafka(consumer)),
        life.partition.terms,
        life.partition.services,
        timedelta(seconds=1),
        lambda _share: None,
    )

    await asyncio.wait_for(worker.run(stopping), PATIENCE)

    assert consumer.is_asked
    (lags,) = life.partition.services.metrics.commands_lag.collect()
    assert lags.samples == []
