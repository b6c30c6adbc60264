"""
One partition's life between fence and close: its deliveries, and every step they take.

Memory is a cache of the state topic. A step changes it at once and is committed right
after, in order; a step that is not committed ends the life, and with it the memory.
Effects are performed only when the step is durable.
"""

import asyncio
import contextlib
import gc
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import islice
from types import TracebackType
from typing import Any, TypeAlias

import structlog

from jetworker.core.admission import Known
from jetworker.core.command import CommandId, ObjectSpec, Reject, Rejection, RouteName
from jetworker.core.delivery import Delivery, State
from jetworker.core.errors import LeaseLost, SetAside, StoreError
from jetworker.core.evidence import LEARNED_FROM
from jetworker.core.finished import DedupeIndex, Finished, Newest, finish
from jetworker.core.lifecycle import plain, set_aside, transition
from jetworker.core.orders import Answered, answered, answered_as_defect
from jetworker.core.route import Route
from jetworker.core.transitions import Effect, Policy, Transition, effect_of
from jetworker.core.trigger import Lost, Trigger
from jetworker.kafka.growth import Homes
from jetworker.kafka.state_store import StateStore, Write
from jetworker.runtime.clock import Slices
from jetworker.runtime.crash_points import Point, reach, reach_effect
from jetworker.wire import handing, snapshots
from jetworker.wire.answers import Answers, encode_answered
from jetworker.wire.events import Envelope
from jetworker.wire.record import Record
from jetworker.worker import defects, delivery_log
from jetworker.worker.handle import DeliveryHandle
from jetworker.worker.open_deliveries import Held, OpenDeliveries
from jetworker.worker.services import Services

log = structlog.get_logger()

Moved: TypeAlias = int | Record
"""How the input moves: to an offset, or by taking away what was handed over."""

# After so many deliveries what is in memory is kept out of the search for cycles: there
# are none in it, and to look through 100,000 stops the loop for a tenth of a second.
_FROZEN_EVERY = 5000
_UNKNOWN = frozenset({State.UNCERTAIN, State.HELD})
_UNNOTED = "a step was not taken note of: a defect of ours"
_OVER = "the partition's life is over"
_LEFT = (
    "what is known of this commandId cannot be used: it is left on the state topic as"
    " it is, and the worker's log says why"
)


@dataclass(frozen=True, slots=True)
class PartitionOptions:
    """What every life of one worker shares."""

    policy: Policy
    envelope: Envelope
    answers: Answers
    state_topic: str
    max_objects: int
    max_waiting_bytes: int
    lease: timedelta
    dedupe_window: timedelta
    routes: Callable[[], Mapping[RouteName, Route]]


class Sending:
    """Counts the starts in flight of one partition."""

    def __init__(self) -> None:
        self._number = 0
        self._quiet = asyncio.Event()
        self._quiet.set()

    @contextlib.contextmanager
    def one(self) -> Iterator[None]:
        """Count one start in, and out in the end."""
        self._number += 1
        self._quiet.clear()
        try:
            yield
        finally:
            self._number -= 1
            if not self._number:
                self._quiet.set()

    async def none(self) -> None:
        """Wait until no start is in flight."""
        await self._quiet.wait()


def done() -> "asyncio.Future[None]":
    """Return the future of a step that changes nothing."""
    future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    future.set_result(None)
    return future


def failed(error: Exception) -> "asyncio.Future[None]":
    """Return the future of a step that cannot be taken any more."""
    future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    future.set_exception(error)
    future.exception()  # retrieved: not everybody waits for it
    return future


class _Spared:
    """Reports an error of what only takes note of a step; the step goes on."""

    __slots__ = ("_command_id", "_report")

    def __init__(
        self, report: Callable[[str, CommandId, Exception], None], command_id: CommandId
    ) -> None:
        self._report = report
        self._command_id = command_id

    def __enter__(self) -> None:
        """Begin to take note."""

    def __exit__(
        self, _: object, exc: BaseException | None, __: TracebackType | None
    ) -> bool:
        """Report what failed; nothing hangs on it."""
        if not isinstance(exc, Exception):
            return False
        self._report(_UNNOTED, self._command_id, exc)
        return True


class Deliveries:
    """The deliveries of one partition and the steps they take."""

    def __init__(
        self,
        partition: int,
        store: StateStore,
        terms: PartitionOptions,
        services: Services,
    ) -> None:
        self.partition = partition
        self.terms = terms
        self.services = services
        self.is_draining = False
        self.is_over = False
        self.homes: Homes | None = None
        self.memory = DedupeIndex()
        self._open = OpenDeliveries(services.counts)
        self._left: set[CommandId] = set()
        self._store = store
        self._sending = Sending()

    async def restore(self, latest: dict[bytes, bytes]) -> None:
        """
        Take up what the predecessor left, a slice at a time.

        An intent without an answer is an unknown start from now on. What cannot be
        read or used stays on the topic byte for byte, and its id is not begun anew. Of
        what has ended, the newest of each job are noted: those who testify on it.
        """
        slices, newest = Slices(self.services.clock), Newest(LEARNED_FROM)
        for number, (key, value) in enumerate(latest.items(), 1):
            try:
                self._take_up(value, newest)
            except Exception as exc:  # noqa: BLE001 -- whatever it was, it is of this one alone
                self._leave(CommandId(key.decode(errors="replace")), exc)
            if number % _FROZEN_EVERY == 0:
                gc.freeze()
            await slices.rest()
        for command_id, value in newest:
            with self._spared(command_id):
                self.services.noted(snapshots.decode(value))
            await slices.rest()

    def _take_up(self, value: bytes, newest: Newest) -> None:
        brief = snapshots.brief(value)
        if brief is not None and not brief.is_doubted:
            self.memory.recall(brief)
            if brief.job_id is not None and brief.made_at is not None:
                newest.add(brief.job_id, brief.made_at, brief.command_id, value)
            return
        snapshot = snapshots.decode(value)
        self._note(snapshot)
        with self._spared(snapshot.command_id):
            self.services.reconciler.recall(snapshot)
        if isinstance(snapshot, Delivery):
            if snapshot.told_on is None:
                told_on = self._store.told_on_before(snapshot.command_id)
                snapshot = replace(snapshot, told_on=told_on)
            self._open.put(Held.of(snapshot))
        else:
            self.memory.add(snapshot)

    def _note(self, snapshot: Delivery | Finished) -> None:
        with self._spared(snapshot.command_id):
            self.services.noted(snapshot)

    async def resume(self) -> None:
        """
        Go on with every unfinished delivery, a slice at a time.

        Those whose start is unknown come first, all at once: until they are looked
        after, nothing else may be started on their jobs. So is an intent without an
        answer, as soon as it is kept that it has none.
        """
        others: list[Delivery] = []
        unanswered: list[asyncio.Future[None]] = []
        for delivery in list(self.deliveries.values()):
            if delivery.state is State.STARTING:
                message = "the worker that sent the start did not live to tell"
                unanswered.append(self.apply(delivery.command_id, Lost(message)))
            elif delivery.state in _UNKNOWN:
                self._perform(effect_of(delivery), delivery.command_id)
            else:
                others.append(delivery)
        if unanswered:
            await asyncio.wait(unanswered)
        slices = Slices(self.services.clock)
        for delivery in others:
            if self.deliveries.get(delivery.command_id) is delivery:
                self._perform(effect_of(delivery), delivery.command_id)
            await slices.rest()

    @property
    def unstarted(self) -> int:
        """How many deliveries wait to be started."""
        return self._open.unstarted

    @property
    def deliveries(self) -> Mapping[CommandId, Delivery]:
        """The open deliveries by id; one that waits, without its objects."""
        return self._open.all

    @property
    def backlog(self) -> int:
        """How many steps wait to be committed."""
        return self._store.backlog

    def told_on(self, command_id: CommandId) -> int:
        """Return the partition of the events of a new command."""
        return self._store.told_on(command_id)

    def find(self, command_id: CommandId) -> Delivery | None:
        """Return the open delivery of this id; while it waits, without its objects."""
        return self.deliveries.get(command_id)

    def objects(self, command_id: CommandId) -> tuple[ObjectSpec, ...]:
        """Return what an open delivery asks for, however it is held."""
        whole = self._open.whole(command_id)
        return whole.objects if whole is not None else ()

    def known(self, command_id: CommandId) -> Known:
        """Return what is known of this id, open or finished."""
        return self.deliveries.get(command_id) or self.memory.get(command_id)

    def rejected(self, command_id: CommandId) -> Reject | None:
        """Return why nothing is done for an id whose state cannot be used, if it is one."""
        if command_id not in self._left:
            return None
        return Reject(Rejection.INTERNAL_ERROR, _LEFT, command_id)

    def apply(self, command_id: CommandId, trigger: Trigger) -> "asyncio.Future[None]":
        """
        Take one step for a service; a delivery on which our own code fails is set aside.

        The future is done when the step is durable and raises StoreError if this
        life ends before, SetAside if the step was not taken. A trigger for a delivery
        that has ended changes nothing.
        """
        try:
            return self.step(command_id, trigger)
        except Exception as exc:  # noqa: BLE001 -- whatever it was, it is of this delivery alone
            self.set_aside(command_id, exc)
            return failed(SetAside(type(exc).__qualname__))

    def step(
        self,
        command_id: CommandId,
        trigger: Trigger,
        answers: tuple[Record, ...] = (),
        moved: Moved | None = None,
    ) -> "asyncio.Future[None]":
        """
        Take one step: decide, change memory, commit, and then perform.

        Raises what our own code fails with: before anything has changed.
        """
        if self.is_over:
            return failed(StoreError(_OVER))
        before = self._open.whole(command_id)
        if before is None:
            return self.commit(answers, moved)
        now = self.services.clock.now()
        step = transition(before, trigger, now, self.terms.policy)
        step, waited = answered(before, trigger, step, now, self.terms.policy)
        answers += self._encoded(waited, now)
        if step.delivery == before and not step.events and not answers:
            return done()
        durable = self.commit_step(before, step, answers, moved)
        self._count_answered(waited, durable)
        return durable

    def set_aside(self, command_id: CommandId, exc: Exception) -> None:
        """
        Take a delivery on which our own code failed out of the others' way, for good.

        It is ended or held with all that is known of it; where that fails too, without
        what it merely tells. Where even this cannot be written, it is left as it is.
        """
        delivery = self.deliveries.get(command_id)
        self._report("a delivery is set aside: a defect of ours", command_id, exc)
        if self.is_over or delivery is None:
            return
        failure = exc
        for is_plain in (False, True):
            try:
                whole = self._open.whole(command_id) or delivery
                self._end_or_hold(plain(whole) if is_plain else whole)
            except Exception as again:  # noqa: BLE001 -- the code that tells may be what fails
                failure = again
            else:
                return
        self._drop(delivery)
        self._leave(command_id, failure)

    def _end_or_hold(self, delivery: Delivery) -> None:
        """Commit that a delivery is set aside; an order that waits on it is answered."""
        now = self.services.clock.now()
        step = set_aside(delivery, now)
        waited = answered_as_defect(delivery, defects.MESSAGE)
        if step.delivery == delivery and not step.events and not waited:
            return
        before = self.deliveries.get(delivery.command_id)
        durable = self.commit_step(before, step, self._encoded(waited, now))
        self._count_answered(waited, durable)

    def _encoded(
        self, waited: tuple[Answered, ...], now: datetime
    ) -> tuple[Record, ...]:
        answers = self.terms.answers
        return tuple(x for each in waited for x in encode_answered(each, answers, now))

    def _count_answered(
        self, waited: tuple[Answered, ...], durable: "asyncio.Future[None]"
    ) -> None:
        for each in waited:
            reason = each.answer.reason if isinstance(each.answer, Reject) else None
            outcome = "applied" if reason is None else "rejected"
            _ = self.services.counted(outcome, durable, reason)

    def _leave(self, command_id: CommandId, exc: Exception) -> None:
        """Do nothing for an id in this life: its record stays, and nothing begins anew."""
        self._left.add(command_id)
        what = "what is known of a command cannot be used, it is left as it is"
        self._report(what, command_id, exc)

    def _drop(self, delivery: Delivery) -> None:
        """Forget an open delivery, as it is on the state topic."""
        self._open.drop(delivery.command_id)
        self._perform(Effect.RETIRE, delivery.command_id)

    def _report(self, what: str, command_id: CommandId, exc: Exception) -> None:
        delivery = self.deliveries.get(command_id)
        about = {
            "route": delivery and delivery.route,
            "delivery_id": delivery and delivery.delivery_id,
            "traceparent": delivery and delivery.traceparent,
        }
        defects.report(
            self.services.metrics,
            "delivery",
            what,
            exc,
            partition=self.partition,
            command_id=command_id,
            **about,
        )

    def _spared(self, command_id: CommandId) -> _Spared:
        """Let a step that is taken be one, whatever fails that only takes note of it."""
        return _Spared(self._report, command_id)

    def commit_step(
        self,
        before: Delivery | None,
        step: Transition,
        answers: tuple[Record, ...] = (),
        moved: Moved | None = None,
    ) -> "asyncio.Future[None]":
        """
        Remember a step, commit it, and perform its effect when it is durable.

        What may fail comes before anything has changed.
        """
        after = step.delivery
        now = self.services.clock.now()
        told = tuple(self.terms.envelope.event(event, now) for event in step.events)
        row = self.terms.envelope.row(step.events, told)
        records = (self._snapshot(after), *told, *row, *answers)
        self._remember(Held.of(after))
        # Nothing follows from it but that it is told.
        can_wait = step.effect is None and not answers and moved is None
        durable = self.commit(records, moved, can_wait=can_wait)

        def carry_on(future: "asyncio.Future[None]") -> None:
            if not future.cancelled() and future.exception() is None:
                self._carry_on(before, step, now)

        durable.add_done_callback(carry_on)
        return durable

    def _carry_on(
        self, before: Delivery | None, step: Transition, now: datetime
    ) -> None:
        """Let a durable step be taken note of, and perform its effect."""
        after, services = step.delivery, self.services
        with self._spared(after.command_id):
            services.counts.count(before, step)
        with self._spared(after.command_id):
            for event in step.events:
                delivery_log.tell(event)
        if services.tracing is not None:
            with self._spared(after.command_id):
                for event in step.events:
                    services.tracing.tell(event, now)
        with self._spared(after.command_id):
            services.reconciler.notice(before, after)
        if step.effect is not None:
            self._perform(step.effect, after.command_id)

    def commit(
        self,
        records: tuple[Record, ...],
        moved: Moved | None = None,
        *,
        can_wait: bool = False,
    ) -> "asyncio.Future[None]":
        """Commit records and a move of the input, at once unless they *can_wait*."""
        if isinstance(moved, Record):
            records, moved = (*records, moved), None
        if not records and moved is None:
            return done()
        return self._store.submit(Write(records, moved, can_wait))

    def answers_for(self, command_id: CommandId) -> int:
        """Return the partition that answers for an id: this one, before any growth."""
        if self.homes is None or self._has(command_id):
            return self.partition
        return self.homes.answers(command_id)

    def answers_for_handed(self, command_id: CommandId) -> int:
        """Return it for what was handed over: what is forgotten here goes home."""
        if self.homes is None or self._has(command_id):
            return self.partition
        return self.homes.home(command_id)

    def _has(self, command_id: CommandId) -> bool:
        return command_id in self._left or self.known(command_id) is not None

    def hand_over(
        self, message: Any, partition: int, moved: Moved
    ) -> "asyncio.Future[None]":
        """Hand a record over to the partition that answers for its id."""
        assert self.homes is not None
        of = self.homes.partitions
        record = handing.encode(message, self.terms.state_topic, partition, of)
        return self.commit((record,), moved)

    def answered(self, handed: bytes) -> Record:
        """Return what takes a record that was handed over away."""
        return Record(self.terms.state_topic, handed, None, partition=self.partition)

    def sending(self) -> contextlib.AbstractContextManager[None]:
        """Hold a drain back while a start is on its way."""
        return self._sending.one()

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
                await self._sending.none()
                await self._store.submit(Write(()))
        except (TimeoutError, StoreError):
            log.warning("a partition was left undrained", partition=self.partition)

    async def landed(self, limit: timedelta) -> None:
        """Wait until nothing that this life sent is on its way, or until *limit*."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(limit.total_seconds()):
                await self._sending.none()

    def end(self) -> None:
        """
        Stop counting, and forget: the services drop what they hold of this life.

        They do so when its turn comes, which may be long after.
        """
        if self.is_over:
            return
        self.is_over = True
        self._open.leave()
        self.memory = DedupeIndex()

    def forget(self, most: int) -> "asyncio.Future[None]":
        """Write tombstones for what finished longer ago than the dedupe window."""
        now, window = self.services.clock.now(), self.terms.dedupe_window
        gone = list(islice(self.memory.expired(now, window), most))
        records = tuple(record for each in gone for record in self._tombstones(each))
        for command_id in gone:
            self.memory.forget(command_id)
        return self.commit(records)

    def _tombstones(self, command_id: CommandId) -> tuple[Record, ...]:
        """Return what takes a finished one away: from the state, and its row."""
        remembered = self.memory.get(command_id)
        told_on = remembered.told_on if remembered else None
        if told_on is None:
            told_on = self._store.told_on_before(command_id)
        row = self.terms.envelope.gone(command_id, told_on)
        return (self._state_record(command_id, None), *row)

    def _remember(self, held: Held) -> None:
        after = held.delivery
        if after.state.is_final:
            self.memory.add(self._ended(after))
        self._open.put(held)
        self._note(after)

    def _perform(self, effect: Effect, command_id: CommandId) -> None:
        reach_effect(effect)
        try:
            self._hand_over(effect, DeliveryHandle(self, command_id))
        except Exception as exc:  # noqa: BLE001 -- whatever it was, it is of this delivery alone
            self.set_aside(command_id, exc)

    def _hand_over(self, effect: Effect, handle: DeliveryHandle) -> None:
        match effect:
            case Effect.QUEUE_START | Effect.RETIRE:
                self.services.starter.take(handle)
            case Effect.LOOK_UP:
                self.services.reconciler.take(handle)
            case Effect.FOLLOW:
                self.services.follower.take(handle)
            case Effect.SEND_START:
                pass  # whoever wrote it down is waiting to send it
            case Effect.TAKE_CLAIMED:
                pass  # whoever claimed it looks whether it is to be had
            case Effect.REST:
                pass  # until an operator says what to do

    def _snapshot(self, delivery: Delivery) -> Record:
        kept = self._ended(delivery) if delivery.state.is_final else delivery
        return self._state_record(delivery.command_id, snapshots.encode(kept))

    def _ended(self, delivery: Delivery) -> Finished:
        """Return what is kept of it, and where its row is unless its id tells that."""
        ended = finish(delivery)
        if self.terms.envelope.deliveries is None:
            return ended
        usual = self._store.told_on_before(delivery.command_id)
        is_usual = delivery.told_on in (None, usual)
        return ended if is_usual else replace(ended, told_on=delivery.told_on)

    def _state_record(self, command_id: CommandId, value: bytes | None) -> Record:
        key = command_id.encode()
        return Record(self.terms.state_topic, key, value, partition=self.partition)
