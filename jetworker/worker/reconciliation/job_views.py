"""
What is on a job: looked up once for all of its unknown starts, and remembered.

Doubt is remembered, trust is not: a gap, clocks that disagree and a refuted statement
are kept for this job; a good look proves something only together with those of its case.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from heapq import nlargest

import structlog

from jetworker.core.command import CommandId, DeliveryId, JobId
from jetworker.core.errors import StoreError
from jetworker.core.evidence import Learned, Lesson, Shown, learn
from jetworker.core.post import Post, Posts, Window
from jetworker.core.reconcile import (
    Candidate,
    JobFacts,
    Scene,
    contradicts_exclusive,
    hashes,
    scene,
)
from jetworker.core.route import Listing, Route
from jetworker.core.witness import KnownDelivery, Look, Survey, last_ended, survey
from jetworker.runtime.clock import Clock
from jetworker.runtime.metrics import Metrics
from jetworker.worker.reconciliation.bindings import Bindings, JobBindings
from jetworker.worker.reconciliation.job_observer import JobLook, JobObserver

log = structlog.get_logger()

_DOUBTED_FOR = 24 * 3600.0  # seconds
_NEWEST = 3  # of those listed: witnesses
_NAMED = 20  # commands in a log line


@dataclass(frozen=True, slots=True)
class JobView:
    """
    What one look showed of a job, and the state topic as it was read after it.

    *gap* is a delivery that a look of the last 24 h should have shown and did not.
    """

    survey: Survey
    scene: Scene
    bindings: JobBindings
    gap: DeliveryId | None


@dataclass(slots=True)
class _Memory:
    """
    What is remembered of a job from look to look.

    *first_named* is when a delivery that is bound to nobody was first seen anywhere, by
    Jet's clock; *last_shown* how Jet showed it last.
    """

    first_named: dict[DeliveryId, datetime] = field(default_factory=dict)
    last_shown: dict[DeliveryId, Shown] = field(default_factory=dict)
    gap: DeliveryId | None = None
    gap_at: float = 0.0
    clocks_at: float | None = None
    refuted: dict[str, str] = field(default_factory=dict)
    believed: list[CommandId] = field(default_factory=list)


class JobViews:
    """
    Looks at jobs for the cases that are open on them.

    *settle* is how long a start may take until Jet shows it. *routes_of* returns the
    routes of a job.
    """

    def __init__(
        self,
        observer: JobObserver,
        bindings: Bindings,
        *,
        clock: Clock,
        metrics: Metrics,
        settle: timedelta,
        routes_of: Callable[[JobId], Sequence[Route]],
    ) -> None:
        self._observer = observer
        self._bindings = bindings
        self._clock = clock
        self._metrics = metrics
        self._settle = settle
        self._routes = routes_of
        self._jobs: dict[JobId, _Memory] = {}

    async def of(self, job_id: JobId, command_ids: frozenset[CommandId]) -> JobView:
        """
        Return what is on a job as of now; raises JetError or StoreError.

        1. Look at the job: the document, its transfers, its files.
        2. Only then read the state topic: a delivery that a command is bound to by then
           is not ours, one that is bound later was not shown yet.
        3. Only then ask for candidates and witnesses: what has not begun yet when it is
           asked for had not begun when it was listed (R2.6).
        """
        memory = self._memory(job_id)
        seen = await self._observer.look(job_id)
        bindings = await self._bindings.read(job_id)
        if bindings.doubt is not None:
            raise StoreError(bindings.doubt)
        self._note(memory, seen, bindings)
        ours = Posts(post for post in bindings.posts if post.command_id in command_ids)
        known = {each: self._dated(of) for each, of in bindings.known.items()}
        asked = self._in_question(memory, ours)
        wanted = {*asked, *self._witnesses(seen, known)}
        found = await self._observer.shown(job_id, wanted, seen.files)
        shown = {name: each for name, each in found.items() if each is not None}
        memory.last_shown |= {name: shown[name] for name in asked if name in shown}
        learned = Learned()
        if any(each.has_ended for each in memory.last_shown.values()):
            learned = await self._learned(job_id, seen, known.values())
        look = Look(seen.began, seen.ended, seen.listed, shown)
        surveyed = survey(look, known, self._settle)
        self._remember_gap(job_id, memory, surveyed)
        self._judge_listing(job_id, memory, surveyed)
        facts = self._facts(job_id, memory, learned, known.values())
        candidates = [
            self._candidate(each, memory, found, learned) for each in memory.first_named
        ]
        wanted_by_operators = frozenset(bindings.pending_adopts)
        on_it = scene(bindings.posts, candidates, facts, wanted_by_operators)
        refuted = self._judge_exclusive(job_id, memory, ours.all, on_it)
        if refuted:
            on_it = replace(
                on_it, job=self._facts(job_id, memory, learned, known.values())
            )
        return JobView(surveyed, on_it, bindings, self._gap(memory))

    def forget(self, job_id: JobId) -> None:
        """Let go of the candidates of a job that has no case; its doubts are kept."""
        memory = self._memory(job_id)
        memory.first_named.clear()
        memory.last_shown.clear()

    def clocks_disagree(self, job_id: JobId) -> None:
        """Let nothing be settled on a job for 24 h (R7)."""
        self._memory(job_id).clocks_at = self._clock.monotonic()

    def believe(self, job_id: JobId, command_id: CommandId) -> None:
        """Take note of a start that is made again because its route says complete."""
        believed = self._memory(job_id).believed
        believed.append(command_id)
        del believed[:-_NAMED]

    def routes_changed(self) -> None:
        """Believe what the routes say, until it is refuted again."""
        for memory in self._jobs.values():
            memory.refuted.clear()

    def _memory(self, job_id: JobId) -> _Memory:
        return self._jobs.setdefault(job_id, _Memory())

    def _note(self, memory: _Memory, seen: JobLook, bindings: JobBindings) -> None:
        """Take note of who is named and bound to nobody; forget who is bound by now."""
        for each in memory.first_named.keys() & bindings.known.keys():
            del memory.first_named[each]
            memory.last_shown.pop(each, None)
        for each in seen.named - bindings.known.keys():
            memory.first_named.setdefault(each, seen.ended)

    def _dated(self, known: KnownDelivery) -> KnownDelivery:
        """Return a known one with Jet's own date, where a look has read it."""
        window = known.made_in
        created_on = self._observer.created_on(known.delivery_id)
        if created_on is None or (window is not None and window.lo == window.hi):
            return known
        return replace(known, made_in=Window(created_on, created_on))

    def _in_question(self, memory: _Memory, ours: Posts) -> list[DeliveryId]:
        """Return the candidates that are in a window of a case, or have no date yet."""
        return [
            each
            for each in memory.first_named
            if (at := self._observer.created_on(each)) is None or ours.over(at)
        ]

    def _witnesses(
        self, seen: JobLook, known: dict[DeliveryId, KnownDelivery]
    ) -> set[DeliveryId]:
        """Return the newest that are listed, and the oldest."""
        starts: list[tuple[datetime, DeliveryId]] = []
        for each in seen.listed:
            of = known.get(each)
            window = of.made_in if of is not None else None
            at = window.lo if window is not None else self._observer.created_on(each)
            if at is not None:
                starts.append((at, each))
        chosen = {each for _, each in nlargest(_NEWEST, starts)}
        if starts:
            chosen.add(min(starts)[1])
        return chosen

    async def _learned(
        self, job_id: JobId, seen: JobLook, known: Iterable[KnownDelivery]
    ) -> Learned:
        """Learn from the last known deliveries what the job shows (R6)."""
        last = last_ended(known, seen.began - self._settle)
        shown = await self._observer.shown(
            job_id, (each.delivery_id for each in last), seen.files
        )
        return learn(
            Lesson(each.asked, showing)
            for each in last
            if (showing := shown[each.delivery_id]) is not None
        )

    def _candidate(
        self,
        delivery_id: DeliveryId,
        memory: _Memory,
        found: dict[DeliveryId, Shown | None],
        learned: Learned,
    ) -> Candidate:
        shown = found.get(delivery_id) or memory.last_shown.get(delivery_id)
        created_on = self._observer.created_on(delivery_id)
        if shown is None and created_on is not None:
            shown = Shown(delivery_id, created_on=created_on)
        of_files = hashes(shown, learned.forms) if shown else frozenset()
        first_named = memory.first_named[delivery_id]
        return Candidate(delivery_id, shown, first_named, of_files)

    def _remember_gap(self, job_id: JobId, memory: _Memory, seen: Survey) -> None:
        if seen.gap is None:
            return
        if self._gap(memory) is None:
            log.error(
                "a job's document hides a delivery that is known, it is not believed"
                " for 24 h",
                job_id=job_id,
                delivery_id=seen.gap,
            )
        memory.gap, memory.gap_at = seen.gap, self._clock.monotonic()

    def _gap(self, memory: _Memory) -> DeliveryId | None:
        if self._clock.monotonic() - memory.gap_at > _DOUBTED_FOR:
            return None
        return memory.gap

    def _judge_listing(self, job_id: JobId, memory: _Memory, seen: Survey) -> None:
        """Refute `listing: complete` by a delivery that it should have listed (R2b)."""
        if seen.unstated is not None and _is_stated(self._routes(job_id), "listing"):
            message = (
                f"the route says listing: complete, but {seen.unstated} is not listed"
            )
            self._refute(job_id, memory, "listing", message)

    def _judge_exclusive(
        self, job_id: JobId, memory: _Memory, ours: Iterable[Post], on_it: Scene
    ) -> bool:
        """Refute `exclusive` by a delivery that somebody else must have started (R4)."""
        if not on_it.job.is_exclusive:
            return False
        for post in ours:
            other = contradicts_exclusive(post, on_it)
            if other is not None:
                message = f"the route says exclusive, but {other} was started by somebody else"
                self._refute(job_id, memory, "exclusive", message)
                return True
        return False

    def _refute(
        self, job_id: JobId, memory: _Memory, statement: str, message: str
    ) -> None:
        if statement in memory.refuted:
            return
        memory.refuted[statement] = message
        routes = self._routes(job_id)
        for route in routes:
            self._metrics.refuted_statements_total.labels(route.name, statement).inc()
        log.error(
            "a statement of a route is refuted, it is not believed until the routes file"
            " is changed",
            route=", ".join(route.name for route in routes),
            job_id=job_id,
            statement=statement,
            because=message,
            started_again_by_it=memory.believed if statement == "listing" else [],
        )

    def _facts(
        self,
        job_id: JobId,
        memory: _Memory,
        learned: Learned,
        known: Iterable[KnownDelivery],
    ) -> JobFacts:
        routes = self._routes(job_id)
        now = self._clock.monotonic()
        clocks_at = memory.clocks_at
        return JobFacts(
            learned=learned,
            is_exclusive=_is_stated(routes, "exclusive")
            and "exclusive" not in memory.refuted,
            is_complete=_is_stated(routes, "listing")
            and "listing" not in memory.refuted,
            do_clocks_agree=clocks_at is None or now - clocks_at > _DOUBTED_FOR,
            sizes=frozenset((each.asked.count, each.asked.size) for each in known),
            refuted="; ".join(memory.refuted.values()) or None,
        )


def _is_stated(routes: Sequence[Route], statement: str) -> bool:
    """Whether all routes of a job state it: found by name and by id, they may differ."""
    if statement == "exclusive":
        says = [route.is_exclusive for route in routes]
    else:
        says = [route.listing is Listing.COMPLETE for route in routes]
    return bool(says) and all(says)
