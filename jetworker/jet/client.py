"""The Jet API, one method a call. Every method but the start raises JetError."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, TypeVar
from urllib.parse import quote

import orjson

from jetworker.core.command import (
    DeliveryId,
    JobId,
    ObjectSpec,
    ProfileId,
    RouteName,
    TransferId,
)
from jetworker.core.errors import JetNotFound, JetUnavailable
from jetworker.core.observation import (
    JetDelivery,
    JetFile,
    JetJob,
    JetTransfer,
    StartAnswer,
    StorageProfile,
)
from jetworker.core.route import Growing
from jetworker.jet.budget import Priority
from jetworker.jet.transport import Request, Transport
from jetworker.wire import jet
from jetworker.wire import jet as wire
from jetworker.wire.jet import is_jet_id

_PAGE = 100
_PAGES = 100
_T = TypeVar("_T")


class JetClient:
    """Jet, as far as manual jobs need it."""

    def __init__(self, calls: Transport) -> None:
        self._calls = calls

    @property
    def jet_time(self) -> datetime | None:
        """Jet's clock, never later than it is; None if Jet was never heard."""
        return self._calls.jet_time

    async def sign_in(self) -> None:
        """Obtain a token, if there is none."""
        await self._calls.tokens.get()

    async def start_turn(self, route: RouteName) -> None:
        """Wait for a start's turn in the budget."""
        await self._calls.budget.take("start_delivery", Priority.START, route)

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
        raised, and proves that nothing was sent. Its turn is taken before.
        """
        path = f"/v1/jobs/{_safe(job_id)}/deliveries"
        return await self._calls.start(path, jet.start_body(objects), guard)

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
        return not self._calls.budget.is_held("list_transfers")

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

    async def search_jobs(self, text: str) -> tuple[JetJob, ...]:
        """Return the jobs that match a text, page by page (POST /v1/jobs/search)."""
        found: list[JetJob] = []
        for page in range(_PAGES):
            body: dict[str, Any] = {"offset": page * _PAGE, "limit": _PAGE}
            if text:
                body["query"] = {"text": text[:100]}
            question = Request(
                "search_jobs",
                "POST",
                "/v1/jobs/search",
                orjson.dumps(body),
                Priority.START,
            )
            jobs = await self._list(question, wire.job)
            found += jobs
            if len(jobs) < _PAGE:
                break
        return tuple(found)

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
            return read(await self._calls.ask(question))
        except wire.NoAnswer as exc:
            raise JetUnavailable(str(exc)) from exc

    async def _list(
        self, question: Request, read: Callable[[Any], _T]
    ) -> tuple[_T, ...]:
        try:
            return wire.items(await self._calls.ask(question), read)
        except wire.NoAnswer as exc:
            raise JetUnavailable(str(exc)) from exc


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
