"""What is not Jet's own word decides nothing, whatever Jet was asked for."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import suppress
from typing import Any

import httpx
import pytest
import stamina
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry
from pydantic import SecretStr
from typing_extensions import override

from jetworker.config.model import JetConfig
from jetworker.core.command import (
    DeliveryId,
    JobId,
    ObjectSpec,
    ProfileId,
    SubscriptionId,
    TransferId,
)
from jetworker.core.errors import JetError, JetUnavailable
from jetworker.core.observation import StartAccepted, StartAnswered, StartLost
from jetworker.jet.client import JetClient, client_on
from jetworker.jet.connection import Connection
from jetworker.runtime.clock import Clock
from jetworker.runtime.metrics import Metrics

JOB, SOURCE, DESTINATION = JobId("j-1"), ProfileId("p-1"), ProfileId("p-2")
BODIES = (b"<html>default backend - 404</html>", b"no", b"")
QUESTIONS: dict[str, Callable[[JetClient], Awaitable[Any]]] = {
    "get_delivery": lambda jet: jet.get_delivery(JOB, DeliveryId("d-1")),
    "get_transfer": lambda jet: jet.get_transfer(JOB, TransferId("t-1")),
    "list_transfers": lambda jet: jet.list_transfers(JOB),
    "list_files": lambda jet: jet.list_files(JOB),
    "get_job": lambda jet: jet.get_job(JOB),
    "list_jobs": lambda jet: jet.list_jobs(),
    "search_jobs": lambda jet: jet.search_jobs("name"),
    "create_job": lambda jet: jet.create_job("name", SOURCE, DESTINATION),
    "set_paused": lambda jet: jet.set_paused(JOB, paused=False),
    "list_profiles": lambda jet: jet.list_profiles(),
    "list_subscriptions": lambda jet: jet.list_subscriptions(),
    "subscribe": lambda jet: jet.subscribe(JOB, "https://worker.test/secret"),
    "unsubscribe": lambda jet: jet.unsubscribe(SubscriptionId("s-1")),
}


class InFront(httpx.AsyncBaseTransport):
    """Answers instead of Jet, but for tokens."""

    def __init__(self) -> None:
        self.answer = httpx.Response(503)
        self.is_closed = False

    @override
    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if request.url.path == "/oauth/token" and not self.is_closed:
            return httpx.Response(200, json={"access_token": "t", "expires_in": 3600})
        return httpx.Response(self.answer.status_code, content=self.answer.content)


def behind(front: InFront, metrics: Metrics) -> JetClient:
    """Return a client of Jet behind this."""
    connection = Connection(front, front, "https://jet.test", "tests")
    config = JetConfig(
        client_id="tests", client_secret=SecretStr("s"), requests_per_second=10_000
    )
    return client_on(connection, config, lambda: ("tests", "s"), Clock(), metrics)


@pytest.fixture
async def way() -> AsyncIterator[tuple[InFront, JetClient]]:
    """Return what is in front of Jet, and a client behind it that asks but once."""
    front = InFront()
    with stamina.set_testing(True, attempts=1):
        yield front, behind(front, Metrics(CollectorRegistry()))


def answers() -> Iterator[httpx.Response]:
    """Yield every status from 400 to 499 with every body that is no JSON object."""
    for status in (*range(400, 429), *range(430, 500), 429):  # the last slows us down
        for body in BODIES:
            yield httpx.Response(status, content=body)


@pytest.mark.parametrize("operation", QUESTIONS)
async def test_to_any_question_it_is_no_answer(
    operation: str, way: tuple[InFront, JetClient]
) -> None:
    front, jet = way
    for front.answer in answers():
        with pytest.raises(JetUnavailable):
            await QUESTIONS[operation](jet)


async def test_to_a_start_it_is_not_jet_s_word(way: tuple[InFront, JetClient]) -> None:
    """What may have been applied nevertheless is another question (408, 409)."""
    front, _ = way
    for front.answer in answers():
        jet = behind(front, counted)  # one that was not refused before
        await jet.sign_in()
        objects = (ObjectSpec("/a.mov", 1),)

        found = await jet.start_delivery(JOB, objects, guard=lambda: None)

        assert isinstance(found, StartAnswered)
        assert (found.status, found.is_jets) == (front.answer.status_code, False)


async def test_to_a_request_for_a_token_it_refuses_nobody(
    way: tuple[InFront, JetClient],
) -> None:
    front, jet = way
    front.is_closed = True
    for front.answer in answers():
        with pytest.raises(JetUnavailable):
            await jet.sign_in()


class Repeating(httpx.AsyncBaseTransport):
    """Refuses what it is sent and shows it, as some filters do."""

    @override
    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        return httpx.Response(403, content=b"<pre>" + await request.aread())


async def test_a_filter_that_shows_what_it_refuses_is_not_quoted_with_the_secret() -> (
    None
):
    front = Repeating()
    connection = Connection(front, front, "https://jet.test", "tests")
    config = JetConfig(client_id="tests", client_secret=SecretStr("s"))
    metrics = Metrics(CollectorRegistry())
    jet = client_on(connection, config, lambda: ("tests", "canary"), Clock(), metrics)

    with pytest.raises(JetUnavailable) as told:
        await jet.sign_in()

    assert "canary" not in str(told.value)
    assert "answered 403" in str(told.value)


NAMES = (
    "deliveryId",
    "transferId",
    "jobId",
    "id",
    "state",
    "items",
    "data",
    "metadata",
)
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["d-1", "t-1", "COMPLETED", "1e999", "9999-12-31T23:59:59Z"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                (*NAMES, "createdOn", "deliverySummary", "transferred", "count")
            ),
            inner,
            max_size=6,
        )
    ),
    max_leaves=12,
)
counted = Metrics(CollectorRegistry())


@settings(max_examples=40, deadline=None)
@given(st.sampled_from([200, 200, 200, 404, 500]), st.binary(max_size=40) | values)
def test_of_any_answer_to_anything_comes_nothing_but_the_declared_errors(
    status: int, answer: Any
) -> None:
    body = answer if isinstance(answer, bytes) else json.dumps(answer).encode()

    async def ask_all() -> None:
        front = InFront()
        front.answer = httpx.Response(status, content=body)
        jet = behind(front, counted)
        for ask in QUESTIONS.values():
            with suppress(JetError):
                await ask(jet)
        objects = (ObjectSpec("/a.mov", 1),)
        found = await jet.start_delivery(JOB, objects, guard=lambda: None)
        assert isinstance(found, StartAccepted | StartAnswered | StartLost)
        front.is_closed = True
        with suppress(JetError):
            await behind(front, counted).sign_in()

    with stamina.set_testing(True, attempts=1):
        asyncio.run(ask_all())
