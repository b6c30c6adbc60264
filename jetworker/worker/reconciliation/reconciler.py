"""
Looking up what became of a start whose outcome is unknown.

1. Wait `starts.settle` from the moment this process learnt of it, so that a request
   still on its way has landed and is shown.
2. See what is on the job (`views`): two looks at it, then the whole state topic.
3. What only one look showed is just appearing: if it can be ours, look again. A delivery
   that was started after the settle time began is not missing yet.
4. Decide (`core.settle`), or look again; held after twice the settle time.

A held delivery is looked at slowly and may still be adopted; it is never started
again by itself. An operator's adopt is checked with Jet here too.
"""

import asyncio
from datetime import timedelta
from typing import assert_never

import structlog

from jetworker.core.command import CommandId
from jetworker.core.delivery import Delivery, PendingAdopt, State
from jetworker.core.errors import JetError, StoreError
from jetworker.core.open_intent import earliest
from jetworker.core.route import OnUncertain
from jetworker.core.settle import (
    Adopt,
    Decision,
    LookAgain,
    Sight,
    StartAgain,
    decide,
    is_since,
    may_be,
)
from jetworker.core.trigger import Absent, AdoptRefused, Found, Undecided
from jetworker.runtime.clock import Clock
from jetworker.runtime.crash_points import Point, reach
from jetworker.runtime.metrics import Metrics
from jetworker.worker.handle import DeliveryHandle
from jetworker.worker.job_locks import JobLocks
from jetworker.worker.reconciliation.bindings import Bindings
from jetworker.worker.reconciliation.case import UnknownStart
from jetworker.worker.reconciliation.claims import Reservations
from jetworker.worker.reconciliation.job_observer import JobObserver, tell_unexplained
from jetworker.worker.reconciliation.job_views import JobViews

log = structlog.get_logger()

_UNHURRIED = 30.0  # seconds for a look at a held one, however slow Jet is


class Reconciler:
    """
    Looks after every unknown start of one worker, one task for each.

    *settle* is how long a start may take until Jet shows it, *remembered* how long an
    ended command is known.
    """

    def __init__(
        self,
        observer: JobObserver,
        bindings: Bindings,
        locks: JobLocks,
        *,
        clock: Clock,
        metrics: Metrics,
        settle: timedelta,
        remembered: timedelta,
    ) -> None:
        self._observer = observer
        self._bindings = bindings
        self._locks = locks
        self._clock = clock
        self._metrics = metrics
        self._settle = settle.total_seconds()
        self._remembered = remembered
        self._views = JobViews(observer, bindings, clock, settle)
        self._new: asyncio.Queue[UnknownStart] = asyncio.Queue()
        self._cases: dict[CommandId, UnknownStart] = {}
        self._claims = Reservations()

    def take(self, handle: DeliveryHandle) -> None:
        """Look after an unknown start; one that is known is looked at at once."""
        case = self._cases.get(handle.command_id)
        if case is not None:
            case.called.set()
            if case.is_of(handle):
                return
        delivery = handle.delivery
        intent = delivery.intent if delivery is not None else None
        case = UnknownStart(handle, intent, self._clock.monotonic())
        self._cases[handle.command_id] = case
        self._new.put_nowait(case)

    async def run(self) -> None:
        """Look after what comes, for ever."""
        async with asyncio.TaskGroup() as tasks:
            while True:
                case = await self._new.get()
                tasks.create_task(self._look_after(case), name="look-up")

    async def _look_after(self, case: UnknownStart) -> None:
        try:
            delivery = case.unsettled
            if delivery is not None and delivery.pending is None:
                await case.wait(self._settle)
                reach(Point.SETTLED)
            while (delivery := case.unsettled) is not None:
                if delivery.state is State.HELD:
                    await self._locks.release(case.handle.command_id)
                await self._step(case, delivery)
        except StoreError as exc:
            log.debug("an unknown start is left to the next owner", reason=str(exc))
        finally:
            if self._cases.get(case.handle.command_id) is case:
                del self._cases[case.handle.command_id]
                await self._locks.release(case.handle.command_id)

    async def _step(self, case: UnknownStart, delivery: Delivery) -> None:
        if delivery.pending is not None:
            await self._check_adopt(case, delivery, delivery.pending)
            return
        decision = await self._in_time(case, delivery)
        if not case.is_as_before(delivery):
            return  # an operator's order came meanwhile
        if await self._carry_out(case, delivery, decision):
            return
        held_at = case.began + 2 * self._settle
        if delivery.state is State.UNCERTAIN and self._clock.monotonic() >= held_at:
            await case.handle.apply(Undecided(case.last.message))
        await case.wait(self._interval(case))

    async def _in_time(self, case: UnknownStart, delivery: Delivery) -> Decision:
        """Decide, but not beyond the moment when it has to be held."""
        left = case.began + 2 * self._settle - self._clock.monotonic()
        limit = left if delivery.state is State.UNCERTAIN else _UNHURRIED
        try:
            async with asyncio.timeout(max(self._settle / 2, limit)):
                return await self._decide(delivery)
        except TimeoutError:
            return case.last
        except (JetError, StoreError) as exc:
            return LookAgain(f"it could not be looked up: {exc}")

    async def _carry_out(
        self, case: UnknownStart, delivery: Delivery, decision: Decision
    ) -> bool:
        """Apply a decision; returns whether the delivery is settled by it."""
        match decision:
            case Adopt(candidate, unexplained):
                found = Found(candidate.delivery_id, candidate.created_on)
                if not await self._adopt(case, delivery, found):
                    return False
                for each in unexplained:
                    tell_unexplained(self._metrics, delivery.route, each)
                return True
            case StartAgain():
                if delivery.state is State.HELD:
                    return False
                if delivery.terms.on_uncertain is OnUncertain.HOLD:
                    case.last = LookAgain("nothing is shown, and the route says hold")
                    return False
                await case.handle.apply(Absent())
                return True
            case LookAgain():
                case.last = decision
                return False
            case _:
                assert_never(decision)

    async def _decide(self, delivery: Delivery) -> Decision:
        intent = delivery.intent
        assert intent is not None
        if self._clock.now() - intent.written_at >= self._remembered:
            return LookAgain("those started with it are forgotten, and could be it")
        since, job_id = earliest(intent), intent.job_id
        view = await self._views.of(job_id, since)
        intents = {each.command_id: each for each in view.book.intents}
        ours = intents.pop(delivery.command_id, None)
        if ours is None:
            return LookAgain("the state topic does not show this start itself")
        candidates = [each for each in view.candidates if is_since(each, since)]
        steady = tuple(c for c in candidates if c.delivery_id in view.steady)
        if any(may_be(c, ours) for c in candidates if c not in steady):
            return LookAgain("two looks at the job did not show the same")
        witnessed = await self._observer.is_witnessed(
            ours, job_id, view.listed, view.book.known, view.settling
        )
        return decide(ours, intents.values(), Sight(steady, witnessed))

    async def _adopt(
        self, case: UnknownStart, delivery: Delivery, found: Found
    ) -> bool:
        """
        Take a delivery that was found, and return whether it was still to be had.

        1. Claim it: no other command of this worker takes it meanwhile.
        2. Read what commands are bound to by now, and what operators want.
        3. Only then take it.
        """
        assert delivery.intent is not None
        with self._claims.claim(found.delivery_id, case.handle.command_id) as is_ours:
            try:
                book = await self._bindings.read(delivery.intent.job_id)
            except StoreError as exc:
                case.last = LookAgain(f"it could not be looked up: {exc}")
                return False
            is_free = is_ours and not book.is_taken(found.delivery_id)
            if not is_free or not case.is_as_before(delivery):
                case.last = LookAgain("another command takes the delivery that fits")
                return False
            reach(Point.FOUND)
            await case.handle.apply(found)
            reach(Point.ADOPTED)
            return True

    async def _check_adopt(
        self, case: UnknownStart, delivery: Delivery, pending: PendingAdopt
    ) -> None:
        """Carry an operator's adopt out, if Jet has the delivery and nobody else does."""
        assert delivery.intent is not None
        job_id, wanted = delivery.intent.job_id, pending.delivery_id
        with self._claims.claim(wanted, case.handle.command_id) as is_ours:
            try:
                shown = await self._observer.delivery(job_id, wanted)
                book = await self._bindings.read(job_id)
            except (JetError, StoreError) as exc:
                log.warning("an adopt waits until Jet can be asked", reason=str(exc))
                await case.wait(min(5.0, self._settle))
                return
            if not case.is_as_before(delivery):
                return
            others = book.claims.get(wanted, set()) - {case.handle.command_id}
            is_second = any(other < case.handle.command_id for other in others)
            if shown is None or wanted in book.bound or is_second:
                await case.handle.apply(AdoptRefused())
            elif is_ours and not others:
                await case.handle.apply(Found(wanted, shown.created_on))
            else:
                await case.wait(min(1.0, self._settle))  # the other gives way

    def _interval(self, case: UnknownStart) -> float:
        """Return the wait before the next look; a held one is looked at slowly."""
        delivery = case.handle.delivery
        if delivery and delivery.state is State.UNCERTAIN:
            return min(5.0, max(0.2, self._settle / 5))
        return min(60.0, max(5.0, self._settle))
