"""
The start protocol: the deliveries of one route, started in their order, nearly.

Intent, commit, send, answer; only for who has a place on the job (`job_locks`). One at a
time, or each in a task of its own where several may be in flight. The next one may
begin as soon as Jet has answered; its intent is committed with that answer, or after it.
One whose intent would have to wait for that answer may be passed by a few that need not.
A route that is blocked says so on every delivery that waits on it, once.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from datetime import timedelta
from functools import partial
from typing import Protocol

import structlog

from jetworker.core.command import JobId, RouteName
from jetworker.core.delivery import Delivery, ReasonCode, State, Terms, is_expired
from jetworker.core.errors import (
    Expired,
    JetError,
    JobUnavailable,
    SetAside,
    StoreError,
)
from jetworker.core.post import plain
from jetworker.core.rate import Backoff
from jetworker.core.route import Route
from jetworker.core.trigger import (
    Begun,
    Blocked,
    Deferred,
    Lost,
    Refused,
    StartConfirmed,
    Trigger,
)
from jetworker.jet.jobs import JobResolver
from jetworker.runtime.clock import Clock, Slices, wait
from jetworker.runtime.crash_points import Point, reach
from jetworker.runtime.metrics import Metrics
from jetworker.worker import defects
from jetworker.worker.delivery_counts import DeliveryCounts
from jetworker.worker.handle import DeliveryHandle
from jetworker.worker.job_locks import ALONE, AT_ONCE, Claim, JobLocks, StartAtRisk
from jetworker.worker.starts.queue import StartQueue, is_waiting
from jetworker.worker.starts.sender import StartSender, unavailable

log = structlog.get_logger()

_TOLD_ON_ARRIVAL = frozenset({State.ACCEPTED, State.WAITING})
_PASSED_AT_MOST = 16  # times that one is passed, and so many are looked at
_COMPARED = 1000  # objects of a start that may go beside others by itself
_DEFECT = (
    "the worker failed on the route's job, which is a defect to be reported; it is tried"
    " again"
)
_CURED_HERE = frozenset({ReasonCode.LIMIT, ReasonCode.ROUTE_PAUSED})
_EXPIRED = "expiresAt passed before it could be started"
_ROUTE_PAUSED = Blocked(
    ReasonCode.ROUTE_PAUSED, "the route is paused; set paused: false in the routes file"
)


class Files(Protocol):
    """Somebody who learns what the files of jobs tell (`reconciliation.lessons`)."""

    def tell(self, job_id: JobId) -> bool:
        """Whether a job's files are known to tell starts apart that are lost together."""

    def ask(self, job_id: JobId) -> None:
        """Find out, if that is not known of late."""


class RouteDispatcher:
    """
    The queue of one route, and the task that empties it.

    *max_active* is how many may be open over all routes. *files* says of a job
    whether its files would tell starts apart that are lost together.
    """

    def __init__(
        self,
        name: RouteName,
        *,
        routes: Callable[[], Mapping[RouteName, Route]],
        resolver: JobResolver,
        locks: JobLocks,
        files: Files,
        sender: StartSender,
        counts: DeliveryCounts,
        clock: Clock,
        metrics: Metrics,
        max_active: int,
        backoff: Backoff,
    ) -> None:
        self.name = name
        self._routes = routes
        self._resolver = resolver
        self._locks = locks
        self._files = files
        self._sender = sender
        self._counts = counts
        self._clock = clock
        self._metrics = metrics
        self._max_active = max_active
        self._backoff = backoff
        self._queue = StartQueue()
        self._obstacle: Blocked | None = None
        self._told: Blocked | None = None
        self._awaited: Counter[str] = Counter()
        self._is_pausing = False
        self._is_telling = False
        self._failures = 0
        self._in_flight = 0
        self._passed = 0
        self._found: Blocked | None = None
        self._wake = asyncio.Event()
        self._landed = asyncio.Event()

    def __len__(self) -> int:
        """Return how many deliveries wait."""
        return len(self._queue)

    @property
    def obstacle(self) -> str | None:
        """What is in the way, None if nothing is."""
        found = self._obstacle
        return f"{found.code}: {found.message}" if found else None

    @property
    def awaited(self) -> str | None:
        """What the next start waits for where nothing is in the way, None if nothing."""
        return " and ".join(each for each, n in self._awaited.items() if n) or None

    def put(self, handle: DeliveryHandle) -> None:
        """Queue a delivery; one that is to be started again goes first."""
        delivery = handle.delivery
        if delivery is None or not delivery.state.is_startable:
            return
        self._queue.put(handle, first=delivery.state is State.CLEARED)
        if self._obstacle is not None and self._is_pausing:
            self._tell_untold(self._obstacle)
        self._wake.set()

    def retire(self, handle: DeliveryHandle) -> None:
        """Let go of a delivery that has ended; who waits for its place looks again."""
        self._queue.remove(handle)
        if self._is_pausing or self._is_telling:
            self._wake.set()

    def nudge(self) -> None:
        """Look again: a place on the route may be free, or the routes changed."""
        self._wake.set()

    async def run(self) -> None:
        """Start what waits, in order, for ever."""
        async with asyncio.TaskGroup() as beside:
            while True:
                self._wake.clear()
                if self._found is not None:  # by one that was started beside others
                    found, self._found = self._found, None
                    await self._pause(found)
                    continue
                self._expire()
                handle = self._queue.head()
                if handle is None:
                    await self._wake.wait()
                    continue
                obstacle = None
                with self._sparing_others(handle):
                    obstacle = await self._advance(handle, beside)
                await self._pause(obstacle)

    def _set_aside(self, handle: DeliveryHandle, exc: Exception) -> None:
        """Go on without a delivery on which our own code failed."""
        self._let_go(handle)
        handle.set_aside(exc)

    def _let_go(self, handle: DeliveryHandle) -> None:
        """Keep others off the job while Jet may apply a start that failed half-way."""
        self._queue.remove(handle)
        delivery = handle.delivery
        if delivery is None or delivery.intent is None:
            return
        self._sender.suspect(self.name)
        intent = delivery.intent
        try:
            self._locks.hold(intent.job_id, handle.command_id, intent.window.hi)
        except Exception as exc:  # noqa: BLE001 -- it may be what has failed before
            what = "a start that is unknown keeps nobody off its job: a defect of ours"
            name = handle.command_id
            defects.report(self._metrics, "delivery", what, exc, command_id=name)

    def _defect(self, exc: Exception) -> Blocked:
        """Let a route wait whose job our own code fails on: no command of it did."""
        what = "a route waits, its job cannot be told: a defect of ours"
        defects.report(self._metrics, "delivery", what, exc, route=self.name)
        return Blocked(ReasonCode.JOB_UNAVAILABLE, _DEFECT)

    async def _pause(self, obstacle: Blocked | None) -> None:
        """Tell every delivery what it waits for, then wait."""
        self._obstacle = obstacle
        if obstacle is None:
            return
        self._failures += obstacle.code not in _CURED_HERE
        if obstacle != self._told:
            await self._block(obstacle)
        self._tell_untold(obstacle)
        # While it tries again, what was in the way may be something else by now.
        self._is_pausing = True
        await self._wait_for(obstacle)
        self._is_pausing = False
        if self._found == obstacle:  # by one that had begun before, too
            self._found = None

    async def _wait_for(self, obstacle: Blocked) -> None:
        delay = self._backoff.delay(self._failures, self._clock.jitter())
        # Arrivals do not end a wait for Jet; a freed place ends a wait for one, and a
        # change of the routes file a wait for it.
        if obstacle.code in _CURED_HERE:
            await wait(self._wake, self._until_expiry(self._backoff.ceiling))
        else:
            await asyncio.sleep(self._until_expiry(delay))

    def _tell_untold(self, obstacle: Blocked) -> None:
        """
        Tell what is in the way to whoever came since all were told of it.

        Who was told is told again only of something else: a place that becomes free and
        is taken again costs as much with thousands waiting as with ten.
        """
        for handle in self._queue.take_new():
            delivery = handle.delivery
            if delivery is not None and delivery.state in _TOLD_ON_ARRIVAL:
                handle.tell(obstacle)

    async def _block(self, obstacle: Blocked) -> None:
        """Tell all that wait, however many, a slice of time at once."""
        self._told = obstacle
        self._is_telling = True
        slices = Slices(self._clock)
        for handle in self._queue:
            if not is_waiting(handle):
                self._queue.remove(handle)
            await slices.rest()
        self._queue.take_new()
        log.warning(
            "a route waits, its commands are kept and tried again",
            about=f"{self.name} {obstacle.code}",
            route=self.name,
            reason=obstacle.code.value,
            message=obstacle.message,
            commands=len(self._queue),
        )
        for handle in self._queue:
            handle.tell(obstacle)  # one beside may have begun in a rest: it goes on
            await slices.rest()
        self._is_telling = False

    async def _advance(
        self, handle: DeliveryHandle, beside: asyncio.TaskGroup
    ) -> Blocked | None:
        """Start one delivery, *beside* others where it may; or return what is in the way."""
        route = self._routes().get(self.name)
        if route is None:
            message = "the route is not in the routes file any more"
            return Blocked(ReasonCode.JOB_UNAVAILABLE, message)
        if route.paused:
            return _ROUTE_PAUSED
        if self._is_full(route, handle):
            return Blocked(ReasonCode.LIMIT, "the route's max_active is reached")
        if self._obstacle is not None and self._obstacle.code in _CURED_HERE:
            self._overcome()
        try:
            job_id = await self._resolver.resolve(route)
        except JobUnavailable as exc:
            return Blocked(ReasonCode.JOB_UNAVAILABLE, str(exc))
        except JetError as exc:
            return unavailable(exc)
        except Exception as exc:  # noqa: BLE001 -- it is of the route: nothing was sent
            return self._defect(exc)
        claim = self._claim(handle, route, job_id)
        places = self._locks.places(job_id, claim.at_once)
        if self._in_flight and self._in_flight >= places:
            self._landed.clear()
            with self._awaiting("another start on the job"):
                await self._landed.wait()
            return None
        handle, claim = self._next(handle, claim, route, job_id)
        if places > 1:
            self._in_flight += 1
            self._queue.remove(handle)
            beside.create_task(
                self._start_beside(handle, route, job_id, claim),
                name=f"a start on {self.name}",
            )
            return None
        seconds = 0.0
        with self._sparing_others(handle):
            async with self._place(job_id, claim):
                seconds = self._blocked_for(handle, job_id)
                if seconds and self._sender.jet_time is None:
                    # Of what is looked up by nobody any more nothing else would ask.
                    obstacle = await self._probe(route, job_id)
                    if obstacle is not None:
                        return obstacle
                    seconds = self._blocked_for(handle, job_id)
                if not seconds:
                    return await self._start(handle, route, job_id, claim)
        if not seconds:
            return None
        # Not while it has the job: one that may go at once, or a settled doubt, ends it.
        with self._awaiting("a start on the job whose outcome is unknown"):
            await wait(self._wake, seconds)
        return None

    def _next(
        self, head: DeliveryHandle, claim: Claim, route: Route, job_id: JobId
    ) -> tuple[DeliveryHandle, Claim]:
        """
        Return who goes now: the *head*, or soon after it one whose intent need not wait.

        That is one of the partition that wrote the last answer: both are committed
        together. Nobody is passed more than a few times, and one that goes first never.
        """
        delivery = head.delivery
        is_first = delivery is not None and delivery.state is State.CLEARED
        passes = not is_first and self._passed < _PASSED_AT_MOST
        if passes and not self._locks.may_write(job_id, head.owner, claim):
            for each in self._writable(claim, job_id):
                asks = self._claim_like(claim, each, route, job_id)
                if asks and self._locks.may_write(job_id, each.owner, asks):
                    self._passed += 1
                    return each, asks
        self._passed = 0
        return head, claim

    def _writable(self, claim: Claim, job_id: JobId) -> Iterator[DeliveryHandle]:
        """Yield the first that wait whose partitions may write now, paths aside."""
        any_paths = Claim(claim.at_once)
        may: dict[int, bool] = {}
        for each in self._queue.first(_PASSED_AT_MOST):
            owner = id(each.owner)
            if owner not in may:
                may[owner] = self._locks.may_write(job_id, each.owner, any_paths)
            if may[owner]:
                yield each

    def _claim_like(
        self, claim: Claim, handle: DeliveryHandle, route: Route, job_id: JobId
    ) -> Claim | None:
        """Return what one that may go before its turn asks for; None: not before it."""
        with suppress(Exception):  # it is set aside when its turn comes
            asks = self._claim(handle, route, job_id)
            return asks if asks.at_once == claim.at_once else None
        return None

    def _claim(self, handle: DeliveryHandle, route: Route, job_id: JobId) -> Claim:
        """
        Return what place a start asks for, anew for each.

        By itself several only where the job's files tell; a folder goes alone, and so
        does what is too large to be compared.
        """
        if route.starts_at_once is not None:
            return Claim(route.starts_at_once)
        delivery = handle.delivery
        if delivery is None or delivery.requested.count > _COMPARED:
            return ALONE
        if self._locks.places(job_id, AT_ONCE) == 1:
            return ALONE
        if self._in_flight or len(self._queue) > 1:
            self._files.ask(job_id)
        if not self._files.tell(job_id):
            return ALONE
        asked = handle.objects
        if any(each.is_directory for each in asked):
            return ALONE
        return Claim(AT_ONCE, frozenset(plain(each.relative_path) for each in asked))

    async def _start_beside(
        self, handle: DeliveryHandle, route: Route, job_id: JobId, claim: Claim
    ) -> None:
        """Start one while others are in flight; it goes first again if it was not sent."""
        try:
            with self._sparing_others(handle):
                async with self._place(job_id, claim):
                    obstacle = await self._start(handle, route, job_id, claim)
                self._found = obstacle or self._found
        finally:
            self._in_flight -= 1
            if is_waiting(handle):
                self._queue.put(handle, first=True)
            self._landed.set()
            self._wake.set()

    def _overcome(self) -> None:
        """Have nothing in the way any more, though its start is yet to come."""
        if not self._is_pausing:  # another start may have found something since
            self._obstacle = None

    @contextmanager
    def _awaiting(self, what: str) -> Iterator[None]:
        """Let others know what a start waits for."""
        self._awaited[what] += 1
        try:
            yield
        finally:
            self._awaited[what] -= 1

    @asynccontextmanager
    async def _place(self, job_id: JobId, claim: Claim) -> AsyncIterator[None]:
        """Have a place on the job."""
        async with AsyncExitStack() as stack:
            with self._awaiting("another start on the job"):
                await stack.enter_async_context(self._locks.start(job_id, claim))
            yield

    @contextmanager
    def _sparing_others(self, handle: DeliveryHandle) -> Iterator[None]:
        """Go on with the others where one start fails, whatever with."""
        try:
            yield
        except StoreError:
            pass  # its owner's life is over: it is dropped with the others
        except SetAside:
            self._let_go(handle)
        except Exception as exc:  # noqa: BLE001 -- whatever it was, it is of this delivery alone
            self._set_aside(handle, exc)

    async def _start(
        self, handle: DeliveryHandle, route: Route, job_id: JobId, claim: Claim
    ) -> Blocked | None:
        """
        Start one delivery.

        1. Make sure that Jet answers, if the last start on this route was lost, and
           that its clock was heard lately: only that dates the intent.
        2. Take the budget, so that nothing but the commit lies before the send; what
           was made sure of is asked again, since that turn may be long to come.
        3. Write the intent down and wait until it is durable; not while a crash could
           keep it and lose an answer before it.
        4. Send it once, if the lease holds; write down what came of it.
        """
        obstacle = await self._probe(route, job_id)
        if obstacle is not None:
            return obstacle
        self._overcome()
        with self._awaiting("the calls to Jet that are allowed"):
            await self._sender.turn(route)
        obstacle = await self._probe(route, job_id)
        if obstacle is not None:
            return obstacle
        with self._awaiting("the answer before it to be kept"):
            await self._locks.writable(job_id, handle.owner, claim)
        delivery = handle.delivery
        if delivery is None or not is_waiting(handle) or self._is_full(route, handle):
            return None
        if is_expired(delivery, self._clock.now()):
            return None  # it is told so at its next turn
        if self._sender.jet_time is None:
            return None  # not heard for so long that nothing would date its intent
        if self._blocked_for(handle, job_id):
            return None  # one beside it was lost meanwhile
        if self._routes().get(self.name) != route:
            return None  # paused, moved or taken away meanwhile: it is looked at anew
        with (
            handle.owner.sending(),
            self._locks.at_risk(job_id, handle.owner, claim) as start,
        ):
            outcome = await self._send(handle, delivery, route, job_id, start)
        return self._obstacle_of(outcome, handle)

    async def _probe(self, route: Route, job_id: JobId) -> Blocked | None:
        """Ask whether Jet answers, where that is in doubt; return what is in the way."""
        try:
            return await self._sender.probe(route, job_id)
        except Exception as exc:  # noqa: BLE001 -- it is of the route: nothing was sent
            return self._defect(exc)

    def _blocked_for(self, handle: DeliveryHandle, job_id: JobId) -> float:
        """Return for how many seconds an unknown post keeps it off the job; 0: go on."""
        jet_time = self._sender.jet_time
        return self._locks.blocked_for(job_id, handle.command_id, jet_time)

    async def _send(
        self,
        handle: DeliveryHandle,
        delivery: Delivery,
        route: Route,
        job_id: JobId,
        start: StartAtRisk,
    ) -> Trigger:
        """Write the intent down, send it, and write down what came of it."""
        written_at = self._clock.monotonic()
        reach(Point.BEFORE_INTENT)
        await handle.apply(self._begun(route, job_id))
        reach(Point.AFTER_INTENT)
        sending = handle.delivery
        if sending is None:
            msg = "the partition's life is over"
            raise StoreError(msg)
        outcome = await self._sender.send(
            route,
            job_id,
            sending.objects,  # held packed until the intent was written down
            partial(self._check, handle, delivery, written_at),
        )
        reach(Point.ANSWERED)
        if delivery.attempt and not isinstance(outcome, Deferred):
            self._counts.resent(delivery)
        self._queue.remove(handle)
        if isinstance(outcome, Lost):
            self._sender.suspect(self.name)  # ask before the next start
            if outcome.hi is not None:
                self._locks.hold(job_id, handle.command_id, outcome.hi)
        durable = handle.apply(outcome)
        is_started = isinstance(outcome, StartConfirmed)
        self._locks.answered(job_id, start, durable, is_started=is_started)
        if is_started and not durable.done():
            durable.add_done_callback(_reach_started)
            return outcome
        await durable
        reach(Point.AFTER_STARTED)
        return outcome

    def _check(
        self, handle: DeliveryHandle, delivery: Delivery, written_at: float
    ) -> None:
        """Raise Expired or LeaseLost if it may not be sent, whatever was so before."""
        if is_expired(delivery, self._clock.now()):
            raise Expired(_EXPIRED)
        handle.owner.check_lease(written_at)

    def _begun(self, route: Route, job_id: JobId) -> Begun:
        intent = self._sender.intent(job_id, self._clock.now())
        return Begun(intent, Terms(route.on_uncertain, route.deadline))

    def _obstacle_of(self, outcome: Trigger, handle: DeliveryHandle) -> Blocked | None:
        """Let a start that was refused for now block the route, and go first again."""
        if not isinstance(outcome, Deferred):
            self._failures = 0
            return None
        if is_waiting(handle):
            self._queue.put(handle, first=True)
        return outcome.obstacle

    def _is_full(self, route: Route, handle: DeliveryHandle) -> bool:
        delivery = handle.delivery
        if delivery is None or delivery.state is State.CLEARED:
            return False  # it has had its place since its first intent
        limit = self._max_active if route.max_active is None else route.max_active
        full = self._counts.open_on(route.name) >= limit
        return full or self._counts.total >= self._max_active

    def _expire(self) -> None:
        for handle in self._queue.take_expired(self._clock.now()):
            handle.tell(Refused(ReasonCode.EXPIRED, _EXPIRED))

    def _until_expiry(self, delay: timedelta) -> float:
        """Return the seconds to wait: *delay*, or less if something expires before."""
        soonest = self._queue.soonest_expiry()
        if soonest is not None:
            delay = min(delay, soonest - self._clock.now())
        return max(0.01, delay.total_seconds())


def _reach_started(durable: "asyncio.Future[None]") -> None:
    if not durable.cancelled() and durable.exception() is None:
        reach(Point.AFTER_STARTED)
