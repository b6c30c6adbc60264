"""
One partition's life between fence and close: its deliveries, and every step they take.

Memory is a cache of the state topic. A step changes it at once and is committed right
after, in order; a step that is not committed ends the life, and with it the memory.
Effects are performed only when the step is durable.
"""

import asyncio
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

import structlog

from jetworker.census import Census
from jetworker.clock import Clock
from jetworker.core.command import (
    CommandId,
    Rejection,
    Resolution,
    Resolve,
    RouteName,
)
from jetworker.core.delivery import Delivery, State
from jetworker.core.effect import Effect, effect_of
from jetworker.core.finished import Finished, Memory, finish
from jetworker.core.lifecycle import Policy, Transition, transition
from jetworker.core.reception import Known, Reject
from jetworker.core.route import Route
from jetworker.core.trigger import AdoptRefused, Found, Lost, Trigger
from jetworker.crash import Point, reach
from jetworker.entry import Entry
from jetworker.errors import LeaseLost, StoreError
from jetworker.metrics import Metrics
from jetworker.store import Step, Store
from jetworker.wire import snapshots
from jetworker.wire.answers import Answers
from jetworker.wire.events import Envelope
from jetworker.wire.record import Record

log = structlog.get_logger()

_SLICE = 500


class Sweeper(Protocol):
    """Somebody who is told of every start that was ever unknown."""

    def touch(self, snapshot: Delivery | Finished) -> None:
        """Take note of a delivery; of most there is nothing to note."""


class Service(Protocol):
    """Somebody who performs one kind of effect."""

    def take(self, entry: Entry) -> None:
        """Look after this delivery; again is no different from once."""


@dataclass(frozen=True, slots=True)
class Terms:
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
    lookup: Service
    sweep: Sweeper
    census: Census
    metrics: Metrics
    clock: Clock


class Life:
    """The deliveries of one partition and the steps they take."""

    def __init__(
        self, partition: int, store: Store, terms: Terms, services: Services
    ) -> None:
        self.partition = partition
        self.terms = terms
        self.services = services
        self.is_draining = False
        self.is_over = False
        self.memory = Memory()
        self.deliveries: dict[CommandId, Delivery] = {}
        self._store = store
        self._unstarted = 0
        self._sending = 0
        self._quiet = asyncio.Event()
        self._quiet.set()

    async def restore(self, latest: dict[bytes, bytes]) -> None:
        """
        Take up what the predecessor left, a slice at a time.

        An intent without an answer is an unknown start from now on.
        """
        for number, value in enumerate(latest.values()):
            snapshot = snapshots.decode(value)
            self.services.sweep.touch(snapshot)
            if isinstance(snapshot, Delivery):
                self.deliveries[snapshot.command_id] = snapshot
                self.services.census.enter(snapshot)
                self._unstarted += snapshot.state.is_startable
            else:
                self.memory.add(snapshot)
            if number % _SLICE == 0:
                await asyncio.sleep(0)

    def resume(self) -> None:
        """Go on with every unfinished delivery."""
        for delivery in list(self.deliveries.values()):
            if delivery.state is State.STARTING:
                message = "the worker that sent the start did not live to tell"
                Entry(self, delivery.command_id).tell(Lost(message))
            else:
                self._perform(effect_of(delivery), delivery.command_id)

    @property
    def unstarted(self) -> int:
        """How many deliveries wait to be started."""
        return self._unstarted

    @property
    def backlog(self) -> int:
        """How many steps wait to be committed."""
        return self._store.backlog

    def find(self, command_id: CommandId) -> Delivery | None:
        """Return the open delivery of this id."""
        return self.deliveries.get(command_id)

    def known(self, command_id: CommandId) -> Known:
        """Return what is known of this id, open or finished."""
        return self.deliveries.get(command_id) or self.memory.get(command_id)

    def apply(
        self,
        command_id: CommandId,
        trigger: Trigger,
        answers: tuple[Record, ...] = (),
        offset: int | None = None,
    ) -> "asyncio.Future[None]":
        """
        Take one step: decide, change memory, commit, and then perform.

        The future is done when the step is durable and raises StoreError if this
        life ends before. A trigger for a delivery that has ended changes nothing.
        """
        before = self.deliveries.get(command_id)
        if before is None or self.is_over:
            return self.commit(answers, offset)
        clock = self.services.clock
        step = transition(before, trigger, clock.now(), self.terms.policy)
        answers = answers or self._answer_pending(before, trigger)
        if step.delivery == before and not step.events and not answers:
            return _done()
        return self.take(before, step, answers, offset)

    def take(
        self,
        before: Delivery | None,
        step: Transition,
        answers: tuple[Record, ...] = (),
        offset: int | None = None,
    ) -> "asyncio.Future[None]":
        """Remember a step, commit it, and perform its effect when it is durable."""
        after = step.delivery
        self._remember(before, after)
        now = self.services.clock.now()
        told = tuple(self.terms.envelope.event(event, now) for event in step.events)
        durable = self.commit((self._snapshot(after), *told, *answers), offset)

        def performed(done: "asyncio.Future[None]") -> None:
            if not done.cancelled() and done.exception() is None:
                self.services.census.tell(before, step)
                if step.effect is not None:
                    self._perform(step.effect, after.command_id)

        durable.add_done_callback(performed)
        return durable

    def commit(
        self, records: tuple[Record, ...], offset: int | None = None
    ) -> "asyncio.Future[None]":
        """Commit records and an input offset that belong to no delivery's step."""
        if not records and offset is None:
            return _done()
        return self._store.submit(Step(records, offset))

    @contextmanager
    def sending(self) -> Iterator[None]:
        """Hold a drain back while a start is on its way."""
        self._sending += 1
        self._quiet.clear()
        try:
            yield
        finally:
            self._sending -= 1
            if not self._sending:
                self._quiet.set()

    def check_lease(self, written_at: float) -> None:
        """
        Raise LeaseLost unless a start written down at *written_at* may be sent.

        A process that was frozen or blocked comes back to a clock that has moved on.
        What it would send now, its successor has perhaps already looked up.
        """
        age = self.services.clock.monotonic() - written_at
        if self.is_over or age > self.terms.lease.total_seconds():
            msg = "too late to send the start"
            raise LeaseLost(msg)
        reach(Point.CHECKED)

    async def drain(self, limit: timedelta) -> None:
        """
        Let the starts in flight end and commit what they answered.

        No new start is written down from now on. What is still in flight after
        *limit* is an unknown start for the successor.
        """
        self.is_draining = True
        try:
            async with asyncio.timeout(limit.total_seconds()):
                await self._quiet.wait()
                await self._store.submit(Step(()))
        except (TimeoutError, StoreError):
            log.warning("a partition was left undrained", partition=self.partition)

    def end(self) -> None:
        """Stop counting: the services drop what they hold of this life."""
        if self.is_over:
            return
        self.is_over = True
        for delivery in self.deliveries.values():
            self.services.census.leave(delivery)

    async def forget(self) -> None:
        """Write tombstones for what finished longer ago than the dedupe window."""
        expired = self.memory.expired(
            self.services.clock.now(), self.terms.dedupe_window
        )
        gone = [command_id for command_id, _ in zip(expired, range(_SLICE))]  # noqa: B905 -- cut short on purpose
        if not gone:
            return
        for command_id in gone:
            self.memory.forget(command_id)
        await self.commit(tuple(self._state_record(each, None) for each in gone))

    def _answer_pending(self, before: Delivery, trigger: Trigger) -> tuple[Record, ...]:
        """Answer an operator's adopt, once Jet was asked."""
        pending = before.pending
        if pending is None or not isinstance(trigger, Found | AdoptRefused):
            return ()
        now = self.services.clock.now()
        metrics = self.services.metrics.commands_total
        if isinstance(trigger, Found) and trigger.delivery_id == pending.delivery_id:
            metrics.labels("applied").inc()
            order = Resolve(before.command_id, Resolution.ADOPT, pending.delivery_id)
            return (self.terms.answers.applied(order, pending.origin, now),)
        metrics.labels("rejected").inc()
        message = "Jet does not know deliveryId on that job, or it is bound already"
        reject = Reject(
            Rejection.NOT_ADOPTABLE,
            message,
            before.command_id,
            problems=(("/deliveryId", message),),
        )
        record = Record(
            pending.origin.topic, pending.key, pending.value, pending.headers
        )
        return self.terms.answers.rejected(reject, pending.origin, record, now)

    def _remember(self, before: Delivery | None, after: Delivery) -> None:
        if before is None:
            self.services.census.enter(after)
        else:
            self.services.census.move(before, after)
        self.services.sweep.touch(after)
        self._unstarted += after.state.is_startable
        self._unstarted -= before is not None and before.state.is_startable
        if after.state.is_final:
            self.deliveries.pop(after.command_id, None)
            self.memory.add(finish(after))
        else:
            self.deliveries[after.command_id] = after

    def _perform(self, effect: Effect, command_id: CommandId) -> None:
        entry = Entry(self, command_id)
        _reach(effect)
        match effect:
            case Effect.QUEUE_START | Effect.RETIRE:
                self.services.starter.take(entry)
            case Effect.LOOK_UP:
                self.services.lookup.take(entry)
            case Effect.FOLLOW:
                self.services.follower.take(entry)
            case Effect.SEND_START:
                pass  # whoever wrote it down is waiting to send it

    def _snapshot(self, delivery: Delivery) -> Record:
        kept = finish(delivery) if delivery.state.is_final else delivery
        return self._state_record(delivery.command_id, snapshots.encode(kept))

    def _state_record(self, command_id: CommandId, value: bytes | None) -> Record:
        key = command_id.encode()
        return Record(self.terms.state_topic, key, value, partition=self.partition)


def _reach(effect: Effect) -> None:
    if effect is Effect.QUEUE_START:
        reach(Point.ACCEPTED)
    elif effect is Effect.LOOK_UP:
        reach(Point.DOUBTED)
    elif effect is Effect.RETIRE:
        reach(Point.AFTER_END)


def _done() -> "asyncio.Future[None]":
    done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    done.set_result(None)
    return done
