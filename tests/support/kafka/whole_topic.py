"""A consumer that reads partitions of a topic from their beginnings, all at once."""

from collections.abc import Iterable
from dataclasses import dataclass

from aiokafka import TopicPartition


@dataclass
class WholeTopic:
    """What every fake of one has; which records there are is for each to say."""

    partitions: set[TopicPartition]
    at: int = 0

    def assignment(self) -> set[TopicPartition]:
        return self.partitions

    def pause(self, *_partitions: TopicPartition) -> None:
        """All are read at once."""

    def seek(self, _partition: TopicPartition, offset: int) -> None:
        self.at = offset

    async def seek_to_beginning(self, *_partitions: TopicPartition) -> None:
        self.at = 0

    async def beginning_offsets(
        self, partitions: Iterable[TopicPartition]
    ) -> dict[TopicPartition, int]:
        return dict.fromkeys(partitions, 0)

    async def position(self, _partition: TopicPartition) -> int:
        return self.at
