"""Who performs the effects of a step, who is told of it, and who counts."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from jetworker.core.delivery import Delivery
from jetworker.core.finished import Finished
from jetworker.runtime.clock import Clock
from jetworker.runtime.metrics import Metrics
from jetworker.runtime.tracing import Tracing
from jetworker.worker.delivery_counts import DeliveryCounts
from jetworker.worker.handle import DeliveryHandle


class Service(Protocol):
    """Somebody who performs one kind of effect."""

    def take(self, handle: DeliveryHandle) -> None:
        """Look after this delivery; again is no different from once."""


class Reconciling(Service, Protocol):
    """Somebody who looks unknown starts up, and is told of every step."""

    def recall(self, snapshot: Delivery | Finished) -> None:
        """Take up what an earlier life knew of a delivery whose start was unknown."""

    def notice(self, before: Delivery | None, after: Delivery) -> None:
        """Take note of a step that is durable."""


@dataclass(frozen=True, slots=True)
class Services:
    """
    Who performs the effects, and who counts.

    *noted* is told every snapshot: of one whose start was ever unknown, and of one that
    ended, note is taken. Of those that had ended before, it is told what it can use.
    """

    starter: Service
    follower: Service
    reconciler: Reconciling
    noted: Callable[[Delivery | Finished], None]
    counts: DeliveryCounts
    metrics: Metrics
    clock: Clock
    tracing: Tracing | None = None

    def counted(
        self,
        outcome: str,
        durable: "asyncio.Future[None]",
        reason: str | None = None,
    ) -> "asyncio.Future[None]":
        """Count a record by its answer, once that is durable."""

        def count(done: "asyncio.Future[None]") -> None:
            if not done.cancelled() and done.exception() is None:
                self.counts.answered(outcome, reason)

        durable.add_done_callback(count)
        return durable
