"""Which state partitions are begun, as far as brokers show that they are there."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, cast

import pytest
from aiokafka import TopicPartition

from jetworker.config.model import KafkaConfig, TopicsConfig
from jetworker.core.errors import StoreError
from jetworker.core.resumption import Input, Position
from jetworker.kafka.clients import KafkaClients
from jetworker.kafka.ownership import Ownership
from jetworker.wire import positions
from tests.support.kafka.whole_topic import WholeTopic

TOPICS = TopicsConfig()
BEFORE = 2  # partitions that were begun before the topics have grown
KEPT = positions.encode(Position("g", 7, "id", BEFORE, BEFORE))


class Reader(WholeTopic):
    """Reads state partitions: those from before keep a position, the new ones nothing."""

    async def end_offsets(
        self, partitions: Iterable[TopicPartition]
    ) -> dict[TopicPartition, int]:
        return {each: int(each.partition < BEFORE) for each in partitions}

    async def getmany(self, **_: Any) -> dict[TopicPartition, list[Any]]:
        self.at = 1
        return {
            each: [
                SimpleNamespace(
                    topic=each.topic,
                    partition=each.partition,
                    offset=0,
                    key=positions.POSITION,
                    value=KEPT,
                )
            ]
            for each in self.partitions
            if each.partition < BEFORE
        }


@dataclass
class Kafka:
    """Each who reads the topic asks a broker, of which some show fewer; *begun* is kept."""

    shown: list[int]
    begun: list[int] = field(default_factory=list)
    topics: TopicsConfig = TOPICS
    config: KafkaConfig = field(
        default_factory=lambda: KafkaConfig(bootstrap_servers="none", group_id="g")
    )
    beginning: asyncio.Lock = field(default_factory=asyncio.Lock)

    @asynccontextmanager
    async def reader(
        self, what: TopicPartition | str, **_: Any
    ) -> AsyncIterator[Reader]:
        if isinstance(what, TopicPartition):
            yield Reader({what})
        else:
            numbers = range(self.shown.pop(0))
            yield Reader({TopicPartition(what, number) for number in numbers})

    @asynccontextmanager
    async def producer(self, _transactional_id: str) -> AsyncIterator["Kafka"]:
        yield self

    async def begin_transaction(self) -> None:
        """Nothing is undone here."""

    async def send(
        self, _topic: str, *, partition: int, **_: Any
    ) -> "asyncio.Future[None]":
        self.begun.append(partition)
        sent: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        sent.set_result(None)
        return sent

    async def commit_transaction(self) -> None:
        """Nothing is undone here."""


@dataclass
class Source:
    """A group that stands nowhere on what is new; we may be *frozen* as it is asked."""

    frozen: bool = False
    is_woken: bool = False

    def check_member(self) -> None:
        if self.is_woken:
            raise StoreError

    async def committed(self, partition: int) -> int | None:
        assert partition >= BEFORE
        self.is_woken = self.frozen
        return None

    async def found(self, partition: int) -> Input:
        raise AssertionError(partition)


def ownership(kafka: Kafka, *, frozen: bool = False) -> Ownership:
    return Ownership(cast("KafkaClients", kafka), Source(frozen))


@pytest.mark.parametrize("partition", [0, 3])
async def test_all_that_are_new_are_begun_before_any_is_counted(partition: int) -> None:
    kafka = Kafka([4, 4])

    assert await ownership(kafka).check(partition) == 4
    assert kafka.begun == [2, 3]


@pytest.mark.parametrize("partition", [0, 3])
async def test_what_one_broker_does_not_show_yet_is_not_counted_either(
    partition: int,
) -> None:
    """It would be counted and not begun: taken for lost by whoever is given it first."""
    kafka = Kafka([4, 3])

    with pytest.raises(StoreError, match="shown with 3 partitions of 4"):
        await ownership(kafka).check(partition)
    assert kafka.begun == []


async def test_who_was_frozen_while_it_asked_what_is_new_begins_nothing() -> None:
    """What was begun, owned and lost meanwhile would be taken for new by its mark."""
    kafka = Kafka([4, 4])

    with pytest.raises(StoreError):
        await ownership(kafka, frozen=True).check(3)
    assert kafka.begun == []
