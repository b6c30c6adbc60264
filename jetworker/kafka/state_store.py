"""
The state of one partition in Kafka: fence, barrier, and the group commit.

Everything a worker knows is here. One transactional producer per partition, whose id
`jetworker-{state topic}-{partition}` fences every earlier owner, whatever its group is
called; every step is one part of one transaction: snapshot, events and input offset are
read together or not at all. The offset is kept in the state too, with whose it is.
"""

import asyncio
from collections import defaultdict, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any, TypeAlias, assert_never

from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.errors import InvalidTxnState, KafkaError, ProducerFenced
from aiokafka.producer.message_accumulator import BatchBuilder
from aiokafka.structs import OffsetAndMetadata

from jetworker.core.command import CommandId
from jetworker.core.errors import Fenced, StateLost, StoreError
from jetworker.core.growth import Layout, has_grown
from jetworker.core.resumption import (
    Gap,
    GoOn,
    Kept,
    Lost,
    Mark,
    Position,
    read_again,
    resume,
)
from jetworker.kafka.batches import batches, codec
from jetworker.kafka.clients import (
    KafkaClients,
    bounded,
    only_our_cancellation,
    retrieve,
)
from jetworker.kafka.ownership import Ownership, Source, last_kept
from jetworker.kafka.placing import place
from jetworker.kafka.reader import Barrier, keep, read
from jetworker.runtime.clock import Clock, wait
from jetworker.runtime.crash_points import Point, reach
from jetworker.runtime.metrics import Metrics
from jetworker.wire import positions
from jetworker.wire.handing import HANDED
from jetworker.wire.record import Record
from jetworker.wire.snapshots import BARRIER, is_own

_BATCH_STEPS = 500
_COMPANY = 0.2  # seconds that a step may wait for others

# aiokafka asserts its own state where a producer was fenced before it begins.
_FENCED = (ProducerFenced, AssertionError)


@dataclass(frozen=True, slots=True)
class Write:
    """
    What one transition writes; *offset* is the next input offset, if it moves.

    *can_wait*: nobody acts on it being durable, so it may wait a little for company.
    """

    records: tuple[Record, ...]
    offset: int | None = None
    can_wait: bool = False


_Submitted: TypeAlias = tuple[Write, "asyncio.Future[None]"]


@dataclass(frozen=True, slots=True)
class TakenOver:
    """
    A partition that is ours: its store, and the *latest* value of every key.

    *gap* is set where commands are not read on where reading ended. *handed* is what
    was handed over before the *barrier*, and not answered yet.
    """

    store: "StateStore"
    latest: dict[bytes, bytes]
    handed: dict[bytes, bytes]
    barrier: int
    gap: Gap | None = None


class StateStore:
    """
    One partition's transactional producer and the committer before it.

    A store that failed once is of no more use: whoever goes on opens a new one and
    restores.
    """

    def __init__(
        self,
        producer: AIOKafkaProducer,
        partition: int,
        kafka: KafkaClients,
        metrics: Metrics,
        clock: Clock,
    ) -> None:
        self._producer = producer
        self._commands = TopicPartition(kafka.topics.commands, partition)
        self._state = TopicPartition(kafka.topics.state, partition)
        self._kafka = kafka
        self._config = kafka.config
        self._metrics = metrics
        self._clock = clock
        self._position: Position | None = None
        self._events_topic = kafka.topics.events
        self._events = 0  # partitions
        self._deliveries_topic = kafka.topics.deliveries
        self._deliveries = 0  # partitions
        self._is_over = False
        self._waiting: deque[_Submitted] = deque()
        self._is_filled = asyncio.Event()
        self._is_pressing = asyncio.Event()

    def submit(self, step: Write) -> asyncio.Future[None]:
        """
        Hand *step* to the committer; the future is done when the step is durable.

        Steps are committed in the order of submission; one that can wait goes with the
        next that cannot, or soon by itself. The future raises StoreError when it is not
        known whether the step was taken.
        """
        done = asyncio.get_running_loop().create_future()
        if self._is_over:
            _give_up(done)
            return done
        self._waiting.append((step, done))
        self._is_filled.set()
        if not step.can_wait or len(self._waiting) >= _BATCH_STEPS:
            self._is_pressing.set()
        return done

    @property
    def offset(self) -> int:
        """The next offset to be read, as of the last commit."""
        assert self._position is not None
        return self._position.offset

    def told_on(self, command_id: CommandId) -> int:
        """Return the partition of the events of a command that begins now."""
        return place(command_id.encode(), self._events)

    def told_on_before(self, command_id: CommandId) -> int:
        """Return it for one that began before snapshots said so."""
        assert self._position is not None
        return place(command_id.encode(), self._position.events)

    @property
    def layout(self) -> Layout:
        """How many partitions the topics had when it was taken over."""
        assert self._position is not None
        return Layout(self._position.partitions, self._position.of)

    @property
    def is_grown(self) -> bool:
        """Whether they ever had fewer."""
        assert self._position is not None
        return self._position.is_grown

    @property
    def backlog(self) -> int:
        """How many steps wait."""
        return len(self._waiting)

    async def run(self) -> None:
        """Commit what waits, together, until an error (StoreError) or cancelled."""
        taken: list[_Submitted] = []
        try:
            while True:
                taken = await self._next()
                await self._commit([step for step, _ in taken])
                for _, done in taken:
                    if not done.done():
                        done.set_result(None)
        finally:
            self._is_over = True
            for _, done in (*taken, *self._waiting):
                _give_up(done)
            self._waiting.clear()

    async def _next(self) -> "list[_Submitted]":
        """
        Return what is committed next, in the order of submission.

        Nothing, where nothing comes for a session: who commits nothing would not notice
        that it was fenced, or that Kafka does not take its transactions any more.
        """
        await wait(self._is_filled, self._config.session_timeout.total_seconds())
        if self._is_filled.is_set():
            await wait(self._is_pressing, _COMPANY)
        number = min(len(self._waiting), _BATCH_STEPS)
        taken = [self._waiting.popleft() for _ in range(number)]
        if not self._waiting:
            self._is_filled.clear()
            self._is_pressing.clear()
        return taken

    @classmethod
    @asynccontextmanager
    async def take_over(
        cls,
        kafka: KafkaClients,
        partition: int,
        source: Source,
        metrics: Metrics,
        clock: Clock,
    ) -> AsyncIterator["TakenOver"]:
        """
        Take a partition over from whoever had it; each step is why the next is safe.

        1. Ask whose it is: who may not have it fences nobody (`ownership`), nor does who
           may have lost it while it was asked.
        2. Open the transactional producer: this fences the previous owner and ends its
           transaction. Nobody but us moves the offset or the state from now on.
        3. Commit a barrier record: what the previous owner wrote lies before it.
        4. Restore: read the state partition up to the barrier. It cannot be missed; to
           compare the position with the end would hang on trailing control records.
        5. Only now ask where the group stands and what the log is: before, an open
           transaction of the previous owner might still have moved the offset.
        6. Commit where reading goes on: the group's offset follows, downwards too.

        Raises StoreError: OwnedElsewhere, StateLost, or what Kafka did.
        """
        begun = await Ownership(kafka, source).check(partition)
        source.check_member()
        async with cls._opened(kafka, partition, metrics, clock) as store:
            reach(Point.FENCED)
            taken = await store._take(kafka, source, begun)  # noqa: SLF001 -- its own class
            yield taken

    @classmethod
    @asynccontextmanager
    async def _opened(
        cls, kafka: KafkaClients, partition: int, metrics: Metrics, clock: Clock
    ) -> AsyncIterator["StateStore"]:
        transactional_id = f"jetworker-{kafka.topics.state}-{partition}"
        async with kafka.producer(transactional_id) as producer:
            yield cls(producer, partition, kafka, metrics, clock)

    async def _take(
        self, kafka: KafkaClients, source: Source, begun: int
    ) -> "TakenOver":
        value = positions.encode_owner(self._config.group_id)
        (barrier,) = await self._commit([Write((self._own(BARRIER, value),))])
        handed: dict[bytes, bytes] = {}
        latest, kept = await self._restore(kafka, barrier, handed)
        found = await source.found(self._state.partition)
        self._events = await bounded(self._count_events(), "reading metadata")
        match resume(kept, found, self._config.group_id):
            case Lost(why):
                raise StateLost(why)
            case GoOn(offset, gap):
                layout = _layout(kept, found.partitions, begun)
                self._position = Position(
                    self._config.group_id,
                    offset,
                    found.topic_id,
                    layout.commands,
                    layout.state,
                    kept.events
                    if isinstance(kept, Position) and kept.events
                    else self._events,
                    is_grown=await self._has_grown(kafka, kept, layout),
                    again=read_again(kept, gap, found),
                )
                await self._commit([Write((), offset)])
                return TakenOver(self, latest, handed, barrier, gap)
            case never:
                assert_never(never)

    async def _has_grown(self, kafka: KafkaClients, kept: Kept, now: Layout) -> bool:
        """Whether the topics ever had fewer partitions; who is new asks the others."""
        if isinstance(kept, Position):
            return has_grown(kept, now)
        others = (await last_kept(kafka, self._state.topic)).values()
        return any(
            has_grown(each, now) for each in others if isinstance(each, Position)
        )

    async def _restore(
        self, kafka: KafkaClients, barrier: int, handed: dict[bytes, bytes]
    ) -> tuple[dict[bytes, bytes], Kept]:
        """Return the latest value of every key before the barrier, and what it kept."""
        latest: dict[bytes, bytes] = {}
        kept: Kept = Mark.EMPTY
        async for batch in read(kafka, self._state, Barrier(barrier)):
            for record in batch:
                key, value = record.key, record.value
                keep(latest, key, value)
                if kept is Mark.EMPTY or is_own(key):  # nothing else says anything
                    _note_handed(handed, key, value)
                    kept = positions.fold(kept, key, value)
        return latest, kept

    def _own(self, key: bytes, value: bytes) -> Record:
        return Record(self._state.topic, key, value, partition=self._state.partition)

    async def _commit(self, steps: list[Write]) -> list[int]:
        """
        Make steps durable in one transaction, one deadline around all of it.

        1. Begin with the offsets, if they moved: this spares Kafka 3.7 its KAFKA-16386.
           Where there is nothing else they are what shows whether we are fenced.
        2. Send the records, in the order of the steps.
        3. Await every batch: aiokafka commits a transaction without the one that it
           failed to send.
        4. Commit. Only then does anybody learn of it.
        """
        began = self._clock.monotonic()
        deadline = self._config.transaction_timeout.total_seconds()
        try:
            with only_our_cancellation("committing"):
                async with asyncio.timeout(deadline):
                    positions = await self._transact(steps)
        except _FENCED as exc:
            self._metrics.kafka_transactions_total.labels("fenced").inc()
            msg = "another worker owns the partition now"
            raise Fenced(msg) from exc
        except (KafkaError, TimeoutError, OSError) as exc:
            self._metrics.kafka_transactions_total.labels("aborted").inc()
            msg = f"the transaction was not committed: {type(exc).__name__}: {exc}"
            raise StoreError(msg) from exc
        took = self._clock.monotonic() - began
        self._metrics.kafka_transactions_total.labels("committed").inc()
        self._metrics.kafka_commit_duration_seconds.observe(took)
        return positions

    async def _transact(self, steps: list[Write]) -> list[int]:
        offsets = [step.offset for step in steps if step.offset is not None]
        records = [record for step in steps for record in step.records]
        self._events = await self._count_events()
        if self._deliveries_topic is not None:
            rows = await self._producer.partitions_for(self._deliveries_topic)
            self._deliveries = len(rows)
        await self._producer.begin_transaction()
        if self._position is not None and (offsets or not records):
            moved = max([self._position.offset, *offsets])
            self._position = replace(self._position, offset=moved)
            await self._producer.send_offsets_to_transaction(
                {self._commands: OffsetAndMetadata(moved, "")}, self._config.group_id
            )
            if offsets:
                value = positions.encode(self._position)
                records.append(self._own(positions.POSITION, value))
        sent: list[asyncio.Future[Any]] = []
        for where, some in (await self._placed(records)).items():
            how = codec(some, is_ours=where.topic == self._state.topic)
            for batch in batches(some, how):
                sent.append(await self._send(batch, where))
                sent[-1].add_done_callback(retrieve)
        answers: list[Any] = await asyncio.gather(*sent, return_exceptions=True)
        errors = [each for each in answers if isinstance(each, BaseException)]
        if errors:
            raise _cause(errors)
        if offsets:
            reach(Point.UNCOMMITTED)
        await self._producer.commit_transaction()
        return [begins.offset for begins in answers]

    async def _count_events(self) -> int:
        """Return how many partitions the events topic has: it may grow at any time."""
        return len(await self._producer.partitions_for(self._events_topic))

    async def _send(self, batch: BatchBuilder, where: TopicPartition) -> Any:
        """Hand a batch over; returns the future of where it begins."""
        return await self._producer.send_batch(
            batch, where.topic, partition=where.partition
        )

    async def _placed(
        self, records: list[Record]
    ) -> dict[TopicPartition, list[Record]]:
        """Return the records of each partition, in their order."""
        placed: defaultdict[TopicPartition, list[Record]] = defaultdict(list)
        counted: dict[str, int] = {}
        for record in records:
            partition = self._partition(record)
            if partition is None:
                if record.partition is not None:
                    await self._must_be_gone(record.topic, record.partition, counted)
                known = await self._producer.partitions_for(record.topic)
                partition = self._by_key(record.key, len(known))
            placed[TopicPartition(record.topic, partition)].append(record)
        return placed

    def _partition(self, record: Record) -> int | None:
        """
        Leave an event to its key where its topic was made anew, with fewer.

        And its row, where the deliveries topic has not grown yet as the events topic has.
        """
        there = {
            self._events_topic: self._events,
            self._deliveries_topic: self._deliveries,
        }.get(record.topic)
        is_gone = there is not None and (
            record.partition is not None and record.partition >= there
        )
        return None if is_gone else record.partition

    async def _must_be_gone(
        self, topic: str, partition: int, counted: dict[str, int]
    ) -> None:
        """
        Raise StoreError where a topic has a partition that the producer does not know.

        One broker told the producer, and may be late to know of a growth. All are asked,
        once for those topics that are *counted* then.
        """
        if topic not in counted:
            counted[topic] = await self._kafka.count(self._producer, topic)
        if partition < counted[topic]:
            msg = f"{topic} is shown without partition {partition}, which it has"
            raise StoreError(msg)

    def _by_key(self, key: bytes | None, partitions: int) -> int:
        """Return a key's partition; what has none goes where others from here do."""
        return (
            self._state.partition % partitions
            if key is None
            else place(key, partitions)
        )


def _layout(kept: Kept, commands: int, state: int) -> Layout:
    """Return the present layout: a broker that is late shows less than is known."""
    if isinstance(kept, Position):
        return Layout(max(kept.partitions, commands), max(kept.of, state))
    return Layout(commands, state)


def _note_handed(
    handed: dict[bytes, bytes], key: bytes | None, value: bytes | None
) -> None:
    """Keep what is handed over until it is answered, in the order of its coming."""
    if key is None or not key.startswith(HANDED):
        return
    handed.pop(key, None)
    if value is not None:
        handed[key] = value


def _cause(errors: list[BaseException]) -> BaseException:
    """Return the error that says why: one record's makes the others' InvalidTxnState."""
    telling = [each for each in errors if not isinstance(each, InvalidTxnState)]
    return (telling or errors)[0]


def _give_up(done: "asyncio.Future[None]") -> None:
    if not done.done():
        done.set_exception(StoreError("the partition's life is over"))
        done.exception()  # retrieved: nobody may be waiting any more
