"""
One call to Jet: its turn, its deadline, its size, and what came of it.

Foreign errors become ours here and nowhere else.
"""

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import lru_cache
from typing import Any

import aiohttp
import httpx

from jetworker.core.command import RouteName
from jetworker.core.errors import (
    JetNotFound,
    JetRejected,
    JetUnauthorized,
    JetUnavailable,
)
from jetworker.core.jet_clock import Heard, better
from jetworker.core.observation import (
    StartAccepted,
    StartAnswer,
    StartAnswered,
    StartLost,
    StartNotSent,
)
from jetworker.jet.budget import Budget, Priority
from jetworker.jet.connection import (
    Connection,
    Handover,
    handover,
    is_timeout,
    leaving,
)
from jetworker.jet.way import said_by_proxy
from jetworker.runtime.clock import Clock
from jetworker.runtime.metrics import Metrics
from jetworker.wire import jet as wire
from jetworker.wire import times
from jetworker.wire.jet import quote, quote_answer

_UNAUTHORIZED, _NOT_FOUND, _TOO_MANY = 401, 404, 429
_AGAIN_LATER = frozenset({408, 425, 429})
_ASKED_WITH = b"client_secret"  # an answer that repeats it may repeat the secret
_BODY_LIMIT = 64 << 20  # bytes
# Seconds: what the loop may be late by, what it then has for what has come, and by how
# much it is looked before the end of the time.
_LATE, _READING, _BEFORE = 0.5, 1.0, 0.001
_FOREIGN = (httpx.HTTPError, httpx.InvalidURL, aiohttp.ClientError, OSError)


@dataclass(frozen=True, slots=True)
class Request:
    """
    A call other than a start; it *is_repeatable* if to make it twice changes nothing more.

    *priority* and *route* give it its turn in the budget. *guard* is called when it is
    about to leave, however long it waited, and may raise: then it does not.
    """

    operation: str
    method: str
    path: str
    body: bytes | None = None
    priority: Priority = Priority.POLL
    route: RouteName | None = None
    is_repeatable: bool = True
    guard: Callable[[], None] | None = None


@dataclass(frozen=True, slots=True)
class Response:
    """
    What came back; *retry_after* in seconds, if Jet asked for patience.

    *asked_at* is when the request left (monotonic).
    """

    status: int
    body: bytes
    retry_after: float | None
    asked_at: float = 0.0

    @property
    def is_not_jets(self) -> bool:
        """Whether it is a refusal that is no word of Jet's: no JSON object."""
        return 400 <= self.status < 500 and not wire.is_object(self.body)  # noqa: PLR2004 -- HTTP


def read(answer: Response) -> Any:
    """Return what a question is answered with; raises JetError."""
    status = answer.status
    if 200 <= status < 300:  # noqa: PLR2004 -- HTTP
        try:
            return wire.loads(answer.body)
        except wire.NoAnswer as exc:
            raise JetUnavailable(str(exc)) from exc
    said = quote_answer(answer.body)
    if answer.is_not_jets:
        msg = f"something in front of Jet answered {status}: {said}"
        raise JetUnavailable(msg, answer.retry_after)
    if status == _UNAUTHORIZED:
        msg = "Jet refuses the token"
        raise JetUnauthorized(msg)
    if status == _NOT_FOUND:
        raise JetNotFound(status, said)
    if 400 <= status < 500 and status not in _AGAIN_LATER:  # noqa: PLR2004 -- HTTP
        raise JetRejected(status, said)
    msg = f"Jet answered {status}"
    raise JetUnavailable(msg, answer.retry_after)


def read_start(answer: Response) -> StartAnswer:
    """Return what a start is answered with."""
    if not 200 <= answer.status < 300:  # noqa: PLR2004 -- HTTP
        said = quote_answer(answer.body)
        return StartAnswered(answer.status, said, is_jets=not answer.is_not_jets)
    try:
        delivery_id = wire.delivery_id(wire.loads(answer.body))
    except wire.NoAnswer:
        delivery_id = None
    if delivery_id is None:
        return StartLost(f"Jet answered {answer.status} without a deliveryId")
    return StartAccepted(delivery_id)


class Transport:
    """Makes the calls of one worker."""

    def __init__(
        self,
        connection: Connection,
        budget: Budget,
        clock: Clock,
        metrics: Metrics,
        *,
        timeout: timedelta,
    ) -> None:
        self._connection = connection
        self._budget = budget
        self._clock = clock
        self._metrics = metrics
        self._timeout = timeout.total_seconds()
        self._heard: Heard | None = None
        self._usual = 0.0  # seconds that an answer takes, on average

    @property
    def jet_time(self) -> datetime | None:
        """Jet's clock, from its Date headers, and never later than it is."""
        if self._heard is None:
            return None
        return self._heard.then(self._clock.monotonic())

    @property
    def is_heard(self) -> bool:
        """Whether Jet's clock was heard so lately that an intent may be dated by it."""
        heard = self._heard
        return heard is not None and heard.is_recent(self._clock.monotonic())

    async def wait_turn(self, question: Request) -> None:
        """Wait for a question's turn in the budget, which may take minutes."""
        await self._budget.wait_turn(
            question.operation, question.priority, question.route
        )

    async def ask(self, question: Request, token: str) -> Response:
        """Ask once, when it is its turn; raises JetError, see `read` for the rest."""
        return await self._answer(question, token)

    async def fetch_token(self, body: bytes) -> Any:
        """Ask for a token and return the parsed answer; raises JetError."""
        question = Request("token", "POST", "/oauth/token", body, Priority.TOKEN)
        await self._budget.wait_turn(question.operation, question.priority)
        answer = await self._answer(question, None)
        if answer.status == _UNAUTHORIZED and not answer.is_not_jets:
            raise JetRejected(answer.status, quote_answer(answer.body))
        if answer.is_not_jets and _ASKED_WITH in answer.body:
            msg = f"something in front of Jet answered {answer.status} with what was asked"
            raise JetUnavailable(msg, answer.retry_after)
        return read(answer)

    async def start(
        self,
        path: str,
        body: bytes,
        token: str,
        guard: Callable[[], None],
        grace: float,
    ) -> Response | StartLost | StartNotSent:
        """
        Send one start, whose turn in the budget was taken before.

        Raises what *guard* raises, and JetError if Jet asked meanwhile that starts be
        held back: nothing was sent then. See `read_start` for what Jet says, and
        `_in_time` for *grace*.
        """
        with self._handed_over(guard) as current:
            try:
                async with self._in_time(grace):
                    with self._counted("start_delivery") as count:
                        answer = await self._send(
                            self._connection.starts, "POST", path, body, token
                        )
                        count(answer.status)
            except (*_FOREIGN, TimeoutError) as exc:
                if current.refusal is not None:
                    raise current.refusal from exc
                said = _why(exc, self._connection.proxy)
                return StartLost(said) if current.is_done else StartNotSent(said)
        self._obey("start_delivery", answer)
        return answer

    @asynccontextmanager
    async def _in_time(self, grace: float) -> AsyncIterator[None]:
        """
        Give up when the time-out is over; but first read what has come, where that is late.

        Whoever was frozen, or had a blocked loop, finds the answer and the end of the time
        together. Not later than so many seconds of *grace* after it: then nobody counts on
        an answer any more.
        """
        loop = asyncio.get_running_loop()
        ends_at = loop.time() + self._timeout
        counts_until = self._clock.monotonic() + self._timeout + grace

        async with asyncio.timeout_at(ends_at) as deadline:

            def look() -> None:
                now = loop.time()
                is_late = now > ends_at + _LATE
                if is_late and self._clock.monotonic() < counts_until:
                    deadline.reschedule(now + _READING)

            looking = loop.call_at(ends_at - _BEFORE, look)
            try:
                yield
            finally:
                looking.cancel()

    @contextmanager
    def _handed_over(self, guard: Callable[[], None]) -> Iterator[Handover]:
        """Ask *guard* and the budget again at the last moment before the first byte."""
        ends_at = self._clock.monotonic() + self._timeout

        def allow() -> None:
            guard()
            self._budget.check("start_delivery")

        current = Handover(allow, lambda: self._clock.monotonic() > ends_at)
        reset = handover.set(current)
        try:
            yield current
        finally:
            current.end()
            handover.reset(reset)

    async def _answer(self, question: Request, token: str | None) -> Response:
        try:
            async with asyncio.timeout(self._timeout):
                with self._counted(question.operation) as count:
                    answer = await self._send(
                        self._connection.questions,
                        question.method,
                        question.path,
                        question.body,
                        token,
                        question.guard,
                    )
                    count(answer.status)
        except (*_FOREIGN, TimeoutError) as exc:
            msg = f"Jet did not answer {question.operation}: {_why(exc, self._connection.proxy)}"
            raise JetUnavailable(msg) from exc
        self._obey(question.operation, answer)
        return answer

    async def _send(
        self,
        way: httpx.AsyncBaseTransport,
        method: str,
        path: str,
        body: bytes | None,
        token: str | None,
        guard: Callable[[], None] | None = None,
    ) -> Response:
        request = self._connection.request(method, path, body, token)
        with self._noted(guard) as left_at:
            response = await way.handle_async_request(request)
        read_at = self._clock.monotonic()
        try:
            heard = self._dated(response, read_at, read_at - left_at())
            chunks: list[bytes] = []
            size = 0
            async for chunk in _body(response):
                chunks.append(chunk)
                size += len(chunk)
                if size > _BODY_LIMIT:
                    msg = "the answer is too large"
                    raise httpx.ReadError(msg)
        finally:
            await response.aclose()
        body = b"".join(chunks)
        if heard is not None and _may_be_jets(response.status_code, body):
            self._heard = better(self._heard, heard)
        # A date is one of the clock of who answered, which need not agree with ours.
        told = heard.then(self._clock.monotonic()) if heard else self.jet_time
        wait = times.parse(
            response.headers.get("retry-after"), told or self._clock.now()
        )
        return Response(response.status_code, body, wait, left_at())

    @contextmanager
    def _noted(self, guard: Callable[[], None] | None) -> Iterator[Callable[[], float]]:
        """Take note of when a request leaves, and ask *guard*; it may have waited."""
        left_at = self._clock.monotonic()

        def leave() -> None:
            nonlocal left_at
            if guard is not None:
                guard()
            left_at = self._clock.monotonic()

        reset = leaving.set(leave)
        try:
            yield lambda: left_at
        finally:
            leaving.reset(reset)

    def _obey(self, operation: str, answer: Response) -> None:
        """Hold back what Jet asks to hold back, and slow down when it is too much."""
        if answer.retry_after is not None and answer.status >= 400:  # noqa: PLR2004 -- HTTP
            self._budget.hold(operation, answer.retry_after)
        if answer.status == _TOO_MANY:
            self._budget.slow()

    def _dated(
        self, response: httpx.Response, read_at: float, took: float
    ) -> Heard | None:
        """
        Return what an answer's Date tells; whose clock that is, its body tells.

        One that *took* too long tells nothing: who was frozen, or suspended, reads what
        was written nobody knows when.
        """
        try:
            date = _date(response.headers["date"])
        except (KeyError, ValueError, TypeError, OverflowError):
            return None
        if date.tzinfo is None or not times.is_plausible(date):
            return None
        if took > self._timeout:
            return None
        return Heard(date, read_at, took)

    @contextmanager
    def _counted(self, operation: str) -> Iterator[Callable[[int], None]]:
        """Count a request by its outcome; a Jet that grows slow is asked less."""
        began = self._clock.monotonic()
        outcome = "connect_error"

        def count(status: int) -> None:
            nonlocal outcome
            outcome = str(status)

        try:
            yield count
        except (*_FOREIGN, asyncio.CancelledError) as exc:
            cancelled = isinstance(exc, asyncio.CancelledError)
            outcome = "timeout" if cancelled or is_timeout(exc) else "connect_error"
            raise
        finally:
            took = self._clock.monotonic() - began
            self._metrics.jet_requests_total.labels(operation, outcome).inc()
            self._metrics.jet_request_duration_seconds.labels(operation).observe(took)
            if took > max(2.0, 5 * self._usual):
                self._budget.slow()
            self._usual += (took - self._usual) / 20


def _may_be_jets(status: int, body: bytes) -> bool:
    """
    Whether an answer may be Jet's own, as its clock is.

    An error that is no JSON object is of something in front of Jet, whose clock may be
    wrong; so is a page where there should be JSON, and who sends us elsewhere without one.
    """
    if not 200 <= status < 300:  # noqa: PLR2004 -- HTTP
        return wire.is_object(body)
    return body[:64].lstrip()[:1] in {b"{", b"[", b""}


def _body(response: httpx.Response) -> AsyncIterable[bytes]:
    """Return the bytes of an answer; straight from the stream, if they are no code."""
    if "content-encoding" in response.headers:
        return response.aiter_bytes()
    assert isinstance(response.stream, httpx.AsyncByteStream)
    return response.stream


@lru_cache(maxsize=8)
def _date(text: str) -> datetime:
    """Parse a Date header; many answers of one second have the same."""
    return parsedate_to_datetime(text)


def _why(exc: Exception, proxy: httpx.Proxy | None) -> str:
    """Return why there is no answer; our own deadline only says that it was cancelled."""
    cause = exc.__cause__ or exc
    if isinstance(cause, asyncio.CancelledError):
        return "no answer in time"
    if said := said_by_proxy(cause, proxy):
        return said
    return quote(f"{type(cause).__name__}: {exc}")
