"""Sending one start and finding out what its answer means."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import structlog

from jetworker.core.command import JobId, ObjectSpec, RouteName
from jetworker.core.delivery import Intent, ReasonCode
from jetworker.core.errors import (
    Expired,
    JetError,
    JetNotFound,
    JetUnauthorized,
    LeaseLost,
)
from jetworker.core.jet_clock import narrowed, window
from jetworker.core.polling import Denied, denied_again
from jetworker.core.route import Route, WhenPaused
from jetworker.core.start_answer import AskJob, RenewToken, StartMeaning, meaning
from jetworker.core.trigger import (
    Blocked,
    Deferred,
    Lost,
    Refused,
    StartConfirmed,
    Trigger,
)
from jetworker.jet.budget import Priority
from jetworker.jet.client import JetClient
from jetworker.jet.jobs import JobResolver
from jetworker.runtime.clock import Clock

log = structlog.get_logger()

_BELIEVED_AFTER = 30.0  # seconds of Jet's own 404 about a job
_SEEN_FOR = 30.0  # seconds: who pauses a job later means it, whatever was seen before
_UNKNOWN = Blocked(
    ReasonCode.JOB_UNAVAILABLE,
    "Jet does not know the route's job_id; it is asked again in half a minute",
)
_UNAUTHORIZED = Blocked(ReasonCode.UNAUTHORIZED, "Jet refuses our token, renewed once")
_PAUSED = Blocked(ReasonCode.JOB_PAUSED, "the job is paused; resume it in Jet")


class StartSender:
    """Sends a start once, and asks the job why one was refused."""

    def __init__(
        self,
        jet: JetClient,
        resolver: JobResolver,
        clock: Clock,
        longest_way: timedelta,
        settle: timedelta,
    ) -> None:
        self._jet = jet
        self._clock = clock
        self._resolver = resolver
        self._longest_way = longest_way
        self._settle = settle
        self._suspected: set[RouteName] = set()
        self._denied: dict[JobId, Denied] = {}

    @property
    def jet_time(self) -> datetime | None:
        """Jet's clock, never later than it is; None if it was not heard lately."""
        return self._jet.jet_time if self._jet.is_heard else None

    def intent(self, job_id: JobId, written_at: datetime) -> Intent:
        """Return what is written down before a start is sent, dated by Jet (R7)."""
        jet_time = self._jet.jet_time
        assert jet_time is not None
        hi = window(jet_time, self._longest_way).hi
        return Intent(job_id, written_at, jet_time, hi=hi)

    def suspect(self, route: RouteName) -> None:
        """Ask for the job before the next start of this route."""
        self._suspected.add(route)

    async def probe(self, route: Route, job_id: JobId) -> Blocked | None:
        """
        Ask for the job before a start that follows a lost or a paused one.

        A Jet that cannot answer a question would only lose one start after another.
        So before one for which Jet's clock was not heard in the last minute.
        """
        if route.name not in self._suspected and self._jet.is_heard:
            return None
        try:
            job = await self._jet.get_job(
                job_id, priority=Priority.START, route=route.name
            )
        except JetNotFound:
            job = None  # the start itself will be told so, and it is confirmed there
            if not self._is_gone(route, job_id):
                self.suspect(route.name)
                return _UNKNOWN
        except JetError as exc:
            return unavailable(exc)
        else:
            self._denied.pop(job_id, None)
        if not self._jet.is_heard:
            message = "Jet's answers have no Date: nothing could be compared with it"
            return Blocked(ReasonCode.JET_UNAVAILABLE, message)
        if job is not None and job.paused and route.when_paused is WhenPaused.WAIT:
            return _PAUSED
        self._suspected.discard(route.name)
        return None

    async def turn(self, route: Route) -> None:
        """Wait until the budget allows a start."""
        await self._jet.start_turn(route.name)

    async def send(
        self,
        route: Route,
        job_id: JobId,
        objects: Sequence[ObjectSpec],
        guard: Callable[[], None],
    ) -> Trigger:
        """
        Send the start once and return what came of it.

        A plainly refused start (401, or 400 by a job that is not paused) is sent a
        second time under the same intent, if *guard* still allows it. Nothing else
        is ever repeated here.
        """
        try:
            for is_second in (False, True):
                if is_second:
                    await self.turn(route)
                found = await self._post(job_id, objects, guard)
                decided = await self._decide(found, route, job_id, is_second=is_second)
                if decided is not None:
                    return decided
        except Expired as exc:
            return Refused(ReasonCode.EXPIRED, str(exc))
        except LeaseLost as exc:
            return Deferred(Blocked(ReasonCode.JET_UNAVAILABLE, str(exc)))
        except JetError as exc:  # no token, or starts held back: nothing was sent
            return Deferred(unavailable(exc))
        return Deferred(_UNAUTHORIZED)

    async def _post(
        self, job_id: JobId, objects: Sequence[ObjectSpec], guard: Callable[[], None]
    ) -> StartMeaning:
        # Until it is past the window of the intent nobody else takes what it made.
        grace = self._settle.total_seconds()
        answer = await self._jet.start_delivery(
            job_id, objects, guard=guard, grace=grace
        )
        found, jet_time = meaning(answer), self._jet.jet_time
        match found:
            case StartConfirmed():
                self._denied.pop(job_id, None)
                return replace(found, jet_time=jet_time)
            case Lost() if jet_time is not None:
                return replace(found, hi=narrowed(jet_time, self._settle))
            case _:
                return found

    async def _decide(
        self, found: StartMeaning, route: Route, job_id: JobId, *, is_second: bool
    ) -> Trigger | None:
        """Return the trigger, or None to send again."""
        match found:
            case RenewToken():
                return None  # it was renewed
            case AskJob(status, message):
                said = Refused(
                    ReasonCode.REJECTED_BY_JET, f"Jet said {status}: {message}"
                )
                return await self._ask_job(
                    route, job_id, said, status, is_second=is_second
                )
            case decided:
                return decided

    async def _ask_job(
        self,
        route: Route,
        job_id: JobId,
        said: Refused,
        status: int,
        *,
        is_second: bool,
    ) -> Trigger | None:
        asked_at = self._clock.monotonic()
        try:
            job = await self._jet.get_job(
                job_id, priority=Priority.START, route=route.name
            )
        except JetNotFound:
            return self._vanished(route, job_id)
        self._denied.pop(job_id, None)
        if job.paused:
            return await self._paused(route, job_id, asked_at, is_second=is_second)
        return said if is_second or status == 404 else None  # noqa: PLR2004 -- HTTP

    async def _paused(
        self, route: Route, job_id: JobId, asked_at: float, *, is_second: bool
    ) -> Trigger | None:
        match route.when_paused:
            case WhenPaused.FAIL:
                return Refused(ReasonCode.JOB_PAUSED, "the job is paused")
            case WhenPaused.RESUME if not is_second:
                return await self._resume(route, job_id, asked_at)
            case WhenPaused.WAIT | WhenPaused.RESUME:
                self.suspect(route.name)
                return Deferred(_PAUSED)

    async def _resume(
        self, route: Route, job_id: JobId, asked_at: float
    ) -> Trigger | None:
        """Resume a job that was paused when it was asked for, if that is not long ago."""

        def check() -> None:
            if self._clock.monotonic() - asked_at > _SEEN_FOR:
                msg = "too late to resume the job"
                raise LeaseLost(msg)

        log.warning("a paused job is resumed, as its route says", job=job_id)
        try:
            await self._jet.set_paused(
                job_id, paused=False, route=route.name, guard=check
            )
        except LeaseLost:
            self.suspect(route.name)
            return Deferred(_PAUSED)
        return None

    def _vanished(self, route: Route, job_id: JobId) -> Trigger:
        if route.job_id is None:
            self._resolver.forget(route)
            message = "the route's job has vanished, it is looked up again"
            return Deferred(Blocked(ReasonCode.JOB_UNAVAILABLE, message))
        if self._is_gone(route, job_id):
            message = "Jet does not know the route's job_id"
            return Refused(ReasonCode.JOB_NOT_FOUND, message)
        self.suspect(route.name)
        return Deferred(_UNKNOWN)

    def _is_gone(self, route: Route, job_id: JobId) -> bool:
        """
        Whether Jet's 404 about a job is believed: said twice, half a minute apart.

        A job that was found by its name is looked up anew instead.
        """
        if route.job_id is None:
            return True
        now = self._clock.monotonic()
        denied = denied_again(self._denied.get(job_id), now)
        self._denied[job_id] = denied
        return denied.lasted >= _BELIEVED_AFTER


def unavailable(exc: JetError) -> Blocked:
    """Return what is in the way when Jet cannot be asked."""
    if isinstance(exc, JetUnauthorized):
        return Blocked(ReasonCode.UNAUTHORIZED, str(exc))
    return Blocked(ReasonCode.JET_UNAVAILABLE, str(exc))
