"""What has been committed on a topic so far, asked for again and again while a test waits."""

import asyncio
from contextlib import suppress
from typing import Any

from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaError


class TopicReader:
    """
    One consumer for all looks at a topic; each look reads only what is new.

    A consumer and a reading of its own for every look would take from the workers that
    are waited for what they need to get there.
    """

    def __init__(self, servers: str, topic: str) -> None:
        self._servers = servers
        self._topic = topic
        self._consumer: AIOKafkaConsumer | None = None
        self._found: list[Any] = []
        self._reading = asyncio.Lock()

    async def read(self) -> list[Any]:
        """Return all committed records, in the order of each partition."""
        async with self._reading:
            try:
                await self._read_on()
            except KafkaError:  # a leader that moved, a broker that was away: once more
                await self._close()
                await self._read_on()
            return list(self._found)

    async def _read_on(self) -> None:
        consumer = self._consumer or await self._open()
        partitions = list(consumer.assignment())
        ends = await consumer.end_offsets(partitions)
        while any([await consumer.position(p) < ends[p] for p in partitions]):
            for records in (await consumer.getmany(timeout_ms=50)).values():
                self._found += records

    async def _open(self) -> AIOKafkaConsumer:
        self._found = []
        self._consumer = consumer = AIOKafkaConsumer(
            self._topic,
            bootstrap_servers=self._servers,
            isolation_level="read_committed",
            auto_offset_reset="earliest",  # the seek races with the first reset
            metadata_max_age_ms=1000,  # partitions may be added
        )
        await consumer.start()
        await consumer.seek_to_beginning(*consumer.assignment())
        return consumer

    async def close(self) -> None:
        """Leave the broker."""
        async with self._reading:
            await self._close()

    async def _close(self) -> None:
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            with suppress(KafkaError):
                await consumer.stop()
