"""What a new owner of a partition reads: where the group stands, and what is known."""

from aiokafka import AIOKafkaConsumer, TopicPartition

from jetworker.kafka.clients import KafkaClients, bounded
from jetworker.wire.snapshots import is_own


async def committed_offset(consumer: AIOKafkaConsumer, commands: TopicPartition) -> int:
    """
    Return where the group stands, or the partition's beginning.

    To be asked only after the fence: before it, an open transaction of the previous
    owner may still move the offset.
    """
    committed = await bounded(consumer.committed(commands), "asking for the offset")
    if committed is not None:
        return int(committed)
    beginnings = await bounded(
        consumer.beginning_offsets([commands]), "asking for the beginning"
    )
    return int(beginnings[commands])


async def restore(
    kafka: KafkaClients, partition: int, barrier: int
) -> dict[bytes, bytes]:
    """
    Read the state partition up to the barrier: the latest value of every key.

    Comparing the position with the end offset would hang on trailing control records;
    the barrier's own offset cannot be missed.
    """
    state = TopicPartition(kafka.topics.state, partition)
    latest: dict[bytes, bytes] = {}
    async with kafka.reader(state) as consumer:
        await bounded(consumer.seek_to_beginning(state), "seeking to the beginning")
        while True:
            batches = await bounded(
                consumer.getmany(timeout_ms=50, max_records=5000), "restoring"
            )
            for record in batches.get(state, []):
                if record.offset >= barrier:
                    return latest
                keep(latest, record.key, record.value)


def keep(latest: dict[bytes, bytes], key: bytes | None, value: bytes | None) -> None:
    """Compact: a later value replaces, a tombstone removes, a barrier is skipped."""
    if key is None or is_own(key):
        return
    # Moved to the end, so that what finished first is first in memory too.
    latest.pop(key, None)
    if value is not None:
        latest[key] = value
