"""The late sweep: which jobs it looks at, for how long, and what it tells of them."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import cast

import pytest
from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs

from jetworker.core.command import CommandId, DeliveryId, JobId, RouteName
from jetworker.core.delivery import State
from jetworker.core.errors import JetUnavailable
from jetworker.runtime.metrics import Metrics
from jetworker.worker.reconciliation.bindings import Bindings, JobBindings
from jetworker.worker.reconciliation.job_observer import JobFiles, JobLook, JobObserver
from jetworker.worker.reconciliation.sweep import Sweep
from jetworker.worker.reconciliation.unexplained import Unexplained
from tests.support.builders import JOB, NOW, SECOND, a_delivery
from tests.support.fakes import HandClock
from tests.support.waiting import until

LATE = DeliveryId("late")
DAY = timedelta(days=1)


@dataclass
class Jet:
    """Shows a delivery that no command is bound to, on every job."""

    created: datetime = NOW
    fails: int = 0
    looked: list[JobId] = field(default_factory=list)

    async def look(self, job_id: JobId) -> JobLook:
        self.looked.append(job_id)
        if self.fails:
            self.fails -= 1
            raise JetUnavailable("not now")
        named = frozenset([LATE])
        return JobLook(NOW, NOW, named, named, JobFiles())

    def created_on(self, delivery_id: DeliveryId) -> datetime | None:
        assert delivery_id == LATE
        return self.created

    async def shown(self, _job: JobId, ids: Iterable[DeliveryId], _: JobLook) -> None:
        assert list(ids) == []

    async def read(self, _job: JobId) -> JobBindings:
        return JobBindings()


@dataclass
class Swept:
    """A sweep over that Jet, and what it counted."""

    jet: Jet
    remembered: timedelta = 7 * DAY
    clock: HandClock = field(default_factory=lambda: HandClock(NOW.timestamp()))
    registry: CollectorRegistry = field(default_factory=CollectorRegistry)

    def __post_init__(self) -> None:
        metrics = Metrics(self.registry)
        self.unexplained = Unexplained(metrics)
        self.sweep = Sweep(
            cast(JobObserver, self.jet),
            cast(Bindings, self.jet),
            self.unexplained,
            clock=self.clock,
            metrics=metrics,
            settle=timedelta(milliseconds=1),
            remembered=self.remembered,
        )

    @property
    def told(self) -> float:
        """How many deliveries were told that nobody asked for."""
        name = "jetworker_unexplained_deliveries_total"
        return self.registry.get_sample_value(name, {"route": "archive"}) or 0

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Run it meanwhile."""
        task = asyncio.create_task(self.sweep.run())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait([task])


async def test_a_job_is_looked_at_again_and_again_and_what_it_shows_told_once() -> None:
    swept = Swept(Jet())
    swept.sweep.touch(a_delivery(State.STARTED, doubted_at=NOW))

    async with swept.running():
        await until(lambda: len(swept.jet.looked) > 3, "looks")

    assert set(swept.jet.looked) == {JOB}
    assert swept.told == 1


async def test_what_a_look_up_has_come_upon_is_not_counted_by_the_sweep_again() -> None:
    swept, route = Swept(Jet()), RouteName("archive")
    swept.unexplained.tell(route, LATE, CommandId("resent"))
    swept.sweep.touch(a_delivery(State.STARTED, doubted_at=NOW))

    async with swept.running():
        await until(lambda: len(swept.jet.looked) > 3, "looks")

    assert swept.told == 1


def test_who_left_a_delivery_behind_is_said_when_it_is_known_and_counted_once() -> None:
    swept, route = Swept(Jet()), RouteName("archive")
    with capture_logs() as logs:
        for left_behind_by in (None, None, CommandId("c-1"), CommandId("c-1"), None):
            swept.unexplained.tell(route, LATE, left_behind_by)

    assert [line.get("left_behind_by") for line in logs] == [None, "c-1"]
    assert swept.told == 1


async def test_a_job_without_a_doubt_is_not_looked_at() -> None:
    swept, other = Swept(Jet()), JobId("doubted")
    swept.sweep.touch(a_delivery(State.STARTED))
    swept.sweep.touch(a_delivery(State.ACCEPTED, doubted_at=NOW))
    swept.sweep.touch(a_delivery(State.STARTED, job_id=other, doubted_at=NOW))

    async with swept.running():
        await until(lambda: len(swept.jet.looked) > 3, "looks")

    assert set(swept.jet.looked) == {other}


@pytest.mark.parametrize(
    ("remembered", "limit"), [(7 * DAY, DAY), (timedelta(hours=1), timedelta(hours=1))]
)
async def test_it_ends_after_a_day_or_with_what_is_remembered(
    remembered: timedelta, limit: timedelta
) -> None:
    swept, other = Swept(Jet(), remembered), JobId("doubted later")
    swept.sweep.touch(a_delivery(State.STARTED, doubted_at=NOW))
    later = NOW + 10 * SECOND
    swept.sweep.touch(a_delivery(State.STARTED, job_id=other, doubted_at=later))
    swept.clock.at += limit.total_seconds()

    async with swept.running():
        await until(lambda: len(swept.jet.looked) > 3, "looks")

    assert set(swept.jet.looked) == {other}


async def test_what_was_there_before_the_doubt_is_not_told() -> None:
    swept = Swept(Jet(created=NOW - timedelta(hours=1)))
    swept.sweep.touch(a_delivery(State.STARTED, doubted_at=NOW))

    async with swept.running():
        await until(lambda: len(swept.jet.looked) > 3, "looks")

    assert swept.told == 0


async def test_a_jet_that_fails_is_asked_again() -> None:
    swept = Swept(Jet(fails=3))
    swept.sweep.touch(a_delivery(State.STARTED, doubted_at=NOW))

    async with swept.running():
        await until(lambda: swept.told, "what is told")

    assert len(swept.jet.looked) >= 4
