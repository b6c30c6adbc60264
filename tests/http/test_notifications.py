"""The port that is open to the world: what it lets in, and what it does not read."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

import httpx
import orjson
import pytest
from prometheus_client import CollectorRegistry

from jetworker.core.command import DeliveryId, JobId
from jetworker.core.observation import Hint
from jetworker.http.notifications import NotificationServer
from jetworker.runtime.metrics import Metrics
from tests.support.fakes import HandClock
from tests.support.waiting import PATIENCE, until

SECRET = "a-secret-of-16-letters"
HINT = Hint(JobId("j-1"), DeliveryId("d-1"))
NAMED = {"events": [{"data": {"delivery": {"jobId": "j-1", "deliveryId": "d-1"}}}]}


@dataclass
class Door:
    """A server for notifications, and what it took."""

    port: int
    metrics: Metrics
    taken: list[Hint] = field(default_factory=list)
    missed: list[None] = field(default_factory=list)

    def counts(self) -> dict[str, int]:
        """Return how often each outcome was counted."""
        count = self.metrics.registry.get_sample_value
        name = "jetworker_notifications_total"
        return {
            outcome: int(count(name, {"outcome": outcome}) or 0)
            for outcome in ("followed", "unfollowed", "refused")
        }

    async def unread(self, head: str, body: bytes = b"") -> bytes:
        """Send the head of a request and no body, or some; return what is answered."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            writer.write(f"{head}\r\nHost: x\r\n\r\n".encode("latin-1") + body)
            async with asyncio.timeout(PATIENCE):
                return await reader.read()  # to the end: it hangs up
        finally:
            writer.close()


@asynccontextmanager
async def a_door(*, is_followed: bool = True) -> AsyncIterator[Door]:
    """Open a server whose clock stands still."""
    metrics = Metrics(CollectorRegistry())
    taken: list[Hint] = []
    missed: list[None] = []

    def take(hint: Hint) -> bool:
        taken.append(hint)
        return is_followed

    def miss() -> None:
        missed.append(None)

    server = NotificationServer(take, miss, SECRET, HandClock(), metrics)
    try:
        yield Door(await server.start("127.0.0.1", 0), metrics, taken, missed)
    finally:
        await server.stop()


@asynccontextmanager
async def a_client(door: Door) -> AsyncIterator[httpx.AsyncClient]:
    """Open a client of it."""
    base = f"http://127.0.0.1:{door.port}"
    async with httpx.AsyncClient(base_url=base, trust_env=False) as client:
        yield client


async def test_what_a_notification_names_is_handed_on() -> None:
    async with a_door() as door, a_client(door) as client:
        answer = await client.post(f"/jet/{SECRET}", json=NAMED)

    assert answer.status_code == 204
    assert answer.headers["Server"] == "jetworker"
    assert door.taken == [HINT]
    assert door.counts() == {"followed": 1, "unfollowed": 0, "refused": 0}


async def test_what_another_worker_follows_is_taken_and_counted() -> None:
    async with a_door(is_followed=False) as door, a_client(door) as client:
        assert (await client.post(f"/{SECRET}", json=NAMED)).status_code == 204

    assert door.counts() == {"followed": 0, "unfollowed": 1, "refused": 0}


async def test_what_cannot_be_read_is_no_error_and_names_nothing() -> None:
    async with a_door() as door, a_client(door) as client:
        assert (await client.post(f"/{SECRET}", content=b"\xff")).status_code == 204

    assert door.taken == []


async def test_a_body_is_refused_unread_without_the_secret_or_beyond_the_limit() -> (
    None
):
    async with a_door() as door:
        waits = "Content-Length: 1000\r\nExpect: 100-continue"
        refused = [
            await door.unread(f"POST /jet/wrong HTTP/1.1\r\n{waits}"),
            await door.unread(f"POST /{SECRET}/more HTTP/1.1\r\n{waits}"),
            await door.unread(f"PUT /{SECRET} HTTP/1.1\r\n{waits}"),
            await door.unread(f"POST /{SECRET} HTTP/1.1\r\nContent-Length: 65537"),
        ]

    assert [each.split(b" ")[1] for each in refused] == [b"404", b"404", b"405", b"413"]
    assert all(SECRET.encode() not in each for each in refused)
    assert door.taken == door.missed == []
    assert door.counts()["refused"] == 4


async def test_a_body_whose_length_is_not_told_is_refused_where_it_grows_too_long() -> (
    None
):
    async def endless() -> AsyncIterator[bytes]:
        for _ in range(100):
            yield b" " * 1024

    async with a_door() as door, a_client(door) as client:
        with suppress(httpx.TransportError):  # it hangs up, perhaps in mid-sentence
            await client.post(f"/{SECRET}", content=endless())

    assert door.counts()["refused"] == 1
    assert door.taken == []


async def test_of_a_flood_only_some_is_read() -> None:
    """The clock stands still, so that what is let in is the burst alone."""
    async with a_door() as door, a_client(door) as client:
        body = orjson.dumps(NAMED)
        found = [await client.post(f"/{SECRET}", content=body) for _ in range(80)]

    statuses = [answer.status_code for answer in found]
    assert statuses == [204] * 50 + [429] * 30
    assert len(door.taken) == 50
    assert len(door.missed) == 30


async def test_a_body_that_breaks_off_or_is_not_coded_as_it_says_was_missed(
    caplog: pytest.LogCaptureFixture,
) -> None:
    head = f"POST /{SECRET} HTTP/1.1\r\nContent-Length: 4"
    async with a_door() as door:
        answer = await door.unread(f"{head}\r\nContent-Encoding: gzip", b"abcd")
        assert answer.split(b" ")[1] == b"400"
        _, writer = await asyncio.open_connection("127.0.0.1", door.port)
        writer.write(f"{head}\r\nHost: x\r\n\r\nab".encode())
        writer.close()
        await until(lambda: len(door.missed) == 2, "it was missed")

    assert len(door.missed) == door.counts()["refused"] == 2
    assert caplog.records == []


async def test_of_what_is_no_http_nothing_comes_into_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with a_door() as door:
        for line in (
            f"POST /{SECRET}\xff HTTP/1.1",
            f"POST /{SECRET} HTTP/9.9x",
            f"POST /{SECRET} HTTP/1.1\r\nReferer: \x01",
        ):
            assert b" 400 " in await door.unread(line)

    assert caplog.records == []
