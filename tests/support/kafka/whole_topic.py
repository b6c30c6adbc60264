"""A Kafka with one consumer, and one that reads a topic from its beginning, all at once."""

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiokafka import TopicPartition

from jetworker.config.model import TopicsConfig


@dataclass
class OneConsumer:
    """A Kafka of which everybody reads by one consumer."""

    consumer: Any
    topics: TopicsConfig = field(default_factory=TopicsConfig)

    @asynccontextmanager
    async def reader(self, *_: Any, **__: Any) -> AsyncIterator[Any]:
        yield self.consumer


@dataclass
class WholeTopic:
    """What every fake of one has; which records there are is for each to say."""

    partitions: set[TopicPartition]
    at: int = 0

    def assignment(self) -> set[TopicPartition]:
        return self.partitions

    def pause(self, *_partitions: TopicPartition) -> None:
        """All are read at once."""

    def seek(self, _partition: TopicPartition, offset: int) -> None:
        self.at = offset

    async def seek_to_beginning(self, *_partitions: TopicPartition) -> None:
        self.at = 0

    async def beginning_offsets(
        self, partitions: Iterable[TopicPartition]
    ) -> dict[TopicPartition, int]:
        return dict.fromkeys(partitions, 0)

    async def position(self, _partition: TopicPartition) -> int:
        return self.at
