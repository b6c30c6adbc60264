"""
A topic read to an end that is fixed before, or followed for ever.

One loop for all who read; what differs is the end, and the difference matters:

- `Barrier`: a record that the reader's owner has committed itself. Nothing that comes
  before it can be missed, also where control records trail after it.
- `HIGH_WATERMARKS`: all that was written when the reading begins, committed or not: a
  commit returns before its marker is visible, and what it wrote must not be missed.
- `STABLE_END`: all that is visible now; good enough for who only looks.
- `Followed`: from now on, and no end.
- `Onward`: from the beginning, and no end.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, TypeAlias, assert_never

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition

from jetworker.config.model import Config
from jetworker.core.delivery import Delivery
from jetworker.core.errors import StoreError
from jetworker.core.finished import Finished
from jetworker.kafka.clients import KafkaClients, bounded
from jetworker.kafka.pulse import has_given_up
from jetworker.wire import events, snapshots, times

log = structlog.get_logger()

_RECORDS_AT_ONCE = 500  # some milliseconds: others have their turn between two
_TIMEOUT_MS = 50
_TURN_MS = 200
_GROWTH_EVERY = 10.0  # seconds: who follows a topic looks whether it has grown
_PATIENCE = 600  # turns of 50 ms: an open transaction hides what comes after it
_CLOSE = 500  # records: nearer than this, the next one is in the same answer
_TURNS_TO_PICK = 5  # of a second each, without an answer
_HIDDEN_AFTER = 100  # turns, 5 s, until somebody is told


@dataclass(frozen=True, slots=True)
class Barrier:
    """The offset of a record that is surely there; it is not read itself."""

    offset: int


@dataclass(frozen=True, slots=True)
class HighWatermarks:
    """
    The ends of the logs when the reading begins.

    Of all that the topic is known to have: *at_least* so many. A broker that is late to
    know of a growth shows fewer.
    """

    at_least: int = 0


@dataclass(frozen=True, slots=True)
class StableEnd:
    """What readers of committed records see when the reading begins."""


@dataclass(frozen=True, slots=True)
class Followed:
    """No end; *listening* is set when nothing written afterwards can be missed."""

    listening: asyncio.Event


@dataclass(frozen=True, slots=True)
class Onward:
    """No end; *caught_up* is set when all was yielded that was there at first."""

    caught_up: asyncio.Event


HIGH_WATERMARKS: Final = HighWatermarks()
STABLE_END: Final = StableEnd()
End: TypeAlias = Barrier | HighWatermarks | StableEnd | Followed | Onward
Ends: TypeAlias = Mapping[TopicPartition, int]


async def read(
    kafka: KafkaClients, what: TopicPartition | str, end: End
) -> AsyncIterator[list[Any]]:
    """
    Yield the committed records (aiokafka's) of a partition or a topic, in batches.

    From the beginning up to *end*, or from now on where it is followed. Raises
    StoreError, also if an open transaction hides the end for half a minute.
    """
    name = what if isinstance(what, str) else what.topic
    is_all = isinstance(end, HighWatermarks)
    ends = await _high_watermarks(kafka, what) if is_all else {}
    offset = "latest" if isinstance(end, Followed) else "earliest"
    async with kafka.reader(what, auto_offset_reset=offset) as consumer:
        partitions = sorted(consumer.assignment())
        if not partitions:
            msg = f"the topic {name} has no partitions"
            raise StoreError(msg)
        match end:
            case Followed(listening):
                async for batch in _follow(kafka, consumer, name, listening):
                    yield batch
                return
            case Onward(caught_up):
                async for batch in _onward(kafka, consumer, name, caught_up):
                    yield batch
                return
            case Barrier(at):
                ends = dict.fromkeys(partitions, at)
            case StableEnd():
                ends = await bounded(
                    consumer.end_offsets(partitions), f"asking for the end of {name}"
                )
            case HighWatermarks() if ends.keys() != set(partitions):
                msg = f"{name} has grown since its ends were asked for"
                raise StoreError(msg)
            case HighWatermarks(at_least) if len(partitions) < at_least:
                msg = f"{name} is shown with {len(partitions)} partitions of {at_least}"
                raise StoreError(msg)
            case HighWatermarks():
                pass
            case _:
                assert_never(end)
        await bounded(consumer.seek_to_beginning(*partitions), f"reading {name}")
        async for batch in read_until(consumer, ends, name):
            yield batch


async def _follow(
    kafka: KafkaClients,
    consumer: AIOKafkaConsumer,
    topic: str,
    listening: asyncio.Event,
) -> AsyncIterator[list[Any]]:
    partitions = consumer.assignment()
    await bounded(consumer.seek_to_end(*partitions), "seeking to the end")
    for partition in partitions:
        await bounded(consumer.position(partition), "seeking to the end")
    listening.set()
    async for batch in _turns(kafka, consumer, topic):
        if batch:
            yield batch


async def _onward(
    kafka: KafkaClients,
    consumer: AIOKafkaConsumer,
    topic: str,
    caught_up: asyncio.Event,
) -> AsyncIterator[list[Any]]:
    partitions = consumer.assignment()
    ends = await bounded(consumer.end_offsets(partitions), "asking for the end")
    await bounded(consumer.seek_to_beginning(*partitions), "seeking to the beginning")
    async for batch in _turns(kafka, consumer, topic):
        if batch:
            yield batch
        if not caught_up.is_set():
            places = await _places(consumer, ends)
            if all(places[each] >= ends[each] for each in ends):
                caught_up.set()


async def _turns(
    kafka: KafkaClients, consumer: AIOKafkaConsumer, topic: str
) -> AsyncIterator[list[Any]]:
    """Yield what each turn brings, be it nothing, for ever; a topic may grow meanwhile."""
    clock = asyncio.get_running_loop().time
    looked = clock()
    while True:
        if clock() - looked >= _GROWTH_EVERY:
            await _take_in(kafka, consumer, topic)
            looked = clock()
        if has_given_up(consumer):
            msg = f"reading {topic}: the client of Kafka has given up"
            raise StoreError(msg)
        batches = await bounded(
            consumer.getmany(timeout_ms=_TURN_MS, max_records=_RECORDS_AT_ONCE),
            f"reading {topic}",
        )
        yield [record for records in batches.values() for record in records]


async def _take_in(kafka: KafkaClients, consumer: AIOKafkaConsumer, topic: str) -> None:
    """
    Read the partitions too that a topic has got meanwhile, from their beginnings.

    Who is given partitions forgets where the others stand: each goes on from there.
    """
    before = consumer.assignment()
    new = set(await kafka.partitions(consumer, topic)) - before
    if not new:
        return
    places = await _places(consumer, before)
    consumer.assign([*before, *new])
    for partition, place in places.items():
        consumer.seek(partition, place)
    await bounded(consumer.seek_to_beginning(*new), f"reading {topic}")


async def _places(
    consumer: AIOKafkaConsumer, partitions: Iterable[TopicPartition]
) -> Ends:
    """Return where a consumer stands."""
    return {
        each: await bounded(consumer.position(each), f"reading {each.topic}")
        for each in partitions
    }


async def read_until(
    consumer: AIOKafkaConsumer, ends: Ends, name: str
) -> AsyncIterator[list[Any]]:
    """Yield what lies before the ends; a record at or behind one shows it was reached."""
    left = dict(ends)
    idle = 0
    while left:
        batches = await bounded(
            consumer.getmany(timeout_ms=_TIMEOUT_MS, max_records=_RECORDS_AT_ONCE),
            f"reading {name}",
        )
        batch = []
        for partition, records in batches.items():
            end = ends[partition]
            batch += [record for record in records if record.offset < end]
            if records and records[-1].offset >= end:
                left.pop(partition, None)
        if batch:
            yield batch
            await asyncio.sleep(0)  # what is fetched already is had without waiting
        for partition, place in (await _places(consumer, left)).items():
            if place >= left[partition]:
                del left[partition]
        idle = 0 if batches else idle + 1
        if left and idle >= _HIDDEN_AFTER:
            _raise_hidden(name, idle, left)


def _raise_hidden(name: str, idle: int, left: Ends) -> None:
    """Say once that nothing comes although there is more, and in the end give up."""
    if idle == _HIDDEN_AFTER:
        log.warning(
            "the end of a topic is not visible, an open transaction may hide it:"
            " look at Kafka's PartitionsWithLateTransactionsCount",
            topic=name,
            partitions=sorted(each.partition for each in left),
        )
    if idle >= _PATIENCE:
        msg = f"reading {name}: an open transaction hides its end"
        raise StoreError(msg)


async def _high_watermarks(kafka: KafkaClients, what: TopicPartition | str) -> Ends:
    async with kafka.reader(what, isolation_level="read_uncommitted") as consumer:
        partitions = sorted(consumer.assignment())
        ends = await bounded(
            consumer.end_offsets(partitions), "asking for the high watermarks"
        )
    return dict(ends)


async def pick(
    kafka: KafkaClients, partition: TopicPartition, offsets: Sequence[int]
) -> list[Any]:
    """
    Return the records at these offsets; what was compacted or retained is left out.

    Reads on from one to the next where they lie close together. Raises StoreError, also
    where Kafka is too slow to say whether one is there.
    """
    wanted, found = sorted(offsets), []
    async with kafka.reader(partition) as consumer:
        position, turns = -1, 0
        while wanted:
            if not 0 <= wanted[0] - position < _CLOSE:
                consumer.seek(partition, wanted[0])
            records = await bounded(
                consumer.getmany(partition, timeout_ms=1000, max_records=_CLOSE),
                f"reading {partition.topic}",
            )
            batch = records.get(partition, [])
            asked = set(wanted)
            found += [record for record in batch if record.offset in asked]
            position = (await _places(consumer, [partition]))[partition]
            turns = 0 if batch else turns + 1
            if turns > _TURNS_TO_PICK and position <= wanted[0]:
                msg = f"reading {partition.topic}: no record came in time"
                raise StoreError(msg)
            wanted = [offset for offset in wanted if offset >= position]
    return found


def keep(latest: dict[bytes, bytes], key: bytes | None, value: bytes | None) -> None:
    """Compact: a later value replaces, a tombstone removes, a barrier is skipped."""
    if key is None or snapshots.is_own(key):
        return
    # Moved to the end, so that what finished first is first in memory too.
    latest.pop(key, None)
    if value is not None:
        latest[key] = value


@dataclass(frozen=True, slots=True)
class Place:
    """A command's snapshot, the partition that it is on, and when it last changed."""

    partition: int
    snapshot: Delivery | Finished
    changed_at: datetime


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A command whose snapshot this version cannot read, and where it is."""

    partition: int
    command_id: str
    changed_at: datetime

    @property
    def why(self) -> str:
        """Say it, with the cure."""
        return (
            f"the state of {self.command_id} cannot be read by this version of jetworker:"
            " use the one that wrote it"
        )


async def find(config: Config, command_id: str) -> Place | Unreadable | None:
    """Return the latest snapshot of a command, None if the state topic has none."""
    found = await places(config, frozenset({command_id}))
    return found[-1] if found else None


async def places(
    config: Config, command_ids: frozenset[str] | None = None
) -> list[Place | Unreadable]:
    """
    Return what the state topic holds of these commands, or of all of them.

    All partitions in one pass, the oldest change first. Raises StoreError.
    """
    kafka = KafkaClients(config.kafka, config.topics)
    wanted = None if command_ids is None else {name.encode() for name in command_ids}
    latest: dict[tuple[int, bytes], Any] = {}
    async for batch in read(kafka, config.topics.state, STABLE_END):
        for record in batch:
            if snapshots.is_own(record.key):
                continue
            if wanted is None or record.key in wanted:
                latest[record.partition, record.key] = record
    live = [record for record in latest.values() if record.value is not None]
    # What changed in one millisecond is in one order, too, whoever asks and when.
    live.sort(key=lambda each: (each.timestamp, each.key))
    return [_place(each) for each in live]


def _place(record: Any) -> Place | Unreadable:
    changed_at = times.of_record(record.timestamp)
    try:
        snapshot = snapshots.decode(record.value)
    except snapshots.UnreadableSnapshot:
        name = record.key.decode("utf-8", "replace")
        return Unreadable(record.partition, name, changed_at)
    return Place(record.partition, snapshot, changed_at)


async def tail(
    config: Config, command_id: str | None, listening: asyncio.Event
) -> AsyncIterator[events.ReadEvent]:
    """
    Yield committed events from now on, of one command or of all.

    *listening* is set when nothing published afterwards can be missed.
    """
    kafka = KafkaClients(config.kafka, config.topics)
    async for batch in read(kafka, config.topics.events, Followed(listening)):
        for record in batch:
            event = events.read(record)
            if command_id is None or event.command_id == command_id:
                yield event
