"""The look-up of an unknown start while others are started on the same job."""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from prometheus_client import CollectorRegistry
from typing_extensions import override

from jetworker.core.command import CommandId, DeliveryId, JobId
from jetworker.core.delivery import Delivery, PendingAdopt, State
from jetworker.core.observation import JetDelivery
from jetworker.core.open_intent import OpenIntent, open_intent
from jetworker.core.settle import Candidate
from jetworker.core.trigger import Absent, AdoptRefused, Found, Undecided
from jetworker.core.witness import Bound, Settling, is_witnessed
from jetworker.runtime.clock import Clock
from jetworker.runtime.metrics import Metrics
from jetworker.worker.handle import DeliveryHandle
from jetworker.worker.job_locks import JobLocks
from jetworker.worker.reconciliation.bindings import Bindings, JobBindings
from jetworker.worker.reconciliation.job_observer import JobLook, JobObserver
from jetworker.worker.reconciliation.reconciler import Reconciler
from tests.support.builders import NOW, a_delivery, an_origin
from tests.support.fakes import OneDelivery
from tests.support.waiting import until

SETTLE = timedelta(seconds=0.2)


class BusyJob:
    """A job that shows all that was started on it; every reading finds one more."""

    def __init__(self, *unknown: OpenIntent) -> None:
        self.unknown = unknown
        self.started = {DeliveryId("d-0"): NOW, DeliveryId("d-1"): NOW}
        self.looks = 0

    def read(self) -> JobBindings:
        self.started[DeliveryId(f"d-{len(self.started)}")] = datetime.now(UTC)
        bound = {each: (CommandId(each), at) for each, at in self.started.items()}
        return JobBindings(bound, list(self.unknown))


class BusyBindings(Bindings):
    def __init__(self, job: BusyJob) -> None:
        self._job = job

    @override
    async def read(self, job_id: JobId) -> JobBindings:
        return self._job.read()


class BusyWatcher(JobObserver):
    def __init__(self, job: BusyJob) -> None:
        self._job = job

    @override
    async def look(self, job_id: JobId) -> JobLook:
        self._job.looks += 1
        shown = frozenset(self._job.started)
        return JobLook(shown, shown)

    @override
    async def delivery(
        self, job_id: JobId, delivery_id: DeliveryId
    ) -> JetDelivery | None:
        return JetDelivery(delivery_id, "IN_PROGRESS", NOW)

    @override
    async def candidates(
        self, job_id: JobId, unbound: Iterable[DeliveryId], since: datetime
    ) -> tuple[Candidate, ...]:
        assert not frozenset(unbound)
        return ()

    @override
    async def is_witnessed(
        self,
        start: OpenIntent,
        job_id: JobId,
        listed: frozenset[DeliveryId],
        known: Sequence[Bound],
        settling: Settling,
    ) -> bool:
        return is_witnessed(listed, known, known, start, settling)


def unknown_starts(number: int) -> list[OneDelivery]:
    delivery = a_delivery(State.UNCERTAIN)
    names = [CommandId(f"c-{n}") for n in range(number)]
    return [OneDelivery(replace(delivery, command_id=name)) for name in names]


def a_lookup(
    job: BusyJob,
    bindings: Bindings | None = None,
    remembered: timedelta = timedelta(days=36_500),
) -> Reconciler:
    return Reconciler(
        BusyWatcher(job),
        bindings or BusyBindings(job),
        JobLocks(),
        clock=Clock(),
        metrics=Metrics(CollectorRegistry()),
        settle=SETTLE,
        remembered=remembered,
    )


async def looked_up(owners: list[OneDelivery]) -> BusyJob:
    """Look unknown starts up until each is told something."""
    job = BusyJob(*(intent_of(owner.delivery) for owner in owners))
    reconciler = a_lookup(job)

    running = asyncio.create_task(reconciler.run())
    for owner in owners:
        reconciler.take(DeliveryHandle(owner, owner.delivery.command_id))
    async with asyncio.timeout(10):
        for owner in owners:
            await owner.changed.wait()
    running.cancel()
    return job


def intent_of(delivery: Delivery) -> OpenIntent:
    assert delivery.intent is not None
    return open_intent(delivery, delivery.intent, timedelta())


async def test_a_delivery_that_is_bound_after_the_looks_hides_nothing() -> None:
    """Where starts never cease, no listing has them all by the time they are read."""
    (owner,) = owners = unknown_starts(1)

    await looked_up(owners)

    assert owner.told == [Absent()]


async def test_a_hundred_unknown_starts_on_a_job_share_a_few_looks_at_it() -> None:
    """Jet failed for a minute: each for itself would not be looked up in time."""
    owners = unknown_starts(100)

    job = await looked_up(owners)

    assert [owner.told for owner in owners] == [[Absent()]] * 100
    assert job.looks < 10


async def test_a_start_that_was_resent_is_given_its_own_time_to_be_shown() -> None:
    """The look-up of the held one before it is at hand, and has waited long ago."""
    (owner,) = unknown_starts(1)
    uncertain = owner.delivery
    assert uncertain.intent is not None
    owner.delivery = replace(uncertain, state=State.HELD)
    job = BusyJob(intent_of(uncertain))
    reconciler = a_lookup(job)
    running = asyncio.create_task(reconciler.run())
    reconciler.take(DeliveryHandle(owner, uncertain.command_id))
    await until(lambda: job.looks > 1, "two looks")

    again = replace(uncertain.intent, written_at=NOW + timedelta(hours=1))
    owner.delivery = replace(uncertain, intent=again)
    began = asyncio.get_running_loop().time()
    reconciler.take(DeliveryHandle(owner, uncertain.command_id))
    await asyncio.wait_for(owner.changed.wait(), 10)
    took = asyncio.get_running_loop().time() - began
    running.cancel()

    assert owner.told == [Absent()]
    assert took >= SETTLE.total_seconds()


class WantedByTwo(BusyBindings):
    """Says of the owners' deliveries what a state topic would, after a while."""

    def __init__(
        self, job: BusyJob, owners: list[OneDelivery], wanted: DeliveryId
    ) -> None:
        super().__init__(job)
        self._owners = owners
        self._wanted = wanted

    @override
    async def read(self, job_id: JobId) -> JobBindings:
        all_of = [owner.delivery for owner in self._owners]
        bound = self._job.read().bound | {
            each.delivery_id: (each.command_id, NOW)
            for each in all_of
            if each.delivery_id is not None
        }
        claimants = {each.command_id for each in all_of if each.pending is not None}
        await asyncio.sleep(0)
        return JobBindings(bound, [], {self._wanted: claimants} if claimants else {})


async def test_of_two_that_operators_bind_to_one_delivery_one_is_refused() -> None:
    wanted = DeliveryId("wanted")
    owners = unknown_starts(2)
    for owner in owners:
        pending = PendingAdopt(wanted, an_origin(), None, None, ())
        owner.delivery = replace(owner.delivery, state=State.HELD, pending=pending)
    job = BusyJob(*(intent_of(owner.delivery) for owner in owners))
    reconciler = a_lookup(job, WantedByTwo(job, owners, wanted))

    running = asyncio.create_task(reconciler.run())
    for owner in owners:
        reconciler.take(DeliveryHandle(owner, owner.delivery.command_id))
    for owner in owners:
        await asyncio.wait_for(owner.changed.wait(), 10)
    running.cancel()

    assert [owner.told for owner in owners] == [[Found(wanted, NOW)], [AdoptRefused()]]


async def test_a_start_of_before_the_dedupe_window_is_decided_by_an_operator_only() -> (
    None
):
    """What ended meanwhile is forgotten: its delivery looks like nobody's, like ours."""
    (owner,) = unknown_starts(1)
    reconciler = a_lookup(BusyJob(intent_of(owner.delivery)), remembered=timedelta())

    running = asyncio.create_task(reconciler.run())
    reconciler.take(DeliveryHandle(owner, owner.delivery.command_id))
    await asyncio.wait_for(owner.changed.wait(), 10)
    running.cancel()

    assert owner.told == [
        Undecided("those started with it are forgotten, and could be it")
    ]
