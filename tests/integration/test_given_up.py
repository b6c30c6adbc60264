"""
A client of Kafka whose own task ends by an error that it did not expect.

aiokafka goes on answering "nothing new" then, and its heartbeats go on too. So it was
seen where a transport had closed under it (RuntimeError); here any request to fetch ends
so.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka.protocol.fetch import FetchRequest
from typing_extensions import override

from jetworker.config.model import KafkaConfig, TopicsConfig
from jetworker.core.errors import Deaf, StoreError
from jetworker.kafka.clients import KafkaClients
from jetworker.kafka.group import ConsumerGroup
from jetworker.kafka.pulse import Pulse
from jetworker.kafka.reader import Followed, read
from jetworker.runtime.clock import Clock
from tests.support.waiting import PATIENCE, until

pytestmark = pytest.mark.integration


def break_fetching(consumer: AIOKafkaConsumer) -> None:
    """Let every request to fetch end by what aiokafka does not expect."""
    client = consumer._client  # noqa: SLF001 -- nobody but aiokafka sends
    send: Callable[..., Any] = client.send

    async def broken(node_id: int, request: Any, **options: Any) -> Any:
        if isinstance(request, FetchRequest):
            msg = "unable to perform operation on a closed transport"
            raise RuntimeError(msg)  # noqa: TRY004 -- as it was seen
        return await send(node_id, request, **options)

    client.send = broken  # type: ignore[method-assign]  # on this one alone


class Opened(KafkaClients):
    """Keeps the consumers that it opened last."""

    last: AIOKafkaConsumer

    @override
    def member(self, pulse: Pulse) -> AIOKafkaConsumer:
        self.last = super().member(pulse)
        return self.last

    @override
    async def partitions(self, consumer: AIOKafkaConsumer, topic: str) -> Any:
        self.last = consumer
        return await super().partitions(consumer, topic)


class Assigned:
    """Knows what the group gave."""

    partitions: Sequence[int] = ()

    async def on_assigned(self, partitions: Sequence[int]) -> None:
        self.partitions = partitions

    async def on_revoked(self, partitions: Sequence[int]) -> None:
        """Nothing lives here."""


@pytest.fixture
def clients(kafka: str, topics: TopicsConfig) -> Opened:
    return Opened(KafkaConfig(bootstrap_servers=kafka, group_id=topics.state), topics)


async def nothing() -> None:
    """Ask nothing before records are taken."""


async def test_a_member_that_reads_no_more_is_deaf_though_its_heart_beats(
    clients: Opened,
) -> None:
    assigned = Assigned()
    group = ConsumerGroup(clients, assigned, Clock())
    async with group.joined():
        await until(lambda: bool(assigned.partitions), "an assignment")
        for number in assigned.partitions:
            group.begin(number, 0)
        assert await group.poll(nothing) == {}
        break_fetching(clients.last)

        async def poll_on() -> None:
            while True:
                await group.poll(nothing)

        with pytest.raises(Deaf, match="given up reading"):
            await asyncio.wait_for(poll_on(), PATIENCE)
        assert group.deafness is not None

    async with group.joined():
        assert group.deafness is None


async def test_who_follows_a_topic_learns_that_nothing_will_come(
    clients: Opened,
) -> None:
    listening = asyncio.Event()

    async def follow() -> None:
        async for _batch in read(clients, clients.topics.events, Followed(listening)):
            pass

    following = asyncio.create_task(follow())
    await listening.wait()
    break_fetching(clients.last)

    with pytest.raises(StoreError, match="given up"):
        await asyncio.wait_for(following, PATIENCE)
