"""One question about one delivery, and the further ones that its answer raises."""

import asyncio
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import structlog

from jetworker.core.command import DeliveryId, JobId, TransferId
from jetworker.core.delivery import Delivery
from jetworker.core.errors import JetError, JetNotFound
from jetworker.core.observation import (
    JetDelivery,
    JetTransfer,
    is_final_in_jet,
    is_known_in_jet,
)
from jetworker.core.polling import Speed, measure
from jetworker.core.progress import unfinished
from jetworker.core.trigger import Missing, StatusObserved
from jetworker.jet.budget import Priority
from jetworker.jet.client import JetClient
from jetworker.runtime.clock import Clock
from jetworker.runtime.crash_points import Point, reach
from jetworker.runtime.metrics import Metrics
from jetworker.worker.handle import DeliveryHandle

log = structlog.get_logger()

_TRANSFERS_A_TIME = 20
_FURTHER_ASKS = 3
_CONFIRMATIONS = 3
_WARNINGS = 20
_NEAR_THE_END = timedelta(seconds=5)


@dataclass(slots=True, eq=False)
class Followed:
    """
    One delivery that is followed, and when it is asked for next (monotonic).

    *asked_at* is when Jet's word on the delivery itself last came (monotonic), *seen_at*
    when anything did.
    *missing* counts 404s in a row, *asks* the further questions about a delivery that
    Jet has ended while a transfer still looks alive.
    """

    handle: DeliveryHandle
    job_id: JobId
    delivery_id: DeliveryId
    began: float
    due: float
    asked_at: float
    seen_at: datetime
    seen: Speed = field(default_factory=Speed)
    missing: int = 0
    asks: int = 0
    failures: int = 0
    is_asking: bool = False


@dataclass(slots=True)
class Listing:
    """
    When a job was last listed.

    Where Jet fails to, it rests, longer each time. *silences* counts the listings in
    a row that told of no delivery.
    """

    asked_at: float = -1e9
    rests_until: float = -1e9
    failures: int = 0
    silences: int = 0
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


class StatusPoll:
    """Asks Jet about deliveries and tells them what it says."""

    def __init__(self, jet: JetClient, clock: Clock, metrics: Metrics) -> None:
        self._jet = jet
        self._clock = clock
        self._metrics = metrics
        self._unknown: set[str | None] = set()

    def may_list(self) -> bool:
        """Whether Jet may be asked for listings now."""
        return self._jet.may_list_transfers()

    async def list(self, followed: Followed) -> tuple[JetTransfer, ...]:
        """Return the job's transfers in progress; raises JetError."""
        delivery = followed.handle.delivery
        return await self._jet.list_transfers(
            followed.job_id,
            priority=Priority.POLL,
            route=delivery.route if delivery else None,
        )

    async def ask(self, followed: Followed, delivery: Delivery) -> None:
        """
        Ask for one delivery and tell what changed; raises JetError.

        What Jet says of the delivery is told at once, except its end: that waits for
        the last word on every transfer.
        """
        try:
            shown = await self._jet.get_delivery(
                followed.job_id,
                followed.delivery_id,
                priority=self._priority(followed),
                route=delivery.route,
            )
        except JetNotFound:
            await self._miss(followed)
            return
        reach(Point.POLLED)
        if not is_known_in_jet(shown.state):
            self._warn(followed, shown.state)
        followed.missing = followed.failures = 0
        now = self._clock.monotonic()
        followed.seen = measure(followed.seen, delivery, shown.progress, now)
        followed.asked_at, followed.seen_at = now, self._clock.now()
        if is_final_in_jet(shown.state):
            await self._ask_last(followed, shown)
        else:
            await self._ask_running(followed, shown)

    def _warn(self, followed: Followed, state: str | None) -> None:
        """Count a state that we do not know, and say so once for each."""
        self._metrics.jet_unknown_states_total.inc()
        if state not in self._unknown and len(self._unknown) < _WARNINGS:
            self._unknown.add(state)
            log.warning(
                "jet shows an unknown state, it is taken as in progress",
                state=state,
                delivery_id=followed.delivery_id,
            )

    async def _ask_running(self, followed: Followed, shown: JetDelivery) -> None:
        told = followed.handle.apply(StatusObserved(shown))
        alive = self._unfinished(followed)[:_TRANSFERS_A_TIME]
        transfers = await self._transfers(followed, alive, Priority.POLL)
        await told
        if transfers:
            await followed.handle.apply(StatusObserved(None, transfers))

    async def _ask_last(self, followed: Followed, shown: JetDelivery) -> None:
        """Ask for the transfers that Jet has not ended, at most three times more."""
        await followed.handle.apply(StatusObserved(shown))
        alive = self._unfinished(followed)
        transfers = await self._transfers(followed, alive, Priority.ENDING)
        conclusive = followed.asks >= _FURTHER_ASKS
        followed.asks += 1
        if conclusive:
            log.warning(
                "jet ended a delivery but not its transfers, it is ended as jet says",
                delivery_id=followed.delivery_id,
            )
        reach(Point.BEFORE_END)
        await followed.handle.apply(StatusObserved(shown, transfers, conclusive))

    async def _miss(self, followed: Followed) -> None:
        followed.missing += 1
        if followed.missing > _CONFIRMATIONS:
            await followed.handle.apply(Missing())

    async def _transfers(
        self,
        followed: Followed,
        transfer_ids: tuple[TransferId, ...],
        priority: Priority,
    ) -> tuple[JetTransfer, ...]:
        """Return what Jet says of these transfers; one that it does not show is left."""
        shown: list[JetTransfer] = []
        for start in range(0, len(transfer_ids), _TRANSFERS_A_TIME):
            some = transfer_ids[start : start + _TRANSFERS_A_TIME]
            answers = await asyncio.gather(
                *(self._transfer(followed, each, priority) for each in some)
            )
            shown += [each for each in answers if each is not None]
        return tuple(shown)

    async def _transfer(
        self, followed: Followed, transfer_id: TransferId, priority: Priority
    ) -> JetTransfer | None:
        delivery = followed.handle.delivery
        try:
            return await self._jet.get_transfer(
                followed.job_id,
                transfer_id,
                priority=priority,
                route=delivery.route if delivery else None,
            )
        except JetError as exc:
            log.debug("a transfer was not shown, it is asked again", error=str(exc))
            return None

    def _unfinished(self, followed: Followed) -> tuple[TransferId, ...]:
        delivery = followed.handle.delivery
        return unfinished(delivery) if delivery else ()

    def _priority(self, followed: Followed) -> Priority:
        left = followed.seen.remaining(self._clock.monotonic())
        ending = followed.asks or (left is not None and left <= _NEAR_THE_END)
        return Priority.ENDING if ending else Priority.POLL
