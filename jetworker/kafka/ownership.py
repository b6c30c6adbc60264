"""
Whose a state partition is, asked before anybody is fenced for it.

A fence takes a partition away from whoever has it, so the question comes first: an
owner that is another group and has members keeps it, and one that is empty although it
cannot be is lost, not new.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.structs import OffsetAndMetadata

from jetworker.core.errors import NotAllowed, OwnedElsewhere, StateLost, StoreError
from jetworker.core.resumption import Input, Kept, Mark, Position, lost
from jetworker.kafka.clients import KafkaClients, bounded
from jetworker.kafka.reader import HIGH_WATERMARKS, Ends, read, read_until
from jetworker.wire import positions
from jetworker.wire.record import Record
from jetworker.wire.snapshots import BARRIER

log = structlog.get_logger()

_WINDOW = 500  # records before the end, and ten times as many each time


class Source(Protocol):
    """Who knows the commands topic, where the group stands on it, and whether we are in."""

    def check_member(self) -> None:
        """Raise StoreError where the group may have given our partitions to others."""

    async def committed(self, partition: int) -> int | None:
        """Return where the group stands."""

    async def found(self, partition: int) -> Input:
        """Return a partition of the commands topic as it is now."""


@dataclass(frozen=True, slots=True)
class Ownership:
    """The state topic, as far as it says whose it is."""

    kafka: KafkaClients
    source: Source

    async def check(self, partition: int) -> int:
        """
        Return if *partition* may be taken over by us; mark it where it is a new one.

        Returns how many partitions the state has, all of them begun or lost: an owner
        counts no other, since those that it counts are not taken for new ones any more.
        Raises OwnedElsewhere, StateLost or StoreError; nothing is fenced by any.
        """
        partitions = await self._must_have(partition)
        kept = await self._last(partition)
        if kept is Mark.UNOWNED:
            await self._fence_first_version(partition)
        elif isinstance(kept, Position):
            await self._ask_for(kept.owner)
        if not isinstance(kept, Position) or 0 < kept.of < partitions:
            async with self.kafka.beginning:
                await self._begin(partition, partitions)
        return partitions

    async def _ask_for(self, owner: str) -> None:
        config = self.kafka.config
        if owner in {config.group_id, config.takes_over}:
            return
        has_members = await self.kafka.has_members(owner)
        if has_members is None:
            msg = (
                f"the state belongs to group {owner}, and group {config.group_id} may"
                f" not ask whether it has members: allow Describe on group {owner}"
            )
            raise OwnedElsewhere(msg)
        if has_members:
            msg = (
                f"the state belongs to group {owner}, which has members: group"
                f" {config.group_id} waits until they have left"
            )
            raise OwnedElsewhere(msg)

    async def _must_have(self, partition: int) -> int:
        """
        Return how many partitions the state has.

        Raises StoreError where the commands topic has grown first.
        """
        topic = self.kafka.topics.state
        async with self.kafka.reader(topic) as consumer:
            known = {each.partition for each in consumer.assignment()}
        if partition not in known:
            msg = (
                f"{topic} has no partition {partition}: give it as many as"
                f" {self.kafka.topics.commands} has"
            )
            raise StoreError(msg)
        return len(known)

    async def _last(self, partition: int) -> Kept:
        state = TopicPartition(self.kafka.topics.state, partition)
        kept = (await last_kept(self.kafka, state))[partition]
        return await self._surely(partition) if kept is Mark.EMPTY else kept

    async def _surely(self, partition: int) -> Kept:
        """Look at all that was written, seen or not: an offset is shown before it."""
        state = TopicPartition(self.kafka.topics.state, partition)
        kept: Kept = Mark.EMPTY
        async for batch in read(self.kafka, state, HIGH_WATERMARKS):
            for record in batch:
                kept = positions.fold(kept, record.key, record.value)
        return kept

    async def _begin(self, partition: int, partitions: int) -> None:
        """
        Tell an empty partition that is new from one that is lost.

        All that are new are begun at once, before any is owned, or counted by an owner:
        from then on an owner of one proves that the others are not new. So all that are
        counted must be shown, also by a broker that is late to know of a growth.
        """
        topic = self.kafka.topics.state
        kept = await last_kept(self.kafka, topic)
        if len(kept) < partitions:
            msg = f"{topic} is shown with {len(kept)} partitions of {partitions}"
            raise StoreError(msg)
        empty = [each for each, what in kept.items() if what is Mark.EMPTY]
        stands = {each: await self.source.committed(each) for each in empty}
        gone = lost(kept, stands, self.kafka.config.group_id)
        if partition in gone:
            raise StateLost(gone[partition])
        new = [each for each in empty if each not in gone]
        if new:
            self.source.check_member()  # or they may not be new any more
            await mark_beginnings(self.kafka, new)

    async def _fence_first_version(self, partition: int) -> None:
        """
        Fence a worker of 0.1.0, whose transactional id was named after the group.

        One that is not allowed to us any more is not allowed to it either.
        """
        config, topics = self.kafka.config, self.kafka.topics
        name = f"{config.group_id}-{topics.commands}-{partition}"
        try:
            async with self.kafka.producer(name):
                pass
        except NotAllowed:
            log.info("the transactional id of 0.1.0 is not ours to fence", id=name)


async def last_kept(kafka: KafkaClients, what: TopicPartition | str) -> dict[int, Kept]:
    """
    Return what state partitions say last of themselves, read from their ends.

    It stands near the end: it is written with every command. A partition that shows
    nothing of the kind is read from its beginning.
    """
    async with kafka.reader(what) as consumer:
        partitions = sorted(consumer.assignment())
        doing = "asking whose the state is"
        begins = await bounded(consumer.beginning_offsets(partitions), doing)
        ends = await bounded(consumer.end_offsets(partitions), doing)
        found: dict[int, Kept] = {}
        window = _WINDOW
        while partitions:
            since = {
                each: max(begins[each], ends[each] - window) for each in partitions
            }
            kept = await _fold(consumer, since, ends)
            for each in partitions:
                if isinstance(kept[each], Position) or since[each] == begins[each]:
                    found[each.partition] = kept[each]
            partitions = [each for each in partitions if each.partition not in found]
            window *= 10
    return found


async def _fold(
    consumer: AIOKafkaConsumer, since: Ends, ends: Ends
) -> dict[TopicPartition, Kept]:
    kept: dict[TopicPartition, Kept] = dict.fromkeys(since, Mark.EMPTY)
    consumer.pause(*(consumer.assignment() - since.keys()))
    for partition, offset in since.items():
        consumer.seek(partition, offset)
    upto = {each: ends[each] for each in since}
    async for batch in read_until(consumer, upto, "the state"):
        for record in batch:
            where = TopicPartition(record.topic, record.partition)
            kept[where] = positions.fold(kept[where], record.key, record.value)
    return kept


async def mark_beginnings(kafka: KafkaClients, partitions: Iterable[int]) -> None:
    """Mark empty state partitions as new ones, all in one transaction."""
    topic = kafka.topics.state
    value = positions.encode_owner(kafka.config.group_id)
    doing = "beginning the state"
    async with kafka.producer(f"jetworker-{topic}-beginning") as producer:
        await bounded(producer.begin_transaction(), doing)
        for number in partitions:
            sent = await bounded(
                producer.send(
                    topic,
                    key=positions.BEGINNING,
                    value=value,
                    partition=number,
                    headers=[],
                ),
                doing,
            )
            await bounded(sent, doing)
        await bounded(producer.commit_transaction(), doing)


async def put_back(
    kafka: KafkaClients,
    partition: int,
    records: Iterable[Record],
    position: Position,
    *,
    instead_of: Kept,
) -> None:
    """
    Write a state partition that was lost, all of it in one transaction.

    Who had it is fenced. Only then it is looked at once more: much may have happened
    since it was found to keep what this is written *instead of*, and what somebody else
    has written since is not lost (StoreError). Half of it would be taken for whole: it is
    all or nothing.
    """
    topic = kafka.topics.state
    commands = TopicPartition(kafka.topics.commands, partition)
    doing = f"writing state partition {partition}"
    owner = positions.encode_owner(position.owner)
    own = (
        Record(topic, BARRIER, owner, partition=partition),
        Record(topic, positions.POSITION, positions.encode(position), (), partition),
    )
    async with kafka.producer(f"jetworker-{topic}-{partition}") as producer:
        state = TopicPartition(topic, partition)
        if (await last_kept(kafka, state))[partition] != instead_of:
            msg = f"{doing}: somebody has written it meanwhile, and nothing is changed"
            raise StoreError(msg)
        await bounded(producer.begin_transaction(), doing)
        offsets = {commands: OffsetAndMetadata(position.offset, "")}
        sent = producer.send_offsets_to_transaction(offsets, position.owner)
        await bounded(sent, doing)
        written = [
            await bounded(
                producer.send(
                    each.topic,
                    key=each.key,
                    value=each.value,
                    partition=each.partition,
                    headers=list(each.headers),
                ),
                doing,
            )
            for each in (*records, *own)
        ]
        for each in written:
            await bounded(each, doing)
        await bounded(producer.commit_transaction(), doing)
