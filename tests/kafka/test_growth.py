"""What is handed over to a partition, and who knows that the topics have grown."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, cast

import pytest
from aiokafka import TopicPartition

from jetworker.config.model import TopicsConfig
from jetworker.core.command import CommandId
from jetworker.core.errors import NotGathered, StoreError
from jetworker.core.growth import Layout
from jetworker.core.resumption import Position
from jetworker.kafka.clients import KafkaClients
from jetworker.kafka.growth import Gathering, handed
from jetworker.wire import positions
from tests.support.kafka.whole_topic import OneConsumer, WholeTopic

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


async def test_who_waits_for_what_is_handed_over_learns_that_nothing_will_come() -> (
    None
):
    consumer = GivenUp()
    consumer._fetcher.error_future = asyncio.get_running_loop().create_future()  # noqa: SLF001 -- aiokafka's own
    consumer._fetcher.error_future.set_result(None)  # noqa: SLF001 -- as above

    with pytest.raises(StoreError, match="given up"):
        await anext(handed(cast("KafkaClients", OneConsumer(consumer)), 0, 7))


NOW = Layout(commands=3, state=3)
KNOWN = CommandId("c-7")  # whose home is not partition 2, where it was accepted
NOTED = positions.encode(Position("g", 7, "id", 3, 3, is_grown=True))


@dataclass
class State(WholeTopic):
    """Reads partitions of the state, each of whose owners has taken note."""

    handed: Sequence[tuple[bytes, bytes | None]] = ()  # to the first of them

    async def end_offsets(
        self, partitions: Iterable[TopicPartition]
    ) -> dict[TopicPartition, int]:
        return {each: 2 + len(self._handed(each)) for each in partitions}

    async def getmany(self, **_: Any) -> dict[TopicPartition, list[Any]]:
        found = {each: self._records(each) for each in self.assignment()}
        self.at = 2 + len(self.handed)
        return found

    def _handed(self, where: TopicPartition) -> Sequence[tuple[bytes, bytes | None]]:
        return () if where.partition else self.handed

    def _records(self, where: TopicPartition) -> list[Any]:
        entries = [
            (positions.POSITION, NOTED),
            (b"c-%d" % (5 + where.partition), b"{}"),
            *self._handed(where),
        ]
        return [
            SimpleNamespace(
                topic=where.topic,
                partition=where.partition,
                offset=offset,
                key=key,
                value=value,
            )
            for offset, (key, value) in enumerate(entries)
        ]


@dataclass
class Brokers:
    """One reader after another asks a broker; some of these are late and show fewer."""

    shown: list[int]
    handed: Sequence[tuple[bytes, bytes | None]] = ()
    topics: TopicsConfig = TOPICS

    @asynccontextmanager
    async def reader(self, *_: Any, **__: Any) -> AsyncIterator[State]:
        numbers = range(self.shown.pop(0))
        shown = {TopicPartition(TOPICS.state, number) for number in numbers}
        yield State(shown, handed=self.handed)


async def test_what_was_accepted_elsewhere_is_found_where_every_broker_shows_all() -> (
    None
):
    kafka = cast("KafkaClients", Brokers([3, 3, 3]))

    homes = await Gathering(kafka).homes(NOW)

    assert homes.answers(KNOWN) == 2
    assert homes.home(KNOWN) != 2


@pytest.mark.parametrize(
    ("shown", "expected"),
    [([2, 3, 3], NotGathered), ([3, 2, 2], StoreError), ([3, 3, 2], StoreError)],
)
async def test_nothing_is_known_of_all_ids_where_a_broker_does_not_show_all(
    shown: list[int], expected: type[StoreError]
) -> None:
    """A command that a partition knows which is not shown would be a new one at home."""
    kafka = cast("KafkaClients", Brokers(shown))

    with pytest.raises(expected):
        await Gathering(kafka).homes(NOW)


@pytest.mark.parametrize("key", [b" handed:0:5:1795:2", b" handed:0:5:1795"])
async def test_commands_wait_until_what_was_handed_over_before_is_answered(
    key: bytes,
) -> None:
    """A later record about the same id would be answered before it, at another home."""
    waits = cast("KafkaClients", Brokers([3, 3, 3], [(key, b"{}")]))
    answered = cast("KafkaClients", Brokers([3, 3, 3], [(key, b"{}"), (key, None)]))

    with pytest.raises(NotGathered, match="handed over before is answered: 1"):
        await Gathering(waits).homes(NOW)
    assert (await Gathering(answered).homes(NOW)).answers(KNOWN) == 2


async def test_what_is_handed_over_by_now_lets_nobody_wait() -> None:
    """Others that have gathered go on, and hand over all the time."""
    kafka = Brokers([3, 3, 3], [(b" handed:0:5:1795:3", b"{}")])

    assert (await Gathering(cast("KafkaClients", kafka)).homes(NOW)).partitions == 3
