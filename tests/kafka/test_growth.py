"""What is handed over to a partition, and who knows that the topics have grown."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, cast

import pytest
from aiokafka import TopicPartition

from jetworker.config.model import TopicsConfig
from jetworker.core.errors import StoreError
from jetworker.kafka.clients import KafkaClients
from jetworker.kafka.growth import handed

TOPICS = TopicsConfig()


@dataclass
class GivenUp:
    """A consumer that goes on answering "nothing new", its own task has ended."""

    _fetcher: Any = field(default_factory=SimpleNamespace)
    asked: int = 0

    def seek(self, _partition: TopicPartition, _offset: int) -> None:
        """It is not read."""

    async def getmany(self, **_: Any) -> dict[TopicPartition, list[Any]]:
        self.asked += 1
        assert self.asked < 100, "it would be asked for ever"
        return {}


@dataclass
class Kafka:
    """Whoever reads does it by one consumer."""

    consumer: Any
    topics: TopicsConfig = TOPICS

    @asynccontextmanager
    async def reader(self, *_: Any, **__: Any) -> AsyncIterator[Any]:
        yield self.consumer


async def test_who_waits_for_what_is_handed_over_learns_that_nothing_will_come() -> (
    None
):
    consumer = GivenUp()
    consumer._fetcher.error_future = asyncio.get_running_loop().create_future()  # noqa: SLF001 -- aiokafka's own
    consumer._fetcher.error_future.set_result(None)  # noqa: SLF001 -- as above

    with pytest.raises(StoreError, match="given up"):
        await anext(handed(cast("KafkaClients", Kafka(consumer)), 0, 7))
