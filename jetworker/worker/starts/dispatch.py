"""What the lanes of one worker share: routes, jobs, and who may start on a job when."""

import asyncio
from dataclasses import dataclass
from typing import Protocol

from jetworker.core.command import CommandId, JobId, RouteName
from jetworker.core.pace import Backoff
from jetworker.core.route import Route
from jetworker.runtime.clock import Clock
from jetworker.worker.delivery_counts import DeliveryCounts
from jetworker.worker.starts.sender import StartSender


class Dispatch(Protocol):
    """What a lane asks of the worker it belongs to."""

    def route(self, name: RouteName) -> Route | None:
        """Return the route as the routes file has it now."""

    async def job_of(self, route: Route) -> JobId:
        """Return the route's job; raises JobUnavailable or JetError."""

    def lock(self, job_id: JobId) -> asyncio.Lock:
        """Return the lock under which starts on this job are sent."""

    async def settled(self, job_id: JobId) -> None:
        """Wait until no start on this job is being looked up by this worker."""

    def doubt(self, job_id: JobId, command_id: CommandId) -> None:
        """Keep other starts off the job until this one is settled or held."""


@dataclass(frozen=True, slots=True)
class Means:
    """What the lanes of one worker work with; *max_active* is over all routes."""

    dispatch: Dispatch
    sender: StartSender
    counts: DeliveryCounts
    clock: Clock
    max_active: int
    backoff: Backoff
