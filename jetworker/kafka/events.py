"""Reading the events topic: what the command line follows."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import orjson

from jetworker.config.model import Config
from jetworker.kafka.clients import KafkaClients, bounded
from jetworker.wire.events import PREFIX


@dataclass(frozen=True, slots=True)
class ReadEvent:
    """
    An event as a reader sees it; *kind* is its type without the prefix.

    *value* is what was published: a line of NDJSON as it stands.
    """

    kind: str
    command_id: str | None
    data: dict[str, Any]
    value: bytes


async def tail(
    config: Config, command_id: str | None, listening: asyncio.Event
) -> AsyncIterator[ReadEvent]:
    """
    Yield committed events from now on, of one command or of all.

    *listening* is set when nothing published afterwards can be missed.
    """
    kafka = KafkaClients(config.kafka, config.topics)
    async with kafka.reader(
        config.topics.events, auto_offset_reset="latest"
    ) as consumer:
        partitions = consumer.assignment()
        await bounded(consumer.seek_to_end(*partitions), "seeking to the end")
        for partition in partitions:
            await bounded(consumer.position(partition), "seeking to the end")
        listening.set()
        while True:
            batches = await consumer.getmany(timeout_ms=200)
            for record in (each for batch in batches.values() for each in batch):
                event = read(record)
                if command_id is None or event.command_id == command_id:
                    yield event


def read(record: Any) -> ReadEvent:
    """Read one record (aiokafka's ConsumerRecord) of the events topic."""
    headers = {
        name: (value or b"").decode("utf-8", "replace")
        for name, value in record.headers
    }
    return ReadEvent(
        headers.get("ce_type", "").removeprefix(PREFIX),
        headers.get("ce_subject"),
        orjson.loads(record.value),
        record.value,
    )
