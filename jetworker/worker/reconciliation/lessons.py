"""
Whether a job's files tell its starts apart, learned while nothing is unknown on it (R6).

Several starts that are lost together are settled by their files or not at all. So before
several are sent at once, the job must have shown the files of its last deliveries, in
one form. Only deliveries of this worker's partitions teach here: what is at stake is how
many are held, not what is believed.
"""

import asyncio
import heapq
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import structlog

from jetworker.core.command import DeliveryId, JobId, TransferId
from jetworker.core.delivery import Delivery, State
from jetworker.core.errors import JetError
from jetworker.core.evidence import (
    LEARNED_FROM,
    SHOWED,
    Lesson,
    Shown,
    files_tell,
)
from jetworker.core.finished import Finished
from jetworker.core.known import known_delivery
from jetworker.core.witness import KnownDelivery, last_ended
from jetworker.runtime.clock import Clock
from jetworker.runtime.metrics import Metrics
from jetworker.worker import defects
from jetworker.worker.reconciliation.job_observer import JobFiles, JobObserver

log = structlog.get_logger()

_PAUSE = 60.0  # seconds between two looks at a job
_FILES_A_SECOND = 200  # a job that lists many is looked at more rarely


@dataclass(frozen=True, slots=True)
class _Ended:
    """One that ended whole; *transfer_ids* are None where they must be asked for."""

    known: KnownDelivery
    transfer_ids: tuple[TransferId, ...] | None = None


@dataclass(slots=True)
class _Job:
    """
    What ended on one job, and what the last look at its files has shown.

    *recent* ended in the last settle time, which teach nothing yet; of the others the
    newest are kept. Times are monotonic.
    """

    recent: deque[tuple[float, _Ended]] = field(default_factory=deque)
    kept: dict[DeliveryId, _Ended] = field(default_factory=dict)
    order: list[tuple[datetime, DeliveryId]] = field(default_factory=list)
    is_asked: bool = False
    due: float = float("-inf")
    tells_until: float = float("-inf")

    def keep(self, ended: _Ended) -> None:
        """Keep one of those that teach, if it is among the newest."""
        delivery_id, made_in = ended.known.delivery_id, ended.known.made_in
        if made_in is None or delivery_id in self.kept:
            return
        self.kept[delivery_id] = ended
        heapq.heappush(self.order, (made_in.lo, delivery_id))
        if len(self.order) > LEARNED_FROM:
            _, oldest = heapq.heappop(self.order)
            del self.kept[oldest]


class Lessons:
    """Learns from what ends on the jobs of one worker; *settle* is how late files may be."""

    def __init__(
        self,
        observer: JobObserver,
        *,
        clock: Clock,
        metrics: Metrics,
        settle: timedelta,
    ) -> None:
        self._observer = observer
        self._clock = clock
        self._metrics = metrics
        self._settle = settle
        self._jobs: dict[JobId, _Job] = {}
        self._wanted: asyncio.Queue[JobId] = asyncio.Queue()

    def note(self, snapshot: Delivery | Finished) -> None:
        """Take note of a delivery that ended whole, just now or in an earlier life."""
        if snapshot.state is not State.COMPLETED or snapshot.job_id is None:
            return
        known = known_delivery(snapshot)
        if known is None or known.asked.folders:
            return
        job = self._jobs.setdefault(snapshot.job_id, _Job())
        if isinstance(snapshot, Finished):
            job.keep(_Ended(known))
            return
        ids = tuple(each.transfer_id for each in snapshot.transfers)
        job.recent.append((self._clock.monotonic(), _Ended(known, ids)))
        self._age(job)

    def tell(self, job_id: JobId) -> bool:
        """Whether several may be started at once on a job, as far as its files go."""
        job = self._jobs.get(job_id)
        return job is not None and self._clock.monotonic() < job.tells_until

    def ask(self, job_id: JobId) -> None:
        """Have a job looked at, if that is not known of late; nobody waits for it."""
        job = self._jobs.get(job_id)
        if job is None or job.is_asked or self._clock.monotonic() < job.due:
            return
        self._age(job)
        if len(job.kept) >= SHOWED:
            job.is_asked = True
            self._wanted.put_nowait(job_id)

    async def run(self) -> None:
        """Look at the jobs that are asked for, one after another, for ever."""
        while True:
            await self.look(await self._wanted.get())

    async def look(self, job_id: JobId) -> None:
        """Look at a job's files; it fails for itself alone."""
        job = self._jobs[job_id]
        pause = _PAUSE
        try:
            pause = await self._look(job_id, job)
        except JetError as exc:
            log.debug("a job's files were not shown", job=job_id, error=str(exc))
        except Exception as exc:  # noqa: BLE001 -- whatever it was, it is of this job alone
            what = "a job's files cannot be learned from: a defect of ours"
            defects.report(self._metrics, "delivery", what, exc, job_id=job_id)
        job.is_asked = False
        job.due = self._clock.monotonic() + pause

    def _age(self, job: _Job) -> None:
        until = self._clock.monotonic() - self._settle.total_seconds()
        while job.recent and job.recent[0][0] < until:
            job.keep(job.recent.popleft()[1])

    async def _look(self, job_id: JobId, job: _Job) -> float:
        """Look at a job's files; returns the seconds until it may be looked at again."""
        jet_time = self._observer.jet_time
        if jet_time is None:
            return _PAUSE
        files = await self._observer.files(job_id)
        pause = _PAUSE + sum(map(len, files.of.values())) / _FILES_A_SECOND
        ended = [job.kept[x.delivery_id] for x in self._last(job, jet_time)]
        unknown = [x.known.delivery_id for x in ended if x.transfer_ids is None]
        found = await self._observer.shown(job_id, unknown, files)
        shown = (
            (x.known, found.get(x.known.delivery_id, _of(x, files))) for x in ended
        )
        tells = files_tell(Lesson(x.asked, of) for x, of in shown if of is not None)
        now = self._clock.monotonic()
        job.tells_until = now + 2 * pause if tells else float("-inf")
        return pause

    def _last(self, job: _Job, jet_time: datetime) -> Iterable[KnownDelivery]:
        known = [each.known for each in job.kept.values()]
        return last_ended(known, jet_time - self._settle)


def _of(ended: _Ended, files: JobFiles) -> Shown:
    """Return what is shown of one whose end this worker saw."""
    transfer_ids = ended.transfer_ids or ()
    urls = (url for each in transfer_ids for url in files.of.get(each, frozenset()))
    return Shown(
        ended.known.delivery_id, State.COMPLETED.upper(), files=frozenset(urls)
    )
