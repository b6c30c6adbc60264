"""
The connections to Jet: httpx's interface on aiohttp's transport (7 times as fast).

Two of them. Questions share a pool of kept connections. A start has a connection of
its own, made for it and closed after it: a kept one that the server has just closed
would make the outcome unknown for nothing, and what the kernel still holds of it when
this process is killed is thrown away instead of arriving later (SO_LINGER,
TCP_USER_TIMEOUT).

Whether a start may have left is not told by the error: the transport calls a server
that hung up a "connect timeout". It is told by the moment the connection was handed
over, and by the socket, which asks once more before the kernel gets a byte: `Handover`.
"""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Self

import aiohttp
import httpx
from httpx_aiohttp import AiohttpTransport
from typing_extensions import override

from jetworker.config.model import JetConfig
from jetworker.jet.way import proxy_of, trust_of

_QUESTIONS_AT_ONCE = 200  # more than are asked at once: the budget is what limits
_STARTS_AT_ONCE = 400  # eight of each of fifty jobs: none waits for another
_NO_LINGER = struct.pack("ii", 1, 0)


@dataclass(slots=True)
class Handover:
    """
    What a start passes on its way to the kernel, up to its last byte.

    1. Its connection is there: *guard* is called, and may raise.
    2. The kernel is given the first piece: *guard* is called again. Between the two
       the loop may have been busy, or the process frozen, for any time. After it some
       microseconds are left, for which nothing helps: Jet has no key to refuse by.
    3. The kernel is given another piece, once the line has room: *is_late* is asked.
       Who comes back after the deadline does not complete what would be applied then.

    *is_done* is false as long as nothing can have left; so it is again after a
    *refusal* at the second step.
    """

    guard: Callable[[], None]
    is_late: Callable[[], bool]
    is_done: bool = False
    refusal: Exception | None = None
    way: asyncio.Transport | None = None
    _has_left: bool = False

    def begin(self, way: asyncio.Transport | None) -> None:
        """Take the first step; raises what *guard* raises."""
        self.guard()
        self.is_done, self.way = True, way

    def pass_on(self) -> None:
        """
        Take the second or third step; raises ConnectionAbortedError.

        What is sent before the first is none of the start: TLS, a word with a proxy.
        """
        if self.is_done and not self._has_left:
            self._pass_first()
        elif self._has_left and self.is_late():
            msg = "the rest is too late"
            raise ConnectionAbortedError(msg)
        if self.refusal is not None:
            raise ConnectionAbortedError(str(self.refusal)) from self.refusal

    def _pass_first(self) -> None:
        try:
            self.guard()
        except Exception as exc:  # noqa: BLE001 -- it is raised where the start is sent
            self.is_done, self.refusal = False, exc
        else:
            self._has_left = True

    def end(self) -> None:
        """
        Let nothing more leave: what is not sent yet is thrown away.

        A connection that is only closed is first written out, for as long as that takes.
        """
        if self.way is not None:
            self.way.abort()


handover: ContextVar[Handover | None] = ContextVar("handover", default=None)
# Told when a question is handed its connection: it may have waited for one, and it may
# not be to leave any more (then this raises).
leaving: ContextVar[Callable[[], None] | None] = ContextVar("leaving", default=None)


@dataclass(frozen=True, slots=True)
class Connection:
    """
    Two ways to Jet, and what every request of either has in common.

    httpx's transports, without its client: the client's redirects, cookies, sign-in flow
    and hooks, of which we want none, cost as much as a call itself. Both go through
    *proxy*, if there is one.
    """

    questions: httpx.AsyncBaseTransport
    starts: httpx.AsyncBaseTransport
    base_url: str
    user_agent: str
    proxy: httpx.Proxy | None = None

    def request(
        self, method: str, path: str, body: bytes | None, token: str | None
    ) -> httpx.Request:
        """Return a request with what is asked for, and nothing else."""
        url = _url(self.base_url.rstrip("/") + path)
        host = url.netloc
        headers = _headers(host, self.user_agent, token, has_body=body is not None)
        return httpx.Request(method, url, headers=headers, content=body)


@lru_cache(maxsize=8)
def _headers(
    host: bytes, user_agent: str, token: str | None, *, has_body: bool
) -> httpx.Headers:
    """Return what every request of a kind is headed by: a request copies it."""
    headers = [
        (b"host", host),
        (b"user-agent", user_agent.encode()),
        (b"accept", b"application/json"),
        (b"accept-encoding", b"gzip, deflate"),
    ]
    if has_body:
        headers.append((b"content-type", b"application/json"))
    if token is not None:
        headers.append((b"authorization", f"Bearer {token}".encode()))
    return httpx.Headers(headers)


@lru_cache(maxsize=1000)
def _url(text: str) -> httpx.URL:
    """Parse a URL: a job's are asked for again and again."""
    return httpx.URL(text)


@asynccontextmanager
async def connect(config: JetConfig, user_agent: str) -> AsyncIterator[Connection]:
    """
    Open both: no redirects, no cookies, no retries.

    Time-outs are the caller's, one around everything.
    """
    ssl_context, proxy = trust_of(config), proxy_of(config)
    timeout = config.request_timeout.total_seconds()
    async with (
        aiohttp.ClientSession(
            connector=_GuardedConnector(
                limit=_QUESTIONS_AT_ONCE, ssl=ssl_context, keepalive_timeout=30
            ),
            response_class=_Unexplained,
            trust_env=False,
            cookie_jar=aiohttp.DummyCookieJar(),
        ) as questions,
        aiohttp.ClientSession(
            connector=_GuardedConnector(
                limit=_STARTS_AT_ONCE,
                ssl=ssl_context,
                force_close=True,
                socket_factory=_socket_factory(timeout),
            ),
            response_class=_Unexplained,
            trust_env=False,
            cookie_jar=aiohttp.DummyCookieJar(),
        ) as starts,
    ):
        yield Connection(
            # Without ours each would read all authorities once more, for nothing.
            AiohttpTransport(verify=ssl_context, client=questions, proxy=proxy),
            AiohttpTransport(verify=ssl_context, client=starts, proxy=proxy),
            config.base_url,
            user_agent,
            proxy,
        )


class _Unexplained(aiohttp.ClientResponse):
    """
    An answer without the words behind its status, which mean nothing (RFC 9112 §4).

    They may be no UTF-8, which the transport fails on, with whatever was answered.
    """

    @override
    async def start(self, connection: aiohttp.connector.Connection) -> Self:
        """Read the head of the answer."""
        await super().start(connection)
        self.reason = None
        return self


class _GuardedConnector(aiohttp.TCPConnector):
    """
    Asks the guard when a connection is there; nothing is awaited before the send.

    Where a question is asked, whoever asks it is told that it leaves now.
    """

    @override
    async def connect(
        self,
        req: aiohttp.ClientRequest,
        traces: list[aiohttp.tracing.Trace],
        timeout: aiohttp.ClientTimeout,
    ) -> aiohttp.connector.Connection:
        """Return the connection, unless the guard raises."""
        connection = await super().connect(req, traces, timeout)
        note, current = leaving.get(), handover.get()
        try:
            if note is not None:
                note()
            if current is not None:
                current.begin(connection.transport)
        except BaseException:  # whatever it was, nothing may be left half sent
            connection.close()
            raise
        return connection


class _GuardedSocket(socket.socket):
    """
    The socket of one start, which asks before it gives the kernel anything.

    The loop writes with these two (`asyncio.selector_events`), TLS or not.
    """

    def __init__(self, family: int, kind: int, protocol: int) -> None:
        super().__init__(family, kind, protocol)
        self._handover = handover.get()  # of the start that it is made for

    @override
    def send(self, *args: Any) -> int:
        """Send, unless it is kept back."""
        if self._handover is not None:
            self._handover.pass_on()
        return super().send(*args)

    @override
    def sendmsg(self, *args: Any) -> int:
        """Send, unless it is kept back."""
        if self._handover is not None:
            self._handover.pass_on()
        return super().sendmsg(*args)


def _socket_factory(timeout: float) -> Callable[[Any], socket.socket]:
    def make(address: Any) -> socket.socket:
        family, kind, protocol, _, _ = address
        made = _GuardedSocket(family, kind, protocol)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            made.setsockopt(
                socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(timeout * 1000)
            )
        return made

    return make


def is_timeout(exc: BaseException) -> bool:
    """Whether a foreign error means that Jet did not answer in time."""
    cause = exc.__cause__ or exc
    return isinstance(
        cause, TimeoutError | asyncio.TimeoutError | httpx.TimeoutException
    )
