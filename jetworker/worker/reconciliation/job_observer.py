"""Looking at a job: which deliveries Jet shows on it, wherever it shows them."""

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TypeVar

import structlog

from jetworker.core.command import DeliveryId, JobId, TransferId
from jetworker.core.errors import JetNotFound, JetRejected, JetUnavailable
from jetworker.core.evidence import Shown
from jetworker.core.jet_clock import CUT
from jetworker.core.observation import (
    Hint,
    JetDelivery,
    JetFile,
    JetTransfer,
    Listed,
    is_final_in_jet,
)
from jetworker.jet.budget import Priority
from jetworker.jet.client import JetClient

_Key = TypeVar("_Key")
_Value = TypeVar("_Value")

log = structlog.get_logger()

_RECENT = 50  # transfers that are asked whose they are, in a look
_KEPT = 50_000  # entries of each cache
_NEVER = datetime.min.replace(tzinfo=UTC)
_BELIEVED = 3  # refusals to show files, in a row
_BETWEEN_REFUSALS = 0.2  # seconds
_HINTS = 200  # of a job
_HINTS_A_LOOK = 20  # deliveries that are asked for


@dataclass(frozen=True, slots=True)
class JobFiles:
    """
    The URLs of the job's files, by their transfer.

    Not *is_whole*: Jet says that there are more. What is shown is shown; that a delivery
    has no file, or no other, is not told then.
    """

    of: Mapping[TransferId, frozenset[str]] = field(default_factory=dict)
    is_whole: bool = True


@dataclass(frozen=True, slots=True)
class JobLook:
    """
    One look: the list, and all that is named anywhere.

    *listed* are the ids in the job document itself, the only list of deliveries (R2);
    *named* are these and what transfers, files and notifications name, the last as far
    as Jet shows them itself; that is presence only (R8).
    *began* and *ended* are by Jet's clock: it had reached the one, not passed the other.
    """

    began: datetime
    ended: datetime
    listed: frozenset[DeliveryId]
    named: frozenset[DeliveryId]
    files: JobFiles


class JobObserver:
    """Asks Jet about jobs whose starts are unknown; every method raises JetError."""

    def __init__(self, jet: JetClient) -> None:
        self._jet = jet
        self._ended: dict[DeliveryId, JetDelivery] = {}
        self._created_on: dict[DeliveryId, datetime] = {}
        self._owner_of: dict[TransferId, DeliveryId] = {}
        self._refusals: dict[JobId, int] = {}  # to show files, in a row
        self._hints: dict[JobId, dict[DeliveryId, bool]] = {}

    @property
    def jet_time(self) -> datetime | None:
        """Jet's clock, never later than it is."""
        return self._jet.jet_time

    def created_on(self, delivery_id: DeliveryId) -> datetime | None:
        """Return when Jet made a delivery, if it ever said."""
        return self._created_on.get(delivery_id)

    def hint(self, hint: Hint) -> None:
        """
        Look for a delivery that a notification names, when the job is looked at (R8).

        The latest are kept; each costs one question at most.
        """
        hints = self._hints.setdefault(hint.job_id, {})
        hints.setdefault(hint.delivery_id, False)
        if len(hints) > _HINTS:
            del hints[next(iter(hints))]

    async def look(self, job_id: JobId) -> JobLook:
        """
        Return the deliveries that Jet shows on a job, by one GET each of three.

        The field of the job document is not documented, so every deliveryId in it
        counts.
        """
        began = self._jet.jet_time
        if began is None:
            await self._jet.get_job(job_id, priority=Priority.LOOKUP)
            began = self._jet.jet_time
        job, transfers, files = await asyncio.gather(
            self._jet.get_job(job_id, priority=Priority.LOOKUP),
            self._in_progress(job_id),
            self._files(job_id),
        )
        ended = self._jet.jet_time
        if began is None or ended is None:
            msg = "Jet's answers have no Date: nothing can be compared with its clock"
            raise JetUnavailable(msg)
        listed = frozenset(job.delivery_ids)
        for each in transfers:
            if each.delivery_id is not None:
                _keep(self._owner_of, each.transfer_id, each.delivery_id)
        running = {x.delivery_id for x in transfers if x.delivery_id is not None}
        by_files = await self._by_files(job_id, files.items)
        hinted = await self._hinted(job_id)
        return JobLook(
            began,
            ended + CUT,
            listed,
            listed | running | by_files | hinted,
            _by_transfer(files),
        )

    async def files(self, job_id: JobId) -> JobFiles:
        """Return the URLs of the job's files as it shows them now."""
        return _by_transfer(await self._files(job_id))

    async def shown(
        self,
        job_id: JobId,
        delivery_ids: Iterable[DeliveryId],
        files: JobFiles,
    ) -> dict[DeliveryId, Shown | None]:
        """
        Ask for deliveries, after *files* were; None is one that is not shown.

        In the order of their ids: what happens is the same whenever all else is.
        """
        asked = sorted(delivery_ids)
        found = await asyncio.gather(*(self._known(job_id, each) for each in asked))
        return {
            each: _shown(delivery, files) if delivery else None
            for each, delivery in zip(asked, found, strict=True)
        }

    async def delivery(
        self, job_id: JobId, delivery_id: DeliveryId
    ) -> JetDelivery | None:
        """Return a delivery, None if Jet does not know it on that job."""
        try:
            shown = await self._jet.get_delivery(
                job_id, delivery_id, priority=Priority.LOOKUP
            )
        except JetRejected:
            return None
        if shown.created_on is not None:
            _keep(self._created_on, delivery_id, shown.created_on)
        for each in shown.transfer_ids:
            _keep(self._owner_of, each, delivery_id)
        if is_final_in_jet(shown.state):
            _keep(self._ended, delivery_id, shown)
        return shown

    async def _known(
        self, job_id: JobId, delivery_id: DeliveryId
    ) -> JetDelivery | None:
        """Return a delivery; one that has ended is as it was."""
        ended = self._ended.get(delivery_id)
        return ended or await self.delivery(job_id, delivery_id)

    async def _in_progress(self, job_id: JobId) -> tuple[JetTransfer, ...]:
        try:
            return await self._jet.list_transfers(job_id, priority=Priority.LOOKUP)
        except JetRejected:
            return ()

    async def _files(self, job_id: JobId) -> Listed[JetFile]:
        """
        Return the job's files; none if Jet refuses to show any, three times in a row.

        After a single refusal a delivery would look like one that shows no files.
        Refusals count on from look to look, or each look would take its time anew.
        """
        while True:
            try:
                found = await self._jet.list_files(job_id, priority=Priority.LOOKUP)
            except JetRejected:
                self._refusals[job_id] = self._refusals.get(job_id, 0) + 1
                if self._refusals[job_id] >= _BELIEVED:
                    return Listed(())
                await asyncio.sleep(_BETWEEN_REFUSALS)
            else:
                self._refusals.pop(job_id, None)
                return found

    async def _by_files(
        self, job_id: JobId, files: Iterable[JetFile]
    ) -> set[DeliveryId]:
        """
        Return the deliveries that files name: files name transfers, those name them.

        The latest transfers are asked for; who was asked for before is known.
        """
        latest: dict[TransferId, datetime] = {}
        for each in files:
            if each.transfer_id is not None:
                at = each.created_on or _NEVER
                latest[each.transfer_id] = max(at, latest.get(each.transfer_id, _NEVER))
        unasked = [each for each in latest if each not in self._owner_of]
        recent = sorted(unasked, key=latest.__getitem__, reverse=True)[:_RECENT]
        await asyncio.gather(*(self._ask_owner(job_id, each) for each in recent))
        return {self._owner_of[each] for each in latest if each in self._owner_of}

    async def _hinted(self, job_id: JobId) -> set[DeliveryId]:
        """Return what notifications have named, as far as Jet shows it on the job."""
        hints = self._hints.get(job_id, {})
        unasked = [each for each, is_shown in hints.items() if not is_shown]
        recent = unasked[-_HINTS_A_LOOK:]
        found = await asyncio.gather(*(self.delivery(job_id, each) for each in recent))
        for each, shown in zip(recent, found, strict=True):
            if shown is None:
                hints.pop(each, None)
            elif each in hints:
                hints[each] = True
        return {each for each, is_shown in hints.items() if is_shown}

    async def _ask_owner(self, job_id: JobId, transfer_id: TransferId) -> None:
        try:
            transfer = await self._jet.get_transfer(
                job_id, transfer_id, priority=Priority.LOOKUP
            )
        except JetNotFound:
            return
        if transfer.delivery_id is not None:
            _keep(self._owner_of, transfer_id, transfer.delivery_id)


def _by_transfer(files: Listed[JetFile]) -> JobFiles:
    urls: defaultdict[TransferId, set[str]] = defaultdict(set)
    for file in files.items:
        if file.transfer_id is not None and file.url:
            urls[file.transfer_id].add(file.url)
    of = {each: frozenset(found) for each, found in urls.items()}
    return JobFiles(of, files.is_whole)


def _keep(cache: dict[_Key, _Value], key: _Key, value: _Value) -> None:
    """Remember what never changes; now and then it is asked for anew."""
    if len(cache) >= _KEPT:
        cache.clear()
    cache[key] = value


def _shown(delivery: JetDelivery, files: JobFiles) -> Shown:
    """Return what Jet shows of a delivery and of its files."""
    urls = frozenset(
        url for each in delivery.transfer_ids for url in files.of.get(each, frozenset())
    )
    progress = delivery.progress
    if progress is None:
        count = size = None
        failed = 0
    else:
        count = progress.transferred.count + progress.skipped.count
        size = progress.transferred.bytes + progress.skipped.bytes
        failed = progress.failed.count
    return Shown(
        delivery.delivery_id,
        delivery.state,
        delivery.created_on,
        delivery.modified_on,
        count,
        size,
        failed,
        urls,
        files.is_whole,
    )
