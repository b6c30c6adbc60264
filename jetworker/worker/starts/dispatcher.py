"""
A lane: the deliveries of one route that wait to be started, one start at a time.

Starts on one job are sent one after another, and none while this worker looks up what
became of an earlier one: then an unknown start has hardly any rival that could be
taken for it. A lane that is blocked says so on every delivery in it, once.
"""

import asyncio
from datetime import timedelta

import structlog

from jetworker.core.command import JobId, RouteName
from jetworker.core.delivery import Delivery, ReasonCode, State, Terms
from jetworker.core.errors import (
    JetError,
    JobUnavailable,
    StoreError,
)
from jetworker.core.expiry import is_expired
from jetworker.core.route import Route
from jetworker.core.trigger import Begun, Blocked, Lost, Refused, Trigger
from jetworker.runtime.clock import wait
from jetworker.runtime.crash_points import Point, reach
from jetworker.worker.handle import Entry
from jetworker.worker.starts.dispatch import Means
from jetworker.worker.starts.queue import Queue, is_waiting
from jetworker.worker.starts.sender import unavailable

log = structlog.get_logger()


class Lane:
    """The queue of one route, and the task that empties it."""

    def __init__(self, name: RouteName, means: Means) -> None:
        self.name = name
        self._means = means
        self._dispatch, self._sender = means.dispatch, means.sender
        self._census, self._clock = means.census, means.clock
        self._queue = Queue()
        self._obstacle: Blocked | None = None
        self._failures = 0
        self._wake = asyncio.Event()

    def __len__(self) -> int:
        """Return how many deliveries wait."""
        return len(self._queue)

    @property
    def obstacle(self) -> str | None:
        """What is in the way, None if nothing is."""
        found = self._obstacle
        return f"{found.code}: {found.message}" if found else None

    def put(self, entry: Entry) -> None:
        """Queue a delivery; one that is to be started again goes first."""
        delivery = entry.delivery
        if delivery is None or not delivery.state.is_startable:
            return
        self._queue.put(entry, first=delivery.state is State.CLEARED)
        if self._obstacle is not None and delivery.state is State.ACCEPTED:
            entry.tell(self._obstacle)
        self._wake.set()

    def nudge(self) -> None:
        """Look again: a place on the route may be free, or the routes changed."""
        self._wake.set()

    async def run(self) -> None:
        """Start what waits, in order, for ever."""
        while True:
            self._wake.clear()
            self._expire()
            entry = self._queue.head()
            if entry is None:
                await self._wake.wait()
                continue
            try:
                obstacle = await self._advance(entry)
            except StoreError:
                continue  # its owner's life is over: it is dropped with the others
            await self._pause(obstacle)

    async def _pause(self, obstacle: Blocked | None) -> None:
        """Tell every delivery in the lane what it waits for, then wait."""
        changed = obstacle is not None and obstacle != self._obstacle
        self._obstacle = obstacle
        if obstacle is None:
            self._failures = 0
            return
        self._failures += 1
        self._queue.drop_gone()
        if changed:
            self._block(obstacle)
        delay = self._means.backoff.delay(self._failures, self._clock.jitter())
        # Arrivals do not end a wait for Jet; a freed place ends a wait for one.
        if obstacle.code is ReasonCode.LIMIT:
            await wait(self._wake, self._until_expiry(self._means.backoff.ceiling))
        else:
            await asyncio.sleep(self._until_expiry(delay))

    def _block(self, obstacle: Blocked) -> None:
        log.warning(
            "a route waits, its commands are kept and tried again",
            route=self.name,
            reason=obstacle.code.value,
            message=obstacle.message,
            commands=len(self._queue),
        )
        for entry in self._queue:
            entry.tell(obstacle)

    async def _advance(self, entry: Entry) -> Blocked | None:
        """Start one delivery, or return what is in the way."""
        route = self._dispatch.route(self.name)
        if route is None:
            message = "the route is not in the routes file any more"
            return Blocked(ReasonCode.JOB_UNAVAILABLE, message)
        if self._is_full(route, entry):
            return Blocked(ReasonCode.LIMIT, "the route's max_active is reached")
        try:
            job_id = await self._dispatch.job_of(route)
        except JobUnavailable as exc:
            return Blocked(ReasonCode.JOB_UNAVAILABLE, str(exc))
        except JetError as exc:
            return unavailable(exc)
        async with self._dispatch.lock(job_id):
            await self._dispatch.settled(job_id)
            return await self._start(entry, route, job_id)

    async def _start(self, entry: Entry, route: Route, job_id: JobId) -> Blocked | None:
        """
        Start one delivery.

        1. Make sure that Jet answers, if the last start on this route was lost.
        2. Take the budget, so that nothing but the commit lies before the send.
        3. Write the intent down and wait until it is durable.
        4. Send it once, if the lease holds; write down what came of it.
        """
        obstacle = await self._sender.probe(route, job_id)
        if obstacle is not None:
            return obstacle
        await self._sender.turn(route)
        delivery = entry.delivery
        if delivery is None or not is_waiting(entry) or self._is_full(route, entry):
            return None
        if is_expired(delivery, self._clock.now()):
            return None  # it is told so at its next turn
        with entry.owner.sending():
            outcome = await self._send(entry, delivery, route, job_id)
        return self._obstacle_of(outcome, entry)

    async def _send(
        self, entry: Entry, delivery: Delivery, route: Route, job_id: JobId
    ) -> Trigger:
        """Write the intent down, send it, and write down what came of it."""
        written_at = self._clock.monotonic()
        reach(Point.BEFORE_INTENT)
        await entry.apply(self._begun(route, job_id))
        reach(Point.AFTER_INTENT)
        outcome = await self._sender.send(
            route,
            job_id,
            delivery.objects,
            lambda: entry.owner.check_lease(written_at),
        )
        reach(Point.ANSWERED)
        if delivery.attempt and not isinstance(outcome, Blocked):
            self._census.resent(delivery)
        self._queue.remove(entry)
        await entry.apply(outcome)
        reach(Point.AFTER_STARTED)
        if isinstance(outcome, Lost):
            self._doubt(entry, job_id)
        return outcome

    def _doubt(self, entry: Entry, job_id: JobId) -> None:
        """
        Ask before the next start, and keep others off while this one is unknown.

        Not where nothing was started yet: others go on there, and become witnesses.
        """
        self._sender.suspect(self.name)
        delivery = entry.delivery
        is_uncertain = delivery is not None and delivery.state is State.UNCERTAIN
        if is_uncertain and self._sender.has_started(job_id):
            self._dispatch.doubt(job_id, entry.command_id)

    def _begun(self, route: Route, job_id: JobId) -> Begun:
        intent = self._sender.intent(job_id, self._clock.now())
        return Begun(intent, Terms(route.on_uncertain, route.deadline))

    def _obstacle_of(self, outcome: Trigger, entry: Entry) -> Blocked | None:
        """Let a start that was refused for now block the lane, and go first again."""
        if not isinstance(outcome, Blocked):
            return None
        if is_waiting(entry):
            self._queue.put(entry, first=True)
        return outcome

    def _is_full(self, route: Route, entry: Entry) -> bool:
        delivery = entry.delivery
        if delivery is None or delivery.state is State.CLEARED:
            return False  # it has had its place since its first intent
        limit = self._means.max_active if route.max_active is None else route.max_active
        full = self._census.open_on(route.name) >= limit
        return full or self._census.total >= self._means.max_active

    def _expire(self) -> None:
        for entry in self._queue.take_expired(self._clock.now()):
            message = "expiresAt passed before it could be started"
            entry.tell(Refused(ReasonCode.EXPIRED, message))

    def _until_expiry(self, delay: timedelta) -> float:
        """Return the seconds to wait: *delay*, or less if something expires before."""
        soonest = self._queue.soonest_expiry()
        if soonest is not None:
            delay = min(delay, soonest - self._clock.now())
        return max(0.01, delay.total_seconds())
