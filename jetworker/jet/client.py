"""
The Jet API, one method a call, and how a client of it is put together.

Every method but the start raises JetError. Questions are asked again by a library when
Jet does not answer, and once with a new token after a 401. A start is sent once, and
whatever comes of it is a value.
"""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any, TypeVar
from urllib.parse import quote

import orjson
import stamina
import stamina.instrumentation

from jetworker.config.model import JetConfig
from jetworker.core.command import (
    DeliveryId,
    JobId,
    ObjectSpec,
    ProfileId,
    RouteName,
    TransferId,
)
from jetworker.core.errors import JetNotFound, JetUnauthorized, JetUnavailable
from jetworker.core.observation import (
    JetDelivery,
    JetFile,
    JetJob,
    JetTransfer,
    StartAnswer,
    StartAnswered,
    StorageProfile,
)
from jetworker.core.route import Growing
from jetworker.jet.budget import Budget, Priority
from jetworker.jet.connection import Connection, connect
from jetworker.jet.oauth import TokenSource
from jetworker.jet.transport import Request, Transport
from jetworker.runtime.clock import Clock
from jetworker.runtime.metrics import Metrics
from jetworker.wire import jet
from jetworker.wire import jet as wire
from jetworker.wire.jet import is_jet_id

_ATTEMPTS = 3
_WORTH_WAITING = 2.0
_UNAUTHORIZED = 401

stamina.instrumentation.set_on_retry_hooks(())  # our own metrics count every call

_T = TypeVar("_T")


class JetClient:
    """Jet, as far as manual jobs need it."""

    def __init__(
        self, transport: Transport, budget: Budget, tokens: TokenSource
    ) -> None:
        self._transport = transport
        self._budget = budget
        self._tokens = tokens

    @property
    def jet_time(self) -> datetime | None:
        """Jet's clock, never later than it is; None if Jet was never heard."""
        return self._transport.jet_time

    @property
    def has_signed_in(self) -> bool:
        """Whether a token was obtained since the start."""
        return self._tokens.has_token

    @property
    def is_heard(self) -> bool:
        """Whether Jet's clock was heard in the last minute."""
        return self._transport.is_heard

    def share(self, part: float) -> None:
        """Take this part of what all workers may call together, if that is limited."""
        self._budget.share(part)

    async def sign_in(self) -> None:
        """Obtain a token, if there is none that is good for now."""
        await self._tokens.get()

    async def start_turn(self, route: RouteName) -> None:
        """Wait for a start's turn in the budget."""
        await self._budget.wait_turn("start_delivery", Priority.START, route)

    async def start_delivery(
        self,
        job_id: JobId,
        objects: Sequence[ObjectSpec],
        *,
        guard: Callable[[], None],
    ) -> StartAnswer:
        """
        Start a delivery, once (POST /v1/jobs/{jobId}/deliveries).

        *guard* is called directly before the first byte leaves; what it raises is
        raised, and proves that nothing was sent. So does JetError: no token is to be
        had, or Jet asked meanwhile that starts be held back. Its turn is taken before.
        """
        path = f"/v1/jobs/{_safe(job_id)}/deliveries"
        token = await self._tokens.get()
        answer = await self._transport.start(
            path, jet.start_body(objects), token, guard
        )
        if isinstance(answer, StartAnswered) and answer.status == _UNAUTHORIZED:
            self._tokens.invalidate(token)
        return answer

    async def get_delivery(
        self,
        job_id: JobId,
        delivery_id: DeliveryId,
        *,
        priority: Priority = Priority.POLL,
        route: RouteName | None = None,
    ) -> JetDelivery:
        """Return a delivery (GET /v1/jobs/{jobId}/deliveries/{deliveryId})."""
        path = f"/v1/jobs/{_safe(job_id)}/deliveries/{_safe(delivery_id)}"
        question = Request("get_delivery", "GET", path, None, priority, route)
        found = await self._ask(question, wire.delivery)
        _is_about(found.delivery_id, delivery_id)
        return found

    async def get_transfer(
        self,
        job_id: JobId,
        transfer_id: TransferId,
        *,
        priority: Priority = Priority.POLL,
        route: RouteName | None = None,
    ) -> JetTransfer:
        """Return a transfer (GET /v1/jobs/{jobId}/transfers/{transferId})."""
        path = f"/v1/jobs/{_safe(job_id)}/transfers/{_safe(transfer_id)}"
        question = Request("get_transfer", "GET", path, None, priority, route)
        found = await self._ask(question, wire.transfer)
        _is_about(found.transfer_id, transfer_id)
        return found

    async def list_transfers(
        self,
        job_id: JobId,
        *,
        priority: Priority = Priority.POLL,
        route: RouteName | None = None,
    ) -> tuple[JetTransfer, ...]:
        """Return the job's transfers in progress, the only ones that Jet lists."""
        path = f"/v1/jobs/{_safe(job_id)}/transfers?state=IN_PROGRESS"
        question = Request("list_transfers", "GET", path, None, priority, route)
        return await self._list(question, wire.transfer)

    def may_list_transfers(self) -> bool:
        """Whether a listing would be asked for now, and not minutes later."""
        return not self._budget.is_held("list_transfers")

    async def list_files(
        self, job_id: JobId, *, priority: Priority = Priority.LOOKUP
    ) -> tuple[JetFile, ...]:
        """Return the files that the job transferred (GET /v1/jobs/{jobId}/files)."""
        path = f"/v1/jobs/{_safe(job_id)}/files"
        return await self._list(
            Request("list_files", "GET", path, None, priority), wire.file
        )

    async def get_job(
        self,
        job_id: JobId,
        *,
        priority: Priority = Priority.LOOKUP,
        route: RouteName | None = None,
    ) -> JetJob:
        """Return a job (GET /v1/jobs/{jobId})."""
        path = f"/v1/jobs/{_safe(job_id)}"
        question = Request("get_job", "GET", path, None, priority, route)
        return await self._ask(question, wire.job)

    async def list_jobs(
        self, *, priority: Priority = Priority.START, route: RouteName | None = None
    ) -> tuple[JetJob, ...]:
        """Return all jobs (GET /v1/jobs; no paging is documented)."""
        question = Request("list_jobs", "GET", "/v1/jobs", None, priority, route)
        return await self._list(question, wire.job)

    async def create_job(
        self,
        name: str,
        source: ProfileId,
        destination: ProfileId,
        growing: Growing | None = None,
        *,
        route: RouteName | None = None,
    ) -> JetJob:
        """Create a manual job (POST /v1/jobs); never asked twice by itself."""
        body = jet.job_body(name, source, destination, growing)
        question = Request(
            "create_job",
            "POST",
            "/v1/jobs",
            body,
            Priority.START,
            route,
            is_repeatable=False,
        )
        return await self._ask(question, wire.job)

    async def set_paused(
        self, job_id: JobId, *, paused: bool, route: RouteName | None = None
    ) -> JetJob:
        """
        Pause or resume a job (PATCH /v1/jobs/{jobId}).

        The body is minimal: echoing a whole job could undo somebody else's change.
        """
        path = f"/v1/jobs/{_safe(job_id)}"
        body = orjson.dumps({"paused": paused})
        question = Request("set_paused", "PATCH", path, body, Priority.START, route)
        return await self._ask(question, wire.job)

    async def list_profiles(
        self, *, route: RouteName | None = None
    ) -> tuple[StorageProfile, ...]:
        """Return the storage profiles (GET /v1/storageProfiles)."""
        path = "/v1/storageProfiles"
        question = Request("list_profiles", "GET", path, None, Priority.START, route)
        return await self._list(question, wire.profile)

    async def _ask(self, question: Request, read: Callable[[Any], _T]) -> _T:
        try:
            return read(await self._answer(question))
        except wire.NoAnswer as exc:
            raise JetUnavailable(str(exc)) from exc

    async def _list(
        self, question: Request, read: Callable[[Any], _T]
    ) -> tuple[_T, ...]:
        try:
            return wire.items(await self._answer(question), read)
        except wire.NoAnswer as exc:
            raise JetUnavailable(str(exc)) from exc

    async def _answer(self, question: Request) -> Any:
        """
        Return the parsed answer, asked for again where Jet gave none.

        The library, which makes a great deal of each call, hears only of those that
        failed: of the first one too, so that the waits between them are its own.
        """
        try:
            return await self._signed_in(question)
        except JetUnavailable as exc:
            first: JetUnavailable | None = exc
        attempts = _ATTEMPTS if question.is_repeatable else 1
        async for attempt in stamina.retry_context(
            on=worth_repeating,
            attempts=attempts,
            timeout=None,
            wait_initial=0.1,
            wait_max=1.0,
        ):
            with attempt:
                if first is not None:
                    failed, first = first, None
                    raise failed
                return await self._signed_in(question)
        raise AssertionError(question)

    async def _signed_in(self, question: Request) -> Any:
        """Ask once, and once more with a new token where Jet refuses the one we have."""
        token = await self._tokens.get()
        try:
            return await self._transport.ask(question, token)
        except JetUnauthorized:
            self._tokens.invalidate(token)
            return await self._transport.ask(question, await self._tokens.get())


def client_on(
    connection: Connection,
    config: JetConfig,
    credentials: Callable[[], tuple[str, str]],
    clock: Clock,
    metrics: Metrics,
) -> JetClient:
    """Return a client with a budget and a token of its own on an open connection."""
    budget = Budget(
        config.requests_per_second,
        clock,
        metrics,
        shared=config.shared_requests_per_second,
    )
    timeout = config.request_timeout
    transport = Transport(connection, budget, clock, metrics, timeout=timeout)
    tokens = TokenSource(transport.fetch_token, credentials, clock, metrics)
    return JetClient(transport, budget, tokens)


@asynccontextmanager
async def open_client(
    config: JetConfig,
    credentials: Callable[[], tuple[str, str]],
    clock: Clock,
    metrics: Metrics,
    *,
    user_agent: str,
) -> AsyncIterator[JetClient]:
    """Connect to Jet, for as long as this lasts."""
    async with connect(config, user_agent) as connection:
        yield client_on(connection, config, credentials, clock, metrics)


def worth_repeating(exc: Exception) -> bool | float:
    """Ask again at once only what Jet did not answer; longer waits are the caller's."""
    if not isinstance(exc, JetUnavailable):
        return False
    if exc.retry_after is None:
        return True
    return exc.retry_after if exc.retry_after <= _WORTH_WAITING else False


def _is_about(told: str, asked: str) -> None:
    """Take an answer about something else for none: its end would be a false one."""
    if told != asked:
        msg = "Jet answered about something else than it was asked for"
        raise JetUnavailable(msg)


def _safe(identifier: str) -> str:
    """Return an id fit for a URL; one that is none cannot exist at Jet."""
    if not is_jet_id(identifier):
        status, message = 404, "not an id that Jet could have given"
        raise JetNotFound(status, message)
    return quote(identifier, safe="")
