"""The starter: one lane a route, one lock a job, one place that wakes them."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from jetworker.core.command import CommandId, JobId, RouteName
from jetworker.core.rate import Backoff
from jetworker.core.route import Route
from jetworker.jet.jobs import JobResolver
from jetworker.runtime.clock import Clock
from jetworker.worker.delivery_counts import DeliveryCounts
from jetworker.worker.handle import DeliveryHandle
from jetworker.worker.reconciliation.reconciler import Reconciler
from jetworker.worker.starts.dispatcher import Means, RouteDispatcher
from jetworker.worker.starts.sender import StartSender


class Starter:
    """Starts what wants to be started, for all partitions of one worker."""

    def __init__(
        self,
        routes: Callable[[], Mapping[RouteName, Route]],
        resolver: JobResolver,
        reconciler: Reconciler,
        sender: StartSender,
        counts: DeliveryCounts,
        clock: Clock,
        max_active: int,
        backoff: Backoff,
    ) -> None:
        self._routes = routes
        self._resolver = resolver
        self._reconciler = reconciler
        self._means = Means(self, sender, counts, clock, max_active, backoff)
        self._lanes: dict[RouteName, RouteDispatcher] = {}
        self._locks: dict[JobId, asyncio.Lock] = {}
        self._new: asyncio.Queue[RouteDispatcher] = asyncio.Queue()

    def take(self, handle: DeliveryHandle) -> None:
        """Queue a delivery that may be started; one that ended frees its place."""
        delivery = handle.delivery
        if delivery is None:
            self.nudge()
        elif delivery.state.is_startable:
            self._lane(delivery.route).put(handle)

    def waiting(self) -> int:
        """Return how many deliveries are queued in all lanes."""
        return sum(len(lane) for lane in self._lanes.values())

    def describe(self, route: RouteName) -> dict[str, Any]:
        """Return what waits on a route, and what is in the way."""
        lane = self._lanes.get(route)
        if lane is None:
            return {"waiting": 0, "obstacle": None}
        return {"waiting": len(lane), "obstacle": lane.obstacle}

    async def run(self) -> None:
        """Run every lane, the ones that come later too."""
        async with asyncio.TaskGroup() as tasks:
            while True:
                lane = await self._new.get()
                tasks.create_task(lane.run(), name=f"lane {lane.name}")

    def route(self, name: RouteName) -> Route | None:
        """Return the route as the routes file has it now."""
        return self._routes().get(name)

    async def job_of(self, route: Route) -> JobId:
        """Return the route's job; raises JobUnavailable or JetError."""
        return await self._resolver.resolve(route)

    def lock(self, job_id: JobId) -> asyncio.Lock:
        """Return the lock under which starts on this job are sent."""
        return self._locks.setdefault(job_id, asyncio.Lock())

    async def settled(self, job_id: JobId) -> None:
        """Wait until no start on this job is being looked up by this worker."""
        await self._reconciler.doubts.none(job_id)

    def doubt(self, job_id: JobId, command_id: CommandId) -> None:
        """Keep other starts off the job until this one is settled or held."""
        self._reconciler.doubts.add(job_id, command_id)

    def nudge(self) -> None:
        """Let every lane look again."""
        for lane in self._lanes.values():
            lane.nudge()

    def _lane(self, name: RouteName) -> RouteDispatcher:
        if name not in self._lanes:
            self._lanes[name] = RouteDispatcher(name, self._means)
            self._new.put_nowait(self._lanes[name])
        return self._lanes[name]
