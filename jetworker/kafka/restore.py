"""What a new owner of a partition reads: where the group stands, and what is known."""

from aiokafka import AIOKafkaConsumer, TopicPartition

from jetworker.kafka.clients import KafkaClients, bounded
from jetworker.kafka.reader import Barrier, keep, read


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
    async for batch in read(kafka, state, Barrier(barrier)):
        for record in batch:
            keep(latest, record.key, record.value)
    return latest
