"""The Kafka clients we open, in one place: what each is set to, and why."""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any, TypeVar

import structlog
from aiokafka import (
    AIOKafkaConsumer,
    AIOKafkaProducer,
    ConsumerRebalanceListener,
    TopicPartition,
)
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.coordinator.assignors.sticky.sticky_assignor import (
    StickyPartitionAssignor,
)
from aiokafka.errors import (
    GroupAuthorizationFailedError,
    InvalidTopicError,
    KafkaConnectionError,
    KafkaError,
    ProducerFenced,
    TopicAuthorizationFailedError,
    TransactionalIdAuthorizationFailed,
    UnknownTopicOrPartitionError,
    for_code,
)
from aiokafka.producer import sender
from aiokafka.producer.message_accumulator import BatchBuilder
from aiokafka.structs import OffsetAndMetadata
from typing_extensions import override

from jetworker.config.model import KafkaConfig, TopicsConfig
from jetworker.core.errors import ConfigurationError, Fenced, NotAllowed, StoreError
from jetworker.core.growth import Layout
from jetworker.kafka import lenient_records, topic_ids
from jetworker.kafka.pulse import Pulse
from jetworker.kafka.sign_in import client_options

log = structlog.get_logger()

lenient_records.install()

_MARKERS_MS = 3  # until a marker that Kafka is still writing is asked for again
# The same where a transaction begins with records: aiokafka always waits 20 ms there.
sender.BACKOFF_OVERRIDE = _MARKERS_MS / 1000

CALL_TIMEOUT = 15.0  # seconds
_REFUSED = (
    GroupAuthorizationFailedError,
    TopicAuthorizationFailedError,
    TransactionalIdAuthorizationFailed,
)
_NO_TOPIC = (UnknownTopicOrPartitionError, InvalidTopicError)
_CLOSE_TIMEOUT = 3.0
_FETCH_LIMIT = 4 << 20
_UNPACKED_LIMIT = 256 << 20
_T = TypeVar("_T")
# As aiokafka shows where it tried to bootstrap: [('host', 9092, <AddressFamily ...>)].
_ADDRESS = re.compile(r"\('([^']+)', (\d+), ")
# A seek to the beginning races with the first reset of the position, which by default
# is one to the end: then nothing would be read at all, and nobody would know.
_READER: dict[str, Any] = {
    "group_id": None,
    "isolation_level": "read_committed",
    "auto_offset_reset": "earliest",
}


class KafkaClients:
    """Opens producers, readers and the group's member for one worker."""

    def __init__(
        self,
        config: KafkaConfig,
        topics: TopicsConfig,
        current: Callable[[], KafkaConfig] | None = None,
    ) -> None:
        """Take *current* to read the settings anew: secrets and addresses change."""
        self.config = config
        self.topics = topics
        # Partitions that are new are begun together: one after another looks at them.
        self.beginning = asyncio.Lock()
        self._current = current or (lambda: config)

    def _options(self) -> dict[str, Any]:
        """Return what a client connects with, as it is now; raises StoreError."""
        try:
            return client_options(self._current())
        except (ConfigurationError, ValueError) as exc:
            msg = f"the settings cannot be used as they are now: {exc}"
            raise StoreError(msg) from exc

    @asynccontextmanager
    async def producer(self, transactional_id: str) -> AsyncIterator[AIOKafkaProducer]:
        """
        Open a transactional producer: this fences every earlier one of the same id.

        The small retry back-off is what makes a transaction take 5 ms instead of 109: the
        broker may still write the markers of the one before. Compressed, since the
        broker's limit is for what is: a record that came in compressed must go out again;
        who sends batches chooses for each. Raises StoreError.
        """
        timeout = self.config.transaction_timeout.total_seconds()
        producer = _TransactionalProducer(  # type: ignore[no-untyped-call]  # theirs has no types
            **self._options(),
            transactional_id=transactional_id,
            transaction_timeout_ms=int(timeout * 1000),
            retry_backoff_ms=_MARKERS_MS,
            max_batch_size=1 << 20,
            compression_type="gzip",
            max_request_size=_UNPACKED_LIMIT,
        )
        try:
            starting = producer.start()
            await bounded(starting, "opening the producer")
            yield producer
        finally:
            try:
                await _close(producer)
            finally:
                producer.heed()

    @asynccontextmanager
    async def reader(
        self, what: TopicPartition | str, **options: Any
    ) -> AsyncIterator[AIOKafkaConsumer]:
        """
        Open a consumer without a group that sees only what is committed.

        It reads one partition, or all that a topic has as it is opened. A consumer that
        subscribes would be given those of a topic that grows in the midst of a reading,
        and with them all places anew.
        """
        consumer = AIOKafkaConsumer(
            **self._options(),
            **{**_READER, **options},
            enable_auto_commit=False,
            max_partition_fetch_bytes=_FETCH_LIMIT,
            fetch_max_wait_ms=100,
        )
        try:
            await bounded(consumer.start(), "opening a reader")
            consumer.assign(
                [what]
                if isinstance(what, TopicPartition)
                else await self.partitions(consumer, what)
            )
            yield consumer
        finally:
            await _close(consumer)

    def member(self, pulse: Pulse) -> AIOKafkaConsumer:
        """
        Make a consumer that will be a member of the group; see `joined`.

        Sticky assignment keeps partitions where they are restored. The rebalance
        time-out leaves room for a drain; heartbeats come often enough for a
        rebalance to be noticed within seconds.
        """
        session = int(self.config.session_timeout.total_seconds() * 1000)
        consumer = AIOKafkaConsumer(
            **self._options(),
            group_id=self.config.group_id,
            group_instance_id=self.config.group_instance_id,
            isolation_level="read_committed",
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            session_timeout_ms=session,
            heartbeat_interval_ms=max(100, min(3000, session // 10)),
            rebalance_timeout_ms=max(30_000, session),
            max_poll_interval_ms=300_000,
            max_partition_fetch_bytes=_FETCH_LIMIT,
            metadata_max_age_ms=30_000,
            partition_assignment_strategy=[StickyPartitionAssignor],
        )
        pulse.watch(consumer)
        return consumer

    @asynccontextmanager
    async def joined(
        self, consumer: AIOKafkaConsumer, listener: ConsumerRebalanceListener
    ) -> AsyncIterator[None]:
        """Join the group that shares the commands topic, and leave it in the end."""
        consumer.subscribe([self.topics.commands], listener=listener)
        try:
            await bounded(consumer.start(), "joining the group", seconds=60)
            yield
        finally:
            await _close(consumer)

    async def topic_id(self, consumer: AIOKafkaConsumer) -> str | None:
        """Return the id of the commands topic, None if Kafka is too old to tell."""
        client = consumer._client  # noqa: SLF001 -- aiokafka asks for no ids of topics
        asked = topic_ids.ask(client, self.topics.commands)
        return await bounded(asked, "asking for the commands topic's id")

    async def layout(self, consumer: AIOKafkaConsumer) -> Layout:
        """Return how many partitions the commands and the state have now."""
        client = consumer._client  # noqa: SLF001 -- aiokafka asks every few minutes
        asked = topic_ids.count(client, self.topics.commands, self.topics.state)
        return Layout(*await bounded(asked, "asking for the number of partitions"))

    async def partitions(
        self, consumer: AIOKafkaConsumer, topic: str
    ) -> list[TopicPartition]:
        """Return the partitions that a topic has now."""
        client = consumer._client  # noqa: SLF001 -- aiokafka asks every few minutes
        doing = f"asking for the partitions of {topic}"
        (count,) = await bounded(topic_ids.count(client, topic), doing)
        return [TopicPartition(topic, number) for number in range(count)]

    async def count(self, producer: AIOKafkaProducer, topic: str) -> int:
        """Return how many partitions a topic has now: of none that is there, none."""
        doing = f"asking for the partitions of {topic}"
        try:
            # A producer waits for one that is not there, and may have it made.
            (found,) = await bounded(topic_ids.count(producer.client, topic), doing)
        except StoreError as exc:
            if isinstance(exc.__cause__, _NO_TOPIC):
                return 0
            raise
        return found

    def admin(self) -> AIOKafkaAdminClient:
        """Make a client that asks about groups; raises StoreError."""
        return AIOKafkaAdminClient(**self._options())

    async def has_members(self, group_id: str) -> bool | None:
        """Return whether a group has members, None if we may not ask."""
        admin = self.admin()
        doing = f"asking for the members of group {group_id}"
        try:
            await bounded(admin.start(), doing)
            asked = admin.describe_consumer_groups([group_id])
            answers: list[Any] = await bounded(asked, doing)
        except NotAllowed:
            return None
        finally:
            await admin.close()
        (group,) = answers[0].groups
        error = for_code(group[0])
        if error is GroupAuthorizationFailedError:
            return None
        if group[0]:
            msg = f"{doing}: {error.__name__}"
            raise StoreError(msg)
        return bool(group[5])


class _TransactionalProducer(AIOKafkaProducer):
    """
    A producer whose failures are told once, by the error that ends its use.

    aiokafka keeps them in futures too, for whoever commits or waits for room. After a
    failure nobody does, and asyncio would complain of each future that is forgotten.
    """

    @override
    async def start(self) -> None:
        """Connect; when what sends ends by itself, all that waits for it fails first."""
        await super().start()  # type: ignore[no-untyped-call]  # theirs has no types
        self._sender.sender_task.add_done_callback(lambda _: self.heed())

    @override
    async def begin_transaction(self) -> None:
        """Begin one."""
        await super().begin_transaction()  # type: ignore[no-untyped-call]  # theirs has no types
        self._heed_end()

    @override
    async def send_offsets_to_transaction(
        self, offsets: Mapping[TopicPartition, OffsetAndMetadata], group_id: str
    ) -> None:
        """Add offsets; what becomes of them when nobody waits any more is kept for nobody."""
        try:
            await super().send_offsets_to_transaction(offsets, group_id)  # type: ignore[no-untyped-call]  # theirs has no types
        except asyncio.CancelledError:
            for _, _, added in self._txn_manager._pending_txn_offsets:  # noqa: SLF001 -- handed to nobody
                added.add_done_callback(retrieve)
            raise

    @override
    async def send_batch(
        self, batch: BatchBuilder, topic: str, *, partition: int
    ) -> "asyncio.Future[Any]":
        """
        Hand a batch over; returns a future of where it begins.

        That is a shield: who waits no more has looked at it, and not at what is behind.
        """
        sent: asyncio.Future[Any] = await super().send_batch(  # type: ignore[no-untyped-call]  # theirs has no types
            batch, topic, partition=partition
        )
        where = TopicPartition(topic, partition)
        for each in self._message_accumulator._batches.get(where, ()):  # noqa: SLF001 -- handed to nobody
            each.future.add_done_callback(retrieve)
        return sent

    def heed(self) -> None:
        """Take note of what is kept for nobody, when it has failed or is closed."""
        self._heed_end()
        for batches in self._message_accumulator._batches.values():  # noqa: SLF001 -- they are handed to nobody
            for batch in batches:
                batch._drain_waiter.add_done_callback(retrieve)  # noqa: SLF001 -- as above

    def _heed_end(self) -> None:
        end = self._txn_manager.wait_for_transaction_end()
        if end is not None:  # None where none was begun
            end.add_done_callback(retrieve)


def retrieve(done: "asyncio.Future[Any]") -> None:
    """Take note of an error that is told by another one, raised before it."""
    if not done.cancelled():
        done.exception()


async def bounded(
    call: Awaitable[_T], what: str, *, seconds: float = CALL_TIMEOUT
) -> _T:
    """Await a call of aiokafka, which has no time-outs; foreign errors become ours."""
    try:
        with only_our_cancellation(what):
            async with asyncio.timeout(seconds):
                return await call
    except ProducerFenced as exc:
        msg = f"{what}: another worker owns the partition now"
        raise Fenced(msg) from exc
    except UnknownTopicOrPartitionError as exc:  # to whom may not see it, too
        cure = "correct its name, run `jetworker topics create`, or allow this user to see it"
        msg = f"{what}: Kafka shows no such topic ({type(exc).__name__}): {cure}"
        raise NotAllowed(msg) from exc
    except _REFUSED as exc:
        msg = f"{what}: {type(exc).__name__}: {exc}"
        raise NotAllowed(msg) from exc
    except (KafkaError, TimeoutError, OSError) as exc:
        msg = f"{what}: {in_words(exc)}"
        raise StoreError(msg) from exc


@contextmanager
def only_our_cancellation(what: str) -> Iterator[None]:
    """
    Let a cancellation through only if somebody cancelled us; else raise StoreError.

    aiokafka cancels tasks of its own, and awaits them where we await it (`Fetcher.close`).
    What comes out looks like our own cancellation, at which a loop ends without a word.
    And it may catch ours there: that is raised again, or we would go on for ever.
    """
    task = asyncio.current_task()
    before = task.cancelling() if task else 0
    try:
        yield
    except asyncio.CancelledError as exc:
        if task is None or task.cancelling():
            raise
        msg = f"{what}: the client of Kafka has cancelled it"
        raise StoreError(msg) from exc
    if task is not None and task.cancelling() > before:
        raise asyncio.CancelledError


def in_words(exc: KafkaError | TimeoutError | OSError) -> str:
    """Return what a client of Kafka complains of, without the library's own objects."""
    if isinstance(exc, KafkaConnectionError):
        servers = [f"{host}:{port}" for host, port in _ADDRESS.findall(str(exc))]
        if servers:
            return f"no broker answers at {', '.join(servers)}"
    if isinstance(exc, TimeoutError):
        return "no answer in time (TimeoutError)"
    text = str(exc)
    name = type(exc).__name__
    return text if name in text else f"{name}: {text}"


async def _close(client: AIOKafkaProducer | AIOKafkaConsumer) -> None:
    """Close a client of ours; one that hangs or is broken is cut off."""
    try:
        with only_our_cancellation("closing"):
            async with asyncio.timeout(_CLOSE_TIMEOUT):
                await client.stop()  # type: ignore[no-untyped-call]  # theirs has no types
    except (KafkaError, StoreError, TimeoutError, OSError, AssertionError) as exc:
        log.warning("a kafka client did not close, it is cut off", error=str(exc))
        await _cut_off(client)


async def _cut_off(client: AIOKafkaProducer | AIOKafkaConsumer) -> None:
    """End what a client that did not close would go on with: retries, for ever."""
    if isinstance(client, AIOKafkaProducer):
        network = client.client
        if (sending := client._sender.sender_task) is not None:  # noqa: SLF001 -- `stop` leaves it running
            sending.cancel()
    else:
        network = client._client  # noqa: SLF001 -- `stop` did not come to it
    with suppress(KafkaError, StoreError, TimeoutError, OSError):
        await bounded(network.close(), "closing the connections", seconds=1)
