"""Reading the state topic without being a worker: where a command is."""

from dataclasses import dataclass

from jetworker.config.model import Config
from jetworker.core.delivery import Delivery
from jetworker.core.finished import Finished
from jetworker.kafka.clients import KafkaClients, bounded
from jetworker.wire import snapshots


@dataclass(frozen=True, slots=True)
class Place:
    """A command's snapshot and the partition that it is on."""

    partition: int
    snapshot: Delivery | Finished


async def find(config: Config, command_id: str) -> Place | None:
    """Return the latest snapshot of a command, None if the state topic has none."""
    kafka = KafkaClients(config.kafka, config.topics)
    key = command_id.encode()
    latest: dict[int, bytes | None] = {}
    async with kafka.reader(config.topics.state) as consumer:
        partitions = list(consumer.assignment())
        ends = await bounded(consumer.end_offsets(partitions), "reading the state")
        await bounded(consumer.seek_to_beginning(*partitions), "reading the state")
        while partitions:
            batches = await bounded(
                consumer.getmany(timeout_ms=100, max_records=5000), "reading the state"
            )
            for partition, records in batches.items():
                for record in records:
                    if record.key == key:
                        latest[partition.partition] = record.value
            partitions = [
                each
                for each in partitions
                if await consumer.position(each) < ends[each]
            ]
    for number, value in latest.items():
        if value is not None:
            return Place(number, snapshots.decode(value))
    return None
