"""What is read of the group's partitions, on a client that fails when it is asked more."""

from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, cast

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import KafkaConnectionError

from jetworker.config.model import KafkaConfig, TopicsConfig
from jetworker.core.errors import Deaf, InputGap, NotAllowed, StoreError
from jetworker.kafka.clients import KafkaClients
from jetworker.kafka.group import Batch, ConsumerGroup
from jetworker.kafka.pulse import Pulse
from jetworker.runtime.clock import Clock
from tests.support.fakes import HandClock

TOPICS = TopicsConfig()


@dataclass
class Consumer:
    """
    Two partitions of one log each, from offset 0 on; it stands where it has read to.

    While it *fails*, Kafka does not say where the other one stands. Offsets below
    *begins* are there no more.
    """

    logs: dict[int, list[int]]
    fails: bool = False
    begins: int = 0
    positions: dict[int, int] = field(default_factory=dict)
    while_asked: Any = None
    silent: set[int] = field(default_factory=set)
    held: set[TopicPartition] = field(default_factory=set)

    def assignment(self) -> set[TopicPartition]:
        return {TopicPartition(TOPICS.commands, number) for number in self.logs}

    def paused(self) -> set[TopicPartition]:
        return self.held

    def pause(self, *partitions: TopicPartition) -> None:
        self.held |= set(partitions)

    def resume(self, *partitions: TopicPartition) -> None:
        self.held -= set(partitions)

    def seek(self, partition: TopicPartition, offset: int) -> None:
        self.positions[partition.partition] = offset

    async def getmany(self, **_how: int) -> dict[TopicPartition, list[Any]]:
        found = {}
        held = {each.partition for each in self.held}
        for number, log in self.logs.items():
            if number in held:
                continue
            unread = [each for each in log if each >= self.positions[number]]
            if unread:
                self.positions[number] = unread[-1] + 1
                records = [SimpleNamespace(offset=each) for each in unread]
                found[TopicPartition(TOPICS.commands, number)] = records
        return found

    async def position(self, partition: TopicPartition) -> int:
        if self.while_asked is not None:
            self.while_asked()
        if self.fails:
            raise KafkaConnectionError
        return self.positions[partition.partition]

    async def end_offsets(
        self, partitions: Iterable[TopicPartition]
    ) -> dict[TopicPartition, int]:
        wanted = list(partitions)
        if self.silent & {each.partition for each in wanted}:
            raise KafkaConnectionError
        return {each: len(self.logs[each.partition]) for each in wanted}

    async def beginning_offsets(
        self, partitions: Iterable[TopicPartition]
    ) -> dict[TopicPartition, int]:
        return dict.fromkeys(partitions, self.begins)


@dataclass
class Kafka:
    """Whoever joins the group reads by one consumer."""

    consumer: Consumer
    config: KafkaConfig = field(
        default_factory=lambda: KafkaConfig(bootstrap_servers="nowhere:9092")
    )
    topics: TopicsConfig = TOPICS
    pulse: Pulse = field(init=False)

    def member(self, pulse: Pulse) -> Consumer:
        self.pulse = pulse
        return self.consumer

    @asynccontextmanager
    async def joined(self, _consumer: Any, _listener: Any) -> AsyncIterator[None]:
        yield

    async def topic_id(self, _consumer: Any) -> str:
        return "the one"


class Nobody:
    """Who is told of assignments."""

    async def on_assigned(self, partitions: Sequence[int]) -> None:
        """Nothing."""

    async def on_revoked(self, partitions: Sequence[int]) -> None:
        """Nothing."""


@asynccontextmanager
async def reading(consumer: Consumer) -> AsyncIterator[ConsumerGroup]:
    """Return a group that has begun to read both partitions at offset 0."""
    kafka = cast("KafkaClients", Kafka(consumer))
    group = ConsumerGroup(kafka, Nobody(), Clock())
    async with group.joined():
        for number in consumer.logs:
            group.begin(number, 0)
        yield group


async def nothing() -> None:
    """Ask nothing before records are taken."""


async def offsets(group: ConsumerGroup) -> dict[int, tuple[list[int], int]]:
    """Return what a look brings: the offsets of each partition, and where it stands."""
    return {
        number: ([each.offset for each in batch.records], batch.position)
        for number, batch in (await group.poll(nothing)).items()
    }


async def test_what_was_read_when_kafka_failed_is_read_again() -> None:
    consumer = Consumer({0: [0, 1], 1: []}, fails=True)
    async with reading(consumer) as group:
        with pytest.raises(StoreError):
            await group.poll(nothing)
        consumer.fails = False

        assert await offsets(group) == {0: ([0, 1], 2)}
        assert await offsets(group) == {}


async def test_a_gap_of_one_partition_loses_nothing_of_another() -> None:
    consumer = Consumer({0: [0, 1], 1: [7]}, begins=7)
    async with reading(consumer) as group:
        with pytest.raises(InputGap) as gap:
            await group.poll(nothing)
        group.begin(gap.value.partition, 7)  # as its next life does

        assert gap.value.partition == 1
        assert await offsets(group) == {0: ([0, 1], 2), 1: ([7], 8)}


async def test_a_partition_that_was_begun_anew_meanwhile_is_read_from_there() -> None:
    consumer = Consumer({0: [4, 5], 1: []})
    async with reading(consumer) as group:
        group.begin(0, 4)
        consumer.while_asked = lambda: group.begin(0, 5)

        first = await group.poll(nothing)
        consumer.while_asked = None

        assert first == {}
        assert await offsets(group) == {0: ([5], 6)}


async def test_what_cannot_be_asked_before_it_is_taken_is_read_again() -> None:
    """Control records of another partition are passed over as soon as it can be."""

    async def ask() -> None:
        raise StoreError

    consumer = Consumer({0: [0, 1], 1: []})
    async with reading(consumer) as group:
        consumer.positions[1] = 3
        with pytest.raises(StoreError):
            await group.poll(ask)

        assert await offsets(group) == {0: ([0, 1], 2), 1: ([], 3)}
        consumer.positions[1] = 4
        assert await group.poll(ask) == {1: Batch([], 4)}


@pytest.mark.parametrize("anew", [1, 2])
@pytest.mark.parametrize("fails", [True, False])
async def test_what_is_begun_anew_while_it_is_asked_comes_from_there_alone(
    *, fails: bool, anew: int
) -> None:
    """What was read for a life that is over is neither the next one's nor passed over."""
    consumer = Consumer({0: [1, 2, 3], 1: []})
    async with reading(consumer) as group:
        group.begin(0, 2)

        async def ask() -> None:
            group.begin(0, anew)
            if fails:
                raise StoreError

        with suppress(StoreError):
            assert await group.poll(ask) == {}

        assert await offsets(group) == {0: ([*range(anew, 4)], 4)}


async def test_who_takes_no_commands_for_a_session_though_there_are_some_is_deaf() -> (
    None
):
    """What is asked before they are taken is not answered: a right to it may be gone."""

    async def ask() -> None:
        raise NotAllowed

    consumer, clock = Consumer({0: [0, 1]}), HandClock()
    kafka = Kafka(consumer)
    session = kafka.config.session_timeout.total_seconds()
    group = ConsumerGroup(cast("KafkaClients", kafka), Nobody(), clock)
    async with group.joined():
        group.begin(0, 0)
        with pytest.raises(NotAllowed):
            await group.poll(ask)
        given, consumer.logs[0] = consumer.logs[0], []
        assert await group.poll(ask) == {}  # it has not come again yet
        consumer.logs[0] = given
        clock.at += session + 1
        kafka.pulse.beat()

        assert group.deafness == "no commands could be taken for 31 s"
        with pytest.raises(Deaf):
            await group.poll(ask)


async def test_who_is_not_heard_of_for_a_session_may_be_no_member() -> None:
    kafka, clock = Kafka(Consumer({0: []})), HandClock()
    session = kafka.config.session_timeout.total_seconds()
    group = ConsumerGroup(cast("KafkaClients", kafka), Nobody(), clock)
    async with group.joined():
        clock.at += session
        group.check_member()
        clock.at += 1

        with pytest.raises(StoreError, match="no heartbeat was answered for 31 s"):
            group.check_member()
        kafka.pulse.beat()
        group.check_member()


async def test_what_is_taken_in_the_end_makes_nobody_deaf() -> None:
    answers = [NotAllowed(), None]

    async def ask() -> None:
        if (answer := answers.pop(0)) is not None:
            raise answer

    clock, kafka = HandClock(), Kafka(Consumer({0: [0, 1]}))
    session = kafka.config.session_timeout.total_seconds()
    group = ConsumerGroup(cast("KafkaClients", kafka), Nobody(), clock)
    async with group.joined():
        group.begin(0, 0)
        with pytest.raises(NotAllowed):
            await group.poll(ask)
        clock.at += session
        kafka.pulse.beat()

        assert (await group.poll(ask))[0].position == 2
        clock.at += session
        kafka.pulse.beat()
        assert group.deafness is None


@pytest.mark.parametrize("is_while_asked", [True, False])
async def test_what_is_not_read_any_more_makes_nobody_deaf(
    *, is_while_asked: bool
) -> None:
    """Its partition has enough that waits, or is taken over again: others are idle."""
    clock, kafka = HandClock(), Kafka(Consumer({0: [0, 1], 1: []}))
    session = kafka.config.session_timeout.total_seconds()
    group = ConsumerGroup(cast("KafkaClients", kafka), Nobody(), clock)

    async def ask() -> None:
        if is_while_asked:
            group.pause(0)
        raise NotAllowed

    async with group.joined():
        group.begin(0, 0)
        group.begin(1, 0)
        with pytest.raises(NotAllowed):
            await group.poll(ask)
        group.pause(0)
        assert await group.poll(ask) == {}
        clock.at += session + 1
        kafka.pulse.beat()

        assert group.deafness is None
        assert await group.poll(ask) == {}


async def test_control_records_are_passed_over() -> None:
    consumer = Consumer({0: [], 1: []})
    async with reading(consumer) as group:
        consumer.positions[1] = 3

        assert await group.poll(nothing) == {1: Batch([], 3)}
        assert await group.poll(nothing) == {}


async def test_how_far_we_are_behind_is_known_where_one_broker_does_not_say() -> None:
    async with reading(Consumer({0: [0, 1], 1: [0]}, silent={1})) as group:
        assert await group.lags() == {0: 2}


async def test_where_no_broker_says_how_far_we_are_behind_that_is_an_error() -> None:
    async with reading(Consumer({0: [0, 1]}, silent={0})) as group:
        with pytest.raises(StoreError):
            await group.lags()


async def test_a_partition_of_which_nothing_is_heard_is_told_and_in_the_end_too_long() -> (
    None
):
    clock, kafka = HandClock(), Kafka(Consumer({0: [], 1: []}))
    session = kafka.config.session_timeout.total_seconds()
    group = ConsumerGroup(cast("KafkaClients", kafka), Nobody(), clock)
    async with group.joined():
        group.begin(0, 0)
        group.begin(1, 0)
        clock.at += session + 1
        kafka.pulse.fetched(0)
        kafka.pulse.beat()

        assert group.unread == {1: session + 1}
        assert group.deafness is None
        group.check()

        clock.at += 4 * session
        kafka.pulse.fetched(0)
        with pytest.raises(Deaf, match="partition 1 could not be read for 151 s"):
            group.check()

        kafka.pulse.fetched(1)
        assert group.unread == {}


async def test_what_is_not_to_be_read_is_not_missed() -> None:
    clock, kafka = HandClock(), Kafka(Consumer({0: []}))
    group = ConsumerGroup(cast("KafkaClients", kafka), Nobody(), clock)
    async with group.joined():
        group.begin(0, 0)
        group.pause(0)
        clock.at += 1000

        assert group.unread == {}
