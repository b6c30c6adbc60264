"""
What following costs, counted: questions, steps, tasks, places in the schedule, calls.

In virtual time, under a Jet that answers at once; nothing here depends on the machine.
"""

import asyncio
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from random import Random
from types import FrameType
from typing import Any, cast

import pytest
from prometheus_client import CollectorRegistry

from jetworker.core.command import CommandId, DeliveryId, JobId, TransferId
from jetworker.core.delivery import Delivery, State, Transfer
from jetworker.core.errors import JetUnavailable
from jetworker.core.observation import JetDelivery, JetTransfer, Progress
from jetworker.core.polling import Pace
from jetworker.core.trigger import StatusObserved, Trigger
from jetworker.jet.client import JetClient
from jetworker.runtime.metrics import Metrics
from jetworker.runtime.watchdog import Watchdog
from jetworker.worker.following.follower import Follower
from jetworker.worker.following.poll import Commands, StatusPoll
from jetworker.worker.handle import DeliveryHandle
from tests.simulation.loop import run
from tests.support.builders import NOW, a_delivery, a_progress
from tests.support.fakes import OneDelivery, SteadyClock

EVERY = 5.0
PACE = Pace(timedelta(seconds=EVERY), timedelta(seconds=EVERY))
INTERVAL = timedelta(seconds=10)
JOB = JobId("j-1")


def started(number: int) -> Delivery:
    return replace(
        a_delivery(State.STARTED),
        command_id=CommandId(f"c-{number}"),
        delivery_id=DeliveryId(f"d-{number}"),
        job_id=JOB,
    )


@dataclass
class CountedJet:
    """Ends each delivery at its time, and counts what it is asked."""

    ends: dict[str, float] = field(default_factory=dict)
    is_named: bool = True
    is_growing: bool = False
    asked: Counter[str] = field(default_factory=Counter)
    slow: float = 0.0
    on_its_way: int = 0
    most: int = 0
    listing: Callable[[], None] = lambda: None
    listed: Callable[[], None] = lambda: None

    def may_list_transfers(self) -> bool:
        return True

    async def get_delivery(
        self, _job_id: JobId, delivery_id: DeliveryId, **_: Any
    ) -> JetDelivery:
        await self._answers("delivery")
        number = delivery_id.removeprefix("d-")
        state, progress = self._state(number), self._progress()
        ids = (TransferId(f"t-{number}"),)
        return JetDelivery(delivery_id, state, NOW, progress, ids, asked_at=_now())

    async def get_transfer(
        self, _job_id: JobId, transfer_id: TransferId, **_: Any
    ) -> JetTransfer:
        await self._answers("transfer")
        return self._transfer(transfer_id.removeprefix("t-"))

    async def list_transfers(self, _job_id: JobId, **_: Any) -> tuple[JetTransfer, ...]:
        self.listing()
        await self._answers("listing")
        every = [self._transfer(each) for each in self.ends]
        shown = tuple(each for each in every if each.state == "IN_PROGRESS")
        self.listed()
        return shown

    async def _answers(self, what: str) -> None:
        self.asked[what] += 1
        self.on_its_way += 1
        self.most = max(self.most, self.on_its_way)
        await asyncio.sleep(self.slow)
        self.on_its_way -= 1

    def _transfer(self, number: str) -> JetTransfer:
        owner = DeliveryId(f"d-{number}") if self.is_named else None
        return JetTransfer(
            TransferId(f"t-{number}"),
            self._state(number),
            owner,
            progress=self._progress(),
            asked_at=_now(),
        )

    def _progress(self) -> Progress:
        return a_progress(1, int(_now()) if self.is_growing else 100)

    def _state(self, number: str) -> str:
        return "IN_PROGRESS" if _now() < self.ends[number] else "COMPLETED"


def _now() -> float:
    return asyncio.get_running_loop().time()


@dataclass
class Scene:
    """Deliveries of one job that are followed under a Jet."""

    jet: CountedJet
    follower: Follower
    owners: list[OneDelivery] = field(default_factory=list)

    def start(
        self, lasts: float, *, is_known: bool = True, jet_state: str | None = None
    ) -> OneDelivery:
        """Follow one more, that ends after *lasts* seconds."""
        number = len(self.owners)
        self.jet.ends[str(number)] = _now() + lasts
        delivery = replace(started(number), jet_state=jet_state)
        if is_known:
            known = Transfer(TransferId(f"t-{number}"))
            delivery = replace(delivery, transfers=(known,))
        owner = OneDelivery(delivery)
        self.owners.append(owner)
        self.follower.take(DeliveryHandle(owner, delivery.command_id))
        return owner

    @property
    def steps(self) -> int:
        """How often any of them was told something."""
        return sum(len(each.told) for each in self.owners)

    @property
    def places(self) -> int:
        """How many places in the schedule were ever taken."""
        return self.follower._askers._schedule.entries_made  # noqa: SLF001 -- a cost, no door


@asynccontextmanager
async def a_scene(pace: Pace = PACE, **jet: Any) -> AsyncIterator[Scene]:
    clock, metrics = SteadyClock(), Metrics(CollectorRegistry())
    counted = CountedJet(**jet)
    commands = cast(Commands, None)
    poll = StatusPoll(cast(JetClient, counted), commands, clock, metrics)
    watchdog = Watchdog(clock, metrics)
    scene = Scene(counted, Follower(poll, pace, INTERVAL, clock, watchdog, metrics))
    running = asyncio.create_task(scene.follower.run())
    try:
        yield scene
    finally:
        running.cancel()


async def settled() -> None:
    """Let the first listings tell what is new."""
    await asyncio.sleep(3 * EVERY)


def counting_tasks(made: list[str]) -> Any:
    """Return a factory of tasks that keeps which were made."""

    def factory(
        loop: asyncio.AbstractEventLoop, coro: Coroutine[Any, Any, Any], **named: Any
    ) -> "asyncio.Task[Any]":
        made.append(str(coro))
        return asyncio.Task(coro, loop=loop, **named)

    return factory


@pytest.mark.parametrize("is_named", [True, False])
def test_a_listing_of_1000_unchanged_deliveries_costs_none_of_them_anything(
    *, is_named: bool
) -> None:
    """No step, no task, no question, and no place in the schedule but the job's own."""

    async def main() -> tuple[Any, ...]:
        async with a_scene(is_named=is_named) as scene:
            for _ in range(1000):
                scene.start(1e6)
            await settled()
            tasks: list[str] = []
            loop = asyncio.get_running_loop()
            loop.set_task_factory(counting_tasks(tasks))
            steps, asked, places = scene.steps, scene.jet.asked.copy(), scene.places
            await asyncio.sleep(4 * EVERY + 1)
            loop.set_task_factory(None)
            told = scene.steps - steps
            return told, tasks, scene.places - places, scene.jet.asked - asked

    steps, tasks, places, asked = run(main)

    assert set(asked) == {"listing"}
    assert (steps, tasks, places) == (0, [], asked["listing"])


def test_what_a_listing_costs_grows_with_what_it_shows_and_no_faster() -> None:
    def calls(deliveries: int) -> int:
        """Count the functions that are called from one listing to the next."""
        count = 0

        def called(_: FrameType, what: str, __: Any) -> None:
            nonlocal count
            count += what in {"call", "c_call"}

        async def main() -> int:
            async with a_scene() as scene:
                for _ in range(deliveries):
                    scene.start(1e6)
                await settled()
                scene.jet.listed = lambda: sys.setprofile(called)
                scene.jet.listing = lambda: sys.setprofile(None)
                await asyncio.sleep(2 * EVERY)
                sys.setprofile(None)
            return count

        return cast(int, run(main))

    few, many = calls(100), calls(1000)

    assert many < 10.5 * few


def test_a_delivery_of_a_burst_is_asked_for_once_itself_and_once_its_transfer() -> None:
    """Whoever the listing shows no more has ended; all others share its one question."""
    lasts, deliveries, begins = 40.0, 200, 20.0

    async def main() -> tuple[Counter[str], list[float]]:
        late: list[float] = []

        async def ended(owner: OneDelivery, at: float) -> None:
            while not owner.delivery.state.is_final:
                owner.changed.clear()
                await owner.changed.wait()
            late.append(_now() - at)

        async with a_scene() as scene, asyncio.TaskGroup() as tasks:
            for _ in range(deliveries):
                owner = scene.start(lasts, is_known=False)
                tasks.create_task(ended(owner, _now() + lasts))
                await asyncio.sleep(begins / deliveries)
        return scene.jet.asked, late

    asked, late = run(main)

    assert asked["delivery"] == asked["transfer"] == deliveries
    assert asked["listing"] <= (begins + lasts) / EVERY + 2
    assert max(late) <= EVERY + 0.1


def test_an_end_goes_ahead_of_the_many_who_are_merely_due() -> None:
    async def main() -> tuple[int, int]:
        async with a_scene(slow=1.0) as scene:
            ending = [scene.start(53.0, is_known=False) for _ in range(20)]
            for _ in range(600):
                scene.start(1e6)
            while not all(each.delivery.state.is_final for each in ending):  # noqa: ASYNC110 -- in virtual time
                await asyncio.sleep(0.5)
            ended_at = scene.jet.asked["delivery"]
            await asyncio.sleep(4 * EVERY)
            return ended_at, scene.jet.asked["delivery"]

    by_then, after = run(main)

    assert after >= 600
    assert by_then < 400


def test_a_bounded_number_asks_however_many_are_due() -> None:
    """Nor does a question that takes long make a task of its own."""

    async def main() -> tuple[int, int]:
        async with a_scene(slow=2.0) as scene:
            scene.jet.list_transfers = _fails  # type: ignore[method-assign]
            for _ in range(500):
                scene.start(1e6)
            await settled()
            return scene.jet.most, len(asyncio.all_tasks())

    most, tasks = run(main)

    assert most == 128
    assert tasks <= 2 * 128 + 4


def test_the_ends_at_a_distant_jet_do_not_wait_for_one_another() -> None:
    """A hundred end together: each takes two answers, none waits for those of others."""

    async def main() -> float:
        async with a_scene(slow=0.15) as scene:
            ending = [scene.start(33.0) for _ in range(100)]
            await settled()
            before = scene.jet.asked["delivery"]
            while scene.jet.asked["delivery"] == before:  # noqa: ASYNC110 -- in virtual time
                await asyncio.sleep(0.01)
            began = _now()
            while not all(each.delivery.state.is_final for each in ending):  # noqa: ASYNC110 -- in virtual time
                await asyncio.sleep(0.01)
            return _now() - began

    assert run(main) < 0.5


async def _fails(*_: Any, **__: Any) -> tuple[JetTransfer, ...]:
    msg = "no listing"
    raise JetUnavailable(msg)


def test_one_that_jet_has_ended_is_told_in_one_step() -> None:
    async def main() -> list[Trigger]:
        async with a_scene() as scene:
            owner = scene.start(20.0, is_known=False)
            await asyncio.sleep(30.0)
            return owner.told

    told: list[Trigger] = run(main)

    (last,) = [each for each in told if "COMPLETED" in repr(each)]
    assert isinstance(last, StatusObserved)
    assert last.delivery is not None
    assert last.delivery.state == "COMPLETED"
    assert [each.state for each in last.transfers] == ["COMPLETED"]


@pytest.mark.parametrize(
    ("is_growing", "intervals", "times"),
    [(False, 18, 1), (False, 50, 4), (True, 18, 1), (True, 68, 1), (True, 78, 2)],
)
def test_one_that_listings_alone_have_told_of_for_long_is_asked_for_itself(
    *, is_growing: bool, intervals: int, times: int
) -> None:
    """
    After ten of the longest intervals; of its transfers a listing has just told.

    Once that has told its date, and as long as its counts grow, after sixty.
    """

    async def main() -> Counter[str]:
        async with a_scene(is_growing=is_growing) as scene:
            for _ in range(20):
                scene.start(1e6)
            await asyncio.sleep(intervals * EVERY)
            return scene.jet.asked

    asked = run(main)

    assert asked["delivery"] == times * 20
    assert asked["transfer"] == 0


def test_after_a_takeover_questions_are_spread_and_do_not_come_all_at_once() -> None:
    async def main() -> list[int]:
        async with a_scene() as scene:
            clock = scene.follower._clock  # noqa: SLF001 -- luck, where it matters
            clock.jitter = Random(3).random  # type: ignore[method-assign]
            for _ in range(200):
                scene.start(1e6, jet_state="IN_PROGRESS")
            asked = []
            for _ in range(5):
                await asyncio.sleep(2 * EVERY)
                asked.append(scene.jet.asked["delivery"])
            return asked

    asked = run(main)

    assert [each // 20 for each in asked] == pytest.approx([2, 4, 6, 8, 10], abs=2)
