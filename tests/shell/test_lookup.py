"""The look-up of an unknown start while others are started on the same job."""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from prometheus_client import CollectorRegistry
from typing_extensions import override

from jetworker.bindings import Bindings, Book
from jetworker.clock import Clock
from jetworker.core.command import CommandId, DeliveryId, JobId
from jetworker.core.delivery import Delivery, State
from jetworker.core.open_intent import OpenIntent, open_intent
from jetworker.core.settle import Candidate
from jetworker.core.trigger import Absent
from jetworker.core.witness import Known, Settling, is_witnessed
from jetworker.entry import Entry
from jetworker.lookup import Lookup
from jetworker.metrics import Metrics
from jetworker.watcher import Look, Watcher
from tests.builders import NOW, a_delivery
from tests.fakes import OneDelivery


class BusyJob:
    """A job that shows all that was started on it; every reading finds one more."""

    def __init__(self, *unknown: OpenIntent) -> None:
        self.unknown = unknown
        self.started = {DeliveryId("d-0"): NOW, DeliveryId("d-1"): NOW}
        self.looks = 0

    def read(self) -> Book:
        self.started[DeliveryId(f"d-{len(self.started)}")] = datetime.now(UTC)
        bound = {each: (CommandId(each), at) for each, at in self.started.items()}
        return Book(bound, list(self.unknown))


class BusyBindings(Bindings):
    def __init__(self, job: BusyJob) -> None:
        self._job = job

    @override
    async def read(self, job_id: JobId) -> Book:
        return self._job.read()


class BusyWatcher(Watcher):
    def __init__(self, job: BusyJob) -> None:
        self._job = job

    @override
    async def look(self, job_id: JobId) -> Look:
        self._job.looks += 1
        shown = frozenset(self._job.started)
        return Look(shown, shown)

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
        known: Sequence[Known],
        settling: Settling,
    ) -> bool:
        return is_witnessed(listed, known, known, start, settling)


def unknown_starts(number: int) -> list[OneDelivery]:
    delivery = a_delivery(State.UNCERTAIN)
    names = [CommandId(f"c-{n}") for n in range(number)]
    return [OneDelivery(replace(delivery, command_id=name)) for name in names]


async def looked_up(owners: list[OneDelivery]) -> BusyJob:
    """Look unknown starts up until each is told something."""
    job = BusyJob(*(intent_of(owner.delivery) for owner in owners))
    metrics = Metrics(CollectorRegistry())
    settle = timedelta(seconds=0.2)
    lookup = Lookup(BusyWatcher(job), BusyBindings(job), Clock(), settle, metrics)

    running = asyncio.create_task(lookup.run())
    for owner in owners:
        lookup.take(Entry(owner, owner.delivery.command_id))
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
