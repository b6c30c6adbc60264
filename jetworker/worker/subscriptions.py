"""
The subscriptions at Jet that let it notify this installation of a job's deliveries.

Every worker looks after all of them: they are found again by the job and the URL, so that
a job has one, whoever made it. Two workers that make one at once both see two, and both
keep the oldest. One with another secret is a former one of ours.
"""

import asyncio
from collections.abc import Iterable
from datetime import UTC, datetime

import structlog

from jetworker.core.command import JobId, SubscriptionId
from jetworker.core.errors import JetError, JobUnavailable
from jetworker.core.observation import Listed, Subscription
from jetworker.jet.client import JetClient
from jetworker.jet.jobs import JobResolver
from jetworker.runtime.clock import wait
from jetworker.worker.route_table import RouteTable

log = structlog.get_logger()

_LOOK_EVERY = 300.0  # seconds
_TRY_AGAIN = 15.0  # seconds
UNHEARD = (
    "notifications: true, but JETWORKER_NOTIFICATIONS__PORT, __URL and __SECRET are not"
    " set: nothing is subscribed to"
)
_NEVER = datetime.min.replace(tzinfo=UTC)


class Subscriptions:
    """
    Keeps the jobs of the routes that say `notifications: true` subscribed.

    *address* is the URL with its secret, *base* what the URLs of ours begin with.
    """

    def __init__(
        self,
        jet: JetClient,
        resolver: JobResolver,
        route_table: RouteTable,
        *,
        address: str,
        base: str,
    ) -> None:
        self._jet = jet
        self._resolver = resolver
        self._route_table = route_table
        self._address = address
        self._base = base
        self._changed = asyncio.Event()
        route_table.on_change(self._changed.set)

    async def run(self) -> None:
        """Look after them when the routes change and every few minutes, for ever."""
        while True:
            self._changed.clear()
            is_done = await self._look()
            await wait(self._changed, _LOOK_EVERY if is_done else _TRY_AGAIN)

    async def _look(self) -> bool:
        """Make what is missing; returns whether nothing stood in the way."""
        try:
            for job_id in await self._jobs():
                await self.subscribe(job_id)
        except (JetError, JobUnavailable) as exc:
            log.warning(
                "a job could not be subscribed to, it is polled and tried again",
                about="notifications",
                error=str(exc),
            )
            return False
        return True

    async def subscribe(self, job_id: JobId) -> None:
        """
        Subscribe a job unless it is; raises JetError.

        1. Look for it. Where Jet does not show all that there is, none is made.
        2. Make it, once: without an answer, the next look finds it.
        3. Look again: another worker may have done the same.
        """
        listed = await self._jet.list_subscriptions()
        if not self._of(job_id, listed):
            if not listed.is_whole:
                log.warning(
                    "Jet lists only a part of its subscriptions, so none is made",
                    about="notifications",
                    job_id=job_id,
                )
                return
            await self._jet.subscribe(job_id, self._address)
            log.info("a job's notifications were subscribed to", job_id=job_id)
            listed = await self._jet.list_subscriptions()
        for spare in self._spare(job_id, listed):
            await self._jet.unsubscribe(spare)
            log.info(
                "a spare subscription was removed",
                job_id=job_id,
                subscription_id=spare,
            )

    async def _jobs(self) -> Iterable[JobId]:
        """Return the jobs to subscribe to; one that would be created waits for that."""
        found: dict[JobId, None] = {}
        for route in self._route_table.current().values():
            if route.is_notified:
                job_id = self._resolver.known(route)
                if job_id is None:
                    job = await self._resolver.find(route)
                    job_id = job.job_id if job else None
                if job_id is not None:
                    found[job_id] = None
        return found

    def _of(self, job_id: JobId, listed: Listed[Subscription]) -> list[Subscription]:
        """Return the job's subscriptions to our address, the oldest first."""
        found = [
            each
            for each in listed.items
            if each.job_id == job_id and each.url == self._address
        ]
        return sorted(found, key=_age)

    def _spare(
        self, job_id: JobId, listed: Listed[Subscription]
    ) -> list[SubscriptionId]:
        kept = [each.subscription_id for each in self._of(job_id, listed)[:1]]
        return [
            each.subscription_id
            for each in listed.items
            if each.job_id == job_id
            and is_ours(each, self._base)
            and kept
            and each.subscription_id not in kept
        ]


def is_ours(subscription: Subscription, base: str) -> bool:
    """Whether a subscription is to a URL of this installation, whatever its secret."""
    rest = subscription.url.removeprefix(base)
    return subscription.url.startswith(base) and bool(rest) and "/" not in rest


def _age(subscription: Subscription) -> tuple[datetime, SubscriptionId]:
    """Return what the oldest has the least of, the same for every worker."""
    return subscription.created_on or _NEVER, subscription.subscription_id
