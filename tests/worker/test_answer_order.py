"""
What Jet was asked first is not told last, however late its answers come.

A thousand deliveries in virtual time, under a Jet that computes its answers when it is
asked and gives them up to three seconds later, each with a delay of its own. Now and then
it fails to list, so that deliveries are asked for by themselves while they are listed.
"""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import timedelta
from itertools import pairwise
from random import Random
from typing import Any, cast

import pytest
from prometheus_client import CollectorRegistry
from typing_extensions import override

from jetworker.core.command import CommandId, DeliveryId, JobId, TransferId
from jetworker.core.delivery import Delivery, Event, EventType, State
from jetworker.core.errors import JetUnavailable
from jetworker.core.lifecycle import transition
from jetworker.core.observation import JetDelivery, JetTransfer, Progress, Tally
from jetworker.core.polling import Pace, Told
from jetworker.core.transitions import Policy
from jetworker.core.trigger import StatusObserved, Trigger
from jetworker.jet.client import JetClient
from jetworker.runtime.metrics import Metrics
from jetworker.runtime.watchdog import Watchdog
from jetworker.worker.following import followed as followed_module
from jetworker.worker.following import poll
from jetworker.worker.following.follower import Follower
from jetworker.worker.handle import DeliveryHandle
from tests.simulation.loop import run
from tests.support.builders import NOW, a_delivery
from tests.support.fakes import OneDelivery, SteadyClock

DELIVERIES, JOBS = 1000, 50
FAILS = 0.5  # of the listings
LATEST = 3.0  # seconds until an answer comes
LASTS = (4.0, 30.0)  # seconds of a delivery
PACE = Pace(timedelta(seconds=0.5), timedelta(seconds=3))
POLICY = Policy(progress_interval=timedelta())  # each count that changes is told


@dataclass
class Owner(OneDelivery):
    """Keeps every event of its delivery."""

    events: list[Event] = field(default_factory=list)

    @override
    def apply(self, command_id: CommandId, trigger: Trigger) -> "asyncio.Future[None]":
        step = transition(self.delivery, trigger, NOW, POLICY)
        self.delivery = step.delivery
        self.events += step.events
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        done.set_result(None)
        return done


class LateJet:
    """Moves each delivery at a pace of its own, and answers late."""

    def __init__(self, luck: Random) -> None:
        self._luck = luck
        self._lasts = [luck.uniform(*LASTS) for _ in range(DELIVERIES)]

    def may_list_transfers(self) -> bool:
        return True

    async def get_delivery(
        self, _job_id: JobId, delivery_id: DeliveryId, **_: Any
    ) -> JetDelivery:
        number = int(delivery_id)
        shown = JetDelivery(
            delivery_id,
            self._state(number),
            NOW,
            self._progress(number),
            (TransferId(f"t-{number}"),),
            asked_at=asyncio.get_running_loop().time(),
        )
        await self._arrives()
        return shown

    async def get_transfer(
        self, _job_id: JobId, transfer_id: TransferId, **_: Any
    ) -> JetTransfer:
        shown = self._transfer(int(transfer_id.removeprefix("t-")))
        await self._arrives()
        return shown

    async def list_transfers(self, job_id: JobId, **_: Any) -> tuple[JetTransfer, ...]:
        every = (self._transfer(n) for n in range(int(job_id), DELIVERIES, JOBS))
        shown = tuple(each for each in every if each.state == "IN_PROGRESS")
        await self._arrives()
        if self._luck.random() < FAILS:
            msg = "no listing"
            raise JetUnavailable(msg)
        return shown

    async def _arrives(self) -> None:
        await asyncio.sleep(self._luck.uniform(0.0, LATEST))

    def _transfer(self, number: int) -> JetTransfer:
        return JetTransfer(
            TransferId(f"t-{number}"),
            self._state(number),
            DeliveryId(str(number)),
            progress=self._progress(number),
            asked_at=asyncio.get_running_loop().time(),
        )

    def _state(self, number: int) -> str:
        return "COMPLETED" if self._part(number) == 1.0 else "IN_PROGRESS"

    def _progress(self, number: int) -> Progress:
        return Progress(Tally(1, int(1_000_000 * self._part(number))))

    def _part(self, number: int) -> float:
        return min(1.0, asyncio.get_running_loop().time() / self._lasts[number])


async def followed() -> list[Owner]:
    """Follow all deliveries to their end."""
    clock, metrics = SteadyClock(0.5), Metrics(CollectorRegistry())
    jet = cast(JetClient, LateJet(Random(7)))
    asked = poll.StatusPoll(jet, cast(poll.Commands, None), clock, metrics)
    follower = Follower(
        asked, PACE, POLICY.progress_interval, clock, Watchdog(clock, metrics), metrics
    )
    owners = [Owner(started(number)) for number in range(DELIVERIES)]
    for each in owners:
        follower.take(DeliveryHandle(each, each.delivery.command_id))
    running = asyncio.create_task(follower.run())
    while len(follower):  # noqa: ASYNC110 -- in virtual time, and nobody's event
        await asyncio.sleep(1.0)
    running.cancel()
    return owners


def started(number: int) -> Delivery:
    """Return a delivery that is started, on one of the jobs."""
    return replace(
        a_delivery(State.STARTED),
        command_id=CommandId(f"c-{number}"),
        delivery_id=DeliveryId(str(number)),
        job_id=JobId(str(number % JOBS)),
    )


def went_back(events: list[Event]) -> Iterator[tuple[int, int]]:
    """Yield the bytes of two events in a row that are fewer in the later one."""
    of_delivery = [
        each.delivery.progress.transferred.bytes
        for each in events
        if each.transfer is None and each.delivery.progress
    ]
    of_transfer = [
        each.transfer.progress.transferred.bytes
        for each in events
        if each.transfer is not None and each.transfer.progress
    ]
    for counts in (of_delivery, of_transfer):
        yield from ((one, two) for one, two in pairwise(counts) if two < one)


def test_no_count_goes_back_though_answers_overtake_each_other() -> None:
    owners: list[Owner] = run(followed)

    assert [list(went_back(each.events)) for each in owners] == [[]] * DELIVERIES
    ends = {each.events[-1].type for each in owners}
    assert ends == {EventType.COMPLETED}
    assert sum(len(each.events) for each in owners) > 3 * DELIVERIES


def test_without_the_order_of_the_questions_counts_would_go_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def as_it_comes(
        told: Told, seen: StatusObserved, _now: float
    ) -> tuple[Told, StatusObserved]:
        return told, seen

    for module in (poll, followed_module):
        monkeypatch.setattr(module, "in_order", as_it_comes)

    owners: list[Owner] = run(followed)

    assert any(list(went_back(each.events)) for each in owners)
