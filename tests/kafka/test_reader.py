"""Who reads a topic leaves the loop to others, also where nothing has to be waited for."""

import asyncio
from dataclasses import dataclass
from typing import Any, cast

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from jetworker.kafka.reader import read_until

STATE = TopicPartition("jet.state", 0)
MOST = 500


@dataclass
class Record:
    offset: int


@dataclass
class Fetched:
    """A consumer that has everything already, as after one large answer."""

    number: int
    at: int = 0

    async def getmany(self, *, max_records: int, **_: Any) -> dict[Any, Any]:
        since, self.at = self.at, min(self.at + max_records, self.number)
        return {STATE: [Record(each) for each in range(since, self.at)]}

    async def position(self, _: TopicPartition) -> int:
        return self.at


@pytest.mark.parametrize("end", [3000, 2999])
async def test_there_is_a_turn_for_others_every_few_hundred_records(end: int) -> None:
    consumer = Fetched(3000)
    turns = 0

    async def beat() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    heart, most, read, seen = asyncio.create_task(beat()), 0, 0, -1
    async for batch in read_until(cast(AIOKafkaConsumer, consumer), {STATE: end}, "it"):
        since = read if turns == seen else 0  # what nobody had a turn after
        read, seen = since + len(batch), turns
        most = max(most, read)
    heart.cancel()

    assert 0 < most <= MOST
