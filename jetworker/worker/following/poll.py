"""One question about one delivery, and the further ones that its answer raises."""

import asyncio
from typing import Any, Protocol

import structlog

from jetworker.core.command import ObjectSpec, Send, TransferId
from jetworker.core.delivery import Delivery
from jetworker.core.errors import (
    InvalidRecord,
    JetError,
    JetNotFound,
    JetRejected,
    JetUnavailable,
    StoreError,
)
from jetworker.core.failed_names import PART_OF_FILES, failed_names
from jetworker.core.observation import (
    JetDelivery,
    JetTransfer,
    is_final_in_jet,
    is_known_in_jet,
)
from jetworker.core.polling import denied_again, in_order, measure, of_answer
from jetworker.core.progress import unfinished, would_complete, would_fail
from jetworker.core.trigger import DeliveryNotFound, StatusObserved
from jetworker.jet.budget import Priority
from jetworker.jet.client import JetClient
from jetworker.runtime.clock import Clock
from jetworker.runtime.crash_points import Point, reach
from jetworker.runtime.metrics import Metrics
from jetworker.wire import commands
from jetworker.worker import defects
from jetworker.worker.following.followed import FollowedDelivery

log = structlog.get_logger()

_TRANSFERS_A_TIME = 20
_FURTHER_ASKS = 3  # about a delivery that has ended and a transfer that has not
_BELIEVED_AFTER = 300.0  # seconds of Jet's own 404
_WARNINGS = 20  # of states that we do not know
_NEAR_THE_END = 5.0  # seconds


class Commands(Protocol):
    """Where the record of a command is read again."""

    async def read(self, partition: int, offset: int) -> Any | None:
        """Return the record, None if it is not there any more; raises StoreError."""


class StatusPoll:
    """Asks Jet about deliveries and tells them what it says."""

    def __init__(
        self, jet: JetClient, commands: Commands, clock: Clock, metrics: Metrics
    ) -> None:
        self._jet = jet
        self._commands = commands
        self._clock = clock
        self._metrics = metrics
        self._unknown: set[str | None] = set()

    def may_list(self) -> bool:
        """Whether Jet may be asked for listings now."""
        return self._jet.may_list_transfers()

    async def list(self, followed: FollowedDelivery) -> tuple[JetTransfer, ...]:
        """Return the job's transfers in progress; raises JetError."""
        delivery = followed.handle.delivery
        return await self._jet.list_transfers(
            followed.job_id,
            priority=Priority.POLL,
            route=delivery.route if delivery else None,
        )

    async def ask(self, followed: FollowedDelivery, delivery: Delivery) -> None:
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
            await self._miss(followed, delivery)
            return
        except JetRejected:
            followed.denied = None  # another answer of Jet's about it
            raise
        reach(Point.POLLED)
        if not is_known_in_jet(shown.state):
            self._warn(followed, shown.state)
        followed.denied, followed.failures = None, 0
        now = self._clock.monotonic()
        followed.seen_at, followed.shown = self._clock.now(), shown.state
        followed.count_heard()
        followed.is_overtaken = shown.asked_at < followed.told.delivery_at
        latest = followed.handle.delivery
        if followed.is_overtaken or latest is None:
            return
        followed.asked_at = now
        followed.seen = measure(followed.seen, latest, shown.progress, now)
        if is_final_in_jet(shown.state):
            await self._ask_last(followed, shown)
        else:
            await self._ask_running(followed, latest, shown)

    def _warn(self, followed: FollowedDelivery, state: str | None) -> None:
        """Count a state that we do not know, and say so once for each."""
        self._metrics.jet_unknown_states_total.inc()
        if state not in self._unknown and len(self._unknown) < _WARNINGS:
            self._unknown.add(state)
            log.warning(
                "jet shows an unknown state, it is taken as in progress",
                state=state,
                delivery_id=followed.delivery_id,
            )

    async def _ask_running(
        self, followed: FollowedDelivery, delivery: Delivery, shown: JetDelivery
    ) -> None:
        followed.told, seen = of_answer(followed.told, delivery, shown)
        _ = followed.observe(seen, self._clock.monotonic())
        if followed.resumes is not None:  # a notification costs one question
            return
        alive = self._unlisted(followed)[:_TRANSFERS_A_TIME]
        transfers = await self._transfers(followed, alive, Priority.POLL)
        self._tell_transfers(followed, transfers)

    def _tell_transfers(
        self, followed: FollowedDelivery, transfers: tuple[JetTransfer, ...]
    ) -> None:
        """Tell what transfers show; its owner takes care that it is durable."""
        seen = StatusObserved(None, transfers)
        _ = followed.observe(seen, self._clock.monotonic())

    async def _ask_last(self, followed: FollowedDelivery, shown: JetDelivery) -> None:
        """Ask for the transfers that Jet has not ended, at most three times more."""
        conclusive = followed.asks >= _FURTHER_ASKS
        followed.asks += 1
        alive = self._alive(followed, shown)
        transfers = await self._transfers(followed, alive, Priority.ENDING)
        if await self._told_as_one(followed, shown, transfers):
            return
        self._tell_transfers(followed, transfers)
        if conclusive:
            log.warning(
                "jet ended a delivery but not its transfers, it is ended as jet says",
                delivery_id=followed.delivery_id,
            )
        failed = await self._failed(followed, shown, conclusive=conclusive)
        reach(Point.BEFORE_END)
        await followed.handle.apply(
            StatusObserved(shown, (), conclusive, failed_paths=failed)
        )

    async def _told_as_one(
        self,
        followed: FollowedDelivery,
        shown: JetDelivery,
        transfers: tuple[JetTransfer, ...],
    ) -> bool:
        """Tell the last of a delivery in one step, if it ended with nothing to look up."""
        delivery = followed.handle.delivery
        is_read = shown.progress is None or shown.progress.is_failed_known
        if delivery is None or not is_read:
            return False
        if not would_complete(delivery, shown, transfers):
            return False
        followed.count_heard()
        last = StatusObserved(None, transfers)
        told, fresh = in_order(followed.told, last, self._clock.monotonic())
        if transfers and fresh != last:  # a later answer has come, and may differ
            return False
        followed.told = told
        reach(Point.BEFORE_END)
        await followed.handle.apply(StatusObserved(shown, transfers))
        return True

    async def _failed(
        self, followed: FollowedDelivery, shown: JetDelivery, *, conclusive: bool
    ) -> tuple[str, ...]:
        """Return the names of what failed, as far as Jet and the command tell them."""
        delivery = followed.handle.delivery
        if delivery is None or (self._alive(followed, shown) and not conclusive):
            return ()
        if shown.progress is not None and not shown.progress.is_failed_known:
            log.warning(
                "jet's count of failed objects cannot be read, its transfers decide",
                command_id=delivery.command_id,
                delivery_id=followed.delivery_id,
            )
        if not would_fail(delivery, shown):
            return ()
        try:
            return await self._named(followed, delivery)
        except (JetError, StoreError) as exc:
            log.warning(
                "what failed of a delivery cannot be named",
                command_id=delivery.command_id,
                delivery_id=followed.delivery_id,
                reason=str(exc),
            )
        except Exception as exc:  # noqa: BLE001 -- the names alone are what is missing then
            defects.report(
                self._metrics,
                "delivery",
                "what failed of a delivery cannot be named: a defect of ours",
                exc,
                command_id=delivery.command_id,
                delivery_id=followed.delivery_id,
            )
        return ()

    async def _named(
        self, followed: FollowedDelivery, delivery: Delivery
    ) -> tuple[str, ...]:
        objects = await self._objects(delivery)
        files = await self._jet.list_files(followed.job_id, priority=Priority.ENDING)
        if not files.is_whole:
            raise JetUnavailable(PART_OF_FILES)
        ours = [each.transfer_id for each in delivery.transfers]
        return failed_names(objects, files.items, ours)

    async def _objects(self, delivery: Delivery) -> tuple[ObjectSpec, ...]:
        """Return what the command asked for; nothing, if its record is gone."""
        if delivery.read_at is None:
            return ()
        record = await self._commands.read(*delivery.read_at)
        if record is None:
            return ()
        try:
            found = commands.decode(
                record.value, record.headers, max_objects=delivery.requested.count
            )
        except InvalidRecord:
            return ()
        is_same = isinstance(found, Send) and found.fingerprint == delivery.fingerprint
        return found.objects if isinstance(found, Send) and is_same else ()

    async def _miss(self, followed: FollowedDelivery, delivery: Delivery) -> None:
        """Believe that Jet has forgotten a delivery only after minutes of its own 404."""
        now = self._clock.monotonic()
        followed.denied = denied_again(followed.denied, now)
        if followed.denied.lasted < _BELIEVED_AFTER:
            return
        try:
            await self._jet.get_job(
                followed.job_id, priority=Priority.POLL, route=delivery.route
            )
        except JetNotFound:
            log.warning(
                "jet shows neither a delivery nor its job, it is asked again",
                command_id=delivery.command_id,
                delivery_id=followed.delivery_id,
            )
            return
        if followed.denied is not None:  # no listing has shown it meanwhile
            await followed.handle.apply(DeliveryNotFound())

    async def _transfers(
        self,
        followed: FollowedDelivery,
        transfer_ids: tuple[TransferId, ...],
        priority: Priority,
    ) -> tuple[JetTransfer, ...]:
        """Return what Jet says of these transfers; one that it does not show is left."""
        shown: list[JetTransfer] = []
        for start in range(0, len(transfer_ids), _TRANSFERS_A_TIME):
            some = transfer_ids[start : start + _TRANSFERS_A_TIME]
            if len(some) == 1:
                alone = await self._transfer(followed, some[0], priority)
                shown += [] if alone is None else [alone]
                continue
            answers = await asyncio.gather(
                *(self._transfer(followed, each, priority) for each in some)
            )
            shown += [each for each in answers if each is not None]
        return tuple(shown)

    async def _transfer(
        self, followed: FollowedDelivery, transfer_id: TransferId, priority: Priority
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

    def _alive(
        self, followed: FollowedDelivery, shown: JetDelivery
    ) -> tuple[TransferId, ...]:
        """Return the transfers whose last event is still to come, new ones too."""
        delivery = followed.handle.delivery
        if delivery is None:
            return ()
        known = {each.transfer_id for each in delivery.transfers}
        new = [each for each in shown.transfer_ids if each not in known]
        return (*unfinished(delivery), *dict.fromkeys(new))

    def _unlisted(self, followed: FollowedDelivery) -> tuple[TransferId, ...]:
        """Return the transfers that may have news which the last listing did not tell."""
        delivery = followed.handle.delivery
        alive = unfinished(delivery) if delivery else ()
        if not followed.is_listed:
            return alive
        at, told = followed.seen.listed_at, followed.told.transfers_at
        return tuple(each for each in alive if told.get(each, at - 1) < at)

    def _priority(self, followed: FollowedDelivery) -> Priority:
        if followed.hinted_at is not None:
            return Priority.LOOKUP
        left = followed.seen.remaining(self._clock.monotonic())
        is_near = followed.has_left or (left is not None and left <= _NEAR_THE_END)
        ending = followed.asks or is_near
        return Priority.ENDING if ending else Priority.POLL
