"""Who is in the group, what each has, and how far behind the group is: asked, not joined."""

from dataclasses import dataclass
from typing import Any

from aiokafka import TopicPartition
from aiokafka.coordinator.protocol import ConsumerProtocolMemberAssignment

from jetworker.config.model import Config
from jetworker.kafka.clients import KafkaClients, bounded

_GROUP, _STATE, _MEMBERS = 0, 2, 5  # fields of a described group, in every version


@dataclass(frozen=True, slots=True)
class Member:
    """A worker as the group's coordinator knows it."""

    member_id: str
    host: str
    partitions: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Share:
    """One partition of the commands topic: read up to *committed*, written up to *end*."""

    partition: int
    committed: int | None
    end: int

    @property
    def behind(self) -> int:
        """How many offsets are not committed yet."""
        return max(0, self.end - (self.committed or 0))


@dataclass(frozen=True, slots=True)
class GroupView:
    """The group at one moment; *state* is Kafka's word."""

    state: str
    members: tuple[Member, ...]
    shares: tuple[Share, ...]


async def look(config: Config) -> GroupView:
    """Ask Kafka about the group; raises StoreError."""
    topic, group = config.topics.commands, config.kafka.group_id
    kafka = KafkaClients(config.kafka, config.topics)
    admin = kafka.admin()
    try:
        await bounded(admin.start(), "connecting")
        answer: Any
        (answer,) = await bounded(
            admin.describe_consumer_groups([group]), "asking about the group"
        )
        offsets = await bounded(
            admin.list_consumer_group_offsets(group), "asking for the group's offsets"
        )
    finally:
        await admin.close()
    described = answer.groups[0]
    async with kafka.reader(topic) as consumer:
        ends = await bounded(
            consumer.end_offsets(consumer.assignment()), "asking for the ends"
        )
    shares = (
        Share(each.partition, _committed(offsets.get(each)), end)
        for each, end in sorted(ends.items())
    )
    members = (_member(each, topic) for each in described[_MEMBERS])
    return GroupView(
        described[_STATE],
        tuple(sorted(members, key=lambda each: each.partitions)),
        tuple(shares),
    )


def _committed(found: object) -> int | None:
    offset = getattr(found, "offset", -1)
    return None if offset < 0 else offset


def _member(found: tuple[str, str, str, bytes, bytes], topic: str) -> Member:
    member_id, _, host, _, assigned = found
    partitions: list[TopicPartition] = []
    if assigned:  # none while the group is being rebalanced
        partitions = ConsumerProtocolMemberAssignment.decode(assigned).partitions()
    ours = sorted(each.partition for each in partitions if each.topic == topic)
    return Member(member_id, host.lstrip("/"), tuple(ours))
