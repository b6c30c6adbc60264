"""What every partition's life of one worker shares: its terms, and who works for it."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

from jetworker.core.command import RouteName
from jetworker.core.delivery import Delivery
from jetworker.core.finished import Finished
from jetworker.core.route import Route
from jetworker.core.steps import Policy
from jetworker.runtime.clock import Clock
from jetworker.runtime.metrics import Metrics
from jetworker.wire.answers import Answers
from jetworker.wire.events import Envelope
from jetworker.worker.delivery_counts import DeliveryCounts
from jetworker.worker.handle import DeliveryHandle


class Sweeper(Protocol):
    """Somebody who is told of every start that was ever unknown."""

    def touch(self, snapshot: Delivery | Finished) -> None:
        """Take note of a delivery; of most there is nothing to note."""


class Service(Protocol):
    """Somebody who performs one kind of effect."""

    def take(self, handle: DeliveryHandle) -> None:
        """Look after this delivery; again is no different from once."""


@dataclass(frozen=True, slots=True)
class PartitionOptions:
    """What every life of one worker shares."""

    policy: Policy
    envelope: Envelope
    answers: Answers
    state_topic: str
    max_objects: int
    lease: timedelta
    dedupe_window: timedelta
    routes: Callable[[], Mapping[RouteName, Route]]


@dataclass(frozen=True, slots=True)
class Services:
    """Who performs the effects, and who counts."""

    starter: Service
    follower: Service
    reconciler: Service
    sweep: Sweeper
    counts: DeliveryCounts
    metrics: Metrics
    clock: Clock

    def counted(
        self, outcome: str, durable: "asyncio.Future[None]"
    ) -> "asyncio.Future[None]":
        """Count a record by its answer, once that is durable."""

        def count(done: "asyncio.Future[None]") -> None:
            if done.cancelled() or done.exception() is not None:
                return
            self.metrics.commands_total.labels(outcome).inc()
            if outcome != "accepted":
                self.metrics.events_published_total.labels(f"command.{outcome}").inc()

        durable.add_done_callback(count)
        return durable
