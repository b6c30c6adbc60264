"""Who is asked how: a listing for many, and each by itself of whom none would tell."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from typing_extensions import override

from jetworker.core.command import CommandId, DeliveryId, JobId
from jetworker.core.delivery import Delivery, State, Terms
from jetworker.core.errors import JetUnavailable
from jetworker.core.observation import Hint, JetDelivery, JetTransfer
from jetworker.core.polling import Pace, Speed
from jetworker.core.polling import estimate as right
from jetworker.core.route import OnUncertain
from jetworker.core.transitions import Policy
from jetworker.core.trigger import DeadlinePassed, StatusObserved
from jetworker.runtime.clock import Clock
from jetworker.runtime.metrics import Metrics
from jetworker.runtime.watchdog import Watchdog
from jetworker.worker.following import follower as module
from jetworker.worker.following.followed import FollowedDelivery
from jetworker.worker.following.follower import Follower
from jetworker.worker.following.poll import StatusPoll
from jetworker.worker.handle import DeliveryHandle
from tests.support.builders import NOW, a_delivery, a_jet_transfer
from tests.support.fakes import OneDelivery
from tests.support.waiting import PATIENCE, until

PACE = Pace(timedelta(milliseconds=20), timedelta(seconds=10))
POLICY = Policy()


class CountingPoll(StatusPoll):
    """Counts questions; its listings show a transfer of each of *deliveries*."""

    def __init__(
        self, deliveries: list[Delivery], *, may_list: bool, enough: int
    ) -> None:
        self._may_list = may_list
        self._enough = enough
        self.asked: Counter[str] = Counter()
        self.changed = asyncio.Event()
        self._shown = tuple(
            replace(a_jet_transfer(f"t-{n}"), delivery_id=each.delivery_id)
            for n, each in enumerate(deliveries)
        )

    @override
    def may_list(self) -> bool:
        return self._may_list

    @override
    async def list(self, followed: FollowedDelivery) -> tuple[JetTransfer, ...]:
        self._count("list")
        return self._shown

    @override
    async def ask(self, followed: FollowedDelivery, delivery: Delivery) -> None:
        self._count("ask")
        followed.asked_at = asyncio.get_running_loop().time()

    def _count(self, what: str) -> None:
        self.asked[what] += 1
        if self.asked.total() >= self._enough:
            self.changed.set()


def three(jet_state: str = "IN_PROGRESS") -> list[Delivery]:
    """Return three deliveries of one job."""
    return [
        a_delivery(
            State.IN_PROGRESS,
            command_id=CommandId(f"c-{n}"),
            delivery_id=DeliveryId(f"d-{n}"),
            jet_state=jet_state,
        )
        for n in range(3)
    ]


async def questions(
    *, may_list: bool = True, is_shown: bool = True, enough: int = 12
) -> Counter[str]:
    """Follow three deliveries of one job for some questions; count their kinds."""
    deliveries = three("IN_PROGRESS" if is_shown else "QUEUED")
    poll = CountingPoll(
        deliveries if is_shown else [], may_list=may_list, enough=enough
    )
    clock = Clock()
    metrics = Metrics(CollectorRegistry())
    follower = Follower(
        poll, PACE, POLICY.progress_interval, clock, Watchdog(clock, metrics), metrics
    )
    for each in deliveries:
        follower.take(DeliveryHandle(OneDelivery(each), each.command_id))
    running = asyncio.create_task(follower.run())
    await asyncio.wait_for(poll.changed.wait(), PATIENCE)
    running.cancel()
    return poll.asked


class FailingPoll(CountingPoll):
    """Fails on one delivery, or on every listing."""

    def __init__(self, deliveries: list[Delivery], what: str) -> None:
        super().__init__(deliveries, may_list=what != "ask", enough=20)
        self._what = what

    @override
    async def list(self, followed: FollowedDelivery) -> tuple[JetTransfer, ...]:
        shown = await super().list(followed)
        if self._what == "list":
            raise RuntimeError
        return shown

    @override
    async def ask(self, followed: FollowedDelivery, delivery: Delivery) -> None:
        await super().ask(followed, delivery)
        if self._what == "ask" and delivery.command_id == "c-1":
            raise RuntimeError


@pytest.mark.parametrize(
    ("what", "aside"), [("ask", {"c-1"}), ("told", {"c-1"}), ("list", set())]
)
async def test_one_on_which_our_code_fails_is_set_aside_and_the_others_are_asked_on(
    what: str, aside: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A listing that cannot be used is nobody's fault: each is asked by itself."""

    def estimate(seen: Speed, delivery: Delivery, *rest: Any) -> Speed:
        if what == "told" and delivery.command_id == "c-1":
            raise RuntimeError
        return right(seen, delivery, *rest)

    monkeypatch.setattr(module, "estimate", estimate)
    owners = [OneDelivery(each) for each in three()]
    poll = FailingPoll([each.delivery for each in owners], what)
    clock, metrics = Clock(), Metrics(CollectorRegistry())
    follower = Follower(
        poll, PACE, POLICY.progress_interval, clock, Watchdog(clock, metrics), metrics
    )
    for each in owners:
        follower.take(DeliveryHandle(each, each.delivery.command_id))
    running = asyncio.create_task(follower.run())
    await asyncio.wait_for(poll.changed.wait(), PATIENCE)

    assert not running.done()
    running.cancel()
    assert {x.delivery.command_id for x in owners if x.failures} == aside
    assert {x.delivery.state for x in owners if x.failures} <= {State.HELD}
    assert len(follower) == len(owners) - len(aside)


class LastWord(CountingPoll):
    """Jet's last word on a delivery is its state, or none."""

    def __init__(self, state: str | None) -> None:
        super().__init__([], may_list=False, enough=1)
        self._state = state

    @override
    async def ask(self, followed: FollowedDelivery, delivery: Delivery) -> None:
        await super().ask(followed, delivery)
        if self._state is None:
            raise JetUnavailable("down")
        shown = JetDelivery(followed.delivery_id, self._state)
        followed.shown = shown.state
        await followed.handle.apply(StatusObserved(shown, ()))


@pytest.mark.parametrize(
    ("state", "ends"),
    [
        ("COMPLETED", State.COMPLETED),
        ("IN_PROGRESS", State.FAILED),
        (None, State.FAILED),
    ],
)
async def test_what_ended_while_nobody_was_there_to_ask_ends_as_jet_says(
    state: str | None, ends: State
) -> None:
    """A worker that was frozen, or down, finds that the deadline has passed meanwhile."""
    terms = Terms(OnUncertain.RECONCILE, timedelta(hours=1))
    owner = OneDelivery(
        a_delivery(State.IN_PROGRESS, started_at=NOW - timedelta(days=1), terms=terms)
    )
    poll, clock, metrics = LastWord(state), Clock(), Metrics(CollectorRegistry())
    follower = Follower(
        poll, PACE, POLICY.progress_interval, clock, Watchdog(clock, metrics), metrics
    )
    follower.take(DeliveryHandle(owner, owner.delivery.command_id))
    running = asyncio.create_task(follower.run())
    await until(lambda: not len(follower), "its end")
    running.cancel()

    assert owner.delivery.state is ends
    assert poll.asked == {"ask": 1}
    is_late = any(isinstance(each, DeadlinePassed) for each in owner.told)
    assert is_late == (ends is State.FAILED)


async def test_where_listings_tell_of_nobody_they_grow_rare() -> None:
    """The budget would go into listings of deliveries that have not begun."""
    asked = await questions(is_shown=False, enough=60)

    assert asked["list"] < asked["ask"] / 4


async def test_what_is_in_progress_is_told_by_a_listing_for_all() -> None:
    asked = await questions(enough=30)  # each may be asked for once, at first

    assert asked["list"] > 0
    assert asked["ask"] < asked["list"]


async def test_while_jet_holds_listings_back_each_is_asked_by_itself() -> None:
    """All would wait for the listing, for as long as Jet's Retry-After says."""
    assert set(await questions(may_list=False)) == {"ask"}


class ShowingPoll(StatusPoll):
    """Jet as it is now: one delivery, whose state a test sets; counts its questions."""

    def __init__(self) -> None:
        self.asked = 0
        self.state = "IN_PROGRESS"

    @override
    async def ask(self, followed: FollowedDelivery, delivery: Delivery) -> None:
        self.asked += 1
        followed.shown = self.state
        assert delivery.delivery_id is not None
        shown = JetDelivery(delivery.delivery_id, self.state)
        await followed.handle.apply(StatusObserved(shown))


HOURS = Pace(timedelta(seconds=0.2), timedelta(hours=2))


@asynccontextmanager
async def following(
    poll: ShowingPoll, pace: Pace = HOURS
) -> AsyncIterator[tuple[Follower, OneDelivery]]:
    """Follow one delivery that is in progress."""
    delivery = a_delivery(
        State.IN_PROGRESS,
        job_id=JobId("j-1"),
        delivery_id=DeliveryId("d-1"),
        jet_state="IN_PROGRESS",
    )
    clock = Clock()
    metrics = Metrics(CollectorRegistry())
    follower = Follower(
        poll, pace, POLICY.progress_interval, clock, Watchdog(clock, metrics), metrics
    )
    owner = OneDelivery(delivery)
    follower.take(DeliveryHandle(owner, delivery.command_id))
    running = asyncio.create_task(follower.run())
    try:
        yield follower, owner
    finally:
        running.cancel()


D1 = Hint(JobId("j-1"), DeliveryId("d-1"))
D2 = DeliveryId("d-2")


async def test_a_delivery_that_a_notification_names_is_asked_at_once() -> None:
    """By its own pace it would be asked in hours."""
    poll = ShowingPoll()
    hours = Pace(timedelta(hours=1), timedelta(hours=2))
    async with following(poll, hours) as (follower, owner):
        poll.state = "COMPLETED"
        assert follower.hint(D1)

        await until(lambda: owner.delivery.state is State.COMPLETED, "the end")

    assert poll.asked == 1


async def test_a_notification_may_be_faster_than_the_answer_to_the_start() -> None:
    poll = ShowingPoll()
    hours = Pace(timedelta(hours=1), timedelta(hours=2))
    async with following(poll, hours) as (follower, owner):
        late = OneDelivery(
            replace(owner.delivery, command_id=CommandId("c"), delivery_id=D2)
        )
        assert not follower.hint(Hint(JobId("j-1"), D2))
        follower.take(DeliveryHandle(late, CommandId("c")))

        await until(lambda: poll.asked, "a question")


async def test_what_is_not_followed_here_is_not_asked_for() -> None:
    poll = ShowingPoll()
    async with following(poll, Pace(timedelta(hours=1), timedelta(hours=2))) as (
        follower,
        _,
    ):
        others = [Hint(JobId("j-1"), DeliveryId(f"x-{n}")) for n in range(1000)]
        others += [Hint(JobId(f"j-{n}"), DeliveryId("d-1")) for n in range(2, 1000)]

        assert not any(follower.hint(each) for each in others)
        await asyncio.sleep(0)  # what was to be asked at once would be by now
        await asyncio.sleep(0)

    assert poll.asked == 0


async def test_a_flood_of_forged_ones_asks_no_more_often_than_a_delivery_is() -> None:
    """One of them is answered at once, the others by one question in a while."""
    poll = ShowingPoll()
    async with following(poll) as (follower, _):
        loop = asyncio.get_running_loop()
        began = loop.time()
        while poll.asked < 5:
            follower.hint(D1)
            await asyncio.sleep(0)  # the flood goes on, and the loop with it

    # Three waits between the last four, each spread by up to a tenth.
    assert loop.time() - began > 2.5 * HOURS.minimum.total_seconds()


async def test_a_forged_one_makes_no_question_rarer() -> None:
    """Jet's answer shows no change, so that nothing bears it out."""
    poll = ShowingPoll()
    async with following(poll) as (follower, owner):
        await until(lambda: poll.asked, "a first question")
        before = poll.asked
        follower.hint(D1)
        await until(lambda: poll.asked > before, "the question for it")
        await until(lambda: not _is_asking(follower), "its end")

        due = follower.next_due(owner.delivery.command_id)

    assert due is not None
    assert due < 1


def _is_asking(follower: Follower) -> bool:
    return bool(follower.asking)
