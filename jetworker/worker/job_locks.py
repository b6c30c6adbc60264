"""
May I start on this job now? A few at a time, and none that could be another's (R5).

A start whose window overlaps that of an unknown post of this worker could not be told
from it. So others wait until Jet can have applied it no longer; then they go on, and are
the witnesses by which it is settled.

Where its route says so, several are in flight at once, as long as the job is calm: no
post on it is unknown, none was for ten minutes, and the last ten were answered.
"""

import asyncio
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime

from jetworker.core.command import CommandId, JobId
from jetworker.core.jet_clock import AGREED, CUT, is_past
from jetworker.runtime.clock import Clock

_UNHEARD = 1.0  # seconds: Jet's clock is asked for meanwhile
_MARGIN = 0.001  # seconds: a window ends at its end, not before
_CALM_AFTER = 600.0  # seconds without a lost start
CALM_AFTER_ANSWERS = 10


@dataclass(slots=True)
class _Job:
    """
    One job: its starts in flight, who waits for a place, and what is unknown on it.

    *windows* end by themselves, *cases* when they are settled or held.
    """

    sending: int = 0
    waiting: deque[tuple[int, "asyncio.Future[None]"]] = field(default_factory=deque)
    windows: dict[CommandId, datetime] = field(default_factory=dict)
    cases: set[CommandId] = field(default_factory=set)
    answered: int = 0
    lost_at: float = float("-inf")


class JobLocks:
    """The starts of one worker on each job: in flight, and unknown."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._jobs: defaultdict[JobId, _Job] = defaultdict(_Job)
        self._listeners: list[Callable[[], None]] = []

    def on_change(self, listener: Callable[[], None]) -> None:
        """Call *listener* whenever a job may be free again."""
        self._listeners.append(listener)

    @asynccontextmanager
    async def start(self, job_id: JobId, at_once: int = 1) -> AsyncIterator[None]:
        """Have a place on the job for one start: of *at_once*, of one if it is not calm."""
        job = self._jobs[job_id]
        if job.waiting or job.sending >= self._places(job, at_once):
            await self._wait(job, at_once)
        else:
            job.sending += 1
        try:
            yield
        finally:
            job.sending -= 1
            self._give_places(job)

    async def _wait(self, job: _Job, at_once: int) -> None:
        """Wait in line; who is woken has the place already, so that nobody is passed."""
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        job.waiting.append((at_once, turn))
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                job.sending -= 1
                self._give_places(job)
            raise

    def _give_places(self, job: _Job) -> None:
        while job.waiting:
            at_once, turn = job.waiting[0]
            if not turn.done():
                if job.sending >= self._places(job, at_once):
                    return
                job.sending += 1
                turn.set_result(None)
            job.waiting.popleft()

    def places(self, job_id: JobId, at_once: int) -> int:
        """Return how many starts may be in flight on the job now, of *at_once*."""
        return self._places(self._jobs[job_id], at_once)

    def _places(self, job: _Job, at_once: int) -> int:
        calm_since = self._clock.monotonic() - job.lost_at
        is_calm = not job.cases and calm_since >= _CALM_AFTER
        return at_once if is_calm and job.answered >= CALM_AFTER_ANSWERS else 1

    def answered(self, job_id: JobId) -> None:
        """Take note of a start that Jet answered."""
        self._jobs[job_id].answered += 1

    def hold(self, job_id: JobId, command_id: CommandId, hi: datetime) -> None:
        """Keep others off the job while Jet may apply this post, until *hi* (R5.1)."""
        job = self._jobs[job_id]
        job.windows[command_id] = max(hi, job.windows.get(command_id, hi))
        job.cases.add(command_id)
        job.answered = 0
        job.lost_at = self._clock.monotonic()

    def close(self, job_id: JobId, command_id: CommandId) -> None:
        """Have no case of it open any more; a ghost's window stays until its end."""
        self._jobs[job_id].cases.discard(command_id)

    def release(self, job_id: JobId, command_id: CommandId) -> None:
        """Let others start again, as far as it is up to this one: settled, or held."""
        self.close(job_id, command_id)
        windows = self._jobs[job_id].windows
        if windows.pop(command_id, None) is not None:
            for listener in self._listeners:
                listener()

    def blocked_for(
        self, job_id: JobId, command_id: CommandId, jet_time: datetime | None
    ) -> float:
        """
        Return for how many seconds no start may be written down for a command; 0: go on.

        The next attempt of a command whose route says resend goes at once.
        """
        windows = self._jobs[job_id].windows
        if jet_time is None:
            return _UNHEARD if windows.keys() - {command_id} else 0.0
        for other in [x for x, hi in windows.items() if is_past(jet_time, hi)]:
            del windows[other]
        others = [hi for other, hi in windows.items() if other != command_id]
        if not others:
            return 0.0
        left = max(others) - (jet_time - AGREED - CUT)
        return left.total_seconds() + _MARGIN
