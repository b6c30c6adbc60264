"""Records that are picked by their offsets, from a Kafka that takes its time."""

from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, cast

import pytest
from aiokafka import TopicPartition

from jetworker.core.errors import StoreError
from jetworker.kafka.clients import KafkaClients
from jetworker.kafka.reader import pick
from tests.support.kafka.whole_topic import OneConsumer

TOPIC = TopicPartition("letters", 0)


@dataclass
class Consumer:
    """A log; the first *silent* of its answers bring nothing."""

    log: list[int]
    silent: int = 0
    at: int = 0
    end: int = 10

    def seek(self, _partition: TopicPartition, offset: int) -> None:
        self.at = offset

    async def position(self, _partition: TopicPartition) -> int:
        return self.at

    async def getmany(self, *_: Any, **__: Any) -> dict[TopicPartition, list[Any]]:
        if self.silent:
            self.silent -= 1
            return {}
        found = [SimpleNamespace(offset=each) for each in self.log if each >= self.at]
        self.at = self.end
        return {TOPIC: found} if found else {}


def kafka(consumer: Consumer) -> KafkaClients:
    return cast("KafkaClients", OneConsumer(consumer))


async def picked(consumer: Consumer, *offsets: int) -> list[int]:
    return [each.offset for each in await pick(kafka(consumer), TOPIC, offsets)]


async def test_a_slow_answer_leaves_out_no_record_that_is_there() -> None:
    assert await picked(Consumer([3, 4], silent=2), 3, 4) == [3, 4]


async def test_what_is_there_no_more_is_left_out() -> None:
    assert await picked(Consumer([4, 7]), 3, 4, 5, 7) == [4, 7]
    assert await picked(Consumer([]), 3) == []


async def test_where_nothing_says_whether_a_record_is_there_it_is_an_error() -> None:
    with pytest.raises(StoreError, match="no record came in time"):
        await picked(Consumer([3], silent=100), 3)
