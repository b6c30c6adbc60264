"""The look-up of unknown starts: looks, cases, orders, and what is remembered."""

import asyncio
import gc
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, Counter
from typing_extensions import override

from jetworker.core.command import CommandId, DeliveryId, JobId, RouteName
from jetworker.core.delivery import Intent, PendingAdopt, State, Terms
from jetworker.core.errors import JetUnavailable
from jetworker.core.evidence import Asked, Shown
from jetworker.core.finished import finish
from jetworker.core.known import posts_of
from jetworker.core.lifecycle import transition
from jetworker.core.observation import JetDelivery
from jetworker.core.post import Ghost, Post, Window
from jetworker.core.route import Listing, OnUncertain, Route
from jetworker.core.transitions import Policy
from jetworker.core.trigger import (
    Absent,
    AdoptRefused,
    Claimed,
    Found,
    Lost,
    Trigger,
    Undecided,
)
from jetworker.core.witness import KnownDelivery
from jetworker.runtime.clock import Clock
from jetworker.runtime.metrics import Metrics
from jetworker.worker.handle import DeliveryHandle
from jetworker.worker.job_locks import ALONE, JobLocks
from jetworker.worker.reconciliation import job_views
from jetworker.worker.reconciliation import reconciler as module
from jetworker.worker.reconciliation.bindings import Bindings, JobBindings
from jetworker.worker.reconciliation.job_observer import JobFiles, JobLook, JobObserver
from jetworker.worker.reconciliation.job_views import JobViews
from jetworker.worker.reconciliation.reconciler import Reconciler
from jetworker.worker.reconciliation.unexplained import Unexplained
from tests.support.builders import JOB, NOW, SECOND, a_delivery, an_origin
from tests.support.fakes import HandClock, OneDelivery
from tests.support.waiting import PATIENCE, until

SETTLE = timedelta(seconds=0.2)
ASKED = Asked(1, 100, None, b"")
MINUTE = 60 * SECOND


@dataclass
class Job:
    """A job at Jet, and the state topic; every look is a second after the one before."""

    owners: list[OneDelivery] = field(default_factory=list)
    known: dict[DeliveryId, KnownDelivery] = field(default_factory=dict)
    unbound: dict[DeliveryId, Shown] = field(default_factory=dict)
    hidden: set[DeliveryId] = field(default_factory=set)
    looks: int = 0
    is_down: bool = False
    unreadable: dict[CommandId, bytes] = field(default_factory=dict)
    at: datetime = NOW + MINUTE
    jet_time: datetime | None = None

    def has(self, name: str, at: datetime) -> None:
        """Let a command be bound to a delivery that was made then, and ended."""
        made = DeliveryId(name)
        window = Window(at, at)
        self.known[made] = KnownDelivery(made, window, ASKED, at + SECOND)

    @property
    def listed(self) -> frozenset[DeliveryId]:
        return frozenset((self.known.keys() | self.unbound.keys()) - self.hidden)


class JobAtJet(JobObserver):
    """Shows a job."""

    def __init__(self, job: Job) -> None:
        self._job = job

    @property
    @override
    def jet_time(self) -> datetime | None:
        return self._job.jet_time

    @override
    def created_on(self, delivery_id: DeliveryId) -> datetime | None:
        shown = self._job.unbound.get(delivery_id)
        return shown.created_on if shown else None

    @override
    async def look(self, job_id: JobId) -> JobLook:
        job = self._job
        if job.is_down:
            msg = "503"
            raise JetUnavailable(msg)
        job.looks += 1
        job.at += SECOND
        return JobLook(job.at, job.at, job.listed, job.listed, JobFiles())

    @override
    async def shown(
        self,
        job_id: JobId,
        delivery_ids: Iterable[DeliveryId],
        files: JobFiles,
    ) -> dict[DeliveryId, Shown | None]:
        return {each: self._job.unbound.get(each) for each in delivery_ids}

    @override
    async def delivery(
        self, job_id: JobId, delivery_id: DeliveryId
    ) -> JetDelivery | None:
        return JetDelivery(delivery_id, "IN_PROGRESS", NOW)


class StateTopic(Bindings):
    """Says of the owners' deliveries what a state topic would, after a while."""

    def __init__(self, job: Job) -> None:
        self._job = job

    @override
    async def read(self, job_id: JobId) -> JobBindings:
        found = JobBindings(dict(self._job.known), unreadable=self._job.unreadable)
        for owner in self._job.owners:
            found.enter(owner.delivery)
        await asyncio.sleep(0)
        return found


def unknown(
    *names: str, state: State = State.UNCERTAIN, **changes: object
) -> list[OneDelivery]:
    delivery = replace(a_delivery(state), **changes)  # type: ignore[arg-type]
    return [
        OneDelivery(replace(delivery, command_id=CommandId(name))) for name in names
    ]


def value(counter: Counter) -> float:
    """Return what a counter counted."""
    (metric,) = counter.collect()
    return float(metric.samples[0].value)


@dataclass
class Running:
    """A reconciler that runs, and what it shares with the worker."""

    reconciler: Reconciler
    locks: JobLocks
    metrics: Metrics

    def held(self, proof: str) -> float:
        return value(self.metrics.held_starts_total.labels("archive", proof))


def answer(locks: JobLocks) -> None:
    """Let Jet have answered ten starts on the job."""
    durable: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    durable.set_result(None)
    for _ in range(10):
        with locks.at_risk(JOB, "a partition", ALONE) as start:
            locks.answered(JOB, start, durable, is_started=True)


def a_reconciler(
    job: Job,
    locks: JobLocks,
    metrics: Metrics,
    routes: Sequence[Route] = (),
    settle: timedelta = SETTLE,
    remembered: timedelta = timedelta(days=36_500),
    clock: Clock | None = None,
    state_topic: Bindings | None = None,
) -> Reconciler:
    observer, bindings, clock = JobAtJet(job), StateTopic(job), clock or Clock()
    views = JobViews(
        observer,
        bindings,
        clock=clock,
        metrics=metrics,
        settle=settle,
        routes_of=lambda _: routes,
    )
    return Reconciler(
        views,
        observer,
        state_topic or bindings,
        locks,
        Unexplained(metrics),
        clock=clock,
        metrics=metrics,
        settle=settle,
        remembered=remembered,
    )


@asynccontextmanager
async def running(
    job: Job,
    *,
    routes: Sequence[Route] = (),
    remembered: timedelta = timedelta(days=36_500),
    settle: timedelta = SETTLE,
) -> AsyncIterator[Running]:
    metrics, locks = Metrics(CollectorRegistry()), JobLocks(Clock())
    reconciler = a_reconciler(job, locks, metrics, routes, settle, remembered)
    task = asyncio.create_task(reconciler.run())
    for owner in job.owners:
        reconciler.take(DeliveryHandle(owner, owner.delivery.command_id))
    try:
        yield Running(reconciler, locks, metrics)
    finally:
        task.cancel()


async def told(*owners: OneDelivery) -> list[list[Trigger]]:
    async with asyncio.timeout(PATIENCE):
        for owner in owners:
            await owner.changed.wait()
    return [owner.told for owner in owners]


def a_route(**changes: object) -> Route:
    return replace(Route(RouteName("archive"), job_id=JOB), **changes)  # type: ignore[arg-type]


COMPLETE = a_route(listing=Listing.COMPLETE)
EXCLUSIVE = a_route(is_exclusive=True)


def shown(name: str, at: datetime, state: str = "IN_PROGRESS") -> Shown:
    return Shown(DeliveryId(name), state, at, None, 0, 0)


async def test_a_hundred_unknown_starts_on_a_job_share_a_few_looks_at_it() -> None:
    """Jet failed for a minute: each for itself would not be looked up in time."""
    job = Job(unknown(*(f"c-{n}" for n in range(100))))

    async with running(job, routes=[COMPLETE]):
        found = await told(*job.owners)

    assert found == [[Absent()]] * 100
    assert job.looks < 10


async def test_nothing_is_decided_before_settle_is_over() -> None:
    job = Job(unknown("c-1"))
    began = asyncio.get_running_loop().time()

    async with running(job, routes=[COMPLETE]):
        await told(*job.owners)

    assert asyncio.get_running_loop().time() - began >= SETTLE.total_seconds()


async def test_a_job_that_grows_meanwhile_proves_that_nothing_was_started() -> None:
    """The whole of R2, as a busy job shows it by itself."""
    job = Job(unknown("c-1", intent=an_intent()))
    for number in range(12):
        job.has(f"old-{number}", NOW - MINUTE * (20 - number))

    async with running(job):
        await until(lambda: job.looks > 2, "looks before any later start")
        job.has("later", NOW + MINUTE)
        job.unbound[DeliveryId("later")] = shown("later", NOW + MINUTE, "QUEUED")
        looks = job.looks
        await until(lambda: job.looks > looks + 1, "looks after one")
        job.has("latest", job.at + 5 * SECOND)
        found = await told(*job.owners)

    assert found == [[Absent()]]


def an_intent() -> Intent:
    intent = a_delivery(State.UNCERTAIN).intent
    assert intent is not None
    return replace(intent, hi=NOW + 30 * SECOND)


async def test_what_is_not_proven_is_held_and_says_and_counts_what_is_missing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "_PATIENCE", 0.1)
    job = Job(unknown("c-1"))

    async with running(job) as run:
        found = await told(*job.owners)
        await until(lambda: run.held("nothing_listed") == 1, "a count")

    assert found[0][0] == Undecided(
        "the job's document lists no delivery: Jet cannot show that nothing was started;"
        " look at the job in Jet's console, then: jetworker resolve ID adopt"
        " --delivery-id … | resend | abandon"
    )


async def test_a_job_that_cannot_be_looked_at_is_held_for_that(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "_PATIENCE", 0.1)
    job = Job(unknown("c-1"), is_down=True)

    async with running(job) as run:
        found = await told(*job.owners)
        await until(lambda: run.held("not_looked_up") == 1, "a count")

    (undecided, *_) = found[0]
    assert isinstance(undecided, Undecided)
    assert undecided.message.startswith("it could not be looked up: 503")


async def test_on_an_exclusive_job_the_only_one_is_adopted_while_it_runs() -> None:
    job = Job(unknown("c-1"))
    job.unbound[DeliveryId("d-1")] = shown("d-1", NOW + SECOND)

    async with running(job, routes=[EXCLUSIVE]):
        found = await told(*job.owners)
        await until(lambda: len(found[0]) > 1, "what comes of the claim")

    d_1 = DeliveryId("d-1")
    assert found == [[Claimed(d_1), Found(d_1, NOW + SECOND)]]


async def test_a_refuted_statement_is_believed_no_more_and_is_counted() -> None:
    job = Job(unknown("c-1"))
    for number, name in enumerate(("d-1", "d-2")):
        job.unbound[DeliveryId(name)] = shown(name, NOW + number * SECOND)

    async with running(job, routes=[EXCLUSIVE]) as run:
        counter = run.metrics.refuted_statements_total.labels("archive", "exclusive")
        await until(lambda: value(counter) == 1, "a refutation")
        del job.unbound[DeliveryId("d-2")]
        looks = job.looks
        await until(lambda: job.looks > looks + 4, "further looks")

    assert job.owners[0].told == []


async def test_the_look_that_refutes_a_statement_knows_all_that_the_next_one_does() -> (
    None
):
    """Else count and bytes that a known delivery has too would be proof, once."""
    job = Job(unknown("c-1"))
    job.has("known", NOW - MINUTE)
    for number, name in enumerate(("d-1", "d-2")):
        job.unbound[DeliveryId(name)] = shown(name, NOW + number * SECOND)
    views = JobViews(
        JobAtJet(job),
        StateTopic(job),
        clock=Clock(),
        metrics=Metrics(CollectorRegistry()),
        settle=SETTLE,
        routes_of=lambda _: [EXCLUSIVE],
    )

    first, second = [await views.of(JOB, frozenset({CommandId("c-1")})) for _ in "12"]

    assert first.scene.job == second.scene.job
    assert first.scene.job.refuted is not None


async def test_a_gap_is_remembered_when_it_is_shown_no_more() -> None:
    job = Job(unknown("c-1"))
    for number in range(3):
        job.has(f"d-{number}", NOW - MINUTE * (10 - number))
    job.hidden.add(DeliveryId("d-1"))

    async with running(job, routes=[COMPLETE]):
        await until(lambda: job.looks > 1, "a look with a gap")
        job.hidden.clear()
        await until(lambda: job.looks > 8, "looks without")

    assert job.owners[0].told == []


async def test_a_candidate_is_not_forgotten_when_it_is_named_no_more() -> None:
    job = Job(unknown("c-1"))
    job.unbound[DeliveryId("d-1")] = shown("d-1", NOW + SECOND)

    async with running(job, routes=[COMPLETE]):
        await until(lambda: job.looks > 1, "a look that shows it")
        job.hidden.add(DeliveryId("d-1"))
        await until(lambda: job.looks > 8, "looks that do not")

    assert job.owners[0].told == []


async def test_a_start_that_was_answered_is_looked_at_at_once_and_a_second_later() -> (
    None
):
    job = Job(unknown("c-1"))
    starting = a_delivery(State.STARTING)

    async with running(job, settle=MINUTE) as run:
        await until(lambda: job.looks == 1, "the first look")
        run.reconciler.notice(starting, replace(starting, state=State.STARTED))
        await until(lambda: job.looks == 2, "a look at once")
        await until(lambda: job.looks == 3, "a look a second later")


async def test_clocks_that_disagree_let_nothing_be_settled() -> None:
    job = Job(unknown("c-1"))
    window = Window(NOW, NOW + SECOND)
    started = a_delivery(State.STARTED, made_in=window)

    async with running(job, routes=[COMPLETE]) as run:
        for created_on in (NOW, NOW + 2 * SECOND):
            run.reconciler.notice(started, replace(started, created_on=created_on))
        await until(lambda: job.looks > 8, "looks")
        disagreements = value(run.metrics.clock_disagreements_total)

    assert disagreements == 1
    assert job.owners[0].told == []


async def test_a_start_that_was_resent_is_given_its_own_time_to_be_shown() -> None:
    """The look-up of the held one before it is at hand, and has waited long ago."""
    job = Job(unknown("c-1", state=State.HELD))
    (owner,) = job.owners
    held = owner.delivery
    assert held.intent is not None

    async with running(job, routes=[COMPLETE]) as run:
        await until(lambda: job.looks > 0, "a look")
        again = replace(held.intent, written_at=NOW + MINUTE)
        owner.delivery = replace(held, state=State.UNCERTAIN, intent=again)
        began = asyncio.get_running_loop().time()
        run.reconciler.take(DeliveryHandle(owner, held.command_id))
        found = await told(owner)
        took = asyncio.get_running_loop().time() - began

    assert found == [[Absent()]]
    assert took >= SETTLE.total_seconds()


async def test_a_held_one_is_never_started_again_by_itself() -> None:
    job = Job(unknown("c-1", state=State.HELD))

    async with running(job, routes=[COMPLETE]) as run:
        for looks in range(1, 6):
            await until(lambda looks=looks: job.looks >= looks, "a look")  # type: ignore[misc]
            run.reconciler.take(DeliveryHandle(job.owners[0], CommandId("c-1")))

    assert Absent() not in job.owners[0].told


async def test_of_two_that_operators_bind_to_one_delivery_one_is_refused() -> None:
    wanted = DeliveryId("wanted")
    pending = PendingAdopt(wanted, an_origin(), None, None, ())
    job = Job(unknown("c-0", "c-1", state=State.HELD, pending=pending))

    async with running(job):
        found = await told(*job.owners)

    assert found == [[Found(wanted, NOW)], [AdoptRefused()]]


class Slow(StateTopic):
    """Takes long to read, if told so, and says what was there when that began."""

    def __init__(self, job: Job) -> None:
        super().__init__(job)
        self.readings = 0
        self.go_on = asyncio.Event()
        self.go_on.set()

    @override
    async def read(self, job_id: JobId) -> JobBindings:
        found = await super().read(job_id)
        self.readings += 1
        await self.go_on.wait()
        return found


@asynccontextmanager
async def a_worker(
    job: Job, owner: OneDelivery, topic: StateTopic
) -> AsyncIterator[None]:
    """Look after one delivery of a job that others work on too."""
    metrics, locks = Metrics(CollectorRegistry()), JobLocks(Clock())
    reconciler = a_reconciler(job, locks, metrics, [EXCLUSIVE], state_topic=topic)
    task = asyncio.create_task(reconciler.run())
    reconciler.take(DeliveryHandle(owner, owner.delivery.command_id))
    try:
        yield
    finally:
        task.cancel()


FITS = DeliveryId("fits")


def wanted_by_two(of_the_other: State = State.HELD) -> Job:
    """Return a job with a delivery that can only be the last one's, by what is shown."""
    long_ago = Intent(JOB, NOW, NOW - 3600 * SECOND, hi=NOW - 3000 * SECOND)
    (other,) = unknown("c-1", state=of_the_other, intent=long_ago)
    (ours,) = unknown("c-2")
    job = Job([other, ours])
    job.unbound[FITS] = shown(FITS, NOW + SECOND)
    return job


def order_adopt(owner: OneDelivery) -> None:
    pending = PendingAdopt(FITS, an_origin())
    owner.delivery = replace(owner.delivery, pending=pending)


def bound(job: Job) -> list[CommandId]:
    """Return the commands that were bound to it."""
    return [
        each.delivery.command_id
        for each in job.owners
        for trigger in each.told
        if isinstance(trigger, Found) and trigger.delivery_id == FITS
    ]


async def test_of_an_order_and_what_another_worker_finds_by_itself_one_is_bound() -> (
    None
):
    """It reads for a second what is bound, and the order comes meanwhile."""
    job = wanted_by_two()
    other, ours = job.owners
    slow, fast = Slow(job), Slow(job)
    slow.go_on.clear()

    async with a_worker(job, ours, slow):
        await until(lambda: slow.readings > 0, "a slow reading")
        order_adopt(other)
        async with a_worker(job, other, fast):
            await until(lambda: fast.readings > 0, "a fast one")
            slow.go_on.set()
            await told(other, ours)
            await until(lambda: bool(bound(job)), "a delivery that is bound")

    assert bound(job) == ["c-2"]
    assert other.told == [AdoptRefused()]


async def test_who_sees_an_order_for_what_it_claims_gives_way() -> None:
    job = wanted_by_two()
    other, ours = job.owners
    ours.delivery = replace(ours.delivery, claimed=FITS)
    order_adopt(other)

    async with (
        a_worker(job, other, StateTopic(job)),
        a_worker(job, ours, StateTopic(job)),
    ):
        await told(other)

    assert bound(job) == ["c-1"]
    assert ours.told[0] == Claimed(None)


async def test_of_two_that_claim_one_delivery_the_smaller_id_has_it() -> None:
    """Both see the other's claim: one gives way, and the other takes it a look later."""
    job = wanted_by_two()
    other, ours = job.owners
    other.delivery = replace(other.delivery, claimed=FITS)

    async with a_worker(job, ours, StateTopic(job)):
        await until(lambda: job.looks > 5, "some looks")
    first = list(ours.told)
    other.delivery = replace(other.delivery, claimed=None)
    other.delivery = replace(other.delivery, command_id=CommandId("c-3"), claimed=FITS)
    async with a_worker(job, ours, StateTopic(job)):
        await until(lambda: Claimed(FITS) in ours.told, "a claim")
        kept = bound(job)
        other.delivery = replace(other.delivery, claimed=None)
        await until(lambda: bool(bound(job)), "a delivery that is bound")

    assert (Claimed(FITS) in first, kept) == (False, [])
    assert bound(job) == ["c-2"]


async def test_an_operator_s_adopt_waits_for_a_start_that_jet_may_answer_with_it() -> (
    None
):
    job = wanted_by_two()
    other, ours = job.owners
    order_adopt(other)
    ours.delivery = replace(ours.delivery, state=State.STARTING)
    job.unbound.clear()
    topic = Slow(job)

    async with a_worker(job, other, topic):
        await until(lambda: topic.readings > 1, "two readings")
        before = list(other.told)
        job.has(FITS, NOW)
        ours.delivery = replace(ours.delivery, state=State.UNCERTAIN)
        await told(other)

    assert (before, other.told) == ([], [AdoptRefused()])


async def test_an_operator_s_adopt_waits_for_no_start_that_is_answered_no_more() -> (
    None
):
    """Its partition is served by nobody, who would say that it is lost."""
    job = wanted_by_two()
    other, ours = job.owners
    order_adopt(other)
    ours.delivery = replace(ours.delivery, state=State.STARTING)
    job.unbound.clear()
    job.jet_time = NOW + 60 * MINUTE

    async with a_worker(job, other, StateTopic(job)):
        await told(other)

    assert other.told == [Found(FITS, NOW)]


async def test_what_an_operator_has_bound_is_let_go_of() -> None:
    """Nobody looks at its job any more, who would find it settled."""
    pending = PendingAdopt(DeliveryId("wanted"), an_origin())
    job = Job(unknown("c-1", state=State.HELD, pending=pending))

    async with running(job):
        await told(*job.owners)
        await until(lambda: not handles_of(job.owners[0]), "nobody who holds it", 5)


def handles_of(owner: OneDelivery) -> list[DeliveryHandle]:
    """Return by what anybody holds an owner's delivery."""
    handles = (x for x in gc.get_objects() if isinstance(x, DeliveryHandle))
    return [each for each in handles if each.owner is owner]


async def test_after_a_refused_adopt_it_is_looked_at_again() -> None:
    job = Job(unknown("c-1", state=State.HELD))
    (owner,) = job.owners
    job.has("bound", NOW - MINUTE)
    pending = PendingAdopt(DeliveryId("bound"), an_origin())
    owner.delivery = replace(owner.delivery, pending=pending)

    async with running(job):
        await until(lambda: job.looks > 0, "a look")

    assert owner.told[0] == AdoptRefused()


async def test_a_start_of_before_the_dedupe_window_is_decided_by_an_operator_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What ended meanwhile is forgotten: its delivery looks like nobody's, like ours."""
    monkeypatch.setattr(module, "_PATIENCE", 0.1)
    job = Job(unknown("c-1"))

    async with running(job, routes=[COMPLETE], remembered=timedelta()):
        ((undecided, *_),) = await told(*job.owners)

    assert isinstance(undecided, Undecided)
    assert undecided.message.startswith(
        "those started with it are forgotten, and could be it"
    )


def test_a_step_keeps_others_off_the_job_and_lets_them_go_again() -> None:
    locks = JobLocks(HandClock())
    reconciler = a_reconciler(Job(), locks, Metrics(CollectorRegistry()))
    uncertain = a_delivery(State.UNCERTAIN, intent=an_intent())
    (post,) = posts_of(uncertain)
    ghost = Ghost(post.attempt, post.window, post.contents)
    cleared = replace(uncertain, state=State.CLEARED, intent=None, posts=(ghost,))

    reconciler.notice(a_delivery(State.STARTING), cleared)
    blocked = locks.blocked_for(JOB, CommandId("c-2"), NOW)
    reconciler.notice(uncertain, replace(uncertain, state=State.HELD))
    free = locks.blocked_for(JOB, CommandId("c-2"), NOW)
    reconciler.notice(None, uncertain)
    reconciler.notice(a_delivery(), a_delivery(job_id=None))

    assert blocked > 0
    assert free == 0


@pytest.mark.parametrize(
    "policy", [OnUncertain.RESEND, OnUncertain.RECONCILE], ids=["sent again", "dropped"]
)
async def test_a_lost_start_that_nobody_looks_up_here_is_no_case_for_ever(
    policy: OnUncertain,
) -> None:
    """It was sent again at once, or its partition has gone: its job is calm in time."""
    clock = HandClock()
    locks = JobLocks(clock)
    reconciler = a_reconciler(Job(), locks, Metrics(CollectorRegistry()))
    starting = a_delivery(State.STARTING, intent=an_intent(), terms=Terms(policy))
    lost = transition(starting, Lost("no answer"), NOW, Policy()).delivery

    locks.hold(JOB, starting.command_id, an_intent().window.hi)  # when it is lost
    if lost.state is State.CLEARED:
        reconciler.notice(starting, lost)
    clock.at += 601
    answer(locks)

    assert locks.places(JOB, 4) == 4


async def test_a_successor_keeps_others_off_what_was_left_behind_of_late() -> None:
    """Two posts of one worker contend for no delivery, whichever of its lives sent them."""
    clock = HandClock(NOW.timestamp())
    locks, metrics = JobLocks(clock), Metrics(CollectorRegistry())
    reconciler = a_reconciler(Job(), locks, metrics, clock=clock)
    (post,) = posts_of(a_delivery(State.UNCERTAIN, intent=an_intent()))
    left = (Ghost(post.attempt, post.window, post.contents),)
    long_ago = NOW - timedelta(days=2)
    given_up = finish(a_delivery(State.FAILED, posts=left, doubted_at=NOW))

    reconciler.recall(finish(a_delivery(State.FAILED, posts=left)))
    reconciler.recall(replace(given_up, doubted_at=long_ago))
    answer(locks)
    free = locks.blocked_for(JOB, CommandId("c-2"), NOW), locks.places(JOB, 4)
    reconciler.recall(given_up)
    kept = locks.blocked_for(JOB, CommandId("c-2"), NOW), locks.places(JOB, 4)
    clock.at += 601
    later = post.window.hi + 4 * SECOND

    assert free == (0.0, 4)
    assert (kept[0] > 0, kept[1]) == (True, 1)
    assert locks.blocked_for(JOB, CommandId("c-2"), later) == 0.0
    assert locks.places(JOB, 4) == 4


async def test_a_job_is_not_calm_while_a_start_on_it_is_looked_up() -> None:
    clock = HandClock()
    locks = JobLocks(clock)
    reconciler = a_reconciler(Job(), locks, Metrics(CollectorRegistry()))
    (owner,) = unknown("c-1")
    reconciler.take(DeliveryHandle(owner, CommandId("c-1")))
    clock.at += 601
    answer(locks)
    meanwhile = locks.places(JOB, 4)
    reconciler.notice(owner.delivery, replace(owner.delivery, state=State.HELD))

    assert (meanwhile, locks.places(JOB, 4)) == (1, 4)


async def test_a_start_that_was_held_as_its_partition_s_life_ended_is_no_case_for_ever() -> (
    None
):
    """The step was kept, and nobody told of it: the next life finds it held."""
    clock = HandClock()
    locks = JobLocks(clock)
    reconciler = a_reconciler(Job(), locks, Metrics(CollectorRegistry()))
    (before,), (after,) = unknown("c-1"), unknown("c-1", state=State.HELD)
    reconciler.take(DeliveryHandle(before, CommandId("c-1")))
    before.is_over = True
    reconciler.take(DeliveryHandle(after, CommandId("c-1")))
    clock.at += 601
    answer(locks)

    assert locks.places(JOB, 4) == 4


async def test_where_a_snapshot_cannot_be_read_nothing_is_adopted_and_it_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What is on the job may be its command's."""
    monkeypatch.setattr(module, "_PATIENCE", 0.1)
    job = Job(unknown("c-1"), unreadable={CommandId("c-9"): b"?"})
    job.unbound[DeliveryId("d-1")] = shown("d-1", NOW + SECOND)

    async with running(job, routes=[EXCLUSIVE]):
        ((first, *_),) = await told(*job.owners)

    assert isinstance(first, Undecided)
    assert "the state of c-9 cannot be read" in first.message


@pytest.mark.parametrize(
    ("snapshot", "expected"), [(b"no other", Found), (b"... wanted ...", AdoptRefused)]
)
async def test_an_operators_adopt_is_refused_only_where_such_a_snapshot_names_it(
    snapshot: bytes, expected: type[Trigger]
) -> None:
    pending = PendingAdopt(DeliveryId("wanted"), an_origin())
    job = Job(
        unknown("c-1", state=State.HELD, pending=pending),
        unreadable={CommandId("c-9"): snapshot},
    )

    async with running(job):
        ((first, *_),) = await told(*job.owners)

    assert isinstance(first, expected)


async def test_one_on_whose_look_up_our_code_fails_is_set_aside_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    right = module.decide  # type: ignore[attr-defined]  # imported there

    def decide(ours: Post, *rest: Any) -> Any:
        if ours.command_id == "c-1":
            raise RuntimeError
        return right(ours, *rest)

    monkeypatch.setattr(module, "decide", decide)
    job = Job(unknown("c-1", "c-2"))

    async with running(job, routes=[COMPLETE]):
        found = await told(*job.owners)
        looks = job.looks
        await asyncio.sleep(0)

    assert found == [[], [Absent()]]
    assert len(job.owners[0].failures) == 1
    assert job.owners[0].delivery.state is State.HELD
    assert job.looks == looks


async def test_a_job_on_which_our_code_fails_is_held_for_that(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def survey(*_: Any) -> Any:
        raise RuntimeError

    monkeypatch.setattr(job_views, "survey", survey)
    monkeypatch.setattr(module, "_PATIENCE", 0.1)
    job = Job(unknown("c-1"))

    async with running(job, routes=[COMPLETE]) as run:
        ((first, *_),) = await told(*job.owners)
        failed = value(run.metrics.internal_errors_total.labels("delivery"))

    assert isinstance(first, Undecided)
    assert first.message.startswith("the worker failed on looking at the job")
    assert failed >= 1
