"""
What aiokafka and Kafka really do, where the worker is built upon it.

Each test pins one surprise; if it turns red after an upgrade, the code that works
around it (or relies on it) may change. Not here, because:

- Transactional offsets of a group whose member the producer is not (so the group does
  not fence): every end-to-end test depends on it.
- A broker that aborts an overdue transaction: it looks for them every ten seconds, too
  slow for every run. The worker's own deadline is shorter.
- Ids of producers expired after seven days: no broker setting makes that short.
- Static membership, `getmany` that waits out a rebalance: durations only, no fact that
  one could wait for. The worker does all timed work in other tasks.
- Assignors' state kept on the class: a matter of one process with two consumers, which
  the worker never is.
- TxnOffsetCommit answering 13: Kafka 3.7.0 only.
- Re-authentication, moved leaders and coordinators: one broker without security has
  none.
"""

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiokafka import (
    AIOKafkaConsumer,
    AIOKafkaProducer,
    ConsumerRebalanceListener,
    TopicPartition,
)
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError, ProducerFenced
from aiokafka.structs import OffsetAndMetadata
from typing_extensions import override

from jetworker.config.model import TopicsConfig
from jetworker.kafka import topics as layout
from jetworker.sandbox.kafka.broker import EmbeddedKafka
from tests.support.kafka import broker as brokers
from tests.support.waiting import PATIENCE, until

pytestmark = pytest.mark.integration


@asynccontextmanager
async def _producer(kafka: str, **options: Any) -> AsyncIterator[AIOKafkaProducer]:
    producer = AIOKafkaProducer(
        bootstrap_servers=kafka, **{"retry_backoff_ms": 1, **options}
    )
    await producer.start()
    try:
        yield producer
    finally:
        await asyncio.wait_for(producer.stop(), PATIENCE)


@asynccontextmanager
async def _reader(
    kafka: str, isolation: str, *partitions: TopicPartition
) -> AsyncIterator[AIOKafkaConsumer]:
    consumer = AIOKafkaConsumer(
        bootstrap_servers=kafka,
        isolation_level=isolation,
        auto_offset_reset="earliest",
        fetch_max_wait_ms=50,
    )
    await consumer.start()
    try:
        consumer.assign(partitions)
        yield consumer
    finally:
        await consumer.stop()


@asynccontextmanager
async def _member(
    kafka: str, topic: str, group: str, listener: ConsumerRebalanceListener
) -> AsyncIterator[AIOKafkaConsumer]:
    consumer = AIOKafkaConsumer(
        bootstrap_servers=kafka,
        group_id=group,
        enable_auto_commit=False,
        session_timeout_ms=1000,
        heartbeat_interval_ms=100,
        metadata_max_age_ms=1000,
    )
    consumer.subscribe([topic], listener=listener)
    await consumer.start()
    try:
        yield consumer
    finally:
        await consumer.stop()


class Listener(ConsumerRebalanceListener):
    """Counts what it is told, and does what a test wants it to."""

    def __init__(
        self, on_assigned: Callable[[], Awaitable[None]] | None = None
    ) -> None:
        self.assigned: list[set[TopicPartition]] = []
        self.revoked: list[set[TopicPartition]] = []
        self._on_assigned = on_assigned

    @override
    async def on_partitions_assigned(
        self, assigned: Collection[TopicPartition]
    ) -> None:
        self.assigned.append(set(assigned))
        if self._on_assigned is not None:
            await self._on_assigned()

    @override
    async def on_partitions_revoked(self, revoked: Collection[TopicPartition]) -> None:
        self.revoked.append(set(revoked))


def _an_id() -> str:
    return f"facts-{uuid.uuid4().hex[:10]}"


async def _values(reader: AIOKafkaConsumer, last: bytes) -> list[bytes]:
    """Read until a value comes."""
    found: list[bytes] = []

    async def has_come() -> bool:
        for records in (await reader.getmany(timeout_ms=50)).values():
            found.extend(record.value or b"" for record in records)
        return last in found

    await until(has_come, f"{last!r}, only {found}")
    return found


async def _committed(consumer: AIOKafkaConsumer, where: TopicPartition) -> int | None:
    offset: int | None = await consumer.committed(where)
    return offset


async def test_a_successor_fences_and_the_zombies_commit_says_so(
    kafka: str, topics: TopicsConfig
) -> None:
    """Nothing of a partition's former owner can become visible any more."""
    same, where = _an_id(), TopicPartition(topics.events, 0)
    async with _producer(kafka, transactional_id=same) as zombie:
        await zombie.begin_transaction()
        await zombie.send_and_wait(topics.events, b"zombie", partition=0)
        async with _producer(kafka, transactional_id=same) as owner:
            with pytest.raises(ProducerFenced):
                await zombie.commit_transaction()
            with pytest.raises(AssertionError):  # it is of no more use
                await zombie.begin_transaction()
            async with owner.transaction():
                await owner.send_and_wait(topics.events, b"owner", partition=0)
    async with _reader(kafka, "read_committed", where) as reader:
        assert await _values(reader, b"owner") == [b"owner"]


async def test_an_offset_asked_for_before_the_fence_may_be_overtaken(
    kafka: str, topics: TopicsConfig
) -> None:
    """An open transaction may still move it; after the fence nobody can."""
    same, group = _an_id(), _an_id()
    where = TopicPartition(topics.commands, 0)
    async with (
        _member(kafka, topics.commands, group, Listener()) as member,
        _producer(kafka, transactional_id=same) as former,
    ):
        await former.begin_transaction()
        await former.send_offsets_to_transaction({where: _at(7)}, group)
        too_early = await _committed(member, where)
        await former.commit_transaction()
        await former.begin_transaction()
        await former.send_offsets_to_transaction({where: _at(9)}, group)
        async with _producer(kafka, transactional_id=same):
            after_the_fence = await _committed(member, where)
            with pytest.raises(ProducerFenced):
                await former.commit_transaction()

            assert (too_early, after_the_fence) == (None, 7)
            assert await _committed(member, where) == 7


def _at(offset: int) -> OffsetAndMetadata:
    return OffsetAndMetadata(offset, "")


async def test_only_what_was_committed_is_read_by_a_read_committed_reader(
    kafka: str, topics: TopicsConfig
) -> None:
    where = TopicPartition(topics.events, 0)
    async with (
        _producer(kafka, transactional_id=_an_id()) as producer,
        _producer(kafka, transactional_id=_an_id()) as other,
    ):
        await producer.begin_transaction()
        await producer.send_and_wait(topics.events, b"aborted", partition=0)
        await producer.abort_transaction()
        async with producer.transaction():
            await producer.send_and_wait(topics.events, b"committed", partition=0)
        await other.begin_transaction()
        await other.send_and_wait(topics.events, b"open", partition=0)

        async with _reader(kafka, "read_uncommitted", where) as reader:
            everything = await _values(reader, b"open")
        async with _reader(kafka, "read_committed", where) as reader:
            visible = await _values(reader, b"committed")
            nothing_more = await reader.getmany(timeout_ms=200)
        await other.abort_transaction()

    assert everything == [b"aborted", b"committed", b"open"]
    assert (visible, nothing_more) == ([b"committed"], {})


async def test_a_transaction_commits_without_the_record_that_was_not_sent(
    kafka: str, topics: TopicsConfig
) -> None:
    """So every record is awaited before the commit, and one that failed ends it."""
    where = TopicPartition(topics.events, 0)
    async with _producer(kafka, transactional_id=_an_id()) as producer:
        await producer.begin_transaction()
        sent = await producer.send(topics.events, b"sent", partition=0)
        lost = await producer.send(topics.state, b"no key", partition=0)
        await producer.commit_transaction()

        assert sent.exception() is None
        assert isinstance(lost.exception(), KafkaError)
    async with _reader(kafka, "read_committed", where) as reader:
        assert await _values(reader, b"sent") == [b"sent"]


async def test_a_transaction_moves_the_end_by_more_than_its_records(
    kafka: str, topics: TopicsConfig
) -> None:
    """Who restores waits for the barrier's own offset, not for the end."""
    where = TopicPartition(topics.state, 0)
    async with _producer(kafka, transactional_id=_an_id()) as producer:
        offsets = []
        for value in (b"snapshot", b"barrier"):
            async with producer.transaction():
                sent = await producer.send_and_wait(
                    topics.state, value, b" key", partition=0
                )
            offsets.append(sent.offset)
    async with _reader(kafka, "read_committed", where) as reader:

        async def is_at_its_end() -> bool:
            return bool((await reader.end_offsets([where]))[where] == 4)

        await until(is_at_its_end, "two records and two markers")
        values = await _values(reader, b"barrier")

    assert (values, offsets) == ([b"snapshot", b"barrier"], [0, 2])


async def test_a_rebalance_forgets_what_was_paused(
    kafka: str, topics: TopicsConfig
) -> None:
    """Also partitions that stay must be paused anew."""
    group, listener = _an_id(), Listener()
    async with _member(kafka, topics.commands, group, listener) as member:
        await until(lambda: listener.assigned, "an assignment")
        before = member.assignment()
        member.pause(*before)
        async with _member(kafka, topics.commands, group, Listener()):
            await until(lambda: len(listener.assigned) > 1, "a rebalance")
            kept = member.assignment() & before

            assert kept
            assert not member.paused()


async def test_no_heartbeat_is_sent_while_an_assignment_is_awaited(
    kafka: str, topics: TopicsConfig
) -> None:
    """So nothing is restored in the callback: the group would think us dead."""
    group = _an_id()
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
    await admin.start()

    async def is_evicted() -> bool:
        answers: list[Any] = await admin.describe_consumer_groups([group])
        _, _, state, *_ = answers[0].groups[0]
        return bool(state == "Empty")

    async def until_evicted() -> None:
        if len(listener.assigned) == 1:
            await until(is_evicted, "an eviction")

    listener = Listener(until_evicted)
    try:
        async with _member(kafka, topics.commands, group, listener):
            await until(lambda: len(listener.assigned) > 1, "a second assignment")
    finally:
        await admin.close()


async def test_an_error_in_a_callback_is_swallowed(
    kafka: str, topics: TopicsConfig
) -> None:
    """So the callback only hands over, to a task whose end is noticed."""

    async def fail() -> None:
        raise ValueError("nobody hears this")

    listener = Listener(fail)
    async with _member(kafka, topics.commands, _an_id(), listener) as member:
        await until(lambda: listener.assigned, "an assignment")

        assert await member.getmany(timeout_ms=50) == {}
        assert member.assignment() == listener.assigned[0]


async def test_a_consumer_that_stops_revokes_nothing(
    kafka: str, topics: TopicsConfig
) -> None:
    """So a stop drains by itself, before."""
    listener = Listener()
    async with _member(kafka, topics.commands, _an_id(), listener):
        await until(lambda: listener.assigned, "an assignment")
        listener.revoked.clear()  # of the first, empty assignment

    assert listener.revoked == []


async def test_a_compacted_topic_takes_no_record_without_a_key(
    kafka: str, topics: TopicsConfig
) -> None:
    """So events and dead letters must not be compacted."""
    async with _producer(kafka) as producer:
        with pytest.raises(KafkaError):
            await producer.send_and_wait(topics.state, b"value", partition=0)


async def test_only_a_batch_takes_a_record_with_neither_key_nor_value(
    kafka: str, topics: TopicsConfig
) -> None:
    """A tombstone without a key is parked like any other record."""
    async with (
        _producer(kafka, transactional_id=_an_id()) as producer,
        producer.transaction(),
    ):
        with pytest.raises((AssertionError, ValueError)):
            await producer.send(topics.dead_letters, None)
        batch = producer.create_batch()
        batch.append(key=None, value=None, timestamp=None, headers=[("why", b"?")])
        await (await producer.send_batch(batch, topics.dead_letters, partition=0))
    where = TopicPartition(topics.dead_letters, 0)
    async with _reader(kafka, "read_committed", where) as reader:
        record = await asyncio.wait_for(reader.getone(), PATIENCE)

    assert (record.key, record.value, record.headers) == (None, None, (("why", b"?"),))


@pytest.mark.parametrize("codec", ["gzip", "snappy", "lz4", "zstd"])
async def test_commands_in_every_compression_can_be_read(
    kafka: str, topics: TopicsConfig, codec: str
) -> None:
    value = b'{"commandId": "compressed"}' * 50
    async with _producer(kafka, compression_type=codec) as producer:
        await producer.send_and_wait(topics.commands, value, partition=0)
    where = TopicPartition(topics.commands, 0)
    async with _reader(kafka, "read_committed", where) as reader:
        assert await _values(reader, value) == [value]


async def test_a_commit_to_a_silent_broker_has_no_end_of_its_own(
    topics: TopicsConfig,
) -> None:
    """So every call is bounded by us: this one outlives its own time-out four times."""
    with EmbeddedKafka() as broker:
        servers = broker.bootstrap_servers
        await layout.create(brokers.settings(servers, topics), partitions=1)
        options = {"transactional_id": _an_id(), "request_timeout_ms": 500}
        async with _producer(servers, **options) as producer:
            await producer.begin_transaction()
            await producer.send_and_wait(topics.events, b"value")
            broker.freeze()
            commit = asyncio.ensure_future(producer.commit_transaction())
            done, _ = await asyncio.wait({commit}, timeout=2)
            broker.thaw()

            assert not done
            await asyncio.wait_for(commit, PATIENCE)
