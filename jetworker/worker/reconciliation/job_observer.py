"""Looking at a job: which deliveries Jet shows on it, wherever it shows them."""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TypeVar
from urllib.parse import unquote, urlsplit

import structlog

from jetworker.core.command import DeliveryId, JobId, RouteName, TransferId
from jetworker.core.errors import JetNotFound, JetRejected
from jetworker.core.evidence import Evidence
from jetworker.core.observation import (
    JetDelivery,
    JetFile,
    JetTransfer,
    is_final_in_jet,
)
from jetworker.core.open_intent import OpenIntent
from jetworker.core.settle import Candidate
from jetworker.core.witness import Bound, Settling, is_witnessed, worth_asking
from jetworker.jet.budget import Priority
from jetworker.jet.client import JetClient
from jetworker.runtime.metrics import Metrics

_Key = TypeVar("_Key")
_Value = TypeVar("_Value")

log = structlog.get_logger()

_RECENT = 50
_KEPT = 50_000
_NEVER = datetime.min.replace(tzinfo=UTC)
_BELIEVED = 3
_BETWEEN_REFUSALS = 0.2


@dataclass(frozen=True, slots=True)
class JobLook:
    """One look: ids in the job document itself, and all that were seen anywhere."""

    listed: frozenset[DeliveryId]
    seen: frozenset[DeliveryId]


class JobObserver:
    """Asks Jet about jobs whose starts are unknown; every method raises JetError."""

    def __init__(self, jet: JetClient) -> None:
        self._jet = jet
        self._created_on: dict[DeliveryId, datetime] = {}
        self._owner_of: dict[TransferId, DeliveryId] = {}
        self._refusals: dict[JobId, int] = {}  # to show files, in a row

    async def look(self, job_id: JobId) -> JobLook:
        """
        Return the deliveries that Jet shows on a job.

        The field of the job document is not documented, so every deliveryId in it
        counts; transfers in progress and, if the document shows none or may show only
        the latest, the job's files name further ones.
        """
        job, transfers = await asyncio.gather(
            self._jet.get_job(job_id, priority=Priority.LOOKUP),
            self._in_progress(job_id),
        )
        listed = frozenset(job.delivery_ids)
        seen = set(listed)
        for transfer in transfers:
            if transfer.delivery_id is not None:
                seen.add(transfer.delivery_id)
        if len(listed) <= 1:
            seen |= await self._by_files(job_id)
        return JobLook(listed, frozenset(seen))

    async def candidates(
        self, job_id: JobId, unbound: Iterable[DeliveryId], since: datetime
    ) -> tuple[Candidate, ...]:
        """
        Return those of *unbound* that were not created before *since*.

        One that Jet lists and does not show is among them: it may be anybody's.
        """
        asked = [x for x in sorted(unbound) if self._created_on.get(x, since) >= since]
        shown = await self._ask_all(job_id, asked)
        recent = [
            each
            for each in shown.values()
            if each is not None and not (each.created_on and each.created_on < since)
        ]
        files = await self._files(job_id) if recent else []
        self._refusals.pop(job_id, None)
        hidden = [
            Candidate(each, None, is_shown=False) for each in asked if not shown[each]
        ]
        return (
            *(
                Candidate(d.delivery_id, d.created_on, _evidence(d, files))
                for d in recent
            ),
            *hidden,
        )

    async def is_witnessed(
        self,
        start: OpenIntent,
        job_id: JobId,
        listed: frozenset[DeliveryId],
        known: Sequence[Bound],
        settling: Settling,
    ) -> bool:
        """
        Whether an unknown start would be among *listed*.

        Jet is asked for dates, unless what is known already decides.
        """
        wanted = worth_asking(listed, known)
        dated = [x for x in wanted if self._is_dated(x, start)]
        if len(listed) > 1 and is_witnessed(
            listed, known, self._date(dated), start, settling
        ):
            return True
        await self._ask_all(
            job_id,
            [x.delivery_id for x in wanted if x.delivery_id not in self._created_on],
        )
        return is_witnessed(listed, known, self._date(wanted), start, settling)

    def _is_dated(self, bound: Bound, start: OpenIntent) -> bool:
        is_before = bound.delivery_id == start.after
        return is_before or bound.delivery_id in self._created_on

    def _date(self, bound: Iterable[Bound]) -> list[Bound]:
        return [
            replace(each, created_on=self._created_on.get(each.delivery_id))
            for each in bound
        ]

    async def delivery(
        self, job_id: JobId, delivery_id: DeliveryId
    ) -> JetDelivery | None:
        """Return a delivery, None if Jet does not know it on that job."""
        try:
            return await self._jet.get_delivery(
                job_id, delivery_id, priority=Priority.LOOKUP
            )
        except JetRejected:
            return None

    async def _ask_all(
        self, job_id: JobId, delivery_ids: Sequence[DeliveryId]
    ) -> dict[DeliveryId, JetDelivery | None]:
        """Ask for deliveries at once, and keep when they were created."""
        shown = await asyncio.gather(*(self.delivery(job_id, x) for x in delivery_ids))
        for each in shown:
            if each is not None and each.created_on is not None:
                _keep(self._created_on, each.delivery_id, each.created_on)
        return dict(zip(delivery_ids, shown, strict=True))

    async def _in_progress(self, job_id: JobId) -> tuple[JetTransfer, ...]:
        try:
            return await self._jet.list_transfers(job_id, priority=Priority.LOOKUP)
        except JetRejected:
            return ()

    async def _files(self, job_id: JobId) -> list[JetFile]:
        """
        Return the job's files; none if Jet refuses to show any, three times in a row.

        A single refusal would make a person's delivery look like it might be ours.
        Refusals count on from look to look until a decision is reached, or each look
        would take its time anew and a short settle time would not be enough.
        """
        while True:
            try:
                found = await self._jet.list_files(job_id, priority=Priority.LOOKUP)
            except JetRejected:
                self._refusals[job_id] = self._refusals.get(job_id, 0) + 1
                if self._refusals[job_id] >= _BELIEVED:
                    return []
                await asyncio.sleep(_BETWEEN_REFUSALS)
            else:
                self._refusals.pop(job_id, None)
                return list(found)

    async def _by_files(self, job_id: JobId) -> set[DeliveryId]:
        """
        Return the deliveries that files name: files name transfers, those name them.

        The latest transfers are asked for; who was asked for before is known.
        """
        latest: dict[TransferId, datetime] = {}
        for each in await self._files(job_id):
            if each.transfer_id is not None:
                at = each.created_on or _NEVER
                latest[each.transfer_id] = max(at, latest.get(each.transfer_id, _NEVER))
        unasked = [each for each in latest if each not in self._owner_of]
        recent = sorted(unasked, key=latest.__getitem__, reverse=True)[:_RECENT]
        await asyncio.gather(*(self._ask_owner(job_id, each) for each in recent))
        return {self._owner_of[each] for each in latest if each in self._owner_of}

    async def _ask_owner(self, job_id: JobId, transfer_id: TransferId) -> None:
        try:
            transfer = await self._jet.get_transfer(
                job_id, transfer_id, priority=Priority.LOOKUP
            )
        except JetNotFound:
            return
        if transfer.delivery_id is not None:
            _keep(self._owner_of, transfer_id, transfer.delivery_id)


def _keep(cache: dict[_Key, _Value], key: _Key, value: _Value) -> None:
    """Remember what never changes; now and then it is asked for anew."""
    if len(cache) >= _KEPT:
        cache.clear()
    cache[key] = value


def tell_unexplained(
    metrics: Metrics, route: RouteName, delivery_id: DeliveryId
) -> None:
    """Count and log a delivery that is on a job and that no command asked for."""
    metrics.unexplained_deliveries_total.labels(route).inc()
    log.error(
        "a delivery that nobody asked for is on a job, see who started it",
        route=route,
        delivery_id=delivery_id,
    )


def _evidence(shown: JetDelivery, files: list[JetFile]) -> Evidence:
    """Return what Jet shows of the contents so far."""
    own = set(shown.transfer_ids)
    paths = frozenset(_path(f.url) for f in files if f.transfer_id in own and f.url)
    is_whole = is_final_in_jet(shown.state)
    if shown.progress is None:
        return Evidence(paths, is_whole=is_whole)
    moved, skipped = shown.progress.transferred, shown.progress.skipped
    return Evidence(
        paths,
        moved.count + skipped.count,
        moved.bytes + skipped.bytes,
        shown.progress.failed.count,
        is_whole,
    )


def _path(url: str) -> str:
    """Return the path of a storage URL, as the command would name it."""
    return unquote(urlsplit(url).path) or url
