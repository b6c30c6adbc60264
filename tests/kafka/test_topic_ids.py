"""How many partitions topics have, where brokers do not agree or do not answer."""

import asyncio
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, cast

import aiokafka.client
import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaConnectionError, UnknownTopicOrPartitionError
from aiokafka.structs import BrokerMetadata

from jetworker.config.model import KafkaConfig, TopicsConfig
from jetworker.kafka import topic_ids
from jetworker.kafka.clients import KafkaClients
from tests.support.waiting import PATIENCE

UNKNOWN = 3


@dataclass
class Cluster:
    """Brokers by their number, each with how many partitions it shows, or what it does."""

    shown: dict[int, int | BaseException | asyncio.Event]
    known: int = 0

    @property
    def cluster(self) -> Any:
        numbers = [SimpleNamespace(nodeId=each) for each in self.shown]
        return SimpleNamespace(
            brokers=lambda: numbers,
            partitions_for_topic=lambda _topic: set(range(self.known)),
        )

    def get_random_node(self) -> int:
        return 0

    async def force_metadata_update(self) -> None:
        """As it is known already."""

    async def send(self, node: int, _request: Any) -> Any:
        shown = self.shown[node]
        if isinstance(shown, BaseException):
            raise shown
        if isinstance(shown, asyncio.Event):
            await shown.wait()
            shown = 0
        code = 0 if shown else UNKNOWN
        topic = (code, "commands", None, False, [None] * shown, 0)
        return SimpleNamespace(topics=[topic])


@dataclass
class Connection:
    """One to a broker that shows so many partitions."""

    shown: int

    def connected(self) -> bool:
        return True

    async def send(self, _request: Any, **_: Any) -> Any:
        topic = (0, "commands", None, False, [None] * self.shown, 0)
        return SimpleNamespace(topics=[topic])


def connecting(
    monkeypatch: pytest.MonkeyPatch, shown: dict[int, int | None]
) -> AIOKafkaClient:
    """Return a client that has no connection yet; None: to connect there takes for ever."""

    async def connect(host: str, _port: int, **_: Any) -> Connection:
        partitions = shown[int(host)]
        if partitions is None:
            await asyncio.Event().wait()
        return Connection(partitions or 0)

    monkeypatch.setattr(aiokafka.client, "create_conn", connect)
    client = AIOKafkaClient(bootstrap_servers="none")
    client.cluster._brokers = {  # noqa: SLF001 -- as metadata would have it
        each: BrokerMetadata(each, str(each), 9092, None) for each in shown
    }
    return client


async def count(shown: dict[int, Any], known: int = 0) -> int:
    client = cast("AIOKafkaClient", Cluster(shown, known))
    (found,) = await topic_ids.count(client, "commands")
    return found


@pytest.mark.parametrize(
    "shown",
    [
        {0: 2, 1: 5, 2: 5},
        {0: 5, 1: 2, 2: 2},
        {0: KafkaConnectionError(), 1: 2, 2: 5},
        {0: asyncio.CancelledError(), 1: 5},
        {0: 0, 1: 5},
    ],
    ids=[
        "the first is late",
        "two are",
        "one is away too",
        "one is cancelled",
        "one knows no topic yet",
    ],
)
async def test_who_shows_most_is_right(shown: dict[int, Any]) -> None:
    """A publisher may know of a growth by that one, and have placed a key by it."""
    assert await count(shown) == 5


async def test_who_hangs_is_not_waited_for_when_others_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(topic_ids, "_GRACE", 0.01)

    assert await count({0: asyncio.Event(), 1: 5}) == 5


@pytest.mark.parametrize(
    ("shown", "patience"),
    [
        ({0: None, 1: 5}, 0.01),
        ({0: None, 1: None}, 0.01),
        ({0: 2, 1: None}, PATIENCE),
    ],
    ids=["the first hangs", "two do", "one between them does"],
)
async def test_brokers_are_asked_though_to_connect_to_one_before_them_hangs(
    monkeypatch: pytest.MonkeyPatch, shown: dict[int, int | None], patience: float
) -> None:
    """aiokafka connects to one at a time: a reader that was just opened, to none yet."""
    monkeypatch.setattr(topic_ids, "_PATIENCE", patience)
    monkeypatch.setattr(topic_ids, "_GRACE", 0.01)

    # So many that not all are given up, too, where this process stands still.
    client = connecting(monkeypatch, shown | dict.fromkeys(range(2, 30), 5))

    assert await topic_ids.count(client, "commands") == (5,)


async def test_however_many_hang_nobody_waits_for_all_of_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(topic_ids, "_PATIENCE", 0.03)
    monkeypatch.setattr(topic_ids, "_GRACE", 0.01)
    shown: dict[int, int | None] = {0: 5, **dict.fromkeys(range(1, 50)), 50: 9}

    assert await topic_ids.count(connecting(monkeypatch, shown), "commands") == (5,)


async def test_where_all_hang_that_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(topic_ids, "_PATIENCE", 0.01)

    with pytest.raises(TimeoutError):
        await count({0: asyncio.Event(), 1: asyncio.Event()})


async def test_where_no_broker_is_there_it_is_told_why() -> None:
    with pytest.raises(KafkaConnectionError):
        await count({0: KafkaConnectionError(), 1: KafkaConnectionError()})


async def test_of_brokers_that_are_too_old_the_client_knows() -> None:
    """Also where another of them is away, whichever fails first."""
    too_old, away = NotImplementedError(), KafkaConnectionError()

    assert await count({0: too_old, 1: away}, known=4) == 4
    assert await count({0: away, 1: too_old}, known=4) == 4


async def test_a_topic_that_nobody_knows_is_an_error() -> None:
    with pytest.raises(UnknownTopicOrPartitionError):
        await count({0: 0, 1: 0})


async def test_what_a_producer_may_not_know_yet_is_asked_of_all() -> None:
    kafka = KafkaClients(
        KafkaConfig(bootstrap_servers="none", group_id="g"), TopicsConfig()
    )
    producer = SimpleNamespace(client=Cluster({0: 2, 1: 5}))

    assert await kafka.count(cast("AIOKafkaProducer", producer), "commands") == 5
