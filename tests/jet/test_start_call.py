"""The one dangerous call, against a raw socket: sent once, and known when not sent."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, closing, suppress
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any, TypeAlias

import pytest
import stamina
from prometheus_client import CollectorRegistry
from pydantic import SecretStr
from typing_extensions import override

from jetworker.config.model import JetConfig
from jetworker.core.command import DeliveryId, JobId, ObjectSpec
from jetworker.core.errors import JetUnavailable, LeaseLost
from jetworker.core.observation import (
    StartAccepted,
    StartAnswer,
    StartAnswered,
    StartLost,
    StartNotSent,
)
from jetworker.jet import connection
from jetworker.jet.client import JetClient, open_client
from jetworker.runtime.clock import Clock
from jetworker.runtime.metrics import Metrics
from tests.support.waiting import PATIENCE, until

Reader: TypeAlias = asyncio.StreamReader
Writer: TypeAlias = asyncio.StreamWriter
Behaviour: TypeAlias = Callable[[Reader, Writer], Awaitable[None]]
TOKEN = b'{"access_token":"t","expires_in":3600}'


def answer(body: bytes, status: str = "200 OK", extra: str = "") -> bytes:
    head = f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n{extra}\r\n"
    return head.encode() + body


async def read_request(reader: Reader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    size = 0
    for line in head.split(b"\r\n"):
        if line.lower().startswith(b"content-length:"):
            size = int(line.split(b":")[1])
    return head + await reader.readexactly(size)


class RawServer:
    """Answers the token, and behaves as told for anything else."""

    def __init__(self, behaviour: Behaviour) -> None:
        self._behaviour = behaviour
        self.starts = 0

    async def handle(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n")
                if b"/oauth/token" in head:
                    await read_request(reader)
                    writer.write(answer(TOKEN))
                    await writer.drain()
                    continue
                self.starts += 1
                await self._behaviour(reader, writer)
                break
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


class WokenClock(Clock):
    """The clock of a process that was frozen for *away* seconds, its loop unaware of it."""

    away = 0.0

    @override
    def monotonic(self) -> float:
        """Return seconds, the frozen ones too."""
        return super().monotonic() + self.away


@asynccontextmanager
async def client(
    port: int, seconds: float = PATIENCE, clock: Clock | None = None
) -> AsyncIterator[JetClient]:
    config = JetConfig(
        base_url=f"http://127.0.0.1:{port}",
        client_id="a",
        client_secret=SecretStr("b"),
        request_timeout=timedelta(seconds=seconds),
        requests_per_second=100,
    )
    metrics = Metrics(CollectorRegistry())
    async with open_client(
        config, lambda: ("a", "b"), clock or Clock(), metrics, user_agent="test"
    ) as jet:
        yield jet


async def start(
    behaviour: Behaviour,
    guard: Callable[[], None] = lambda: None,
    seconds: float = PATIENCE,
    grace: float = 0.0,
) -> tuple[StartAnswer, int]:
    raw = RawServer(behaviour)
    server = await asyncio.start_server(raw.handle, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    try:
        async with client(port, seconds) as jet:
            objects = (ObjectSpec("/a"),)
            found = await jet.start_delivery(
                JobId("j"), objects, guard=guard, grace=grace
            )
    finally:
        server.close()
    return found, raw.starts


async def hang(_reader: Reader, _writer: Writer) -> None:
    await asyncio.Event().wait()


async def close_at_once(_reader: Reader, writer: Writer) -> None:
    writer.close()


async def close_after_reading(reader: Reader, writer: Writer) -> None:
    await read_request(reader)
    writer.close()


def answering(raw: bytes) -> Behaviour:
    async def behave(reader: Reader, writer: Writer) -> None:
        await read_request(reader)
        writer.write(raw)
        await writer.drain()

    return behave


@pytest.mark.parametrize(
    "behaviour",
    [
        close_at_once,
        close_after_reading,
        answering(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{"),
        answering(b"not http at all\r\n\r\n"),
        answering(answer(b"{}")),
        answering(answer(b"<html>")),
        answering(answer(b'{"deliveryId":"../x"}')),
        answering(b"HTTP/1.1 200 OK\r\n"),
    ],
    ids=["closed", "read", "truncated", "garbage", "no id", "html", "odd id", "half"],
)
async def test_whatever_may_have_left_without_an_answer_is_lost_and_sent_once(
    behaviour: Behaviour,
) -> None:
    found, starts = await start(behaviour)

    assert isinstance(found, StartLost)
    assert starts == 1


async def test_a_timeout_is_lost_within_one_deadline() -> None:
    found, starts = await start(hang, seconds=0.5)

    assert found == StartLost("no answer in time")
    assert starts == 1


class SlowReader:
    """Gives a token, and reads a start a little at a time to where it breaks off."""

    def __init__(self) -> None:
        self.read = 0
        self._socket = socket.socket()
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL)
        self._socket.bind(("127.0.0.1", 0))
        self._socket.listen()
        self._socket.setblocking(False)
        self.port = self._socket.getsockname()[1]

    async def serve(self) -> None:
        loop = asyncio.get_running_loop()
        with self._socket:
            asking, _ = await loop.sock_accept(self._socket)
            with asking:
                await loop.sock_recv(asking, 1 << 16)
                await loop.sock_sendall(asking, answer(TOKEN))
                starting, _ = await loop.sock_accept(self._socket)
                with starting, suppress(ConnectionError):
                    while data := await loop.sock_recv(starting, SMALL):
                        self.read += len(data)
                        await asyncio.sleep(0.01)  # the fault: it is slow


SMALL = 8192  # bytes of a buffer


def narrow(timeout: float) -> Callable[[Any], socket.socket]:
    """Make sockets in which little is on its way at once, as through a thin line."""
    make = SOCKETS(timeout)

    def narrowed(address: Any) -> socket.socket:
        made = make(address)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SMALL)
        return made

    return narrowed


SOCKETS = connection._socket_factory  # noqa: SLF001 -- nothing else makes the line thin


@pytest.mark.parametrize("is_cancelled", [False, True])
async def test_of_a_start_that_is_given_up_nothing_more_leaves(
    monkeypatch: pytest.MonkeyPatch,
    is_cancelled: bool,
) -> None:
    monkeypatch.setattr(connection, "_socket_factory", narrow)
    objects = tuple(ObjectSpec(f"/{n}/" + "a" * 900) for n in range(1000))
    server = SlowReader()
    seconds = PATIENCE if is_cancelled else 0.5
    async with asyncio.TaskGroup() as tasks, client(server.port, seconds) as jet:
        tasks.create_task(server.serve())
        await jet.sign_in()
        starting = asyncio.create_task(
            jet.start_delivery(JobId("j"), objects, guard=lambda: None)
        )
        if is_cancelled:
            await until(lambda: server.read, "a first part of the start")
            starting.cancel()
        await asyncio.wait([starting])
        read_by_then = server.read

    assert starting.cancelled() is is_cancelled
    if not is_cancelled:
        assert starting.result() == StartLost("no answer in time")
    assert server.read - read_by_then <= 10 * SMALL


async def test_of_a_start_whose_sender_slept_past_its_deadline_the_rest_does_not_leave(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(connection, "_socket_factory", narrow)
    objects = tuple(ObjectSpec(f"/{n}/" + "a" * 900) for n in range(1000))
    server, clock = SlowReader(), WokenClock()
    async with asyncio.TaskGroup() as tasks, client(server.port, clock=clock) as jet:
        tasks.create_task(server.serve())
        await jet.sign_in()
        starting = asyncio.create_task(
            jet.start_delivery(JobId("j"), objects, guard=lambda: None)
        )
        await until(lambda: server.read, "a first part of the start")
        clock.away = PATIENCE + 1
        found = await starting

    assert found == StartLost("ClientOSError: the rest is too late")
    assert server.read < sum(len(each.relative_path) for each in objects) / 2


async def test_a_redirect_is_not_followed() -> None:
    moved = answer(b"", "307 Temporary Redirect", "Location: /elsewhere\r\n")

    found, starts = await start(answering(moved))

    assert isinstance(found, StartAnswered)
    assert (found.status, starts) == (307, 1)


async def test_words_behind_a_status_that_are_no_utf_8_take_nothing_from_an_answer() -> (
    None
):
    created = b'{"deliveryId":"d-1"}'
    answered = answer(created, "200 Cr#", "").replace(b"#", b"\xe9\xe9")

    found, starts = await start(answering(answered))

    assert (found, starts) == (StartAccepted(DeliveryId("d-1")), 1)


async def test_a_question_answered_in_latin_1_by_a_proxy_has_no_answer_but_no_defect() -> (
    None
):
    said = answer(b"", "503 Service indisponible#").replace(b"#", b" \xe0 cette heure")
    raw = RawServer(answering(said))
    server = await asyncio.start_server(raw.handle, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, client(port) as jet:
        with stamina.set_testing(True), pytest.raises(JetUnavailable, match="503"):
            await jet.get_job(JobId("j"))


async def test_an_id_is_accepted_with_any_2xx() -> None:
    found, _ = await start(answering(answer(b'{"deliveryId":"d-1"}', "202 Accepted")))

    assert found == StartAccepted(DeliveryId("d-1"))


async def test_a_guard_that_refuses_keeps_every_byte_back() -> None:
    received: list[bytes] = []

    async def listen(reader: Reader, _writer: Writer) -> None:
        received.append(await reader.read(1))

    def refuse() -> None:
        raise LeaseLost("too late")

    with pytest.raises(LeaseLost):
        await start(listen, refuse)
    assert received == []


def refusing_the_second_time() -> Callable[[], None]:
    """Make a guard as of a process that is frozen once its connection is there."""
    held = iter([False])

    def guard() -> None:
        if next(held, True):
            raise LeaseLost("too late")

    return guard


async def test_a_start_that_is_too_late_once_its_connection_is_there_is_kept_back() -> (
    None
):
    received: list[bytes] = []
    tokens = iter([TOKEN])

    async def handle(reader: Reader, writer: Writer) -> None:
        with closing(writer):
            for token in tokens:
                await read_request(reader)
                writer.write(answer(token))
                return
            try:
                received.append(await reader.read(1))
            except ConnectionResetError:  # what is given up ends like this
                received.append(b"")

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    async with server, client(server.sockets[0].getsockname()[1]) as jet:
        with pytest.raises(LeaseLost):
            await jet.start_delivery(
                JobId("j"), (ObjectSpec("/a"),), guard=refusing_the_second_time()
            )
        await until(lambda: received, "the end of its connection")

    assert received == [b""]


async def test_a_start_that_had_its_turn_before_a_retry_after_is_kept_back() -> None:
    throttled = answer(b"", "429 Too Many Requests", "Retry-After: 60\r\n")
    raw = RawServer(answering(throttled))
    server = await asyncio.start_server(raw.handle, "127.0.0.1", 0)
    objects = (ObjectSpec("/a"),)
    async with server, client(server.sockets[0].getsockname()[1]) as jet:
        first = await jet.start_delivery(JobId("j"), objects, guard=lambda: None)
        with pytest.raises(JetUnavailable, match="start_delivery be held back"):
            await jet.start_delivery(JobId("j"), objects, guard=lambda: None)

    assert isinstance(first, StartAnswered)
    assert (first.status, raw.starts) == (429, 1)


async def test_a_refused_connection_was_not_sent() -> None:
    raw = RawServer(hang)
    server = await asyncio.start_server(raw.handle, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with client(port) as jet:
        await jet.sign_in()
        server.close()
        found = await jet.start_delivery(
            JobId("j"), (ObjectSpec("/a"),), guard=lambda: None
        )

    assert isinstance(found, StartNotSent)


async def test_without_a_token_nothing_is_sent() -> None:
    async with client(1) as jet:
        with pytest.raises(JetUnavailable):
            await jet.start_delivery(
                JobId("j"), (ObjectSpec("/a"),), guard=lambda: None
            )


@pytest.mark.parametrize(
    ("is_whole", "grace"),
    [(True, 20.0), (False, 20.0), (True, 0.0)],
    ids=["whole", "its head", "too late"],
)
async def test_an_answer_that_came_while_the_process_stood_still_is_not_thrown_away(
    monkeypatch: pytest.MonkeyPatch, is_whole: bool, grace: float
) -> None:
    """Who wakes up past the deadline finds it there; not so late that others count on none."""
    loop = asyncio.get_running_loop()
    real, away = loop.time, 0.0
    monkeypatch.setattr(loop, "time", lambda: real() + away)
    head, body = answer(b'{"deliveryId":"d-1"}').split(b"\r\n\r\n")

    async def answer_and_freeze(reader: Reader, writer: Writer) -> None:
        nonlocal away
        await read_request(reader)
        writer.write(head + b"\r\n\r\n" + (body if is_whole else b""))
        away += PATIENCE + 5
        await writer.drain()
        if not is_whole:
            await asyncio.Event().wait()

    found, starts = await start(answer_and_freeze, grace=grace)

    assert starts == 1
    if is_whole and grace:
        assert found == StartAccepted(DeliveryId("d-1"))
    else:
        assert found == StartLost("no answer in time")


@pytest.mark.parametrize("asleep", [5.0, 3600.0], ids=["a little", "an hour"])
async def test_an_answer_that_is_read_long_after_it_was_written_does_not_set_jets_clock_back(
    asleep: float,
) -> None:
    """An intent would be dated by it, and what it makes be looked for too early."""
    clock, now = WokenClock(), datetime.now(UTC)
    sleeps = iter([0.0, asleep])
    dated = answer(
        b'{"deliveryId":"d-1"}', extra=f"Date: {format_datetime(now, usegmt=True)}\r\n"
    )

    async def answer_and_sleep(reader: Reader, writer: Writer) -> None:
        await read_request(reader)
        writer.write(dated)
        clock.away += next(sleeps)
        await writer.drain()

    raw = RawServer(answer_and_sleep)
    server = await asyncio.start_server(raw.handle, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, client(port, clock=clock) as jet:
        for _ in range(2):
            found = await jet.start_delivery(
                JobId("j"), (ObjectSpec("/a"),), guard=lambda: None
            )
            assert isinstance(found, StartAccepted)

        assert jet.jet_time is not None
        assert jet.jet_time - now > timedelta(seconds=asleep - 2)
