"""One record of the commands topic, read again by its place."""

import asyncio
from typing import Any

from aiokafka import TopicPartition

from jetworker.core.errors import StoreError
from jetworker.kafka.clients import KafkaClients, bounded

_PATIENCE = 5.0  # seconds


class CommandRecords:
    """Reads again what a command asked for: an open delivery keeps only a hash of it."""

    def __init__(self, kafka: KafkaClients) -> None:
        self._kafka = kafka

    async def read(self, partition: int, offset: int) -> Any | None:
        """
        Return the record (aiokafka's ConsumerRecord), None if it is not there any more.

        Raises StoreError.
        """
        where = TopicPartition(self._kafka.topics.commands, partition)
        try:
            async with (
                asyncio.timeout(_PATIENCE),
                self._kafka.reader(where) as consumer,
            ):
                consumer.seek(where, offset)
                while True:
                    batches = await bounded(
                        consumer.getmany(timeout_ms=100, max_records=1),
                        "reading a command again",
                    )
                    for record in batches.get(where, []):
                        return record if record.offset == offset else None
        except TimeoutError as exc:
            msg = "reading a command again: no record came in time"
            raise StoreError(msg) from exc
