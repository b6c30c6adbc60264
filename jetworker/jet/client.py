"""
The Jet API, one method a call, and how a client of it is put together.

Every method but the start raises JetError. Questions are asked again by a library when
Jet does not answer, and once with a new token after a 401. A start is sent once, and
whatever comes of it is a value.
"""

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from datetime import datetime
from functools import partial
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
    SubscriptionId,
    TransferId,
)
from jetworker.core.errors import (
    JetNotFound,
    JetRejected,
    JetUnauthorized,
    JetUnavailable,
)
from jetworker.core.observation import (
    JetDelivery,
    JetFile,
    JetJob,
    JetTransfer,
    Listed,
    StartAnswer,
    StorageProfile,
    Subscription,
)
from jetworker.core.route import Growing
from jetworker.jet.budget import Budget, Priority
from jetworker.jet.connection import Connection, connect
from jetworker.jet.oauth import TokenSource
from jetworker.jet.transport import Request, Response, Transport, read, read_start
from jetworker.runtime.clock import Clock
from jetworker.runtime.metrics import Metrics
from jetworker.wire import jet as wire
from jetworker.wire.jet import is_jet_id

_ATTEMPTS = 3
_WORTH_WAITING = 2.0  # seconds of a Retry-After
_UNAUTHORIZED = 401
_GONE = frozenset({200, 202, 204, 404})

stamina.instrumentation.set_on_retry_hooks(())  # our own metrics count every call

_PAGE = 100  # jobs
_PAGES = 100  # at most
# Else the job that was active last is the first, and pages shift while they are read.
_IN_ORDER = {"sortBy": "jobName", "sortOrder": "asc"}
_T = TypeVar("_T")
_Shown = TypeVar("_Shown", JetDelivery, JetTransfer)


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

    @property
    def token_ends_at(self) -> datetime | None:
        """When the token ends, None before the first."""
        return self._tokens.ends_at

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
        grace: float = 0.0,
    ) -> StartAnswer:
        """
        Start a delivery, once (POST /v1/jobs/{jobId}/deliveries).

        *guard* is called directly before the first byte leaves; what it raises is
        raised, and proves that nothing was sent. JetError proves that nothing was
        applied: no token is to be had, another is not worth asking for, or Jet asked
        meanwhile that starts be held back. Its turn is taken before. An answer that came
        while the process was frozen counts for so many seconds of *grace*.
        """
        path = f"/v1/jobs/{_safe(job_id)}/deliveries"
        body = wire.start_body(objects)
        token, where = await self._tokens.get(), f"start_delivery {job_id}"
        answer = await self._transport.start(path, body, token, guard, grace)
        if not isinstance(answer, Response):
            return answer
        if answer.status == _UNAUTHORIZED:
            await self._renew(answer, token, where)
        self._accept(answer, token, where)
        return read_start(answer)

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
        found = await self._ask_when(question, wire.delivery)
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
        found = await self._ask_when(question, wire.transfer)
        _is_about(found.transfer_id, transfer_id)
        return found

    async def list_transfers(
        self,
        job_id: JobId,
        *,
        priority: Priority = Priority.POLL,
        route: RouteName | None = None,
    ) -> tuple[JetTransfer, ...]:
        """
        Return the job's transfers in progress, the only ones that Jet lists.

        That one is left out tells nothing: who misses it asks for it.
        """
        path = f"/v1/jobs/{_safe(job_id)}/transfers?state=IN_PROGRESS"
        question = Request("list_transfers", "GET", path, None, priority, route)
        said, asked_at = await self._said(question)
        with _is_answer():
            return wire.items(said, partial(wire.transfer, asked_at=asked_at)).items

    def may_list_transfers(self) -> bool:
        """Whether a listing would be asked for now, and not minutes later."""
        return not self._budget.is_held("list_transfers")

    async def list_files(
        self, job_id: JobId, *, priority: Priority = Priority.LOOKUP
    ) -> Listed[JetFile]:
        """
        Return the files that the job transferred (GET /v1/jobs/{jobId}/files).

        No paging is documented; whether Jet says that there are more is told.
        """
        path = f"/v1/jobs/{_safe(job_id)}/files"
        question = Request("list_files", "GET", path, None, priority)
        return (await self._list(question, wire.file))[0]

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
    ) -> Listed[JetJob]:
        """
        Return all jobs (GET /v1/jobs; no paging is documented).

        Where Jet says that there are more, the search is read, which has pages. What
        only the search shows has no storage profiles; see `get_job`.
        """
        question = Request("list_jobs", "GET", "/v1/jobs", None, priority, route)
        listed, _ = await self._list(question, wire.job)
        if listed.is_whole:
            return listed
        try:
            found = await self.search_jobs("", route=route)
        except JetRejected:
            return replace(listed, has_more=True)
        jobs = {each.job_id: each for each in (*found.items, *listed.items)}
        return Listed(tuple(jobs.values()), len(jobs), has_more=not found.is_whole)

    async def search_jobs(
        self, text: str, *, route: RouteName | None = None
    ) -> Listed[JetJob]:
        """
        Return the jobs that match a text, page by page (POST /v1/jobs/search).

        Without a text, all of them. The listing is not whole if a page could not be
        read wholly, if a page repeats a job of an earlier one (then another has moved
        to a page that was read), or if the pages do not end.
        """
        found: list[JetJob] = []
        before: set[JobId] = set()
        shown, is_sound = 0, True
        for _ in range(_PAGES):
            body: dict[str, Any] = {"offset": shown, "limit": _PAGE, **_IN_ORDER}
            if text:
                body["query"] = {"text": text[:100]}
            question = Request(
                "search_jobs",
                "POST",
                "/v1/jobs/search",
                orjson.dumps(body),
                Priority.START,
                route,
            )
            page, _ = await self._list(question, wire.job, shown)
            found += page.items
            shown += page.shown
            ids = {each.job_id for each in page.items}
            is_sound = is_sound and len(page.items) == page.shown
            is_sound = is_sound and before.isdisjoint(ids)
            before |= ids
            if not page.has_more and page.shown < _PAGE:
                return Listed(tuple(found), shown, has_more=not is_sound)
            if not page.shown:
                break
        return Listed(tuple(found), shown, has_more=True)

    async def create_job(
        self,
        name: str,
        source: ProfileId,
        destination: ProfileId,
        growing: Growing | None = None,
        *,
        route: RouteName | None = None,
        guard: Callable[[], None] | None = None,
    ) -> JetJob:
        """
        Create a manual job (POST /v1/jobs); never asked twice by itself.

        Raises what *guard* raises, too.
        """
        body = wire.job_body(name, source, destination, growing)
        question = Request(
            "create_job",
            "POST",
            "/v1/jobs",
            body,
            Priority.START,
            route,
            is_repeatable=False,
            guard=guard,
        )
        return await self._ask(question, wire.job)

    async def set_paused(
        self,
        job_id: JobId,
        *,
        paused: bool,
        route: RouteName | None = None,
        guard: Callable[[], None] | None = None,
    ) -> JetJob:
        """
        Pause or resume a job (PATCH /v1/jobs/{jobId}); raises what *guard* raises, too.

        The body is minimal: echoing a whole job could undo somebody else's change.
        """
        path = f"/v1/jobs/{_safe(job_id)}"
        body = orjson.dumps({"paused": paused})
        question = Request(
            "set_paused", "PATCH", path, body, Priority.START, route, guard=guard
        )
        return await self._ask(question, wire.job)

    async def list_profiles(
        self, *, route: RouteName | None = None
    ) -> Listed[StorageProfile]:
        """Return the storage profiles (GET /v1/storageProfiles)."""
        path = "/v1/storageProfiles"
        question = Request("list_profiles", "GET", path, None, Priority.START, route)
        return (await self._list(question, wire.profile))[0]

    async def list_subscriptions(self) -> Listed[Subscription]:
        """Return what is subscribed to (GET /v1/subscriptions)."""
        path = "/v1/subscriptions"
        question = Request("list_subscriptions", "GET", path)
        return await self._ask(question, wire.subscriptions)

    async def subscribe(self, job_id: JobId, url: str) -> None:
        """
        Let a URL be told of a job's deliveries (POST /v1/subscriptions), once.

        Who gets no answer looks at the listing before it asks again.
        """
        body = wire.subscription_body(job_id, url)
        path = "/v1/subscriptions"
        question = Request("subscribe", "POST", path, body, is_repeatable=False)
        await self._ask(question, lambda _: None)

    async def unsubscribe(self, subscription_id: SubscriptionId) -> None:
        """End a subscription (DELETE /v1/subscriptions/{subscriptionId})."""
        path = f"/v1/subscriptions/{_safe(subscription_id)}"
        answer = await self._signed_in(Request("unsubscribe", "DELETE", path))
        if answer.status not in _GONE or answer.is_not_jets:
            read(answer)

    async def _ask(self, question: Request, read: Callable[[Any], _T]) -> _T:
        return (await self._answer(question, read))[0]

    async def _ask_when(
        self, question: Request, read: Callable[[Any], _Shown]
    ) -> _Shown:
        """Ask, and return what was found with when it was asked for."""
        found, asked_at = await self._answer(question, read)
        return replace(found, asked_at=asked_at)

    async def _list(
        self, question: Request, read: Callable[[Any], _T], before: int = 0
    ) -> tuple[Listed[_T], float]:
        """Return what is listed, after *before* on earlier pages, and when it was asked."""
        return await self._answer(question, lambda each: wire.items(each, read, before))

    async def _answer(
        self, question: Request, read_as: Callable[[Any], _T]
    ) -> tuple[_T, float]:
        """Return an answer as it is read, and when it was asked for; raises JetError."""
        said, asked_at = await self._said(question)
        with _is_answer():
            return read_as(said), asked_at

    async def _said(self, question: Request) -> tuple[Any, float]:
        """
        Return the parsed answer, and when it was asked for; ask again without an answer.

        The library costs a good deal for each call, so that only what failed is given
        to it: the first failure too, so that the waits between the calls are its own.
        """
        try:
            return await self._said_once(question)
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
                return await self._said_once(question)
        raise AssertionError(question)

    async def _said_once(self, question: Request) -> tuple[Any, float]:
        answer = await self._signed_in(question)
        return read(answer), answer.asked_at

    async def _signed_in(self, question: Request) -> Response:
        """Ask once, and once more with a newer token where Jet refuses the one we have."""
        where = f"{question.operation} {question.path.split('/')[3:4]}"
        answer, token = await self._asked(question)
        if answer.status == _UNAUTHORIZED:
            await self._renew(answer, token, where)
            answer, token = await self._asked(question)
        self._accept(answer, token, where)
        return answer

    async def _asked(self, question: Request) -> tuple[Response, str]:
        """Ask when it is its turn, with a token that is good then; return both."""
        await self._tokens.get()  # without one no turn is taken
        await self._transport.wait_turn(question)
        token = await self._tokens.get()
        return await self._transport.ask(question, token), token

    async def _renew(self, refusal: Response, token: str, where: str) -> None:
        """Have a newer token, if one is worth asking for; raises JetError."""
        if not self._tokens.is_worth_renewing(token, where, refusal.asked_at):
            read(refusal)
            raise AssertionError(refusal)
        try:
            await self._tokens.get(instead_of=token)
        except JetUnavailable as exc:
            msg = f"Jet refuses the token, and gives no other: {exc}"
            raise JetUnauthorized(msg) from exc

    def _accept(self, answer: Response, token: str, where: str) -> None:
        """Take note of a token that a call was allowed with."""
        if answer.status < 400:  # noqa: PLR2004 -- HTTP
            self._tokens.accept(token, where)


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


@contextmanager
def _is_answer() -> Iterator[None]:
    """Take an answer that is not of the kind that was asked for as none."""
    try:
        yield
    except wire.NoAnswer as exc:
        raise JetUnavailable(str(exc)) from exc


def _is_about(told: str, asked: str) -> None:
    """Take an answer about something else as none: it could end the wrong delivery."""
    if told != asked:
        msg = "Jet answered about something else than it was asked for"
        raise JetUnavailable(msg)


def _safe(identifier: str) -> str:
    """Return an id fit for a URL; one that is none cannot exist at Jet."""
    if not is_jet_id(identifier):
        status, message = 404, "not an id that Jet could have given"
        raise JetNotFound(status, message)
    return quote(identifier, safe="")
