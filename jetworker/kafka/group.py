"""The consumer group: what it gives us, what it takes back, and what we read of it."""

import asyncio
from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Iterable,
    Mapping,
    Sequence,
)
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import GroupCoordinatorNotAvailableError, KafkaError
from typing_extensions import override

from jetworker.config.model import Config
from jetworker.core.errors import Deaf, InputGap, StoreError
from jetworker.core.growth import Layout
from jetworker.core.resumption import Input
from jetworker.kafka.clients import KafkaClients, bounded, only_our_cancellation
from jetworker.kafka.pulse import Pulse
from jetworker.kafka.sign_in import client_options
from jetworker.runtime.clock import Clock

log = structlog.get_logger()

_POLL_MS = 200
_PATIENCE = 5.0  # seconds
_RECORDS_AT_ONCE = 500
_UNREAD_SESSIONS = 5  # until a partition that is not read is worth a rebalance of all


class Assignee(Protocol):
    """Who is told which partitions of the commands topic are ours."""

    async def on_assigned(self, partitions: Sequence[int]) -> None:
        """Take these; no heartbeats run until this returns."""

    async def on_revoked(self, partitions: Sequence[int]) -> None:
        """Give these back; heartbeats go on meanwhile."""


@dataclass(frozen=True, slots=True)
class Batch:
    """New records of a partition; *position* is the next offset, behind all of them."""

    records: list[Any]
    position: int


class ConsumerGroup(ConsumerRebalanceListener):
    """
    Our membership of the group, one client after another.

    What is assigned is paused until somebody takes it: every rebalance makes it anew,
    and until it is restored nothing of it may be read. A client that is deaf for longer
    than a session is given up: the next one reads settings and certificates anew. Where
    it hears of some partitions and not of others, that is told, and it is given up later.
    """

    def __init__(self, kafka: KafkaClients, assignee: Assignee, clock: Clock) -> None:
        self._kafka = kafka
        self._assignee = assignee
        self._clock = clock
        self._consumer: AIOKafkaConsumer
        self._pulse = self._new_pulse()
        self._failing_since: float | None = None
        self._given_back: set[TopicPartition] = set()
        self._expected: dict[int, int] = {}
        self._readings: dict[int, object] = {}  # which are one as long as one goes on
        self._read_since: dict[int, float] = {}
        self._topic_id: str | None = None

    @asynccontextmanager
    async def joined(self) -> AsyncIterator[None]:
        """Be a member; raises StoreError if Kafka does not let us."""
        # The first assignment comes while it joins: it is ours before.
        self._pulse, self._failing_since = self._new_pulse(), None
        self._given_back.clear()
        self._consumer = consumer = self._kafka.member(self._pulse)
        async with self._kafka.joined(consumer, self):
            self._topic_id = await self._kafka.topic_id(consumer)
            yield

    def _new_pulse(self) -> Pulse:
        session = self._kafka.config.session_timeout.total_seconds()
        return Pulse(self._clock.monotonic, session)

    def _tell_replaced(self) -> None:
        """Say that two workers have one instance id; each throws the other out."""
        instance = self._kafka.config.group_instance_id
        if self._pulse.is_replaced and instance is not None:
            log.error(
                "another worker has the same kafka.group_instance_id: each throws the"
                " other out, give every worker one of its own",
                about="replaced",
                group_instance_id=instance,
            )
        self._pulse.is_replaced = False

    @property
    def deafness(self) -> str | None:
        """Why nothing is heard of Kafka, if that lasts longer than a session."""
        session = self._kafka.config.session_timeout.total_seconds()
        if self._pulse.silence > session:
            return f"no heartbeat was answered for {self._pulse.silence:.0f} s"
        if self._pulse.has_given_up:
            return "the client of Kafka has given up reading"
        if self._failing_since is not None:
            seconds = self._clock.monotonic() - self._failing_since
            if seconds > session:
                return f"no commands could be taken for {seconds:.0f} s"
        return None

    def check_member(self) -> None:
        """
        Raise StoreError if the group may have given what we had to others by now.

        As to whoever was frozen in the midst of something, and goes on where it was.
        """
        session = self._kafka.config.session_timeout.total_seconds()
        if self._pulse.silence > session:
            msg = f"no heartbeat was answered for {self._pulse.silence:.0f} s"
            raise StoreError(msg)

    @property
    def unread(self) -> dict[int, float]:
        """
        Return the partitions of which nothing is heard, not even that there is nothing.

        With the seconds for which that lasts, where it is more than a session. Another
        broker may lead the group than the partition: heartbeats are answered all along.
        """
        session = self._kafka.config.session_timeout.total_seconds()
        silences = {
            number: self._pulse.unread(self._commands(number), since)
            for number, since in sorted(self._read_since.items())
        }
        return {number: each for number, each in silences.items() if each > session}

    def check(self) -> None:
        """Raise Deaf if a partition was not read for so long that a new client may help."""
        session = self._kafka.config.session_timeout.total_seconds()
        for number, seconds in self.unread.items():
            if seconds > _UNREAD_SESSIONS * session:
                msg = f"partition {number} could not be read for {seconds:.0f} s"
                raise Deaf(msg)

    @override
    async def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        """Pause what is assigned, and say so."""
        partitions = sorted(assigned)
        self._consumer.pause(*partitions)
        self._expected.clear()
        self._readings.clear()
        self._read_since.clear()
        self._given_back.clear()
        await self._assignee.on_assigned([each.partition for each in partitions])

    @override
    async def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        """Say what is to be given back."""
        self._read_since.clear()  # none is read until all are assigned anew
        await self._assignee.on_revoked([each.partition for each in sorted(revoked)])

    async def poll(self, ask: Callable[[], Awaitable[None]]) -> dict[int, Batch]:
        """
        Return what is new of the partitions that are read, after a while if nothing is.

        A batch without records passes over what no reader is given: control records,
        and what was aborted. Where there are records, *ask* is awaited before any is
        taken; a partition that is begun anew meanwhile is read from there only.

        Raises Deaf if a new client is needed, StoreError if this one may be asked again
        (or *ask* raises it), and InputGap if a log is not what it was. What had been
        read by then is read again.
        """
        if (deafness := self.deafness) is not None:
            raise Deaf(deafness)
        self._tell_replaced()
        try:
            # It waits for as long as a rebalance lasts, whatever it is told.
            with only_our_cancellation("reading commands"):
                async with asyncio.timeout(_PATIENCE):
                    found = await self._consumer.getmany(
                        timeout_ms=_POLL_MS, max_records=_RECORDS_AT_ONCE
                    )
        except TimeoutError:
            return {}
        except KafkaError as exc:
            self._fail()
            msg = f"reading commands: {type(exc).__name__}: {exc}"
            raise StoreError(msg) from exc
        before = dict(self._readings)
        batches = {}
        try:
            for commands, records in self._all_read(found):
                batch = await self._checked(commands, records)
                if batch is not None:
                    batches[commands.partition] = batch
            if found:
                await ask()
        except (Deaf, InputGap):
            self._give_back(found, before)
            raise
        except StoreError:
            self._give_back(found, before)
            self._fail()
            self._given_back |= found.keys()
            raise
        self._given_back &= self._read
        if found or not self._given_back:
            self._failing_since = None
            self._given_back.clear()
        return self._taken(batches, before)

    def _fail(self) -> None:
        """
        Take note of since when no commands are taken.

        What was given back is still to be taken, as long as it is read: that there is
        nothing just now does not end it.
        """
        if self._failing_since is None:
            self._failing_since = self._clock.monotonic()

    def _taken(
        self, batches: dict[int, Batch], before: Mapping[int, object]
    ) -> dict[int, Batch]:
        """Note what is taken; what was begun anew meanwhile comes again from there."""
        taken = {
            number: batch
            for number, batch in batches.items()
            if self._readings.get(number) is before.get(number)
        }
        for number in taken.keys() & self._expected.keys():
            self._expected[number] = taken[number].position
        return taken

    def _give_back(
        self, found: Mapping[TopicPartition, list[Any]], before: Mapping[int, object]
    ) -> None:
        """
        Let what nobody will be given be read again.

        The client is past it; the next commit of its partition would be too, and it
        would be lost.
        """
        for commands, records in found.items():
            number = commands.partition
            is_ours = commands in self._consumer.assignment()
            if is_ours and self._readings.get(number) is before.get(number):
                self._consumer.seek(commands, records[0].offset)

    @property
    def _read(self) -> set[TopicPartition]:
        return set(self._consumer.assignment() - self._consumer.paused())

    def _all_read(
        self, found: dict[TopicPartition, list[Any]]
    ) -> list[tuple[TopicPartition, list[Any]]]:
        all_read = sorted(self._read | found.keys())
        return [(each, found.get(each, [])) for each in all_read]

    async def _checked(
        self, commands: TopicPartition, records: list[Any]
    ) -> Batch | None:
        """Return a batch, having made sure that nothing before it was lost unread."""
        number = commands.partition
        expected = self._expected.get(number)
        if expected is None:
            return Batch(records, records[-1].offset + 1) if records else None
        if records:
            position = records[-1].offset + 1
        elif commands in self._consumer.assignment():
            position = await bounded(self._consumer.position(commands), "reading")
        else:
            return None
        first = records[0].offset if records else position
        if first < expected:
            msg = f"partition {number} of {commands.topic} went back: it was remade or cut"
            raise Deaf(msg)
        if first > expected:
            asked = self._consumer.beginning_offsets([commands])
            begins = await bounded(asked, "asking for the beginning")
            if begins[commands] > expected:
                raise InputGap(number)
        return Batch(records, position) if records or position > expected else None

    async def lags(self) -> dict[int, int]:
        """
        Return how many records of each partition are there to be taken, as of now.

        Those whose broker does not say are left out. Raises Deaf if the commands topic is
        another one by now, and StoreError.
        """
        topic_id = await self._kafka.topic_id(self._consumer)
        if topic_id != self._topic_id:
            msg = "the commands topic is another one"
            raise Deaf(msg)
        ours = [self._commands(number) for number in self._expected]
        assigned = [each for each in ours if each in self._consumer.assignment()]
        ends = await self._ends(assigned)
        return {
            each.partition: max(0, end - self._expected.get(each.partition, end))
            for each, end in ends.items()
        }

    async def _ends(
        self, partitions: Sequence[TopicPartition]
    ) -> dict[TopicPartition, int]:
        """
        Return where the logs end, of those whose brokers say so.

        They are asked for together. Where one of them has no broker, nothing is said of
        any: then each is asked for by itself.
        """
        if not partitions:
            return {}
        doing = "asking for the ends"
        try:
            return dict(await bounded(self._consumer.end_offsets(partitions), doing))
        except StoreError:
            if len(partitions) == 1:
                raise
        asked = [
            bounded(self._consumer.end_offsets([each]), doing) for each in partitions
        ]
        ends: dict[TopicPartition, int] = {}
        for answer in await asyncio.gather(*asked, return_exceptions=True):
            if isinstance(answer, dict):
                ends |= answer
            elif not isinstance(answer, StoreError):
                raise answer
        return ends

    def hidden(self) -> list[int]:
        """Return the partitions whose next records an open transaction hides."""
        return [
            number
            for number, expected in self._expected.items()
            if self._is_hidden(self._commands(number), expected)
        ]

    def _is_hidden(self, commands: TopicPartition, expected: int) -> bool:
        if commands not in self._consumer.assignment():
            return False
        stable = self._consumer.last_stable_offset(commands)
        high = self._consumer.highwater(commands)
        if stable is None or high is None:
            return False
        return bool(expected >= stable and high > stable)

    async def committed(self, partition: int) -> int | None:
        """Return where the group stands, None if nowhere."""
        asked = self._consumer.committed(self._commands(partition))
        return await bounded(asked, "asking for the offset")

    async def found(self, partition: int) -> Input:
        """
        Return a partition of the commands topic as it is now.

        To be asked only after the fence: before it, an open transaction of the previous
        owner may still move the group's offset.
        """
        consumer, commands = self._consumer, self._commands(partition)
        doing = "asking for the log"
        begins = await bounded(consumer.beginning_offsets([commands]), doing)
        ends = await bounded(consumer.end_offsets([commands]), doing)
        return Input(
            committed=await self.committed(partition),
            begins=begins[commands],
            ends=ends[commands],
            topic_id=await self._kafka.topic_id(consumer),
            partitions=(await self.layout()).commands,
        )

    async def layout(self) -> Layout:
        """Return how many partitions the topics have now; raises StoreError."""
        return await self._kafka.layout(self._consumer)

    @property
    def partitions(self) -> int:
        """How many partitions the commands topic has, as far as it is known."""
        known = self._consumer.partitions_for_topic(self._kafka.topics.commands)
        return len(known or ())

    def begin(self, partition: int, offset: int) -> None:
        """Read a partition from an offset on."""
        self._expected[partition] = offset
        self._readings[partition] = object()
        self._read_since[partition] = self._clock.monotonic()
        self._consumer.seek(self._commands(partition), offset)
        self._consumer.resume(self._commands(partition))

    def pause(self, partition: int) -> bool:
        """Read nothing of a partition for now; whether it was read until now."""
        commands = self._commands(partition)
        is_read = commands in self._consumer.assignment() - self._consumer.paused()
        if is_read:
            self._consumer.pause(commands)
        self._read_since.pop(partition, None)
        return is_read

    def resume(self, partition: int) -> None:
        """Go on reading a partition, if it is still ours."""
        commands = self._commands(partition)
        if commands in self._consumer.assignment() & self._consumer.paused():
            self._consumer.resume(commands)
            self._read_since[partition] = self._clock.monotonic()

    def _commands(self, partition: int) -> TopicPartition:
        return TopicPartition(self._kafka.topics.commands, partition)


async def _offsets_listed(admin: AIOKafkaAdminClient, group_id: str) -> Any:
    """Ask until there is somebody to ask: a new Kafka makes that when asked first."""
    while True:
        try:
            return await admin.list_consumer_group_offsets(group_id)
        except GroupCoordinatorNotAvailableError:
            await asyncio.sleep(0.1)


async def offsets_of(config: Config) -> dict[int, int]:
    """Return where the group stands."""
    admin = AIOKafkaAdminClient(**client_options(config.kafka))
    await bounded(admin.start(), "connecting")
    try:
        listed = _offsets_listed(admin, config.kafka.group_id)
        found = await bounded(listed, "asking for the group's offsets")
    finally:
        await admin.close()
    topic = config.topics.commands
    return {
        partition.partition: each.offset
        for partition, each in found.items()
        if partition.topic == topic
    }
