"""One partition: given back while its life ends by itself, and after a growth."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from types import SimpleNamespace
from typing import Any, cast

import pytest
from aiokafka import TopicPartition

from jetworker.config.model import TopicsConfig
from jetworker.core.errors import NotGathered, StoreError
from jetworker.core.growth import Layout
from jetworker.core.rate import Backoff
from jetworker.kafka.clients import KafkaClients
from jetworker.kafka.group import ConsumerGroup
from jetworker.kafka.growth import Gathering, Homes
from jetworker.kafka.state_store import StateStore, TakenOver, Write
from jetworker.wire import handing
from jetworker.wire.handing import Handed
from jetworker.worker import partition as module
from jetworker.worker.deliveries import done
from jetworker.worker.partition import Partition
from tests.support.life import Life
from tests.support.waiting import PATIENCE, until

HOUR = timedelta(hours=1)


@dataclass
class Store:
    """A store that fails when it is told to, of topics that have grown."""

    fails: asyncio.Event = field(default_factory=asyncio.Event)
    offset: int = 0
    backlog: int = 0
    layout: Layout = field(default_factory=lambda: Layout(1, 1))
    is_grown: bool = True

    writes: list[Write] = field(default_factory=list)

    async def run(self) -> None:
        await self.fails.wait()
        raise StoreError

    def submit(self, step: Write) -> "asyncio.Future[None]":
        self.writes.append(step)
        return done()


@dataclass
class Kafka:
    """Whoever reads what is handed over takes its time to end."""

    closing: asyncio.Event = field(default_factory=asyncio.Event)
    closed: asyncio.Event = field(default_factory=asyncio.Event)
    topics: TopicsConfig = field(default_factory=TopicsConfig)

    @asynccontextmanager
    async def reader(self, *_: Any, **__: Any) -> AsyncIterator[Any]:
        try:
            yield await asyncio.Event().wait()
        finally:
            self.closing.set()
            await self.closed.wait()


class Group:
    """A member that reads nothing."""

    def begin(self, _partition: int, _offset: int) -> None:
        """Read nothing."""

    def pause(self, _partition: int) -> bool:
        return True


class Gathered:
    """All ids are at home."""

    async def homes(self, _layout: Layout) -> Homes:
        return Homes(1)


def given(
    monkeypatch: pytest.MonkeyPatch, store: Store, kafka: Any, gathering: Any
) -> Partition:
    """Return a partition that is ours from now on."""
    life = Life()

    @asynccontextmanager
    async def take_over(*_: Any) -> AsyncIterator[TakenOver]:
        yield TakenOver(cast(StateStore, store), {}, {}, 0)

    monkeypatch.setattr(StateStore, "take_over", take_over)
    return Partition(
        0,
        cast(KafkaClients, kafka),
        cast(ConsumerGroup, Group()),
        cast(Gathering, gathering),
        life.partition.terms,
        life.partition.services,
        timedelta(seconds=1),
    )


async def test_what_is_given_back_while_it_fails_is_not_held_for_another_try(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A failing task group swallows the cancellation (before Python 3.13)."""
    store, kafka = Store(), Kafka()
    monkeypatch.setattr(module, "_BACKOFF", Backoff(HOUR, HOUR))
    partition = given(monkeypatch, store, kafka, Gathered())
    async with asyncio.timeout(PATIENCE):
        store.fails.set()
        await kafka.closing.wait()
        closing = asyncio.create_task(partition.close())
        await asyncio.sleep(0)
        kafka.closed.set()
        await closing

    assert partition.live is None


async def test_a_cancellation_that_is_not_ours_ends_a_life_and_not_the_partition(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A time-out lets out what a task group has left behind (before Python 3.11.4)."""
    monkeypatch.setattr(module, "_BACKOFF", Backoff(timedelta(0), timedelta(0)))
    kafka = Kafka()
    partition = given(monkeypatch, Store(), kafka, Gathered())
    lives: list[int] = []

    @asynccontextmanager
    async def take_over(*_: Any) -> AsyncIterator[TakenOver]:
        lives.append(1)
        if len(lives) == 1:
            task = asyncio.current_task()
            assert task is not None
            task.cancel()
            await asyncio.sleep(0)
        yield TakenOver(cast(StateStore, Store()), {}, {}, 0)

    monkeypatch.setattr(StateStore, "take_over", take_over)
    await until(lambda: partition.live is not None, "it lives again")
    kafka.closed.set()
    await partition.close()

    assert len(lives) == 2


@dataclass
class Reader:
    """A reader of the state, to which one record was handed over."""

    key: bytes
    value: bytes
    is_read: bool = False
    _fetcher: None = None  # it has not given up

    def seek(self, _partition: TopicPartition, _offset: int) -> None:
        """It is read from its beginning."""

    async def getmany(self, **_: Any) -> dict[TopicPartition, list[Any]]:
        if self.is_read:
            await asyncio.Event().wait()
        self.is_read = True
        state = TopicPartition(TopicsConfig().state, 0)
        return {state: [SimpleNamespace(key=self.key, value=self.value)]}


@dataclass
class Read:
    """Whoever reads does it by one reader."""

    reader_of_all: Reader
    topics: TopicsConfig = field(default_factory=TopicsConfig)

    @asynccontextmanager
    async def reader(self, *_: Any, **__: Any) -> AsyncIterator[Reader]:
        yield self.reader_of_all


@dataclass
class Ungathered:
    """All partitions of all workers wait until nothing of before is handed over."""

    store: Store

    async def homes(self, _layout: Layout) -> Homes:
        if not self.store.writes:
            raise NotGathered
        return Homes(1)


async def test_what_all_partitions_wait_for_is_answered_however_many_commands_wait(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One route that is paused fills its partition for hours, and would hold up all."""
    read = Handed(b"c-1", b"not JSON", (), "jet.commands", 1, 7, 1795)
    handed = handing.encode(read, TopicsConfig().state, 0, 2)
    assert handed.key is not None
    assert handed.value is not None
    store = Store(backlog=1_000_000)
    kafka = Read(Reader(handed.key, handed.value))
    monkeypatch.setattr(module, "_GATHERED_EVERY", 0.0)

    partition = given(monkeypatch, store, kafka, Ungathered(store))
    await until(lambda: store.writes, "it is answered")
    await until(lambda: partition.hindrance is None, "commands are taken")
    await partition.close()

    taken_away = store.writes[0].records[-1]
    assert (taken_away.key, taken_away.value) == (handed.key, None)
