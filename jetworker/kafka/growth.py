"""
Who answers for an id after the commands topic has grown.

Publishers place a key by the number of partitions, each in a way of its own, so after a
growth a command may arrive on another partition than before; and for some minutes two
publishers may disagree. Before a growth each partition accepts what arrives there: that is
enough as long as the same id always arrives at the same place. After it:

1. A worker asks for the number of partitions after it has read records and before it
   takes them: what was placed by a new number is never judged by an old rule. Who finds
   that the topics have grown ends its life, and is taken over again by the rule for
   after a growth; that is written into its state partition with the barrier (`Position`).
2. From then on a new command is accepted at its *home* alone, the state partition that
   the default partitioner gives its id; whatever else is read is handed over to it, in the
   transaction that moves the input (`wire/handing`). One decides for each id, in the order
   of its log, so a backlog on any partition, or a publisher that is late to see the
   growth, makes no second start.
3. What was handed over by the number of before is handed on first, or answered: until all
   of it is, none takes commands. So of two records about one id the later comes to
   their home after the earlier.
4. What was accepted before, elsewhere than at home, is found by an index. It is read when
   every partition has taken note (until then none takes commands: `core/growth`), and
   only shrinks from then on: it may be old, and one is enough for all partitions of a
   worker. Such an id is answered where it lives, until it is forgotten there.

So duplicates, conflicts, cancel and resolve are answered by the one partition that knows
the command, about the record that was read, wherever that was. Where the publishers' keys
are the ids and their partitioner is the default, home is where commands arrive, and
nothing is handed over but what was known before.

The index takes a hash of 16 bytes for each id that is not at home.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any, NoReturn

from aiokafka import ConsumerRecord, TopicPartition

from jetworker.core.command import CommandId
from jetworker.core.errors import NotGathered, StoreError
from jetworker.core.growth import Layout, not_yet
from jetworker.kafka.clients import KafkaClients, bounded
from jetworker.kafka.ownership import last_kept
from jetworker.kafka.placing import place
from jetworker.kafka.pulse import has_given_up
from jetworker.kafka.reader import HighWatermarks, read
from jetworker.wire.handing import HANDED, found_among
from jetworker.wire.snapshots import is_own

_ASKED_EVERY = 0.8  # seconds: all partitions of a worker ask at once
_SLICE = 500  # records, before others have a turn


@dataclass(frozen=True, slots=True)
class Homes:
    """Where each id is answered, given so many state *partitions*."""

    partitions: int
    elsewhere: Mapping[bytes, int] = field(default_factory=dict)

    def home(self, command_id: CommandId) -> int:
        """Return where a new command is accepted."""
        return place(command_id.encode(), self.partitions)

    def answers(self, command_id: CommandId) -> int:
        """Return where a command is known, if it is anywhere."""
        known = self.elsewhere.get(_hash(command_id.encode()))
        return self.home(command_id) if known is None else known


class Gathering:
    """The index of one worker, read once for each growth."""

    def __init__(self, kafka: KafkaClients) -> None:
        self._kafka = kafka
        self._reading = asyncio.Lock()
        self._layout = Layout(0, 0)
        self._homes = Homes(1)
        self._late: tuple[float, str] = 0.0, ""

    async def homes(self, layout: Layout) -> Homes:
        """Return where ids are answered; raises NotGathered and StoreError."""
        async with self._reading:
            if self._layout != layout:
                self._homes = await self._gathered(layout)
                self._layout = layout
            return self._homes

    async def _gathered(self, layout: Layout) -> Homes:
        state = self._kafka.topics.state
        now = asyncio.get_running_loop().time()
        until, msg = self._late
        if now < until:
            raise NotGathered(msg)
        late = not_yet(await last_kept(self._kafka, state), layout)
        if late:
            self._wait(
                "the topics have grown, and commands wait until every partition has"
                f" taken note of it: {late} have not"
            )
        found: dict[bytes, int] = {}
        handed_before: set[tuple[int, bytes]] = set()
        async for batch in read(self._kafka, state, HighWatermarks(layout.state)):
            for number, record in enumerate(batch):
                if number % _SLICE == 0:
                    await asyncio.sleep(0)
                if is_own(record.key):
                    _note_handed(handed_before, record, layout)
                    continue
                known = _hash(record.key)
                if record.value is None:
                    if found.get(known) == record.partition:
                        del found[known]
                elif place(record.key, layout.state) != record.partition:
                    found[known] = record.partition
        if handed_before:
            self._wait(
                "the topics have grown, and commands wait until what was handed over"
                f" before is answered: {len(handed_before)} are not"
            )
        return Homes(layout.state, found)

    def _wait(self, why: str) -> NoReturn:
        """Let nobody ask again for a while, and say why."""
        self._late = asyncio.get_running_loop().time() + _ASKED_EVERY, why
        raise NotGathered(why)


def _note_handed(
    waiting: set[tuple[int, bytes]], record: ConsumerRecord[Any, Any], layout: Layout
) -> None:
    """Keep where something waits that was handed over by fewer partitions."""
    key = record.key
    if key is None or not key.startswith(HANDED) or found_among(key) >= layout.state:
        return
    if record.value is None:
        waiting.discard((record.partition, key))
    else:
        waiting.add((record.partition, key))


def _hash(key: bytes) -> bytes:
    return blake2b(key, digest_size=16).digest()


async def handed(
    kafka: KafkaClients, partition: int, since: int
) -> AsyncIterator[tuple[bytes, bytes]]:
    """Yield what is handed over to a partition from an offset on, for ever."""
    state = TopicPartition(kafka.topics.state, partition)
    doing = "reading what is handed over"
    async with kafka.reader(state) as consumer:
        consumer.seek(state, since)
        while True:
            if has_given_up(consumer):
                msg = f"{doing}: the client of Kafka has given up"
                raise StoreError(msg)
            batches = await bounded(
                consumer.getmany(timeout_ms=200, max_records=500), doing
            )
            for record in batches.get(state, []):
                key, value = record.key, record.value
                if key is not None and key.startswith(HANDED) and value is not None:
                    yield key, value
