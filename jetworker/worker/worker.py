"""
The worker: a member of the group, and one life for each partition it is given.

A partition's life, in this order (each line is why the next is safe):

1. assigned: pause it, start a task, return at once: no heartbeats run meanwhile.
2. open the transactional producer: fences the previous owner, ends its transaction.
3. only now ask for the committed offset.
4. commit a barrier, read the state partition up to it.
5. resume what is unfinished; an intent without an answer is an unknown start.
6. seek to the offset, resume the partition.
7. any error ends the life: drop the producer, and start again at 2.
8. revoked or stopping: no new intents, let starts in flight end, commit, close.
"""

import asyncio
from collections.abc import Iterable
from datetime import timedelta
from functools import partial
from typing import Any

import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import KafkaError
from typing_extensions import override

from jetworker.core.errors import StoreError
from jetworker.core.rate import Backoff
from jetworker.kafka.clients import KafkaClients
from jetworker.kafka.group import committed_offset
from jetworker.kafka.state_store import StateStore
from jetworker.runtime.clock import wait
from jetworker.runtime.crash_points import Point, reach
from jetworker.runtime.logs import report_end
from jetworker.worker.deliveries import Deliveries, PartitionOptions, Services
from jetworker.worker.intake import Desk

log = structlog.get_logger()

_UNSTARTED_LIMIT = 20_000
_RECORDS_AT_ONCE = 500
_HOUSEKEEPING = 5.0


class Worker(ConsumerRebalanceListener):
    """Takes part in the group and keeps the lives of its partitions."""

    def __init__(
        self,
        kafka: KafkaClients,
        terms: PartitionOptions,
        services: Services,
        drain_timeout: timedelta,
    ) -> None:
        self._kafka = kafka
        self._terms = terms
        self._services = services
        self._drain_timeout = drain_timeout
        self._lives: dict[int, Deliveries] = {}
        self._desks: dict[int, Desk] = {}
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._consumer: AIOKafkaConsumer
        self._backoff = Backoff(timedelta(seconds=0.2), timedelta(seconds=15))
        self.has_joined = False

    @property
    def lives(self) -> dict[int, Deliveries]:
        """The partitions that are restored and live."""
        return self._lives

    @property
    def assigned(self) -> frozenset[int]:
        """The partitions that the group gave us, restored or not."""
        return frozenset(self._tasks)

    async def run(self, stopping: asyncio.Event) -> None:
        """
        Work until *stopping*; Kafka being away is waited out.

        On the way out the partitions are drained while heartbeats still go on; only
        then the group is left, so that the next owner finds nothing in flight.
        """
        failures = 0
        while not stopping.is_set():
            try:
                # The first assignment comes while it joins: it is ours before.
                self._consumer = consumer = self._kafka.member()
                async with self._kafka.joined(consumer, self):
                    failures = 0
                    await self._poll(consumer, stopping)
                    await self._end(list(self._tasks))
            except StoreError as exc:
                failures += 1
                delay = self._backoff.delay(failures, self._services.clock.jitter())
                log.warning(
                    "kafka is not reachable, joining the group is tried again",
                    error=str(exc),
                    delay_seconds=round(delay.total_seconds(), 1),
                )
                await wait(stopping, delay.total_seconds())
            finally:
                await self._end(list(self._tasks))

    @override
    async def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        """Pause what is assigned and restore it in tasks of their own."""
        partitions = list(assigned)
        self._consumer.pause(*partitions)
        self.has_joined = True
        self._services.metrics.rebalances_total.inc()
        for partition in partitions:
            number = partition.partition
            self._tasks[number] = asyncio.create_task(
                self._keep(number), name=f"partition {number}"
            )
        self._services.metrics.partitions_assigned.set(len(self._tasks))
        log.info(
            "partitions were assigned, they are restored",
            partitions=sorted(p.partition for p in partitions),
        )

    @override
    async def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        """Drain what is revoked; heartbeats go on meanwhile."""
        partitions = [partition.partition for partition in revoked]
        if partitions:
            reach(Point.REVOKED)
        await self._end(partitions)
        if partitions:
            reach(Point.DRAINED)
        self._services.metrics.partitions_assigned.set(len(self._tasks))

    async def _end(self, partitions: list[int]) -> None:
        """Drain lives under one deadline, then close them."""
        lives = [self._lives[n] for n in partitions if n in self._lives]
        await asyncio.gather(*(life.drain(self._drain_timeout) for life in lives))
        tasks = [self._tasks.pop(n) for n in partitions if n in self._tasks]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _poll(self, consumer: AIOKafkaConsumer, stopping: asyncio.Event) -> None:
        while not stopping.is_set():
            try:
                batches = await consumer.getmany(
                    timeout_ms=200, max_records=_RECORDS_AT_ONCE
                )
            except KafkaError as exc:
                log.warning("kafka gave no records, asking again", error=str(exc))
                await wait(stopping, 0.5)
                continue
            for partition, records in batches.items():
                self._receive(partition.partition, records)
            self._relieve(consumer)

    def _receive(self, partition: int, records: list[Any]) -> None:
        """Hand records to their partition's desk; none lives: they come again."""
        desk = self._desks.get(partition)
        if desk is None or desk.life.is_draining:
            return
        for record in records:
            _ = desk.receive(record)  # the answer comes when it is durable

    def _relieve(self, consumer: AIOKafkaConsumer) -> None:
        """Stop taking commands where too many wait; nothing else is stopped."""
        for number, life in self._lives.items():
            partition = TopicPartition(self._kafka.topics.commands, number)
            full = life.unstarted > _UNSTARTED_LIMIT or life.backlog > _UNSTARTED_LIMIT
            if partition not in consumer.assignment():
                continue
            if full and partition not in consumer.paused():
                log.warning("a partition takes no commands for now", partition=number)
                consumer.pause(partition)
            elif not full and partition in consumer.paused():
                consumer.resume(partition)

    async def _keep(self, partition: int) -> None:
        """Keep one partition alive for as long as it is assigned."""
        failures = 0
        # Asked, since a failing task group swallows a cancellation (before Python 3.13).
        while self._tasks.get(partition) is asyncio.current_task():
            began = self._services.clock.monotonic()
            try:
                await self._live(partition)
            except* Exception as group:  # noqa: BLE001 -- whatever it was, this life is over: what is not in Kafka did not happen
                lasted = self._services.clock.monotonic() - began
                failures = 1 if lasted > 60 else failures + 1  # noqa: PLR2004 -- a minute
                delay = self._backoff.delay(failures, self._services.clock.jitter())
                report_end(partition, group, delay)
                await asyncio.sleep(delay.total_seconds())

    async def _live(self, partition: int) -> None:
        clock, metrics = self._services.clock, self._services.metrics
        began = clock.monotonic()
        commands = TopicPartition(self._kafka.topics.commands, partition)
        committed = partial(committed_offset, self._consumer, commands)
        async with StateStore.take_over(
            self._kafka, partition, committed, metrics, clock
        ) as taken:
            store, offset = taken.store, taken.store.offset
            life = Deliveries(partition, store, self._terms, self._services)
            try:
                await life.restore(taken.latest)
                taken.latest.clear()
                async with asyncio.TaskGroup() as tasks:
                    tasks.create_task(store.run(), name=f"committer {partition}")
                    tasks.create_task(_keep_house(life), name=f"house {partition}")
                    life.resume()
                    reach(Point.RESTORED)
                    self._open(life, commands, offset)
                    self._report_restored(life, offset, clock.monotonic() - began)
            except Exception:  # whatever it was: a start may be on its way still
                self._close(life)
                await life.landed(self._drain_timeout)
                raise
            finally:
                self._close(life)

    def _report_restored(self, life: Deliveries, offset: int, seconds: float) -> None:
        self._services.metrics.restore_duration_seconds.observe(seconds)
        log.info(
            "a partition is restored, its commands are taken",
            partition=life.partition,
            offset=offset,
            deliveries=len(life.deliveries),
            remembered=len(life.memory),
            seconds=round(seconds, 3),
        )

    def _open(self, life: Deliveries, commands: TopicPartition, offset: int) -> None:
        self._lives[life.partition] = life
        self._desks[life.partition] = Desk(life)
        self._consumer.seek(commands, offset)
        self._consumer.resume(commands)

    def _close(self, life: Deliveries) -> None:
        life.end()
        if self._lives.get(life.partition) is life:
            del self._lives[life.partition]
            del self._desks[life.partition]
            commands = TopicPartition(self._kafka.topics.commands, life.partition)
            if commands in self._consumer.assignment():
                self._consumer.pause(commands)


async def _keep_house(life: Deliveries) -> None:
    while True:
        await asyncio.sleep(_HOUSEKEEPING)
        await life.forget(_RECORDS_AT_ONCE)
