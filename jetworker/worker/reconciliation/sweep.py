"""
The late sweep: looks for deliveries that nobody asked for, for a day at most.

What no client of an API without idempotency keys can exclude is that Jet applies a
start later than the settle time. Such a delivery is bound to no command: whoever was
asked to send twice must at least be told.
"""

import asyncio
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog

from jetworker.core.command import JobId, RouteName
from jetworker.core.delivery import Delivery
from jetworker.core.errors import JetError, StoreError
from jetworker.core.finished import Finished
from jetworker.core.post import Posts
from jetworker.runtime.clock import Clock
from jetworker.runtime.metrics import Metrics
from jetworker.worker import defects
from jetworker.worker.reconciliation.bindings import Bindings
from jetworker.worker.reconciliation.job_observer import JobObserver
from jetworker.worker.reconciliation.unexplained import Unexplained

log = structlog.get_logger()

_FOR = timedelta(hours=24)
_BEFORE = timedelta(minutes=2)
_EVERY = timedelta(minutes=10)


@dataclass(slots=True)
class _Touched:
    """A job with an unknown start in its past; *since* is when it was first doubted."""

    route: RouteName
    since: datetime
    until: datetime


class Sweep:
    """Sweeps the jobs of one worker on which a start was unknown."""

    def __init__(
        self,
        observer: JobObserver,
        bindings: Bindings,
        unexplained: Unexplained,
        *,
        clock: Clock,
        metrics: Metrics,
        settle: timedelta,
        remembered: timedelta,
    ) -> None:
        self._observer = observer
        self._bindings = bindings
        self._unexplained = unexplained
        self._clock = clock
        self._metrics = metrics
        self._for = min(_FOR, remembered)  # what is forgotten looks like nobody's
        self._pause = min(settle * 5, _EVERY).total_seconds()
        self._jobs: dict[JobId, _Touched] = {}

    def touch(self, snapshot: Delivery | Finished) -> None:
        """Sweep the job of a delivery whose start was unknown, for a day after it."""
        if snapshot.job_id is None or snapshot.doubted_at is None:
            return
        until = snapshot.doubted_at + self._for
        if until <= self._clock.now():
            return
        since = snapshot.doubted_at - _BEFORE
        known = self._jobs.get(snapshot.job_id)
        if known is None:
            self._jobs[snapshot.job_id] = _Touched(snapshot.route, since, until)
        else:
            known.since = min(known.since, since)
            known.until = max(known.until, until)

    async def run(self) -> None:
        """Sweep every touched job in turn, for ever."""
        while True:
            await asyncio.sleep(self._pause)
            for job_id, touched in list(self._jobs.items()):
                if touched.until <= self._clock.now():
                    del self._jobs[job_id]
                    continue
                try:
                    await self._look(job_id, touched)
                except (JetError, StoreError) as exc:
                    log.info("a sweep failed, it is tried again", error=str(exc))
                except Exception as exc:  # noqa: BLE001 -- whatever it was, it is of this job alone
                    what = "a job is not swept any more: a defect of ours"
                    defects.report(self._metrics, "delivery", what, exc, job_id=job_id)
                    del self._jobs[job_id]

    async def _look(self, job_id: JobId, touched: _Touched) -> None:
        """Report what is bound to nobody and can be no open post's."""
        look = await self._observer.look(job_id)
        bindings = await self._bindings.read(job_id)
        if bindings.doubt is not None:
            return  # what looks like nobody's may be theirs
        waiting = Posts(post for post in bindings.posts if not post.is_ghost)
        unknown = look.named - bindings.known.keys()
        unbound = {each for each in unknown if not self._unexplained.is_told(each)}
        undated = [each for each in unbound if self._observer.created_on(each) is None]
        await self._observer.shown(job_id, undated, look.files)
        for delivery_id in sorted(unbound):
            at = self._observer.created_on(delivery_id)
            if at is None or at < touched.since or waiting.over(at):
                continue  # not shown, it is asked for again; or not ours to tell
            self._unexplained.tell(touched.route, delivery_id)
