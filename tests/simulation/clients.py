"""The Kafka of one simulated process: opens its clients."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiokafka import ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import KafkaTimeoutError, ProducerFenced
from typing_extensions import override

from jetworker.config.model import KafkaConfig, TopicsConfig
from jetworker.core.errors import Fenced, StoreError
from jetworker.core.growth import Layout
from jetworker.kafka.clients import KafkaClients
from jetworker.kafka.pulse import Pulse
from tests.simulation.broker import Broker
from tests.simulation.consumers import GroupMember, Reader
from tests.simulation.group import Group
from tests.simulation.node import Node
from tests.simulation.producer import Producer
from tests.simulation.trouble import Trouble

_UNANSWERED = 20  # one in so many
_BEAT = 0.9  # heard of so often, it is alive: a session is 3 s


class SimulatedKafka(KafkaClients):
    """Opens simulated clients for one node; *trouble* decides which call fails."""

    def __init__(
        self,
        config: KafkaConfig,
        topics: TopicsConfig,
        broker: Broker,
        groups: dict[str, Group],
        node: Node,
    ) -> None:
        super().__init__(config, topics)
        self._broker = broker
        self._groups = groups
        self._group = groups[config.group_id]
        self._node = node
        self.trouble = Trouble(node.luck)
        self._asked = 0

    @asynccontextmanager
    @override
    async def producer(self, transactional_id: str) -> AsyncIterator[Any]:
        """Open a producer, which fences every earlier one."""
        timeout = self.config.transaction_timeout.total_seconds()
        producer = Producer(
            self._broker, self._node, self.trouble, transactional_id, timeout
        )
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
        yield Reader(self._broker, self._node, self.trouble, what, is_raw=is_raw)

    @override
    async def topic_id(self, consumer: Any) -> str | None:
        """Return the id of the commands topic as it is now."""
        return await self._node.call(
            "ask for the topic", lambda: self._broker.topic_ids[self.topics.commands]
        )

    @override
    async def layout(self, consumer: Any) -> Layout:
        """
        Return how many partitions the topics have; now and then nobody answers.

        All brokers are asked for it, so one that is late does not matter.
        """
        self._asked += 1
        if self._asked % _UNANSWERED == 0:
            msg = "asking for the number of partitions"
            raise StoreError(msg)
        counts = self._broker.partitions
        return Layout(counts[self.topics.commands], counts[self.topics.state])

    @override
    async def count(self, producer: Any, topic: str) -> int:
        """Return how many partitions a topic has, as some broker knows: all are asked."""
        return await self._node.call(
            "ask for the partitions", lambda: self._broker.partitions[topic]
        )

    @override
    async def has_members(self, group_id: str) -> bool | None:
        """Return whether a group has members."""
        return await self._node.call(
            "ask for members", lambda: self._groups[group_id].is_alive
        )

    @override
    def member(self, pulse: Pulse) -> Any:
        """Make a member of the group."""
        self._pulse = pulse
        return GroupMember(
            self._broker,
            self._group,
            self._node,
            self.trouble,
            self.config.group_id,
            pulse,
        )

    async def _beat(self, pulse: Pulse) -> None:
        """Be answered heartbeats, for ever."""
        while True:
            pulse.beat()
            await asyncio.sleep(_BEAT)

    @asynccontextmanager
    @override
    async def joined(
        self, consumer: Any, listener: ConsumerRebalanceListener
    ) -> AsyncIterator[None]:
        """Be in the group."""
        member: GroupMember = consumer
        following = asyncio.create_task(member.follow(listener))
        beating = asyncio.create_task(self._beat(self._pulse))
        try:
            yield
        finally:
            following.cancel()
            beating.cancel()
            if not self._node.is_dead:
                await self._node.gate()
                self._group.leave(member)
