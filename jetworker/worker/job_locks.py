"""
May I start on this job now? A few at a time, and none that could be another's (R5).

A start whose window overlaps that of an unknown post of this worker could not be told
from it. So others wait until Jet can have applied it no longer; then they go on, and are
the witnesses by which it is settled.

Several are in flight at once as long as the job is calm: no post on it is unknown, none
was for ten minutes, and the last ten were answered. And only where a route says so, or
where files would tell them apart if they were lost: no two for a common path.

A place is free as soon as Jet has answered. The answer is written down by then, not yet
durable. Kafka has what one partition writes in its order, mostly in one transaction: a
crash leaves the answer and the intent after it, the answer alone, or neither, as if the
second had waited. Of two partitions it might keep the intent alone. So an intent is
written where no crash can leave more unknown starts than may be in flight, whatever it
keeps of each partition; the others wait.
"""

import asyncio
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from math import inf

from jetworker.core.command import CommandId, JobId
from jetworker.core.jet_clock import AGREED, CUT, is_past
from jetworker.runtime.clock import Clock

_UNHEARD = 1.0  # seconds: Jet's clock is asked for meanwhile
_MARGIN = 0.001  # seconds: a window ends at its end, not before
_CALM_AFTER = 600.0  # seconds without a lost start
CALM_AFTER_ANSWERS = 10  # since the last lost start
AT_ONCE = 4  # where files tell: what the usual budget can make use of


@dataclass(frozen=True, slots=True)
class Claim:
    """
    What a start asks for: a place among *at_once* on its job.

    *paths* are those it asks Jet for, if they must be no other's in flight; None where
    the route's word counts, and for one that goes alone.
    """

    at_once: int = 1
    paths: frozenset[str] | None = None

    def goes_with(self, other: "Claim") -> bool:
        """Whether it may be in flight beside another, as far as paths go."""
        if self.paths is None:
            return True
        return other.paths is not None and self.paths.isdisjoint(other.paths)


ALONE = Claim()


@dataclass(slots=True, eq=False)
class StartAtRisk:
    """
    A start that a crash would leave unknown, if it kept the intent without the answer.

    *written* is the number of its intent and *answered* that of its answer, in the
    order in which all intents and answers were written down; infinity: not yet.
    """

    owner: object
    claim: Claim
    written: int
    answered: float = inf


@dataclass(slots=True)
class _Job:
    """
    One job: its starts in flight, who waits for a place, and what is unknown on it.

    *at_risk* are those whose answer is not durable yet; *kept* is set when one of them
    is. *windows* end by themselves, *cases* when they are settled or held: a post
    that nobody here looks up is none.
    """

    sending: list[Claim] = field(default_factory=list)
    waiting: deque[tuple[Claim, "asyncio.Future[None]"]] = field(default_factory=deque)
    at_risk: list[StartAtRisk] = field(default_factory=list)
    kept: asyncio.Event = field(default_factory=asyncio.Event)
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
        self._writes = 0

    def on_change(self, listener: Callable[[], None]) -> None:
        """Call *listener* whenever a job may be free again."""
        self._listeners.append(listener)

    @asynccontextmanager
    async def start(self, job_id: JobId, claim: Claim = ALONE) -> AsyncIterator[None]:
        """Have a place on the job for one start, in line; alone, if it is not calm."""
        job = self._jobs[job_id]
        if job.waiting or not self._admits(job, claim):
            await self._wait(job, claim)
        else:
            job.sending.append(claim)
        try:
            yield
        finally:
            self._leave(job, claim)

    async def _wait(self, job: _Job, claim: Claim) -> None:
        """Wait in line; who is woken has the place already, so that nobody is passed."""
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        job.waiting.append((claim, turn))
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._leave(job, claim)
            raise

    def _leave(self, job: _Job, claim: Claim) -> None:
        job.sending.remove(claim)
        self._give_places(job)

    def _give_places(self, job: _Job) -> None:
        while job.waiting:
            claim, turn = job.waiting[0]
            if not turn.done():
                if not self._admits(job, claim):
                    return
                job.sending.append(claim)
                turn.set_result(None)
            job.waiting.popleft()

    def _admits(self, job: _Job, claim: Claim) -> bool:
        if not job.sending:
            return True
        if len(job.sending) >= self._places(job, claim.at_once):
            return False
        return all(claim.goes_with(other) for other in job.sending)

    def places(self, job_id: JobId, at_once: int) -> int:
        """Return how many starts may be in flight on the job now, of *at_once*."""
        return self._places(self._jobs[job_id], at_once)

    def _places(self, job: _Job, at_once: int) -> int:
        calm_since = self._clock.monotonic() - job.lost_at
        is_calm = not job.cases and calm_since >= _CALM_AFTER
        return at_once if is_calm and job.answered >= CALM_AFTER_ANSWERS else 1

    def may_write(self, job_id: JobId, owner: object, claim: Claim) -> bool:
        """
        Whether an intent of *owner*'s leaves no more unknown than may be in flight.

        After a crash now, whatever it keeps of what is not durable yet.
        """
        job = self._jobs[job_id]
        others = [each for each in job.at_risk if each.owner is not owner]
        if not all(claim.goes_with(each.claim) for each in others):
            return False
        written = StartAtRisk(owner, claim, self._writes)
        at_most = _unknown_at_most([*job.at_risk, written])
        return at_most <= self._places(job, claim.at_once)

    @contextmanager
    def at_risk(
        self, job_id: JobId, owner: object, claim: Claim
    ) -> Iterator[StartAtRisk]:
        """Have a start at risk: its intent is the next to be written down."""
        job, start = self._jobs[job_id], StartAtRisk(owner, claim, self._number())
        job.at_risk.append(start)
        try:
            yield start
        finally:
            if start.answered == inf:  # nothing was kept, or it is held
                self._keep(job, start)

    def answered(
        self,
        job_id: JobId,
        start: StartAtRisk,
        durable: "asyncio.Future[None]",
        *,
        is_started: bool,
    ) -> None:
        """Take note of what came of a start; *durable* is when that is kept."""
        job = self._jobs[job_id]
        job.answered += is_started
        start.answered = self._number()
        if durable.done():
            self._keep(job, start)
        else:
            durable.add_done_callback(lambda _: self._keep(job, start))

    def _keep(self, job: _Job, start: StartAtRisk) -> None:
        """Take note that what is known of a start cannot be lost any more."""
        job.at_risk.remove(start)
        job.kept.set()

    def _number(self) -> int:
        """Return the number of what is written down now."""
        self._writes += 1
        return self._writes - 1

    async def writable(self, job_id: JobId, owner: object, claim: Claim) -> None:
        """Wait until an intent of *owner*'s may be written, see `may_write`."""
        kept = self._jobs[job_id].kept
        while not self.may_write(job_id, owner, claim):
            kept.clear()
            await kept.wait()

    def hold(self, job_id: JobId, command_id: CommandId, hi: datetime) -> None:
        """
        Keep others off the job while Jet may apply this post, until *hi* (R5.1).

        It has no case: who looks it up opens one, and closes it. That may be another
        worker, or nobody, where it is sent again at once.
        """
        job = self._jobs[job_id]
        job.windows[command_id] = max(hi, job.windows.get(command_id, hi))
        job.answered = 0
        job.lost_at = self._clock.monotonic()

    def recall(
        self, job_id: JobId, command_id: CommandId, ago: float, hi: datetime | None
    ) -> None:
        """
        Take up what was lost on the job so many seconds *ago*, before this life.

        *hi* is until when Jet may apply what the command has left behind.
        """
        if ago >= _CALM_AFTER:
            return
        job = self._jobs[job_id]
        job.lost_at = max(job.lost_at, self._clock.monotonic() - ago)
        if hi is not None:
            job.windows[command_id] = max(hi, job.windows.get(command_id, hi))

    def open(self, job_id: JobId, command_id: CommandId) -> None:
        """Have the job not calm while it is looked up; who looks it up closes it."""
        self._jobs[job_id].cases.add(command_id)

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


def _unknown_at_most(starts: Iterable[StartAtRisk]) -> int:
    """
    Return how many a crash may leave unknown: of each partition the most at a time.

    It keeps what a partition wrote up to some write: the worst is right after an intent.
    """
    by_owner: defaultdict[int, list[StartAtRisk]] = defaultdict(list)
    for start in starts:
        by_owner[id(start.owner)].append(start)
    return sum(
        max(
            sum(each.written <= last.written < each.answered for each in written)
            for last in written
        )
        for written in by_owner.values()
    )
