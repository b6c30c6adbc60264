"""The starter: one dispatcher a route, made when its first delivery comes."""

import asyncio
from collections.abc import Callable
from typing import Any

from jetworker.core.command import RouteName
from jetworker.worker.handle import DeliveryHandle
from jetworker.worker.starts.dispatcher import RouteDispatcher


class Starter:
    """
    Starts what wants to be started, for all partitions of one worker.

    *dispatcher* makes the one of a route.
    """

    def __init__(self, dispatcher: Callable[[RouteName], RouteDispatcher]) -> None:
        self._dispatcher = dispatcher
        self._dispatchers: dict[RouteName, RouteDispatcher] = {}
        self._new: asyncio.Queue[RouteDispatcher] = asyncio.Queue()

    def take(self, handle: DeliveryHandle) -> None:
        """Queue a delivery that may be started; one that ended frees its place."""
        delivery = handle.delivery
        if delivery is None:
            for dispatcher in self._dispatchers.values():
                dispatcher.retire(handle)
        elif delivery.state.is_startable:
            self._of(delivery.route).put(handle)

    def waiting(self) -> int:
        """Return how many deliveries are queued on all routes."""
        return sum(len(dispatcher) for dispatcher in self._dispatchers.values())

    def describe(self, route: RouteName) -> dict[str, Any]:
        """Return how many wait on a route, what is in the way, and else what for."""
        dispatcher = self._dispatchers.get(route)
        if dispatcher is None:
            return {"waiting": 0, "obstacle": None, "awaited": None}
        return {
            "waiting": len(dispatcher),
            "obstacle": dispatcher.obstacle,
            "awaited": dispatcher.awaited,
        }

    async def run(self) -> None:
        """Run every dispatcher, the ones that come later too."""
        async with asyncio.TaskGroup() as tasks:
            while True:
                dispatcher = await self._new.get()
                tasks.create_task(dispatcher.run(), name=f"starts on {dispatcher.name}")

    def nudge(self) -> None:
        """Let every route look again."""
        for dispatcher in self._dispatchers.values():
            dispatcher.nudge()

    def _of(self, name: RouteName) -> RouteDispatcher:
        if name not in self._dispatchers:
            self._dispatchers[name] = self._dispatcher(name)
            self._new.put_nowait(self._dispatchers[name])
        return self._dispatchers[name]
