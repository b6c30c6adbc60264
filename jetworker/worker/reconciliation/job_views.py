"""What is on a job: looked up once for all of its unknown starts that are due for it."""

import asyncio
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

from jetworker.core.command import DeliveryId, JobId
from jetworker.core.settle import Candidate
from jetworker.core.witness import Settling
from jetworker.runtime.clock import Clock
from jetworker.worker.reconciliation.bindings import Bindings, JobBindings
from jetworker.worker.reconciliation.job_observer import JobObserver
from jetworker.worker.reconciliation.single_flight import SingleFlight


@dataclass(frozen=True, slots=True)
class JobView:
    """
    What two looks at a job showed, and then the state topic.

    *listed* is what the job document had at both looks. *candidates* were seen at any
    of them and are bound to nobody; *steady* are those that were seen at both.
    """

    listed: frozenset[DeliveryId]
    steady: frozenset[DeliveryId]
    candidates: tuple[Candidate, ...]
    book: JobBindings
    settling: Settling


class JobViews:
    """Shows jobs to many: a hundred lost answers cost no more questions than one."""

    def __init__(
        self,
        observer: JobObserver,
        bindings: Bindings,
        clock: Clock,
        settle: timedelta,
    ) -> None:
        self._observer = observer
        self._bindings = bindings
        self._clock = clock
        self._settle = settle
        self._jobs: dict[JobId, SingleFlight[datetime, JobView]] = {}

    async def of(self, job_id: JobId, since: datetime) -> JobView:
        """
        Return what is on a job as of now; raises JetError or StoreError.

        Candidates are looked for back to *since*, or farther where another asks for it.
        """
        if job_id not in self._jobs:
            self._jobs[job_id] = SingleFlight(partial(self._view, job_id))
        return await self._jobs[job_id].get(since)

    async def _view(self, job_id: JobId, since: tuple[datetime, ...]) -> JobView:
        """
        Look twice, then read.

        1. Look at the job twice: what only one look shows is just appearing.
        2. Only then read the state topic: a delivery that a command is bound to by then
           is not ours, one that is bound later was not shown yet.
        """
        settled = self._clock.now() - self._settle
        first = await self._observer.look(job_id)
        await asyncio.sleep(min(0.5, self._settle.total_seconds() / 10))
        second = await self._observer.look(job_id)
        book = await self._bindings.read(job_id)
        unbound = (first.seen | second.seen) - book.bound.keys()
        candidates = await self._observer.candidates(job_id, unbound, min(since))
        return JobView(
            first.listed & second.listed,
            first.seen & second.seen,
            candidates,
            book,
            Settling(settled, self._clock.now()),
        )
