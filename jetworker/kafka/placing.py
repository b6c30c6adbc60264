"""Where a key leads, as for every producer that has Kafka's own partitioner."""

from aiokafka.partitioner import DefaultPartitioner

_BY_KEY = DefaultPartitioner()


def place(key: bytes, partitions: int) -> int:
    """Return the partition of a key."""
    found: int = _BY_KEY(key, range(partitions), range(partitions))
    return found
