"""
What notifications save and cost, counted beside the same deliveries without them.

In virtual time, under a Jet that answers at once and notifies of every state; nothing
here depends on the machine.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any, cast

import pytest
from prometheus_client import CollectorRegistry

from jetworker.core.command import CommandId, DeliveryId, JobId, TransferId
from jetworker.core.delivery import State
from jetworker.core.observation import Hint, JetDelivery, JetTransfer
from jetworker.core.polling import Pace
from jetworker.jet.client import JetClient
from jetworker.runtime.metrics import Metrics
from jetworker.runtime.watchdog import Watchdog
from jetworker.worker.following.follower import Follower
from jetworker.worker.following.poll import Commands, StatusPoll
from jetworker.worker.handle import DeliveryHandle
from tests.simulation.loop import run
from tests.support.builders import NOW, a_delivery, a_progress
from tests.support.fakes import OneDelivery, SteadyClock

PACE = Pace(timedelta(seconds=2), timedelta(seconds=60))
INTERVAL = timedelta(seconds=10)
LATE = 0.1  # seconds from a state to its notification
# Of its time a delivery is shown so, from this share on.
STAGES = ((0.0, "CREATED"), (0.05, "QUEUED"), (0.1, "SCHEDULED"), (0.19, "IN_PROGRESS"))


EVERY = frozenset({"CREATED", "QUEUED", "SCHEDULED", "IN_PROGRESS", "COMPLETED"})
ENDS = frozenset({"COMPLETED"})
NONE: frozenset[str] = frozenset()


def _now() -> float:
    return asyncio.get_running_loop().time()


@dataclass
class TimedJet:
    """Shows each delivery, and its one transfer, as far as it is by then."""

    began: dict[str, float] = field(default_factory=dict)
    lasts: dict[str, float] = field(default_factory=dict)
    job_of: dict[str, JobId] = field(default_factory=dict)
    asked: Counter[str] = field(default_factory=Counter)

    def may_list_transfers(self) -> bool:
        return True

    async def get_delivery(
        self, _job_id: JobId, delivery_id: DeliveryId, **_: Any
    ) -> JetDelivery:
        self.asked["delivery"] += 1
        number = delivery_id.removeprefix("d-")
        state = self.state(number)
        began = state in {"IN_PROGRESS", "COMPLETED"}
        ids = (TransferId(f"t-{number}"),) if began else ()
        progress = a_progress(1, 100) if began else None
        return JetDelivery(delivery_id, state, NOW, progress, ids, asked_at=_now())

    async def get_transfer(
        self, _job_id: JobId, transfer_id: TransferId, **_: Any
    ) -> JetTransfer:
        self.asked["transfer"] += 1
        return self._transfer(transfer_id.removeprefix("t-"))

    async def list_transfers(self, job_id: JobId, **_: Any) -> tuple[JetTransfer, ...]:
        self.asked["listing"] += 1
        ours = [each for each, of in self.job_of.items() if of == job_id]
        shown = [x for x in ours if self.state(x) == "IN_PROGRESS"]
        return tuple(self._transfer(each) for each in shown)

    def state(self, number: str) -> str:
        share = (_now() - self.began[number]) / self.lasts[number]
        if share >= 1:
            return "COMPLETED"
        return next(state for least, state in reversed(STAGES) if share >= least)

    def _transfer(self, number: str) -> JetTransfer:
        return JetTransfer(
            TransferId(f"t-{number}"),
            self.state(number),
            DeliveryId(f"d-{number}"),
            progress=a_progress(1, 100),
            asked_at=_now(),
        )


@dataclass
class Scene:
    """
    Deliveries over some jobs, followed under a Jet.

    *told* are the states that are notified of, *lost* those that are not of some.
    """

    jet: TimedJet
    follower: Follower
    told: frozenset[str]
    lost: frozenset[str]
    late: list[float] = field(default_factory=list)
    waiting: list["asyncio.Task[None]"] = field(default_factory=list)

    def start(self, job: str, lasts: float, *, is_lossy: bool = False) -> None:
        """Follow one more, that ends after *lasts* seconds."""
        number = str(len(self.jet.began))
        self.jet.began[number], self.jet.lasts[number] = _now(), lasts
        self.jet.job_of[number] = JobId(job)
        named = JobId(job), DeliveryId(f"d-{number}")
        loop = asyncio.get_running_loop()
        told = self.told - self.lost if is_lossy else self.told
        for share, state in (*STAGES, (1.0, "COMPLETED")):
            if state in told:
                hint = Hint(*named, is_running=state != "COMPLETED")
                loop.call_later(share * lasts + LATE, self.follower.hint, hint)
        owner = OneDelivery(
            replace(
                a_delivery(State.STARTED),
                command_id=CommandId(f"c-{number}"),
                delivery_id=named[1],
                job_id=named[0],
            )
        )
        self.follower.take(DeliveryHandle(owner, owner.delivery.command_id))
        self.waiting.append(asyncio.create_task(self._ended(owner, _now() + lasts)))

    async def _ended(self, owner: OneDelivery, at: float) -> None:
        while not owner.delivery.state.is_final:
            owner.changed.clear()
            await owner.changed.wait()
        self.late.append(_now() - at)

    def cost(self) -> "Cost":
        """Return what they have cost by now."""
        late = sorted(self.late)
        p99 = late[int(0.99 * (len(late) - 1))]
        return Cost(self.jet.asked.total() / len(late), p99, late[-1])


@asynccontextmanager
async def a_scene(told: frozenset[str], lost: frozenset[str]) -> AsyncIterator[Scene]:
    clock, metrics = SteadyClock(), Metrics(CollectorRegistry())
    jet = TimedJet()
    commands = cast(Commands, None)
    poll = StatusPoll(cast(JetClient, jet), commands, clock, metrics)
    watchdog = Watchdog(clock, metrics)
    follower = Follower(poll, PACE, INTERVAL, clock, watchdog, metrics)
    running = asyncio.create_task(follower.run())
    try:
        yield Scene(jet, follower, told, lost)
    finally:
        running.cancel()


@dataclass(frozen=True)
class Cost:
    """Calls a delivery, and how late ends were seen."""

    calls: float
    p99: float
    worst: float


def of_burst(
    told: frozenset[str], *, lost: frozenset[str] = NONE, every: int = 10
) -> Cost:
    """
    Return what 200 deliveries of ten seconds, begun in six, cost over four jobs.

    Of each *every*th, what is *lost* is not notified of.
    """

    async def main() -> Cost:
        async with a_scene(told, lost) as scene:
            for number in range(200):
                scene.start(f"j-{number % 4}", 10.0, is_lossy=not number % every)
                await asyncio.sleep(0.03)
            await asyncio.gather(*scene.waiting)
            return scene.cost()

    return cast(Cost, run(main))


def of_long_ones(told: frozenset[str]) -> Cost:
    """Return what one delivery of a minute costs on each of 24 jobs."""

    async def main() -> Cost:
        async with a_scene(told, NONE) as scene:
            for number in range(24):
                scene.start(f"j-{number}", 60.0)
            await asyncio.gather(*scene.waiting)
            return scene.cost()

    return cast(Cost, run(main))


def test_in_a_burst_of_short_ones_they_cost_no_call_and_ends_are_told_at_once() -> None:
    without, told = of_burst(NONE), of_burst(EVERY)

    assert told.calls <= without.calls
    assert told.worst <= LATE + 0.01 < without.p99


@pytest.mark.parametrize("every", [2, 10])
@pytest.mark.parametrize("lost", [EVERY, ENDS])
def test_what_is_lost_in_a_burst_is_seen_late_by_a_part_of_what_it_took(
    lost: frozenset[str], every: int
) -> None:
    """It was a minute, however short the delivery."""
    without, told = of_burst(NONE), of_burst(EVERY, lost=lost, every=every)

    assert told.calls <= without.calls
    assert told.worst <= 10.0 / 2


def test_one_that_no_notification_named_is_seen_as_soon_as_without() -> None:
    without, told = of_burst(NONE), of_burst(EVERY, lost=EVERY)

    assert told.worst <= without.worst + 0.01


def test_of_long_ones_a_third_of_the_questions_is_asked() -> None:
    without, told = of_long_ones(NONE), of_long_ones(EVERY)

    assert told.calls <= without.calls / 3
    assert told.worst <= LATE + 0.01


def test_ends_alone_that_are_notified_of_put_nothing_off_and_are_told_at_once() -> None:
    without, told = of_long_ones(NONE), of_long_ones(ENDS)

    assert told.calls <= without.calls
    assert told.worst <= LATE + 0.01


def test_forged_ends_cost_a_call_each_and_change_no_other() -> None:
    """Sent in one moment they are one; nothing of the delivery's transfers is asked."""

    async def main(forged: tuple[float, ...]) -> Counter[str]:
        async with a_scene(NONE, NONE) as scene:
            for job in ("j-1", "j-1", "j-2"):  # two by listings, one by itself
                scene.start(job, 60.0)
            loop = asyncio.get_running_loop()
            for at in forged:
                for number, job in ((0, "j-1"), (2, "j-2")):
                    hint = Hint(JobId(job), DeliveryId(f"d-{number}"))
                    for _ in range(5):
                        loop.call_later(at, scene.follower.hint, hint)
            await asyncio.sleep(59.0)
            return scene.jet.asked

    usual = run(lambda: main(()))
    asked = run(lambda: main((21.3, 33.3, 45.3)))

    assert asked["delivery"] - usual["delivery"] == 2 * 3
    assert asked["listing"] == usual["listing"]
    assert asked["transfer"] == usual["transfer"]


def test_after_one_that_could_not_be_read_all_is_asked_as_without() -> None:
    async def main(*, is_missed: bool) -> tuple[float, ...]:
        async with a_scene(EVERY, ENDS) as scene:
            for job in ("j-1", "j-1", "j-2"):
                scene.start(job, 32.0, is_lossy=True)
            await asyncio.sleep(30.0)
            if is_missed:
                scene.follower.miss_notification()
            await asyncio.gather(*scene.waiting)
            return tuple(scene.late)

    assert max(run(lambda: main(is_missed=True))) <= 3.2  # a tenth of its age
    assert max(run(lambda: main(is_missed=False))) > 3.2
