"""Figures of a run, taken from the records' own times."""

from collections.abc import Sequence

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from tests.support.system import Event, System


async def waits(system: System, events: Sequence[Event]) -> dict[str, float]:
    """Return the seconds from each started command's record to its start's event."""
    sent: dict[str, int] = {
        record.key.decode(): record.timestamp
        for record in await system.read(system.config.topics.commands)
    }
    return {
        event.key: (event.at - sent[event.key]) / 1000
        for event in events
        if event.kind == "delivery.started" and event.key is not None
    }


async def lag(system: System) -> int:
    """Return how many commands are not reflected in what was committed."""
    admin = AIOKafkaAdminClient(bootstrap_servers=system.kafka)
    consumer = AIOKafkaConsumer(bootstrap_servers=system.kafka)
    await admin.start()
    await consumer.start()
    try:
        offsets = await admin.list_consumer_group_offsets(system.name)
        topic = system.config.topics.commands
        partitions = [TopicPartition(topic, n) for n in range(system.partitions)]
        ends = await consumer.end_offsets(partitions)
    finally:
        await consumer.stop()
        await admin.close()
    return sum(ends[each] - offsets[each].offset for each in partitions)
