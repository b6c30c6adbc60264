"""aiokafka's clients as the worker uses them, on the simulated broker."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from aiokafka import ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import KafkaTimeoutError, ProducerFenced
from typing_extensions import override

from jetworker.config import KafkaConfig, TopicsConfig
from jetworker.errors import Fenced, StoreError
from jetworker.kafka import Kafka
from tests.simulation.broker import Broker, Entry, Headers, is_shown
from tests.simulation.group import Group
from tests.simulation.node import Node


@dataclass(frozen=True)
class Message:
    """What a consumer is given."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Headers


@dataclass(frozen=True)
class Acknowledged:
    """What a producer is told of a record."""

    offset: int


class SimulatedKafka(Kafka):
    """Opens simulated clients for one node; *trouble* decides which call fails."""

    def __init__(
        self,
        config: KafkaConfig,
        topics: TopicsConfig,
        broker: Broker,
        group: Group,
        node: Node,
    ) -> None:
        super().__init__(config, topics)
        self._broker = broker
        self._group = group
        self._node = node
        self.trouble = 0.0

    @asynccontextmanager
    @override
    async def producer(self, transactional_id: str) -> AsyncIterator[Any]:
        """Open a producer, which fences every earlier one."""
        timeout = self.config.transaction_timeout.total_seconds()
        producer = Producer(self._broker, self._node, self, transactional_id, timeout)
        try:
            await producer.start()
        except ProducerFenced as exc:
            raise Fenced("fenced") from exc
        except KafkaTimeoutError as exc:
            raise StoreError("opening the producer") from exc
        yield producer

    @asynccontextmanager
    @override
    async def reader(
        self, what: TopicPartition | str, **options: Any
    ) -> AsyncIterator[Any]:
        """Open a reader of one partition, or of a topic."""
        is_raw = options.get("isolation_level") == "read_uncommitted"
        await self._node.call("open a reader", lambda: None)
        yield Reader(self._broker, self._node, what, is_raw=is_raw)

    @override
    def member(self) -> Any:
        """Make a member of the group."""
        return GroupMember(self._broker, self._group, self._node)

    @asynccontextmanager
    @override
    async def joined(
        self, consumer: Any, listener: ConsumerRebalanceListener
    ) -> AsyncIterator[None]:
        """Be in the group."""
        member: GroupMember = consumer
        following = asyncio.create_task(member.follow(listener))
        try:
            yield
        finally:
            following.cancel()
            if not self._node.is_dead:
                await self._node.gate()
                self._group.leave(member)


class Producer:
    """A transactional producer."""

    def __init__(
        self,
        broker: Broker,
        node: Node,
        kafka: SimulatedKafka,
        transactional_id: str,
        timeout: float,
    ) -> None:
        self._broker = broker
        self._node = node
        self._kafka = kafka
        self._id = transactional_id
        self._timeout = timeout
        self._epoch = -1

    async def start(self) -> None:
        """Obtain an epoch."""
        epoch = None
        while epoch is None:
            epoch = await self._node.call("fence", lambda: self._broker.open(self._id))
        self._epoch = epoch

    async def begin_transaction(self) -> None:
        """Nothing yet: the first call to the broker begins it."""

    async def send_offsets_to_transaction(
        self, offsets: dict[TopicPartition, Any], _group_id: str
    ) -> None:
        """Add offsets to the transaction, which begins with this."""
        transaction = None
        while transaction is None:
            self._fail_sometimes()
            transaction = await self._node.call(
                "begin", lambda: self._broker.begin(self._id, self._epoch)
            )
        transaction.offsets.update({tp: each.offset for tp, each in offsets.items()})
        asyncio.get_running_loop().call_later(
            self._timeout, self._broker.expire, self._id, transaction
        )

    async def send(
        self,
        topic: str,
        *,
        key: bytes | None,
        value: bytes | None,
        partition: int | None,
        headers: Sequence[tuple[str, bytes]],
    ) -> "asyncio.Future[Acknowledged]":
        """Send a record; the future knows whether it arrived."""
        where = self._broker.place(topic, key)
        if partition is not None:
            where = TopicPartition(topic, partition)

        def apply() -> int:
            transaction = self._broker.running(self._id, self._epoch)
            return self._broker.append(where, key, value, tuple(headers), transaction)

        done: asyncio.Future[Acknowledged] = asyncio.get_running_loop().create_future()
        if self._node.luck.random() < self._kafka.trouble:
            done.set_exception(KafkaTimeoutError())
            done.exception()  # retrieved: an earlier one may have failed already
        else:
            offset = await self._node.call("send a record", apply)
            done.set_result(Acknowledged(offset))
        return done

    async def commit_transaction(self) -> None:
        """Commit; the answer may be lost, and then nobody knows."""
        self._fail_sometimes()
        await self._node.call(
            "commit", lambda: self._broker.commit(self._id, self._epoch)
        )
        self._fail_sometimes()

    def _fail_sometimes(self) -> None:
        if self._node.luck.random() < self._kafka.trouble:
            raise KafkaTimeoutError


class Reader:
    """A consumer without a group."""

    def __init__(
        self,
        broker: Broker,
        node: Node,
        what: TopicPartition | str,
        *,
        is_raw: bool = False,
    ) -> None:
        self._broker = broker
        self._node = node
        self._is_raw = is_raw
        if isinstance(what, TopicPartition):
            self._positions = {what: 0}
        else:
            count = broker.partitions[what]
            self._positions = {TopicPartition(what, n): 0 for n in range(count)}

    def assignment(self) -> set[TopicPartition]:
        """Return what it reads."""
        return set(self._positions)

    async def seek_to_beginning(self, *partitions: TopicPartition) -> None:
        """Begin with the first record."""
        for partition in partitions:
            self._positions[partition] = 0

    async def position(self, partition: TopicPartition) -> int:
        """Return where it stands."""
        return self._positions[partition]

    async def end_offsets(
        self, partitions: Iterable[TopicPartition]
    ) -> dict[TopicPartition, int]:
        """Return where the logs end."""
        wanted = list(partitions)
        return await self._node.call(
            "ask for the ends", lambda: {tp: self._end(tp) for tp in wanted}
        )

    async def getmany(
        self, *, timeout_ms: int, max_records: int
    ) -> dict[TopicPartition, list[Message]]:
        """Return what is new, after a while if nothing is."""
        found = await self._node.call("read", lambda: self._take(max_records))
        if not found:
            await asyncio.sleep(timeout_ms / 1000)
        return found

    def _end(self, partition: TopicPartition) -> int:
        log = self._broker.logs[partition]
        return log.end if self._is_raw else log.stable_end

    def _take(self, most: int) -> dict[TopicPartition, list[Message]]:
        found = {}
        for partition, position in self._positions.items():
            end = min(self._end(partition), position + most)
            entries = self._broker.logs[partition].entries[position:end]
            self._positions[partition] = end
            messages = [message(partition, e) for e in entries if is_shown(e)]
            if messages:
                found[partition] = messages
        return found


class GroupMember:
    """A consumer of the commands topic in the group."""

    def __init__(self, broker: Broker, group: Group, node: Node) -> None:
        self.node = node
        self.generation = -1
        self._broker = broker
        self._group = group
        self._positions: dict[TopicPartition, int | None] = {}
        self._paused: set[TopicPartition] = set()
        self._called = asyncio.Event()

    def give(self, partitions: Iterable[TopicPartition]) -> None:
        """Take an assignment; positions are asked for by whoever reads."""
        self._positions = dict.fromkeys(partitions)
        self._paused = set()

    async def follow(self, listener: ConsumerRebalanceListener) -> None:
        """Give back and take partitions whenever the group changes, for ever."""
        while True:
            await self.node.gate()
            if not self._group.has(self):
                await self._revoke(listener)
                self._group.join(self)
            generation = self._group.generation
            if generation == self.generation:
                changed = self._group.changed
                await changed.wait()
                await asyncio.sleep(self.node.luck.uniform(0.0, 0.3))
                continue
            await self._revoke(listener)
            await self.node.gate()
            await self._group.rejoin(self, generation)
            if self._group.generation == generation and self._group.has(self):
                self.generation = generation
                await listener.on_partitions_assigned(sorted(self._positions))

    async def _revoke(self, listener: ConsumerRebalanceListener) -> None:
        given, self._positions = self._positions, {}
        await listener.on_partitions_revoked(sorted(given))

    def assignment(self) -> set[TopicPartition]:
        """Return what it was given."""
        return set(self._positions)

    def paused(self) -> set[TopicPartition]:
        """Return what it does not read for now."""
        return set(self._paused)

    def pause(self, *partitions: TopicPartition) -> None:
        """Do not read these for now."""
        self._paused.update(partitions)

    def resume(self, *partitions: TopicPartition) -> None:
        """Read these again."""
        self._paused.difference_update(partitions)

    def seek(self, partition: TopicPartition, offset: int) -> None:
        """Read on from there."""
        if partition in self._positions:
            self._positions[partition] = offset

    async def committed(self, partition: TopicPartition) -> int | None:
        """Return where the group stands."""
        return await self.node.call(
            "ask for the offset", lambda: self._broker.offsets.get(partition)
        )

    async def beginning_offsets(
        self, partitions: Iterable[TopicPartition]
    ) -> dict[TopicPartition, int]:
        """Return where the logs begin."""
        return dict.fromkeys(partitions, 0)

    async def getmany(
        self, *, timeout_ms: int, max_records: int
    ) -> dict[TopicPartition, list[Message]]:
        """Return what is new, after a while if nothing is."""
        await self.node.gate()
        found = {}
        for partition, position in self._positions.items():
            if partition in self._paused or position is None:
                continue
            log = self._broker.logs[partition]
            end = min(log.stable_end, position + max_records)
            if end > position:
                entries = log.entries[position:end]
                found[partition] = [message(partition, e) for e in entries]
                self._positions[partition] = end
        if not found:
            await asyncio.sleep(timeout_ms / 1000)
        return found


def message(partition: TopicPartition, entry: Entry) -> Message:
    """Return an entry as a consumer is given it."""
    return Message(
        partition.topic,
        partition.partition,
        entry.offset,
        entry.timestamp,
        entry.key,
        entry.value,
        entry.headers,
    )
