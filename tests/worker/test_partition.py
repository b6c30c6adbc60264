"""One partition that is given back while its life ends by itself."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, cast

import pytest

from jetworker.config.model import TopicsConfig
from jetworker.core.errors import StoreError
from jetworker.core.growth import Layout
from jetworker.core.rate import Backoff
from jetworker.kafka.clients import KafkaClients
from jetworker.kafka.group import ConsumerGroup
from jetworker.kafka.growth import Gathering, Homes
from jetworker.kafka.state_store import StateStore, TakenOver
from jetworker.worker import partition as module
from jetworker.worker.partition import Partition
from tests.support.life import Life
from tests.support.waiting import PATIENCE

HOUR = timedelta(hours=1)


@dataclass
class Store:
    """A store that fails when it is told to, of topics that have grown."""

    fails: asyncio.Event = field(default_factory=asyncio.Event)
    offset: int = 0
    backlog: int = 0
    layout: Layout = field(default_factory=lambda: Layout(1, 1))
    is_grown: bool = True

    async def run(self) -> None:
        await self.fails.wait()
        raise StoreError


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


async def test_what_is_given_back_while_it_fails_is_not_held_for_another_try(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A failing task group swallows the cancellation (before Python 3.13)."""
    store, kafka, life = Store(), Kafka(), Life()

    @asynccontextmanager
    async def take_over(*_: Any) -> AsyncIterator[TakenOver]:
        yield TakenOver(cast(StateStore, store), {}, {}, 0)

    monkeypatch.setattr(StateStore, "take_over", take_over)
    monkeypatch.setattr(module, "_BACKOFF", Backoff(HOUR, HOUR))
    partition = Partition(
        0,
        cast(KafkaClients, kafka),
        cast(ConsumerGroup, Group()),
        cast(Gathering, Gathered()),
        life.partition.terms,
        life.partition.services,
        timedelta(seconds=1),
    )
    async with asyncio.timeout(PATIENCE):
        store.fails.set()
        await kafka.closing.wait()
        closing = asyncio.create_task(partition.close())
        await asyncio.sleep(0)
        kafka.closed.set()
        await closing

    assert partition.live is None
