"""
One partition while it is ours: fence, restore, run, drain, close.

Its life, in this order (each line is why the next is safe):

1. it is taken over: asked for, fenced, restored (`StateStore.take_over`).
2. resume what is unfinished; an intent without an answer is an unknown start.
3. read its commands, from the offset on; after a growth, when it is known which ids
   other partitions answer for (`kafka/growth`).
4. any error ends the life: drop the producer, and start again at 1.
5. revoked or stopping: no new intents, let starts in flight end, commit, close.
"""

import asyncio
from collections.abc import Callable, Coroutine
from datetime import timedelta
from functools import partial
from typing import Any, TypeAlias

import structlog

from jetworker.core.errors import (
    NotGathered,
    Outgrown,
    OwnedElsewhere,
    StateLost,
    StoreError,
)
from jetworker.core.growth import Layout
from jetworker.core.rate import Backoff
from jetworker.core.resumption import Cause, Gap
from jetworker.kafka.clients import KafkaClients, only_our_cancellation
from jetworker.kafka.group import Batch, ConsumerGroup
from jetworker.kafka.growth import Gathering, Homes, handed
from jetworker.kafka.state_store import StateStore, TakenOver
from jetworker.runtime.crash_points import Point, reach
from jetworker.runtime.logs import leaves, report_end
from jetworker.worker import intake
from jetworker.worker.deliveries import Deliveries, PartitionOptions
from jetworker.worker.services import Services

log = structlog.get_logger()

# Called when its task begins: one that is cancelled before leaves nothing unawaited.
Loop: TypeAlias = Callable[[], Coroutine[Any, Any, None]]

_UNSTARTED_LIMIT = 20_000  # deliveries, beyond which no commands are taken for now
_FORGOTTEN_AT_ONCE = 500  # finished ones, in one write
_HOUSEKEEPING = 5.0  # seconds
_GATHERED_EVERY = 1.0  # seconds
_TOLD_EVERY = 60.0  # seconds between two lines about the same hindrance
_REBUILD = "jetworker state rebuild --dry-run"
_BACKOFF = Backoff(timedelta(seconds=0.2), timedelta(seconds=15))


class Partition:
    """
    Keeps one partition alive until it is closed; *live* while it is restored.

    *hindrance* is what somebody else has to do before it can be.
    """

    def __init__(
        self,
        number: int,
        kafka: KafkaClients,
        group: ConsumerGroup,
        gathering: Gathering,
        options: PartitionOptions,
        services: Services,
        drain_timeout: timedelta,
    ) -> None:
        self._number = number
        self._kafka = kafka
        self._gathering = gathering
        self._layout: Layout | None = None
        self._takes = False
        self._group = group
        self._options = options
        self._services = services
        self._drain_timeout = drain_timeout
        self._is_ours = True
        self.live: Deliveries | None = None
        self.hindrance: str | None = None
        self._told_at = 0.0
        self._failed: asyncio.Future[None] | None = None
        self._task = asyncio.create_task(self._keep(), name=f"partition {number}")

    async def drain(self) -> None:
        """
        Let what is in flight end, within the time that a stop may take.

        What is still being restored does not come to life any more: what it began,
        nobody would let end.
        """
        self._is_ours = False
        if self.live is not None:
            await self.live.drain(self._drain_timeout)

    async def close(self) -> None:
        """End its life; it is not ours any more."""
        self._is_ours = False
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    def receive(self, batch: Batch) -> None:
        """
        Take records; where nothing lives they are left: they come again.

        Without records, the offset moves past what no reader is given.
        """
        if self.live is None or self.live.is_draining or not self._takes:
            return
        for record in batch.records:
            _ = intake.receive(self.live, record)  # answered when it is durable
        if not batch.records:
            _ = self.live.commit((), batch.position)

    def fail(self, error: StoreError) -> None:
        """End this life: it is taken over again, and finds out where it stands."""
        self._takes = False
        if self._failed is not None and not self._failed.done():
            self._failed.set_exception(error)

    def outgrow(self, now: Layout) -> None:
        """End a life that was begun when the topics had fewer partitions."""
        if self._layout is not None and self._layout.is_behind(now):
            self.fail(Outgrown("the topics have more partitions now"))

    def relieve(self) -> None:
        """Stop taking commands while too many wait; nothing else is stopped."""
        if self.live is None or not self._takes:
            return
        if not self._is_full(self.live):
            self._group.resume(self._number)
        elif self._group.pause(self._number):
            log.warning(
                "a partition takes no commands for now",
                partition=self._number,
                waiting=max(self.live.unstarted, self.live.backlog),
                waiting_bytes=self._services.counts.waiting_bytes,
                max_waiting_bytes=self._options.max_waiting_bytes,
            )

    def _is_full(self, live: Deliveries) -> bool:
        size = self._services.counts.waiting_bytes
        waiting = max(live.unstarted, live.backlog)
        return waiting > _UNSTARTED_LIMIT or size > self._options.max_waiting_bytes

    async def _keep(self) -> None:
        """Live again after every failure, for as long as the partition is ours."""
        failures = 0
        # Asked, since a failing task group swallows a cancellation (before Python 3.13).
        while self._is_ours:
            began, pause = self._services.clock.monotonic(), 0.0
            _forget_cancellations()
            try:
                await self._live_once()
            except* Exception as group:  # noqa: BLE001 -- whatever it was, this life is over: what is not in Kafka did not happen
                lasted = self._services.clock.monotonic() - began
                failures = 1 if lasted > 60 else failures + 1  # noqa: PLR2004 -- a minute
                delay = _BACKOFF.delay(failures, self._services.clock.jitter())
                self._hinder(group, delay)
                pause = delay.total_seconds()
            if self._is_ours:
                await asyncio.sleep(pause)

    async def _live_once(self) -> None:
        """
        Live; a cancellation that is not ours is a failure as any other.

        A library has its own, and one that a failed task group left behind comes out of
        the next time-out (before Python 3.11.4): who takes it for ours ends for good,
        without a word.
        """
        try:
            await self._live()
        except asyncio.CancelledError as exc:
            if not self._is_ours:
                raise
            msg = "keeping a partition: something else has cancelled it"
            raise StoreError(msg) from exc

    def _hinder(self, group: BaseExceptionGroup[Exception], delay: timedelta) -> None:
        """Say why it does not live: what lasts is said once a change, once a minute."""
        lasting, _ = group.split((OwnedElsewhere, StateLost))
        first = next(leaves(lasting), None) if lasting else None
        if first is None:
            self.hindrance = None
            report_end(self._number, group, delay)
            return
        hindrance = (
            f"state lost: {first}" if isinstance(first, StateLost) else f"{first}"
        )
        now = self._services.clock.monotonic()
        if hindrance != self.hindrance or now >= self._told_at + _TOLD_EVERY:
            self._told_at = now
            cure = {"cure": _REBUILD} if isinstance(first, StateLost) else {}
            log.error(
                "a partition is not served",
                partition=self._number,
                why=hindrance,
                **cure,
            )
        self.hindrance = hindrance

    async def _live(self) -> None:
        clock, metrics = self._services.clock, self._services.metrics
        began = clock.monotonic()
        async with StateStore.take_over(
            self._kafka, self._number, self._group, metrics, clock
        ) as taken:
            self._report_gap(taken.gap)
            self.hindrance = None
            store, offset = taken.store, taken.store.offset
            deliveries = Deliveries(self._number, store, self._options, self._services)
            failed = self._failed = asyncio.get_running_loop().create_future()
            try:
                await deliveries.restore(taken.latest)
                taken.latest.clear()
                if not self._is_ours:
                    return
                self._layout = store.layout
                async with asyncio.TaskGroup() as tasks:
                    self._go_on(tasks, "committer", store.run)
                    self._go_on(tasks, "house", partial(_keep_house, deliveries))
                    self._go_on(
                        tasks, "input", partial(self._until, failed, deliveries)
                    )
                    self.live = deliveries
                    await deliveries.resume()
                    reach(Point.RESTORED)
                    if store.is_grown:
                        deliveries.homes = Homes(store.layout.state)
                        handing = partial(self._take_handed, deliveries, taken)
                        self._go_on(tasks, "handed", handing)
                        deliveries.homes = await self._gather(store.layout)
                    self._takes = not failed.done()
                    self._group.begin(self._number, offset)
                    self._report_restored(deliveries, offset, clock.monotonic() - began)
            except Exception:  # whatever it was: a start may be on its way still
                self._end(deliveries)
                await deliveries.landed(self._drain_timeout)
                raise
            finally:
                self._end(deliveries)

    def _go_on(self, tasks: asyncio.TaskGroup, name: str, loop: Loop) -> None:
        """Run a loop of this life; where a library cancels it, the life ends with it."""
        tasks.create_task(_until_we_end_it(name, loop), name=f"{name} {self._number}")

    async def _gather(self, layout: Layout) -> Homes:
        """Wait until it is known which ids other partitions answer for."""
        while True:
            try:
                homes = await self._gathering.homes(layout)
            except NotGathered as exc:
                if self.hindrance is None:
                    log.warning(
                        "a partition takes no commands yet",
                        partition=self._number,
                        why=str(exc),
                    )
                self.hindrance = str(exc)
                await asyncio.sleep(_GATHERED_EVERY)
            else:
                self.hindrance = None
                return homes

    async def _take_handed(self, deliveries: Deliveries, taken: TakenOver) -> None:
        """
        Answer what owners of other partitions read and hand over.

        However many commands wait, as long as none are taken yet: what was handed over
        before a growth holds up all partitions until it is answered (`kafka/growth`).
        """
        for key, value in taken.handed.items():
            if not deliveries.is_draining:
                _ = intake.receive_handed(deliveries, key, value)
        async for key, value in handed(self._kafka, self._number, taken.barrier):
            while self._takes and self._is_full(deliveries):  # noqa: ASYNC110 -- as seldom as house is kept
                await asyncio.sleep(_HOUSEKEEPING)
            if not deliveries.is_draining:
                _ = intake.receive_handed(deliveries, key, value)

    async def _until(
        self, failed: "asyncio.Future[None]", deliveries: Deliveries
    ) -> None:
        """
        Wait for an error that somebody else has found.

        What is outgrown is ours still: the answers of starts in flight are kept.
        """
        try:
            await failed
        except Outgrown:
            await deliveries.drain(self._drain_timeout)
            raise

    def _end(self, deliveries: Deliveries) -> None:
        self._takes, self._layout = False, None
        deliveries.end()
        if self.live is deliveries:
            self.live = None
            self._group.pause(self._number)

    def _report_gap(self, gap: Gap | None) -> None:
        """Tell of commands that are not read on where reading ended: once a gap."""
        if gap is None:
            return
        self._services.metrics.input_gaps_total.labels(gap.cause).inc()
        self._services.metrics.commands_skipped_total.inc(gap.skipped)
        if gap.cause is Cause.RETENTION:
            log.error(
                "retention took commands before they were read",
                partition=self._number,
                first=gap.since,
                last=gap.since + gap.skipped - 1,
                offsets=gap.skipped,
            )
        else:
            log.error(
                "the commands topic is another one or was cut, it is read from its"
                " beginning: what is known is a duplicate",
                partition=self._number,
                offset=gap.since,
            )

    def _report_restored(
        self, deliveries: Deliveries, offset: int, seconds: float
    ) -> None:
        self._services.metrics.restore_duration_seconds.observe(seconds)
        log.info(
            "a partition is restored, its commands are taken",
            partition=self._number,
            offset=offset,
            deliveries=len(deliveries.deliveries),
            remembered=len(deliveries.memory),
            seconds=round(seconds, 3),
        )


async def _until_we_end_it(name: str, loop: Loop) -> None:
    with only_our_cancellation(name):
        await loop()


def _forget_cancellations() -> None:
    """
    Take back what task groups that failed asked of this task (before Python 3.13).

    They leave it behind. To a time-out (before Python 3.11.4) and to who asks whether a
    cancellation is ours it would look as if this task were to end, and it would, without
    a word, for as long as the worker lives.
    """
    task = asyncio.current_task()
    assert task is not None
    while task.cancelling():
        task.uncancel()


async def _keep_house(deliveries: Deliveries) -> None:
    while True:
        await asyncio.sleep(_HOUSEKEEPING)
        await deliveries.forget(_FORGOTTEN_AT_ONCE)
