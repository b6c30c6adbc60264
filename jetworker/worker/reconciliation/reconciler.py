"""
Looking up what became of a start whose outcome is unknown.

A *case* is one unknown post and the looks at its job in this process; all cases of a job
share each look (`job_views`). A job is looked at every fifth of `starts.settle`, and
right after every start on it that was answered: that one is the witness (R5). Nothing is
decided before `settle` is over since this process learnt of the doubt; then each look is
judged (`core.reconcile`). What is not settled by twice the settle time and ten seconds
is held, and says which proof is missing.

A held start is looked at slowly and may still be adopted; it is never started again by
itself. An operator's adopt is checked with Jet here too.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import assert_never

import structlog

from jetworker.core.command import CommandId, DeliveryId, JobId, RouteName
from jetworker.core.delivery import Delivery, Intent, PendingAdopt, State
from jetworker.core.errors import JetError, SetAside, StoreError
from jetworker.core.finished import Finished
from jetworker.core.observation import JetDelivery
from jetworker.core.post import Post
from jetworker.core.reconcile import (
    Adopt,
    Decision,
    LookAgain,
    StartAgain,
    decide,
    unexplained,
)
from jetworker.core.route import OnUncertain
from jetworker.core.trigger import Absent, AdoptRefused, Claimed, Found, Undecided
from jetworker.core.witness import Missing, Proof, Row, extended
from jetworker.runtime.clock import Clock, wait
from jetworker.runtime.crash_points import Point, reach
from jetworker.runtime.metrics import Metrics
from jetworker.worker import defects
from jetworker.worker.handle import DeliveryHandle
from jetworker.worker.job_locks import JobLocks
from jetworker.worker.reconciliation.bindings import Bindings, JobBindings
from jetworker.worker.reconciliation.job_observer import JobObserver
from jetworker.worker.reconciliation.job_views import JobView, JobViews
from jetworker.worker.reconciliation.unexplained import Unexplained

log = structlog.get_logger()

_UNHURRIED = 30.0  # seconds for a look, however slow Jet is
_PATIENCE = 10.0  # seconds beyond twice the settle time: later starts testify then
_AT_ONCE = 3  # looks at different jobs
_NOT_LOOKED_UP = Missing(
    Proof.NOT_LOOKED_UP, "Jet did not show in time what is on the job"
)
_TAKEN = Missing(Proof.RIVAL, "another command takes the delivery that fits")
_DEFECT = Missing(
    Proof.NOT_LOOKED_UP,
    "the worker failed on looking at the job, which is a defect to be reported",
)


@dataclass(slots=True, eq=False)
class UnknownStart:
    """
    One case; *began* is when this process learnt of the doubt.

    *missing* says why it is not settled. *is_aside*: our own code failed on it; it is
    held, and no more looked at by this process but for an operator's adopt.
    """

    handle: DeliveryHandle
    intent: Intent
    began: float
    row: Row = field(default_factory=Row)
    missing: Missing = _NOT_LOOKED_UP
    is_settled: bool = False
    is_adopting: bool = False
    is_aside: bool = False

    @property
    def unsettled(self) -> Delivery | None:
        """The delivery as it is now, None once this start is settled."""
        delivery = self.handle.delivery
        if delivery is None or delivery.state not in {State.UNCERTAIN, State.HELD}:
            return None
        return delivery if _is_same(delivery.intent, self.intent) else None

    def is_of(self, handle: DeliveryHandle) -> bool:
        """Whether it looks after what this handle's delivery is uncertain of now."""
        if handle.owner is not self.handle.owner or handle.delivery is None:
            return False
        return _is_same(handle.delivery.intent, self.intent)

    def is_as_before(self, then: Delivery) -> bool:
        """Whether what was looked up is still what is asked."""
        now = self.unsettled
        return now is not None and now.pending == then.pending


def _is_same(one: Intent | None, other: Intent) -> bool:
    return one is not None and one.written_at == other.written_at


@dataclass(slots=True)
class _Job:
    """The cases of one job, and when it is due for a look."""

    cases: dict[CommandId, UnknownStart] = field(default_factory=dict)
    due: float = 0.0
    again_at: float | None = None
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    is_running: bool = False


class Reconciler:
    """
    Looks after every unknown start of one worker, one task for each job.

    *settle* is how long a start may take until Jet shows it, *remembered* how long an
    ended command is known.
    """

    def __init__(
        self,
        views: JobViews,
        observer: JobObserver,
        bindings: Bindings,
        locks: JobLocks,
        unexplained: Unexplained,
        *,
        clock: Clock,
        metrics: Metrics,
        settle: timedelta,
        remembered: timedelta,
    ) -> None:
        self._views = views
        self._observer = observer
        self._bindings = bindings
        self._locks = locks
        self._clock = clock
        self._metrics = metrics
        self._settle = settle.total_seconds()
        self._remembered = remembered
        self._jobs: dict[JobId, _Job] = {}
        self._new: asyncio.Queue[JobId | UnknownStart] = asyncio.Queue()
        self._reservations = Reservations()
        self._unexplained = unexplained
        self._turn = asyncio.Semaphore(_AT_ONCE)

    def take(self, handle: DeliveryHandle) -> None:
        """Look after an unknown start; one that is known is looked at at once."""
        delivery = handle.delivery
        if delivery is None or delivery.intent is None:
            return
        intent = delivery.intent
        job = self._jobs.setdefault(intent.job_id, _Job())
        case = job.cases.get(handle.command_id)
        if case is None or not case.is_of(handle):
            case = UnknownStart(handle, intent, self._clock.monotonic())
            job.cases[handle.command_id] = case
            if delivery.claimed is not None:  # by an earlier life, which takes nothing
                handle.tell(Claimed(None))
        if delivery.state is State.UNCERTAIN:
            self._locks.hold(intent.job_id, handle.command_id, intent.window.hi)
            self._locks.open(intent.job_id, handle.command_id)
        else:  # as an earlier life of its partition may not have lived to tell
            self._locks.close(intent.job_id, handle.command_id)
        if delivery.pending is not None:
            if not case.is_adopting:
                case.is_adopting = True
                self._new.put_nowait(case)
            return
        job.due = self._clock.monotonic()
        job.wake.set()
        self._keep_looking(intent.job_id, job)

    def recall(self, snapshot: Delivery | Finished) -> None:
        """
        Take up what was doubted of late in an earlier life (R5).

        The posts that its command left behind keep others off the job until Jet can have
        applied them, and the job is not calm. What is unknown still is looked after.
        """
        if snapshot.job_id is None or snapshot.doubted_at is None:
            return
        ago = max(0.0, (self._clock.now() - snapshot.doubted_at).total_seconds())
        hi = max((each.window.hi for each in snapshot.posts), default=None)
        self._locks.recall(snapshot.job_id, snapshot.command_id, ago, hi)

    def notice(self, before: Delivery | None, after: Delivery) -> None:
        """
        Take note of a step that is durable.

        1. A post that is unknown, or left behind, keeps others off its job (R5.1).
        2. A start that was answered is a witness: look at once, and a second later.
        3. The first date that Jet tells of it shows whether the clocks agree (R7).
        """
        job_id = after.job_id
        if before is None or job_id is None:
            return
        if len(after.posts) > len(before.posts):
            latest = after.posts[-1].window.hi
            self._locks.hold(job_id, after.command_id, latest)
        elif before.state is State.UNCERTAIN and after.state is not State.UNCERTAIN:
            self._locks.release(job_id, after.command_id)
        if before.state is State.STARTING and after.state is State.STARTED:
            self._look_soon(job_id)
        is_doubted = after.sequence > before.sequence + 1  # told, and then held
        if before.state is State.STARTING and after.state is State.HELD and is_doubted:
            self._count_held(after.route, Proof.ATTEMPTS)
        if before.created_on is None and after.created_on is not None:
            self._check_clocks(job_id, after)

    async def run(self) -> None:
        """Look after what comes, for ever."""
        async with asyncio.TaskGroup() as tasks:
            while True:
                new = await self._new.get()
                if isinstance(new, UnknownStart):
                    tasks.create_task(self._carry_adopt_out(new), name="adopt")
                else:
                    tasks.create_task(self._look_after(new), name="look-up")

    def _keep_looking(self, job_id: JobId, job: _Job) -> None:
        if not job.is_running:
            job.is_running = True
            self._new.put_nowait(job_id)

    def _look_soon(self, job_id: JobId) -> None:
        job = self._jobs.get(job_id)
        if job is not None and job.is_running:
            now = self._clock.monotonic()
            job.due, job.again_at = now, now + 1.0
            job.wake.set()

    def _check_clocks(self, job_id: JobId, delivery: Delivery) -> None:
        window, created_on = delivery.made_in, delivery.created_on
        if window is None or created_on is None or window.contains(created_on):
            return
        self._views.clocks_disagree(job_id)
        self._metrics.clock_disagreements_total.inc()
        log.error(
            "jet's dates and its clock disagree: nothing is settled on the job for 24 h",
            job_id=job_id,
            delivery_id=delivery.delivery_id,
            created_on=str(created_on),
            asked_for_between=f"{window.lo} and {window.hi}",
        )

    async def _look_after(self, job_id: JobId) -> None:
        """Look at one job for as long as it has a case; it fails for itself alone."""
        job = self._jobs[job_id]
        try:
            while self._drop_settled(job_id, job):
                now = self._clock.monotonic()
                due = self._due(job)
                if due > now:
                    job.wake.clear()
                    await wait(job.wake, due - now)
                    continue
                if job.again_at is not None and job.again_at <= now:
                    job.again_at = None
                await self._step(job_id, job)
                job.due = self._clock.monotonic() + self._interval(job)
        except Exception as exc:  # noqa: BLE001 -- whatever it was, it is of this job alone
            for case, _ in _waiting(job):
                self._set_aside(case, exc)
        finally:
            job.is_running = False

    def _set_aside(self, case: UnknownStart, exc: Exception) -> None:
        """Hold a start on whose look-up our own code failed, and look no more."""
        case.is_aside = True
        case.handle.set_aside(exc)

    def _drop_settled(self, job_id: JobId, job: _Job) -> bool:
        """Forget the cases that are settled; returns whether any is left to look at."""
        for command_id, case in list(job.cases.items()):
            if case.unsettled is None:
                del job.cases[command_id]
                self._locks.close(job_id, command_id)
        if not job.cases:
            self._views.forget(job_id)
        return bool(_waiting(job))

    def _due(self, job: _Job) -> float:
        """Return when to look next: as planned, for a witness, or to hold in time."""
        times = [job.due]
        if job.again_at is not None:
            times.append(job.again_at)
        times += [
            moment
            for case, delivery in _waiting(job)
            if delivery.state is State.UNCERTAIN
            for moment in (case.began + self._settle, self._held_at(case))
            if moment > self._clock.monotonic()
        ]
        return min(times)

    def _interval(self, job: _Job) -> float:
        """Return the wait before the next look; held ones are looked at slowly."""
        if any(x.state is State.UNCERTAIN for _, x in _waiting(job)):
            return min(5.0, max(0.2, self._settle / 5))
        return min(60.0, max(5.0, self._settle))

    def _held_at(self, case: UnknownStart) -> float:
        return case.began + 2 * self._settle + _PATIENCE

    async def _step(self, job_id: JobId, job: _Job) -> None:
        """Look at the job once, and settle what can be settled by it."""
        waiting = _waiting(job)
        looked = self._clock.monotonic()
        ours = frozenset(delivery.command_id for _, delivery in waiting)
        look = asyncio.create_task(self._look(job_id, ours), name="look")
        try:
            await self._hold_meanwhile(look, job)
            view = await look
        finally:
            look.cancel()
        if isinstance(view, JobView):
            self._report(view, waiting[0][1].route)
        for case, delivery in waiting:
            if not case.is_as_before(delivery):
                continue  # an operator's order came meanwhile
            try:
                await self._judge(case, delivery, view, looked)
            except StoreError as exc:
                log.debug("a start is left to the next owner", reason=str(exc))
            except SetAside:
                case.is_aside = True
            except Exception as exc:  # noqa: BLE001 -- whatever it was, it is of this start alone
                self._set_aside(case, exc)

    async def _look(
        self, job_id: JobId, ours: frozenset[CommandId]
    ) -> JobView | Missing:
        try:
            async with self._turn, asyncio.timeout(_UNHURRIED):
                return await self._views.of(job_id, ours)
        except TimeoutError:
            return _NOT_LOOKED_UP
        except (JetError, StoreError) as exc:
            return Missing(Proof.NOT_LOOKED_UP, f"it could not be looked up: {exc}")
        except Exception as exc:  # noqa: BLE001 -- it is of the job: its starts are held in time
            what = "a job cannot be looked at: a defect of ours"
            defects.report(self._metrics, "delivery", what, exc, job_id=job_id)
            return _DEFECT

    async def _hold_meanwhile(
        self, look: "asyncio.Task[JobView | Missing]", job: _Job
    ) -> None:
        """Wait for a look, and hold in time whose time is over before it is there."""
        while not look.done():
            now = self._clock.monotonic()
            times = [
                self._held_at(case) - now
                for case, delivery in _waiting(job)
                if delivery.state is State.UNCERTAIN
            ]
            await asyncio.wait({look}, timeout=max(0.0, min(times, default=_UNHURRIED)))
            if look.done():
                return
            for case, delivery in _waiting(job):
                if delivery.state is State.UNCERTAIN:
                    await self._hold_if_due(case)

    async def _judge(
        self,
        case: UnknownStart,
        delivery: Delivery,
        view: JobView | Missing,
        looked: float,
    ) -> None:
        """Carry out what a look decides for one case, hold it if its time is over."""
        if isinstance(view, Missing):
            await self._unclaim(case)
            if case.missing is _NOT_LOOKED_UP or delivery.state is State.UNCERTAIN:
                case.missing = view
        elif await self._carry_out(
            case, delivery, view, self._decide(case, delivery, view, looked)
        ):
            return
        now = case.unsettled
        if now is None or now.pending is not None:
            return
        if now.state is State.UNCERTAIN:
            await self._hold_if_due(case)
        elif case.missing is not _NOT_LOOKED_UP:
            await case.handle.apply(Undecided(_told(case.missing)))

    async def _hold_if_due(self, case: UnknownStart) -> None:
        """Leave it to an operator if its time is over."""
        now = case.unsettled
        if now is None or self._clock.monotonic() < self._held_at(case):
            return
        try:
            await case.handle.apply(Undecided(_told(case.missing)))
        except StoreError as exc:
            log.debug("a start is left to the next owner", reason=str(exc))
            return
        except SetAside:
            case.is_aside = True
            return
        self._count_held(now.route, case.missing.proof)

    def _decide(
        self, case: UnknownStart, delivery: Delivery, view: JobView, looked: float
    ) -> Decision:
        is_settled = looked - case.began >= self._settle
        ours = _post(view, delivery)
        if ours is None:
            message = "the state topic does not show this start itself"
            return LookAgain(Missing(Proof.NOT_LOOKED_UP, message))
        case.row = extended(
            case.row,
            view.survey,
            ours.window,
            is_settled=is_settled,
            gap=view.gap,
        )
        assert delivery.intent is not None
        age = self._clock.now() - delivery.intent.written_at
        if age >= self._remembered:
            message = "those started with it are forgotten, and could be it"
            return LookAgain(Missing(Proof.CANDIDATES, message))
        if not is_settled:
            return LookAgain(case.missing)
        if not case.is_settled:
            case.is_settled = True
            reach(Point.SETTLED)
        return decide(ours, case.row, view.scene)

    async def _carry_out(
        self,
        case: UnknownStart,
        delivery: Delivery,
        view: JobView,
        decision: Decision,
    ) -> bool:
        """Apply a decision; returns whether the delivery is settled by it."""
        if not isinstance(decision, Adopt):
            await self._unclaim(case)
        match decision:
            case Adopt():
                return await self._adopt(case, delivery, decision, view.bindings)
            case StartAgain(is_stated):
                return await self._start_again(case, delivery, is_stated=is_stated)
            case LookAgain(missing):
                case.missing = missing
                return False
            case _:
                assert_never(decision)

    async def _start_again(
        self, case: UnknownStart, delivery: Delivery, *, is_stated: bool
    ) -> bool:
        """
        Let it be started again, unless its route says hold.

        A held one never is by itself: an operator may be starting it by hand (R9). It
        is asked as it is now: its time may have come while Jet was looked at.
        """
        assert delivery.intent is not None
        now = case.unsettled
        if now is None or now.state is State.HELD or now.pending is not None:
            return True
        if delivery.terms.on_uncertain is OnUncertain.HOLD:
            message = "nothing is shown, and the route says hold"
            case.missing = Missing(Proof.ROUTE_SAYS_HOLD, message)
            return False
        if is_stated:
            self._views.believe(delivery.intent.job_id, delivery.command_id)
        await case.handle.apply(Absent())
        now = case.unsettled
        if now is not None and now.state is State.HELD:
            self._count_held(now.route, Proof.ATTEMPTS)
        return True

    async def _adopt(
        self,
        case: UnknownStart,
        delivery: Delivery,
        decision: Adopt,
        seen: JobBindings,
    ) -> bool:
        """
        Take a delivery that was found, and return whether it was still to be had.

        1. Claim it: no other command of this worker takes it meanwhile.
        2. Write the claim down, for the others to see, unless one is seen to go first.
        3. Only then read what commands are bound to, what operators want, and what others
           claim. Of any two that want it at least one sees the other, since each has
           written that down before it reads: an operator's order goes first, then the
           command whose id is the smaller.
        4. Only then take it.
        """
        assert delivery.intent is not None
        wanted, ours = decision.delivery_id, case.handle.command_id
        with self._reservations.claim(wanted, ours) as is_ours:
            if not is_ours or _goes_first(seen, wanted, ours):
                return await self._give_way(case, _TAKEN)
            await case.handle.apply(Claimed(wanted))
            try:
                bindings = await self._bindings.read(delivery.intent.job_id)
            except StoreError as exc:
                why = f"it could not be looked up: {exc}"
                return await self._give_way(case, Missing(Proof.NOT_LOOKED_UP, why))
            if bindings.doubt is not None:
                doubt = Missing(Proof.NOT_LOOKED_UP, bindings.doubt)
                return await self._give_way(case, doubt)
            if not case.is_as_before(delivery) or _goes_first(bindings, wanted, ours):
                return await self._give_way(case, _TAKEN)
            if bindings.claimants(wanted, ours):
                case.missing = _TAKEN  # unless they see ours, and give way
                return False
            reach(Point.FOUND)
            log.info(
                "an unknown start is adopted",
                command_id=delivery.command_id,
                delivery_id=wanted,
                by=decision.by,
            )
            await case.handle.apply(Found(wanted, decision.created_on))
            reach(Point.ADOPTED)
            return True

    async def _give_way(self, case: UnknownStart, missing: Missing) -> bool:
        """Take nothing for now, and say why."""
        case.missing = missing
        await self._unclaim(case)
        return False

    async def _unclaim(self, case: UnknownStart) -> None:
        """Let others have what it was about to take."""
        now = case.unsettled
        if now is not None and now.claimed is not None:
            await case.handle.apply(Claimed(None))

    async def _carry_adopt_out(self, case: UnknownStart) -> None:
        """Ask Jet about an operator's adopt until it is decided."""
        try:
            while (delivery := case.unsettled) is not None:
                if delivery.pending is None:
                    break
                await self._check_adopt(case, delivery, delivery.pending)
        except StoreError as exc:
            log.debug("an adopt is left to the next owner", reason=str(exc))
        except SetAside:
            case.is_aside = True
        except Exception as exc:  # noqa: BLE001 -- whatever it was, it is of this start alone
            self._set_aside(case, exc)
        finally:
            case.is_adopting = False
        if case.unsettled is not None:
            self.take(case.handle)
        else:  # whoever looks at the job next lets go of it
            self._keep_looking(case.intent.job_id, self._jobs[case.intent.job_id])

    async def _check_adopt(
        self, case: UnknownStart, delivery: Delivery, pending: PendingAdopt
    ) -> None:
        """Carry an operator's adopt out, if Jet has the delivery and nobody else does."""
        assert delivery.intent is not None
        job_id, wanted = delivery.intent.job_id, pending.delivery_id
        with self._reservations.claim(wanted, case.handle.command_id) as is_ours:
            try:
                shown = await self._observer.delivery(job_id, wanted)
                bindings = await self._bindings.read(job_id)
            except (JetError, StoreError) as exc:
                log.warning(
                    "an adopt waits until Jet can be asked",
                    about=delivery.command_id,
                    command_id=delivery.command_id,
                    route=delivery.route,
                    delivery_id=wanted,
                    error=str(exc),
                )
                await asyncio.sleep(min(5.0, self._settle))
                return
            if not case.is_as_before(delivery):
                return
            others = bindings.pending_adopts.get(wanted, set()) - {
                case.handle.command_id
            }
            is_second = any(other < case.handle.command_id for other in others)
            others |= bindings.claimants(wanted, case.handle.command_id)
            if shown is None or bindings.is_bound(wanted) or is_second:
                await case.handle.apply(AdoptRefused())
            elif is_ours and not others and not self._is_awaited(bindings, shown, case):
                await case.handle.apply(Found(wanted, shown.created_on))
            else:
                log.info(
                    "an adopt waits until another command gives way, or is bound",
                    about=delivery.command_id,
                    command_id=delivery.command_id,
                    route=delivery.route,
                    delivery_id=wanted,
                )
                await asyncio.sleep(min(1.0, self._settle))

    def _is_awaited(
        self, bindings: JobBindings, shown: JetDelivery, case: UnknownStart
    ) -> bool:
        """Whether Jet may be about to answer another command's start with it."""
        if shown.created_on is None:
            return False
        now, ours = self._observer.jet_time, case.handle.command_id
        return bindings.is_awaited(shown.created_on, ours, now)

    def _report(self, view: JobView, route: RouteName) -> None:
        """Tell of deliveries that a command which went on has left behind (R1)."""
        for delivery_id, command_id in unexplained(view.scene).items():
            self._unexplained.tell(route, delivery_id, command_id)

    def _count_held(self, route: RouteName, proof: Proof) -> None:
        self._metrics.held_starts_total.labels(route, proof).inc()


def _waiting(job: _Job) -> list[tuple[UnknownStart, Delivery]]:
    """Return the cases that are to be looked up, and how their deliveries are now."""
    found = ((case, case.unsettled) for case in job.cases.values() if not case.is_aside)
    return [(case, x) for case, x in found if x is not None and x.pending is None]


def _post(view: JobView, delivery: Delivery) -> Post | None:
    """Return the post of a case as the state topic shows it."""
    posts = view.scene.posts.of(delivery.command_id)
    return next((x for x in posts if not x.is_ghost), None)


def _goes_first(
    bindings: JobBindings, delivery_id: DeliveryId, command_id: CommandId
) -> bool:
    """Whether somebody has a delivery, or is to have it before a command takes it."""
    claimants = bindings.claimants(delivery_id, command_id)
    return bindings.is_taken(delivery_id) or any(x < command_id for x in claimants)


def _told(missing: Missing) -> str:
    """Say what is missing, and what would settle it."""
    return (
        f"{missing.message}; look at the job in Jet's console, then: jetworker resolve"
        " ID adopt --delivery-id … | resend | abandon"
    )


class Reservations:
    """Lets one command at a time find out whether a delivery is still free, and take it."""

    def __init__(self) -> None:
        self._claimants: dict[DeliveryId, CommandId] = {}

    @contextmanager
    def claim(self, delivery_id: DeliveryId, command_id: CommandId) -> Iterator[bool]:
        """Claim a delivery for as long as this lasts; yields whether no other has."""
        is_ours = delivery_id not in self._claimants
        if is_ours:
            self._claimants[delivery_id] = command_id
        try:
            yield is_ours
        finally:
            if is_ours:
                del self._claimants[delivery_id]
