"""The consumer group: where it stands."""

from aiokafka import AIOKafkaConsumer, TopicPartition

from jetworker.kafka.clients import bounded


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
