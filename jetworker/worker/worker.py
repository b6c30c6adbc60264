"""The worker: a member of the group, with a life for each partition it is given."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta

import structlog

from jetworker.core.errors import Deaf, InputGap, StoreError
from jetworker.core.rate import Backoff
from jetworker.kafka.clients import KafkaClients
from jetworker.kafka.group import ConsumerGroup
from jetworker.kafka.growth import Gathering
from jetworker.runtime.clock import wait
from jetworker.runtime.crash_points import Point, reach
from jetworker.worker.deliveries import Deliveries, PartitionOptions
from jetworker.worker.partition import Partition
from jetworker.worker.services import Services

log = structlog.get_logger()

_LOOK_EVERY = 5.0  # seconds


class Worker:
    """
    Takes part in the group and keeps its partitions.

    *share* is told which part of all partitions that is, always before others can have
    what was given back.
    """

    def __init__(
        self,
        kafka: KafkaClients,
        options: PartitionOptions,
        services: Services,
        drain_timeout: timedelta,
        share: Callable[[float], None],
    ) -> None:
        self._kafka = kafka
        self._options = options
        self._services = services
        self._drain_timeout = drain_timeout
        self._share = share
        self._group = ConsumerGroup(kafka, self, services.clock)
        self._gathering = Gathering(kafka)
        self._partitions: dict[int, Partition] = {}
        self._backoff = Backoff(timedelta(seconds=0.2), timedelta(seconds=15))
        self.has_joined = False
        self._outage: str | None = None
        self._lagging: set[int] = set()
        self._hidden: set[int] = set()

    @property
    def lives(self) -> dict[int, Deliveries]:
        """The partitions that are restored and live."""
        lives = {number: each.live for number, each in self._partitions.items()}
        return {number: live for number, live in lives.items() if live is not None}

    @property
    def assigned(self) -> frozenset[int]:
        """The partitions that the group gave us, restored or not."""
        return frozenset(self._partitions)

    @property
    def hindrances(self) -> dict[int, str]:
        """What keeps partitions of ours from being served until somebody acts."""
        found = {number: each.hindrance for number, each in self._partitions.items()}
        return {number: each for number, each in found.items() if each is not None}

    @property
    def deafness(self) -> str | None:
        """Why nothing was heard of Kafka, or not of all partitions, for a session."""
        return self._outage or self._group.deafness or self._unread

    @property
    def _unread(self) -> str | None:
        unread = self._group.unread
        if not unread:
            return None
        seconds = max(unread.values())
        return f"partitions {[*unread]} could not be read for {seconds:.0f} s"

    async def run(self, stopping: asyncio.Event) -> None:
        """
        Work until *stopping*; Kafka being away is waited out.

        On the way out the partitions are drained while heartbeats still go on; only
        then the group is left, so that the next owner finds nothing in flight.
        """
        failures = 0
        self._share(0)
        while not stopping.is_set():
            try:
                async with self._group.joined():
                    failures, self._outage = 0, None
                    await self._read(stopping)
                    await self._end(list(self._partitions))
            except StoreError as exc:
                failures += 1
                self._outage = f"the group is not joined: {exc}"
                delay = self._backoff.delay(failures, self._services.clock.jitter())
                self._complain("the group is joined again with a new client", exc)
                await wait(stopping, delay.total_seconds())
            except asyncio.CancelledError:
                # The stop took too long. What is in flight is an unknown start for the
                # next owner; waiting for it again could outlast the time to be killed.
                await self._end(list(self._partitions), is_late=True)
                raise
            finally:
                await self._end(list(self._partitions))

    def _complain(self, what: str, exc: StoreError) -> None:
        """Log a complaint about Kafka; the same one comes once a minute (`logs`)."""
        log.warning(what, about=type(exc).__name__, error=str(exc))

    async def on_assigned(self, partitions: Sequence[int]) -> None:
        """Restore what is assigned in tasks of their own: no heartbeats run meanwhile."""
        self.has_joined = True
        self._services.metrics.rebalances_total.inc()
        for number in partitions:
            self._partitions[number] = Partition(
                number,
                self._kafka,
                self._group,
                self._gathering,
                self._options,
                self._services,
                self._drain_timeout,
            )
        self._share(len(self._partitions) / max(1, self._group.partitions))
        self._services.metrics.partitions_assigned.set(len(self._partitions))
        log.info("partitions were assigned, they are restored", partitions=partitions)

    async def on_revoked(self, partitions: Sequence[int]) -> None:
        """Drain what is revoked; heartbeats go on meanwhile."""
        if partitions:
            reach(Point.REVOKED)
        await self._end(partitions)
        if partitions:
            reach(Point.DRAINED)
        self._services.metrics.partitions_assigned.set(len(self._partitions))

    async def _end(self, partitions: Sequence[int], *, is_late: bool = False) -> None:
        """Drain partitions side by side, unless it *is_late*, then close them."""
        ending = [
            self._partitions[each] for each in partitions if each in self._partitions
        ]
        if not is_late:
            await asyncio.gather(*(each.drain() for each in ending))
        for number in partitions:
            self._partitions.pop(number, None)
        await asyncio.gather(*(each.close() for each in ending))
        self._tell_no_lag(self._lagging - self._partitions.keys())
        if ending:
            self._share(len(self._partitions) / max(1, self._group.partitions))

    async def _read(self, stopping: asyncio.Event) -> None:
        """Read until *stopping*; raises Deaf if that needs a new client."""
        looking = asyncio.create_task(self._look_on(), name="look at the group")
        try:
            while not stopping.is_set():
                if looking.done():
                    looking.result()
                await self._read_once(stopping)
        finally:
            looking.cancel()
            await asyncio.gather(looking, return_exceptions=True)

    async def _read_once(self, stopping: asyncio.Event) -> None:
        """Hand out what is new; raises Deaf if that needs a new client."""
        try:
            batches = await self._group.poll(self._outgrow)
        except Deaf:
            raise
        except InputGap as exc:
            if exc.partition in self._partitions:  # else it was given back meanwhile
                self._partitions[exc.partition].fail(exc)
            return
        except StoreError as exc:
            self._complain("kafka gave no records, asking again", exc)
            await wait(stopping, 0.5)
            return
        for number, batch in batches.items():
            if number in self._partitions:
                self._partitions[number].receive(batch)
        for partition in self._partitions.values():
            partition.relieve()

    async def _outgrow(self) -> None:
        """
        End lives that were begun when the topics had fewer partitions.

        Asked before records are taken, so that no life takes what was placed when they
        had grown already: whoever placed it may have known before us (`kafka/growth`).
        """
        layout = await self._group.layout()
        for partition in self._partitions.values():
            partition.outgrow(layout)

    async def _look_on(self) -> None:
        """
        Look beside the reading every few seconds, until that raises Deaf.

        Not between two polls: a broker that is away lets who asks for it wait, and its
        partitions would hold up all others.
        """
        while True:
            await asyncio.sleep(_LOOK_EVERY)
            try:
                await self._look()
            except Deaf:
                raise
            except StoreError as exc:
                self._complain("kafka does not say how far we are behind", exc)

    async def _look(self) -> None:
        """Look at how far we are behind, and whether anything hides what is next."""
        if unread := self._group.unread:
            log.error(
                "commands are not read: no broker answers for their partitions",
                about="unread",
                partitions=[*unread],
                seconds=round(max(unread.values())),
            )
        self._group.check()
        await self._outgrow()
        self._tell_lags(await self._group.lags())
        hidden = set(self._group.hidden())
        if lasting := hidden & self._hidden:
            log.warning(
                "an open transaction hides commands from every reader:"
                " look at Kafka's PartitionsWithLateTransactionsCount",
                about="hidden",
                partitions=sorted(lasting),
            )
        self._hidden = hidden

    def _tell_lags(self, lags: Mapping[int, int]) -> None:
        """Tell how far each is behind that is ours still: of others nobody here knows."""
        lags = {each: lag for each, lag in lags.items() if each in self._partitions}
        self._tell_no_lag(self._lagging - lags.keys())
        for number, lag in lags.items():
            self._services.metrics.commands_lag.labels(str(number)).set(lag)
        self._lagging = set(lags)

    def _tell_no_lag(self, partitions: set[int]) -> None:
        for number in partitions:
            self._services.metrics.commands_lag.remove(str(number))
        self._lagging -= partitions
