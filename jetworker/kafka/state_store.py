"""
The state of one partition in Kafka: fence, barrier, and the group commit.

Everything a worker knows is here. One transactional producer per partition, whose id
`{group}-{topic}-{partition}` fences every earlier owner; every step is one part of one
transaction: snapshot, events and input offset are read together or not at all.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.errors import InvalidTxnState, KafkaError, ProducerFenced
from aiokafka.structs import OffsetAndMetadata

from jetworker.core.errors import Fenced, StoreError
from jetworker.kafka.clients import KafkaClients, bounded
from jetworker.kafka.reader import Barrier, keep, read
from jetworker.runtime.clock import Clock
from jetworker.runtime.crash_points import Point, reach
from jetworker.runtime.metrics import Metrics
from jetworker.wire.record import Record
from jetworker.wire.snapshots import BARRIER

_BATCH_STEPS = 500

# aiokafka asserts its own state where a producer was fenced before it begins.
_FENCED = (ProducerFenced, AssertionError)


@dataclass(frozen=True, slots=True)
class Write:
    """What one transition writes; *offset* is the next input offset, if it moves."""

    records: tuple[Record, ...]
    offset: int | None = None


@dataclass(frozen=True, slots=True)
class TakenOver:
    """A partition that is ours: its store, and the *latest* value of every key."""

    store: "StateStore"
    latest: dict[bytes, bytes]


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
        self._config = kafka.config
        self._metrics = metrics
        self._clock = clock
        self.offset = 0  # the next to be read, as of the last commit
        self._is_over = False
        self._waiting: asyncio.Queue[tuple[Write, asyncio.Future[None]]]
        self._waiting = asyncio.Queue()
        self.committed_at = clock.monotonic()

    def submit(self, step: Write) -> asyncio.Future[None]:
        """
        Hand *step* to the committer; the future is done when the step is durable.

        Steps are committed in the order of submission. The future raises StoreError
        when it is not known whether the step was taken.
        """
        done = asyncio.get_running_loop().create_future()
        if self._is_over:
            _give_up(done)
        else:
            self._waiting.put_nowait((step, done))
        return done

    @property
    def backlog(self) -> int:
        """How many steps wait."""
        return self._waiting.qsize()

    async def run(self) -> None:
        """Commit what waits, together, until an error (StoreError) or cancelled."""
        taken: list[tuple[Write, asyncio.Future[None]]] = []
        try:
            while True:
                taken = [await self._waiting.get()]
                while not self._waiting.empty() and len(taken) < _BATCH_STEPS:
                    taken.append(self._waiting.get_nowait())
                await self._commit([step for step, _ in taken])
                for _, done in taken:
                    if not done.done():
                        done.set_result(None)
        finally:
            self._is_over = True
            while not self._waiting.empty():
                taken.append(self._waiting.get_nowait())
            for _, done in taken:
                _give_up(done)

    @classmethod
    @asynccontextmanager
    async def take_over(
        cls,
        kafka: KafkaClients,
        partition: int,
        committed: Callable[[], Awaitable[int]],
        metrics: Metrics,
        clock: Clock,
    ) -> AsyncIterator["TakenOver"]:
        """
        Take a partition over from whoever had it; each step is why the next is safe.

        1. Open the transactional producer: this fences the previous owner and ends its
           transaction. Nobody but us moves the offset or the state from now on.
        2. Only now ask for the *committed* offset: before, an open transaction of the
           previous owner might still have moved it.
        3. Commit a barrier record: what the previous owner wrote lies before it.
        4. Restore: read the state partition up to the barrier. It cannot be missed; to
           compare the position with the end would hang on trailing control records.

        Raises StoreError, also while there is no such state partition: the commands
        topic has grown first.
        """
        async with cls._opened(kafka, partition, metrics, clock) as store:
            reach(Point.FENCED)
            store.offset = await committed()
            barrier = await store._barrier()  # noqa: SLF001 -- its own class
            latest = await store._restore(kafka, barrier)  # noqa: SLF001 -- its own class
            yield TakenOver(store, latest)

    @classmethod
    @asynccontextmanager
    async def _opened(
        cls, kafka: KafkaClients, partition: int, metrics: Metrics, clock: Clock
    ) -> AsyncIterator["StateStore"]:
        topic = kafka.topics.commands
        transactional_id = f"{kafka.config.group_id}-{topic}-{partition}"
        async with kafka.producer(transactional_id) as producer:
            yield cls(producer, partition, kafka, metrics, clock)

    async def _restore(self, kafka: KafkaClients, barrier: int) -> dict[bytes, bytes]:
        """Return the latest value of every key before the barrier."""
        latest: dict[bytes, bytes] = {}
        async for batch in read(kafka, self._state, Barrier(barrier)):
            for record in batch:
                keep(latest, record.key, record.value)
        return latest

    async def _barrier(self) -> int:
        """Commit a barrier record and return its offset in the state partition."""
        partition, topic = self._state.partition, self._state.topic
        known = await bounded(self._producer.partitions_for(topic), "reading metadata")
        if partition not in known:
            msg = (
                f"{topic} has no partition {partition}: give it as many as commands has"
            )
            raise StoreError(msg)
        record = Record(self._state.topic, BARRIER, b"{}", partition=partition)
        (position,) = await self._commit([Write((record,))])
        return position

    async def _commit(self, steps: list[Write]) -> list[int]:
        """
        Make steps durable in one transaction, one deadline around all of it.

        1. Begin with the offsets, also when they did not move: this order takes 5 ms
           where records first take 26 (the broker is still writing the previous
           transaction's markers), and spares Kafka 3.7 its KAFKA-16386.
        2. Send the records, in the order of the steps.
        3. Await every record: aiokafka commits a transaction without the record that
           it failed to send.
        4. Commit. Only then does anybody learn of it.
        """
        began = self._clock.monotonic()
        deadline = self._config.transaction_timeout.total_seconds()
        try:
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
        self.committed_at = began
        took = self._clock.monotonic() - began
        self._metrics.kafka_transactions_total.labels("committed").inc()
        self._metrics.kafka_commit_duration_seconds.observe(took)
        return positions

    async def _transact(self, steps: list[Write]) -> list[int]:
        offsets = [step.offset for step in steps if step.offset is not None]
        self.offset = max([self.offset, *offsets])
        await self._producer.begin_transaction()
        await self._producer.send_offsets_to_transaction(
            {self._commands: OffsetAndMetadata(self.offset, "")},
            self._config.group_id,
        )
        sent: list[asyncio.Future[Any]] = []
        for record in (record for step in steps for record in step.records):
            sent.append(await self._send(record))
            sent[-1].add_done_callback(_retrieve)
        answers: list[Any] = await asyncio.gather(*sent, return_exceptions=True)
        errors = [each for each in answers if isinstance(each, BaseException)]
        if errors:
            raise _cause(errors)
        if offsets:
            reach(Point.UNCOMMITTED)
        await self._producer.commit_transaction()
        return [metadata.offset for metadata in answers]

    async def _send(self, record: Record) -> Any:
        """Hand a record over; returns the future of its metadata."""
        if record.key is None and record.value is None:
            return await self._send_empty(record)
        return await self._producer.send(
            record.topic,
            key=record.key,
            value=record.value,
            partition=record.partition,
            headers=list(record.headers),
        )

    async def _send_empty(self, record: Record) -> Any:
        """`send` refuses a record with neither key nor value (a parked tombstone)."""
        batch = self._producer.create_batch()
        batch.append(key=None, value=None, timestamp=None, headers=list(record.headers))
        partitions = await self._producer.partitions_for(record.topic)
        partition = self._commands.partition % len(partitions)
        return await self._producer.send_batch(batch, record.topic, partition=partition)


def _retrieve(sent: "asyncio.Future[Any]") -> None:
    """Take note of an error that a record had after another one's was raised."""
    if not sent.cancelled():
        sent.exception()


def _cause(errors: list[BaseException]) -> BaseException:
    """Return the error that says why: one record's makes the others' InvalidTxnState."""
    telling = [each for each in errors if not isinstance(each, InvalidTxnState)]
    return (telling or errors)[0]


def _give_up(done: "asyncio.Future[None]") -> None:
    if not done.done():
        done.set_exception(StoreError("the partition's life is over"))
        done.exception()  # retrieved: nobody may be waiting any more
