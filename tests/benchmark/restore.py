"""
A partition of 100,000 finished and some hundred open deliveries, taken over on a real Kafka.

`python -m tests.benchmark.restore` runs it alone. Beside it, in the same run: what it
takes to consume the same records and to parse each as JSON, and nothing else.
"""

import argparse
import asyncio
import sys
import time
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any, cast

import orjson
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from prometheus_client import CollectorRegistry
from typing_extensions import override

from jetworker.config.model import KafkaConfig, TopicsConfig
from jetworker.core.command import CommandId, DeliveryId
from jetworker.core.delivery import Delivery, State
from jetworker.core.finished import Finished, finish
from jetworker.core.post import Window
from jetworker.core.resumption import Input
from jetworker.kafka.batches import Codec, batches
from jetworker.kafka.clients import KafkaClients
from jetworker.kafka.reader import HIGH_WATERMARKS, read
from jetworker.kafka.state_store import StateStore, TakenOver
from jetworker.runtime.clock import Clock
from jetworker.runtime.metrics import Metrics
from jetworker.sandbox.kafka.broker import EmbeddedKafka
from jetworker.wire import snapshots
from jetworker.wire.record import Record
from jetworker.worker.reconciliation.bindings import Bindings
from jetworker.worker.reconciliation.job_observer import JobObserver
from jetworker.worker.reconciliation.lessons import Lessons
from jetworker.worker.reconciliation.sweep import Sweep
from jetworker.worker.reconciliation.unexplained import Unexplained
from tests.benchmark.ratios import Ratio
from tests.support.builders import NOW, SECOND, a_delivery, a_progress
from tests.support.fakes import Performer
from tests.support.life import Life

_FINISHED = 100_000
_OPEN = 300
_IN_BATCH = 50  # what a busy worker commits together
_IN_TRANSACTION = 5000
_BEAT = 0.005  # seconds
_MOST = 8.0


@dataclass
class _Standing:
    """A group that has read all of a log."""

    def check_member(self) -> None:
        """It is a member."""

    async def committed(self, _partition: int) -> int | None:
        return 0

    async def found(self, _partition: int) -> Input:
        return Input(0, 0, 0, "t1", 1)


@dataclass
class _Noting(Performer):
    """Takes note of what is taken up as a worker does."""

    sweep: Sweep | None = None
    lessons: Lessons | None = None

    @override
    def touch(self, snapshot: Delivery | Finished) -> None:
        assert self.sweep is not None
        assert self.lessons is not None
        self.sweep.touch(snapshot)
        self.lessons.note(snapshot)


@dataclass
class _Heart:
    """How long the loop was busy with one thing, in seconds of its thread's CPU."""

    longest: float = 0.0
    seen: list[float] = field(default_factory=list)

    @asynccontextmanager
    async def beating(self) -> AsyncIterator[None]:
        beat = asyncio.create_task(self._beat())
        try:
            yield
        finally:
            beat.cancel()
            with suppress(asyncio.CancelledError):
                await beat

    async def _beat(self) -> None:
        while True:
            began = time.thread_time()
            await asyncio.sleep(_BEAT)
            self.longest = max(self.longest, time.thread_time() - began)


async def beside_reading(kafka: str, in_batch: int = _IN_BATCH) -> Ratio:
    """Take such a partition over, print what it took, and return the ratio."""
    clients = await _partition(kafka, in_batch)
    async with _taking(clients):
        pass  # as its last owner did: whose it is stands near the end from now on
    plain = await _plainly(clients)
    taken = await _taken_over(clients)
    return Ratio(
        "CPU to take a partition over by that to consume and parse it",
        taken / plain,
        _MOST,
    )


async def _plainly(clients: KafkaClients) -> float:
    """Consume the records and parse each; returns seconds of CPU."""
    cpu, number = time.process_time(), 0
    async for batch in read(clients, clients.topics.state, HIGH_WATERMARKS):
        for record in batch:
            orjson.loads(record.value)
            number += 1
    cpu = time.process_time() - cpu
    sys.stdout.write(f"{number} records consumed and parsed in {cpu:.2f} s of CPU\n")
    return cpu


async def _taken_over(clients: KafkaClients) -> float:
    """Take the partition over as a worker does; returns seconds of CPU."""
    clock, heart = Clock(), _Heart()
    noting = _Noting()
    restored = Life(clock=clock, sweep=noting)
    observer = cast(JobObserver, None)
    settle, day = timedelta(seconds=30), timedelta(days=1)
    common: Any = {"clock": clock, "metrics": restored.metrics, "settle": settle}
    bindings, unexplained = Bindings(clients), Unexplained(restored.metrics)
    noting.sweep = Sweep(observer, bindings, unexplained, **common, remembered=day)
    noting.lessons = Lessons(observer, **common)
    partition = restored.partition
    async with heart.beating():
        began, cpu = time.perf_counter(), time.process_time()
        async with _taking(clients) as taken:
            read_in = time.process_time() - cpu
            await partition.restore(taken.latest)
            taken.latest.clear()
            await partition.resume()
            took, cpu = time.perf_counter() - began, time.process_time() - cpu
    found = (len(partition.memory), len(partition.deliveries))
    assert found == (_FINISHED, _OPEN), found
    sys.stdout.write(
        f"{found[0]} finished and {found[1]} open: read in {read_in:.2f} s of CPU,"
        f" served after {cpu:.2f} s of CPU, {took:.2f} s in all; the loop's longest"
        f" stretch {1000 * heart.longest:.0f} ms of CPU\n"
    )
    return cpu


def _taking(clients: KafkaClients) -> AbstractAsyncContextManager[TakenOver]:
    metrics = Metrics(CollectorRegistry())
    return StateStore.take_over(clients, 0, _Standing(), metrics, Clock())


async def _partition(kafka: str, in_batch: int) -> KafkaClients:
    """Write what a worker leaves behind, in batches as it does."""
    name = f"restored-{uuid.uuid4()}"
    topics = TopicsConfig(
        commands=f"{name}.commands",
        events=f"{name}.events",
        state=f"{name}.state",
        dead_letters=f"{name}.dead-letters",
    )
    config = KafkaConfig(bootstrap_servers=kafka, group_id=name)
    clients = KafkaClients(config, topics)
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
    await admin.start()
    await admin.create_topics([NewTopic(each, 1, 1) for each in topics.names])
    await admin.close()
    state = TopicPartition(topics.state, 0)
    records = [
        Record(topics.state, each.command_id.encode(), snapshots.encode(each))
        for each in _left()
    ]
    async with clients.producer(name) as producer:
        for at in range(0, len(records), _IN_TRANSACTION):
            some = records[at : at + _IN_TRANSACTION]
            async with producer.transaction():
                await asyncio.gather(
                    *[
                        await producer.send_batch(batch, state.topic, partition=0)
                        for batch in _batches(some, in_batch)
                    ]
                )
    return clients


def _batches(records: Sequence[Record], number: int) -> Any:
    for at in range(0, len(records), number):
        yield from batches(records[at : at + number], Codec.ZSTD)


def _left() -> list[Delivery | Finished]:
    pattern = a_delivery(
        State.COMPLETED,
        progress=a_progress(),
        jet_state="COMPLETED",
        sample=b"12345678",
        created_on=NOW,
        ended_on=NOW + 60 * SECOND,
        made_in=Window(NOW, NOW),
        finished_at=NOW + 60 * SECOND,
    )
    running = a_delivery(
        State.IN_PROGRESS, objects=(), progress=a_progress(), told_on=0, read_at=(0, 1)
    )
    patterns = [pattern] * _FINISHED + [running] * _OPEN
    left = [
        replace(
            each,
            command_id=CommandId(f"3f2c8a52-7d1e-4d0a-9b7e-{n:012x}"),
            delivery_id=DeliveryId(f"6b7d1c9a-1c3e-4a53-8d2f-{n:012x}"),
            fingerprint=n.to_bytes(32, "big"),
        )
        for n, each in enumerate(patterns)
    ]
    return [finish(each) if each.state.is_final else each for each in left]


async def _main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmark.restore")
    parser.add_argument("--in-batch", type=int, default=_IN_BATCH)
    options = parser.parse_args()
    with EmbeddedKafka() as kafka:
        found = await beside_reading(kafka.bootstrap_servers, options.in_batch)
        sys.stdout.write(f"{found}\n")


if __name__ == "__main__":
    asyncio.run(_main())
