"""The consumer group: what it gives us, what it takes back, and what we read of it."""

from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Any, Protocol

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError
from typing_extensions import override

from jetworker.config.model import Config
from jetworker.core.errors import StoreError
from jetworker.core.resumption import Input
from jetworker.kafka.clients import KafkaClients, bounded
from jetworker.kafka.sign_in import client_options

_POLL_MS = 200
_RECORDS_AT_ONCE = 500


class Assignee(Protocol):
    """Who is told which partitions of the commands topic are ours."""

    async def on_assigned(self, partitions: Sequence[int]) -> None:
        """Take these; no heartbeats run until this returns."""

    async def on_revoked(self, partitions: Sequence[int]) -> None:
        """Give these back; heartbeats go on meanwhile."""


class ConsumerGroup(ConsumerRebalanceListener):
    """
    Our membership of the group, one client after another.

    What is assigned is paused until somebody takes it: every rebalance makes it anew,
    and until it is restored nothing of it may be read.
    """

    def __init__(self, kafka: KafkaClients, assignee: Assignee) -> None:
        self._kafka = kafka
        self._assignee = assignee
        self._consumer: AIOKafkaConsumer

    @asynccontextmanager
    async def joined(self) -> AsyncIterator[None]:
        """Be a member; raises StoreError if Kafka does not let us."""
        # The first assignment comes while it joins: it is ours before.
        self._consumer = consumer = self._kafka.member()
        async with self._kafka.joined(consumer, self):
            yield

    @override
    async def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        """Pause what is assigned, and say so."""
        partitions = sorted(assigned)
        self._consumer.pause(*partitions)
        await self._assignee.on_assigned([each.partition for each in partitions])

    @override
    async def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        """Say what is to be given back."""
        await self._assignee.on_revoked([each.partition for each in sorted(revoked)])

    async def poll(self) -> dict[int, list[Any]]:
        """Return new records by partition, after a while if none; raises StoreError."""
        try:
            batches = await self._consumer.getmany(
                timeout_ms=_POLL_MS, max_records=_RECORDS_AT_ONCE
            )
        except KafkaError as exc:
            msg = f"reading commands: {type(exc).__name__}: {exc}"
            raise StoreError(msg) from exc
        return {each.partition: records for each, records in batches.items()}

    async def committed(self, partition: int) -> int | None:
        """Return where the group stands, None if nowhere."""
        asked = self._consumer.committed(self._commands(partition))
        return await bounded(asked, "asking for the offset")

    async def found(self, partition: int) -> Input:
        """
        Return a partition of the commands topic as it is now.

        To be asked only after the fence: before it, an open transaction of the previous
        owner may still move the group's offset.
        """
        consumer, commands = self._consumer, self._commands(partition)
        doing = "asking for the log"
        begins = await bounded(consumer.beginning_offsets([commands]), doing)
        ends = await bounded(consumer.end_offsets([commands]), doing)
        return Input(
            committed=await self.committed(partition),
            begins=begins[commands],
            ends=ends[commands],
            topic_id=await self._kafka.topic_id(consumer),
            partitions=len(consumer.partitions_for_topic(commands.topic) or ()),
        )

    @property
    def partitions(self) -> int:
        """How many partitions the commands topic has, as far as it is known."""
        known = self._consumer.partitions_for_topic(self._kafka.topics.commands)
        return len(known or ())

    def begin(self, partition: int, offset: int) -> None:
        """Read a partition from an offset on."""
        self._consumer.seek(self._commands(partition), offset)
        self._consumer.resume(self._commands(partition))

    def pause(self, partition: int) -> bool:
        """Read nothing of a partition for now; whether it was read until now."""
        commands = self._commands(partition)
        is_read = commands in self._consumer.assignment() - self._consumer.paused()
        if is_read:
            self._consumer.pause(commands)
        return is_read

    def resume(self, partition: int) -> None:
        """Go on reading a partition, if it is still ours."""
        commands = self._commands(partition)
        if commands in self._consumer.assignment() & self._consumer.paused():
            self._consumer.resume(commands)

    def _commands(self, partition: int) -> TopicPartition:
        return TopicPartition(self._kafka.topics.commands, partition)


async def offsets_of(config: Config) -> dict[int, int]:
    """Return where the group stands."""
    admin = AIOKafkaAdminClient(**client_options(config.kafka))
    await bounded(admin.start(), "connecting")
    try:
        listed = admin.list_consumer_group_offsets(config.kafka.group_id)
        found = await bounded(listed, "asking for the group's offsets")
    finally:
        await admin.close()
    topic = config.topics.commands
    return {
        partition.partition: each.offset
        for partition, each in found.items()
        if partition.topic == topic
    }
