"""What is in a batch that a producer is given."""

from typing import Any

from aiokafka.producer.message_accumulator import BatchBuilder
from aiokafka.record.memory_records import MemoryRecords


def records_of(batch: BatchBuilder) -> list[Any]:
    """Return the records of a batch as it goes over the wire."""
    built = batch._build()  # noqa: SLF001 -- as aiokafka's own sender does
    return list(MemoryRecords(bytes(built)).next_batch() or ())
