"""The start protocol of one route: the intent first, one at a time, in order."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import pytest
from aiohttp import web
from prometheus_client import CollectorRegistry
from typing_extensions import override

from jetworker.core.command import CommandId, JobId, ObjectSpec, RouteName
from jetworker.core.delivery import (
    Delivery,
    Intent,
    ReasonCode,
    Requested,
    State,
    Terms,
)
from jetworker.core.lifecycle import transition
from jetworker.core.rate import Backoff
from jetworker.core.route import Route
from jetworker.core.transitions import Policy
from jetworker.core.trigger import Begun, Blocked, Lost, Refused, StartConfirmed
from jetworker.jet.jobs import JobResolver
from jetworker.runtime.clock import Clock
from jetworker.runtime.metrics import Metrics
from jetworker.worker.delivery_counts import DeliveryCounts
from jetworker.worker.handle import DeliveryHandle
from jetworker.worker.job_locks import ALONE, CALM_AFTER_ANSWERS, JobLocks
from jetworker.worker.starts.dispatcher import RouteDispatcher
from jetworker.worker.starts.sender import StartSender
from tests.support.builders import NOW, SECOND, a_delivery
from tests.support.fakes import HandClock, OneDelivery, Telling
from tests.support.jet import site as sandboxes
from tests.support.jet.fake_server import JetServer
from tests.support.waiting import until

JOB = JobId("job-archive")
NAME = RouteName("archive")
HOUR = timedelta(hours=1)


@dataclass
class Waiting(OneDelivery):
    """Owns a delivery that waits, whose start may be sent."""

    counts: DeliveryCounts | None = None
    in_flight: int = 0
    then: Callable[[], Any] = lambda: None

    @override
    def apply(self, command_id: CommandId, trigger: Any) -> "asyncio.Future[None]":
        before = self.delivery
        durable = super().apply(command_id, trigger)
        self.then()
        if self.counts is not None:
            self.counts.move(before, self.delivery)
        return durable

    @override
    def sending(self) -> AbstractContextManager[None]:
        self.in_flight += 1
        return nullcontext()

    @override
    def check_lease(self, written_at: float) -> None:
        """Allow it."""


class Budgeted(StartSender):
    """Sends as it does; all but the first few wait for the budget until it is *open*."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.open = asyncio.Event()
        self.open.set()
        self.left = 0
        self.waiting = 0
        self.probes = 0
        self.is_deaf = False

    @property
    @override
    def jet_time(self) -> datetime | None:
        return None if self.is_deaf else super().jet_time

    @override
    async def probe(self, route: Route, job_id: JobId) -> Blocked | None:
        self.is_deaf = False
        self.probes += 1
        return await super().probe(route, job_id)

    @override
    async def turn(self, route: Route) -> None:
        self.left -= 1
        if self.left < 0 and not self.open.is_set():
            self.waiting += 1
            await self.open.wait()
        await super().turn(route)


class Later(Clock):
    """A wall clock that is ahead by what a test says."""

    ahead = timedelta(0)

    @override
    def now(self) -> datetime:
        return super().now() + self.ahead


@dataclass(frozen=True, slots=True)
class Patience(Backoff):
    """Waits a little, and keeps after how many failures."""

    after: list[int] = field(default_factory=list)

    @override
    def delay(self, failures: int, jitter: float) -> timedelta:
        self.after.append(failures)
        return Backoff.delay(self, failures, jitter)


@dataclass
class Lane:
    """A route's dispatcher over a real Jet's protocol, and what waits on the route."""

    jet: JetServer
    dispatcher: RouteDispatcher
    routes: dict[RouteName, Route]
    counts: DeliveryCounts
    locks: JobLocks
    files: Telling
    sender: Budgeted
    calm: HandClock
    backoff: Patience
    clock: Later
    owners: list[Waiting] = field(default_factory=list)

    def put(self, name: str, **changes: Any) -> Waiting:
        """Let a delivery wait to be started."""
        wanted = {"objects": (ObjectSpec(f"/{name}.mov", 1),)} | changes
        delivery = a_delivery(
            command_id=CommandId(name), accepted_at=Clock().now(), **wanted
        )
        owner = Waiting(delivery, counts=self.counts)
        self.counts.enter(delivery)
        self.owners.append(owner)
        self.dispatcher.put(DeliveryHandle(owner, delivery.command_id))
        return owner


@pytest.fixture
async def lane() -> AsyncIterator[Lane]:
    async with (
        JetServer() as jet,
        sandboxes.jet_client(jet.base_url, jet.secret) as client,
    ):
        jet.add_job("archive", JOB)
        await client.sign_in()
        routes = {NAME: Route(NAME, job_id=JOB)}
        metrics, seconds = Metrics(CollectorRegistry()), 2 * SECOND
        counts = DeliveryCounts(metrics)
        calm, clock = HandClock(), Later()
        resolver, locks = JobResolver(client, clock), JobLocks(calm)
        files = Telling()
        sender = Budgeted(client, resolver, Clock(), seconds, seconds)
        backoff = Patience(timedelta(milliseconds=10), timedelta(milliseconds=50))
        dispatcher = RouteDispatcher(
            NAME,
            routes=lambda: routes,
            resolver=resolver,
            locks=locks,
            files=files,
            sender=sender,
            counts=counts,
            clock=clock,
            metrics=metrics,
            max_active=100,
            backoff=backoff,
        )
        running = asyncio.create_task(dispatcher.run())
        shared = counts, locks, files, sender, calm, backoff, clock
        yield Lane(jet, dispatcher, routes, *shared)
        running.cancel()
        await asyncio.wait([running])
        with pytest.raises(asyncio.CancelledError):
            running.result()  # nothing else ended it


async def test_the_intent_is_written_down_before_jet_hears_of_the_start(
    lane: Lane,
) -> None:
    states: list[State] = []

    def look(operation: str) -> None:
        if operation == "start_delivery":
            states.extend(owner.delivery.state for owner in lane.owners)

    lane.jet.on_headers = look
    owner = lane.put("c-1")
    await until(lambda: owner.delivery.state is State.STARTED, "a start")

    assert states == [State.STARTING]
    assert [type(each) for each in owner.told] == [Begun, StartConfirmed]
    assert owner.in_flight == 1
    assert len(lane.dispatcher) == 0


async def test_deliveries_of_a_route_are_started_in_their_order(lane: Lane) -> None:
    lane.routes[NAME] = replace(lane.routes[NAME], paused=True)
    names = [f"c-{n}" for n in range(5)]
    owners = [lane.put(name) for name in names]
    lane.put("again", state=State.CLEARED, attempt=1)  # had its turn before
    lane.routes[NAME] = replace(lane.routes[NAME], paused=False)
    lane.dispatcher.nudge()

    await until(lambda: owners[-1].delivery.state is State.STARTED, "the last start")

    started = [path.removesuffix(".mov")[1:] for path in lane.jet.creations()]
    assert started == ["again", *names]


async def test_a_paused_route_keeps_its_deliveries_and_tells_each_once(
    lane: Lane,
) -> None:
    lane.routes[NAME] = replace(lane.routes[NAME], paused=True)
    first, second = lane.put("c-1"), lane.put("c-2")
    await until(lambda: first.told and second.told, "what they wait for")
    for _ in range(5):
        lane.dispatcher.nudge()
        await asyncio.sleep(0)
    late = lane.put("c-3")

    for owner in (first, second, late):
        (said,) = owner.told
        assert isinstance(said, Blocked)
        assert said.code is ReasonCode.ROUTE_PAUSED
    assert len(lane.dispatcher) == 3
    assert lane.jet.count("start_delivery") == 0
    assert (lane.dispatcher.obstacle or "").startswith("route_paused: ")


async def test_what_begins_while_a_route_tells_why_it_waits_goes_on(
    lane: Lane,
) -> None:
    """Back to waiting it would have its intent on the way all the same."""
    lane.routes[NAME] = replace(lane.routes[NAME], paused=True)
    first, second, third = (lane.put(f"c-{n}") for n in range(3))
    begun = Begun(Intent(JOB, NOW), Terms())
    first.then = lambda: second.apply(second.delivery.command_id, begun)
    await until(lambda: bool(third.told), "the last one told")

    assert second.told[0] == begun
    assert second.delivery.state is State.STARTING


@pytest.mark.parametrize(
    ("hindered", "free"),
    [
        ({"paused": True}, {"paused": False}),
        ({"max_active": 0}, {"max_active": None}),
        ({"job_id": None, "job_name": "nobody"}, {"job_id": JOB, "job_name": None}),
    ],
    ids=["route_paused", "limit", "job_unavailable"],
)
async def test_what_is_cured_is_in_the_way_no_more_while_a_start_waits_for_its_turn(
    lane: Lane, hindered: dict[str, Any], free: dict[str, Any]
) -> None:
    lane.sender.open.clear()
    lane.routes[NAME] = replace(lane.routes[NAME], **hindered)
    owner = lane.put("c-1")
    await until(lambda: owner.told, "what it waits for")
    before = lane.dispatcher.obstacle, lane.dispatcher.awaited
    lane.routes[NAME] = replace(lane.routes[NAME], **free)
    lane.dispatcher.nudge()
    await until(lambda: lane.sender.waiting, "a start that waits for its turn")
    after = lane.dispatcher.obstacle, lane.dispatcher.awaited
    lane.sender.open.set()
    await until(lambda: owner.delivery.state is State.STARTED, "a start")

    assert before[0] is not None
    assert before[1] is None
    assert after == (None, "the calls to Jet that are allowed")
    assert (lane.dispatcher.obstacle, lane.dispatcher.awaited) == (None, None)


async def test_what_a_start_waits_for_on_its_job_is_known(lane: Lane) -> None:
    async with lane.locks.start(JOB):
        lane.put("c-1")
        await until(lambda: lane.dispatcher.awaited, "a start that waits")
        beside = lane.dispatcher.awaited
        lane.locks.hold(JOB, CommandId("lost"), NOW.replace(year=9999))
    await until(
        lambda: lane.dispatcher.awaited not in {beside, None},
        "another thing to wait for",
    )

    assert beside == "another start on the job"
    assert lane.dispatcher.awaited == "a start on the job whose outcome is unknown"


async def test_a_full_route_goes_on_when_a_place_is_free(lane: Lane) -> None:
    lane.routes[NAME] = replace(lane.routes[NAME], max_active=1)
    first = lane.put("c-1")
    await until(lambda: first.delivery.state is State.STARTED, "the first start")
    second = lane.put("c-2")
    await until(lambda: second.told, "what it waits for")
    (said,) = second.told

    lane.counts.move(first.delivery, a_delivery(State.COMPLETED))
    lane.dispatcher.nudge()
    await until(lambda: second.delivery.state is State.STARTED, "the second start")

    assert said == Blocked(ReasonCode.LIMIT, "the route's max_active is reached")


async def test_what_is_too_late_to_begin_is_refused_and_not_started(lane: Lane) -> None:
    late = lane.put("c-1", expires_at=Clock().now() - SECOND)
    owner = lane.put("c-2")
    await until(lambda: owner.delivery.state is State.STARTED, "the other's start")

    said = "expiresAt passed before it could be started"
    assert late.told == [Refused(ReasonCode.EXPIRED, said)]
    assert list(lane.jet.creations()) == ["/c-2.mov"]


async def test_what_expires_while_its_intent_is_written_down_is_not_sent_any_more(
    lane: Lane,
) -> None:
    """Kafka may take its time, or the process stand still."""

    def take_long() -> None:
        lane.clock.ahead = 2 * HOUR

    late = lane.put("c-1", expires_at=Clock().now() + HOUR)
    late.then = take_long
    await until(lambda: late.delivery.state.is_final, "its end")
    owner = lane.put("c-2")
    await until(lambda: owner.delivery.state is State.STARTED, "the other's start")

    said = "expiresAt passed before it could be started"
    assert late.told[1:] == [Refused(ReasonCode.EXPIRED, said)]
    assert [type(each) for each in late.told] == [Begun, Refused]
    assert list(lane.jet.creations()) == ["/c-2.mov"]


async def test_a_route_that_has_vanished_waits_for_the_file(lane: Lane) -> None:
    route = lane.routes.pop(NAME)
    owner = lane.put("c-1")
    await until(lambda: owner.told, "what it waits for")
    lane.routes[NAME] = route
    await until(lambda: owner.delivery.state is State.STARTED, "a start")

    said = "the route is not in the routes file any more"
    assert owner.told[0] == Blocked(ReasonCode.JOB_UNAVAILABLE, said)


async def test_who_waits_for_the_budget_while_its_route_moves_starts_on_the_new_job(
    lane: Lane,
) -> None:
    moved = JobId("job-moved")
    lane.jet.add_job("moved", moved)
    lane.sender.open.clear()
    owner = lane.put("c-1")
    await until(lambda: lane.sender.waiting, "a start that waits for its turn")
    lane.routes[NAME] = replace(lane.routes[NAME], job_id=moved)
    lane.sender.open.set()
    await until(lambda: owner.delivery.state is State.STARTED, "a start")

    assert owner.delivery.job_id == moved


async def waiting_for_its_turn(lane: Lane, at_once: int | None) -> Waiting:
    """Put a start that waits for its turn, alone or beside others."""
    answered(lane)
    lane.routes[NAME] = replace(lane.routes[NAME], starts_at_once=at_once)
    lane.sender.open.clear()
    owner = lane.put("c-1")
    await until(lambda: lane.sender.waiting, "a start that waits for its turn")
    return owner


@pytest.mark.parametrize("at_once", [None, 2], ids=["alone", "beside others"])
async def test_who_waits_for_the_budget_while_its_route_vanishes_is_not_sent(
    lane: Lane, at_once: int | None
) -> None:
    owner = await waiting_for_its_turn(lane, at_once)
    del lane.routes[NAME]
    lane.sender.open.set()
    await until(lambda: owner.told, "what became of it")

    said = "the route is not in the routes file any more"
    assert owner.told == [Blocked(ReasonCode.JOB_UNAVAILABLE, said)]
    assert lane.jet.count("start_delivery") == 0


@pytest.mark.parametrize("at_once", [None, 2], ids=["alone", "beside others"])
async def test_who_waited_so_long_that_jets_clock_is_not_known_any_more_asks_anew(
    lane: Lane, at_once: int | None
) -> None:
    """For its turn; or the machine was suspended: what Jet said before dates no intent."""
    owner = await waiting_for_its_turn(lane, at_once)
    known: list[bool] = []
    owner.then = lambda: known.append(lane.sender.jet_time is not None)
    lane.sender.is_deaf = True
    lane.sender.open.set()
    await until(lambda: owner.delivery.state is State.STARTED, "a start")

    assert known == [True, True], "as the intent was written down, and its answer"
    assert lane.sender.probes == 2


async def test_after_a_lost_start_the_job_is_asked_for_before_the_next(
    lane: Lane,
) -> None:
    answers = iter(["lost_after"])
    lane.jet.fault = lambda operation, _: (
        next(answers, None) if operation == "start_delivery" else None
    )
    lost, other = lane.put("c-1"), lane.put("c-2")

    await until(lambda: other.delivery.state is State.STARTED, "the other's start")

    asked = [operation for _, operation, _ in lane.jet.requests]
    assert asked == ["token", "start_delivery", "get_job", "start_delivery"]
    assert [type(each) for each in lost.told] == [Begun, Lost]


async def test_a_lost_start_that_nobody_here_looks_up_leaves_its_job_calm_in_the_end(
    lane: Lane,
) -> None:
    """As where the partition went to another worker before the doubt was kept."""
    answers = iter(["lost_after"])
    lane.jet.fault = lambda operation, _: (
        next(answers, None) if operation == "start_delivery" else None
    )
    lane.put("lost")
    others = [lane.put(f"c-{n}") for n in range(CALM_AFTER_ANSWERS)]
    await until(lambda: others[-1].delivery.state is State.STARTED, "the last start")

    assert lane.locks.places(JOB, 4) == 1
    lane.calm.at += 601
    assert lane.locks.places(JOB, 4) == 4


async def test_who_waits_for_a_post_that_nobody_looks_up_asks_for_jet_s_clock_itself(
    lane: Lane,
) -> None:
    """Its command was given up long ago, and nothing was asked of Jet since."""
    lane.locks.hold(JOB, CommandId("given up"), NOW)
    lane.sender.is_deaf = True

    owner = lane.put("c-1")

    await until(lambda: owner.delivery.state is State.STARTED, "the start")


async def test_a_partition_that_drains_starts_nothing_more(lane: Lane) -> None:
    lane.routes[NAME] = replace(lane.routes[NAME], paused=True)
    leaving, staying = lane.put("c-1"), lane.put("c-2")
    await until(lambda: leaving.told, "what it waits for")
    leaving.is_draining = True
    lane.routes[NAME] = replace(lane.routes[NAME], paused=False)
    lane.dispatcher.nudge()

    await until(lambda: staying.delivery.state is State.STARTED, "the other's start")

    assert list(lane.jet.creations()) == ["/c-2.mov"]
    assert leaving.delivery.state is State.WAITING


@dataclass
class InFlight:
    """How many starts a Jet had together."""

    jet: JetServer
    most: int = 0
    now: int = 0

    def __post_init__(self) -> None:
        self.jet.on_headers = partial(self._count, 1)
        self.jet.on_applied = partial(self._count, -1)

    def _count(self, step: int, operation: str) -> None:
        if operation == "start_delivery":
            self.now += step
            self.most = max(self.most, self.now)


def answered(lane: Lane) -> None:
    """Let Jet have answered ten starts on the job."""
    durable: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    durable.set_result(None)
    for _ in range(10):
        with lane.locks.at_risk(JOB, "a partition", ALONE) as start:
            lane.locks.answered(JOB, start, durable, is_started=True)


async def burst(
    lane: Lane, wanted: Callable[[int], dict[str, Any]] = lambda _: {}
) -> int:
    """Start twelve after ten that were answered; return how many were in flight at most."""
    answered(lane)
    lane.jet.delays[JOB] = 0.02
    seen = InFlight(lane.jet)
    owners = [lane.put(f"c-{n}", **wanted(n)) for n in range(12)]
    await until(
        lambda: all(each.delivery.state is State.STARTED for each in owners),
        "all starts",
    )
    assert len(lane.dispatcher) == 0
    return seen.most


async def test_where_files_tell_four_are_in_flight_and_each_is_started_once(
    lane: Lane,
) -> None:
    lane.files.of.add(JOB)

    assert await burst(lane) == 4
    assert sorted(map(len, lane.jet.creations().values())) == [1] * 12


@pytest.mark.parametrize(
    "wanted",
    [
        lambda n: {"objects": (ObjectSpec("/same", 1), ObjectSpec(f"/{n}", 1))},
        lambda n: {"objects": (ObjectSpec(f"/{n}", is_directory=True),)},
        lambda _: {"requested": Requested(1001, None)},
    ],
    ids=["a common path", "folders", "too many to compare"],
)
async def test_what_files_could_not_tell_apart_goes_alone(
    lane: Lane, wanted: Callable[[int], dict[str, Any]]
) -> None:
    lane.files.of.add(JOB)

    assert await burst(lane, wanted) == 1


async def test_where_files_do_not_tell_one_is_in_flight_unless_the_route_says_so(
    lane: Lane,
) -> None:
    by_itself = await burst(lane)
    asked = set(lane.files.asked)
    lane.routes[NAME] = replace(lane.routes[NAME], starts_at_once=3)

    assert (by_itself, await burst(lane)) == (1, 3)
    assert asked == {JOB}


async def test_of_several_in_flight_one_that_is_lost_keeps_the_others_back(
    lane: Lane,
) -> None:
    lane.files.of.add(JOB)
    answers = iter(["lost_after"])
    lane.jet.fault = lambda operation, _: (
        next(answers, None) if operation == "start_delivery" else None
    )
    answered(lane)
    lane.jet.delays[JOB] = 0.02
    owners = [lane.put(f"c-{n}") for n in range(12)]
    await until(lambda: any(_is_lost(each) for each in owners), "a lost start")
    begun: list[Waiting] = []

    def are_others_queued() -> bool:
        begun[:] = [each for each in owners if each.delivery.attempt]
        sent = [each for each in begun if each.delivery.state is not State.STARTING]
        return len(lane.dispatcher) == 12 - len(begun) == 12 - len(sent)

    await until(are_others_queued, "nothing in flight")

    assert len(begun) < 12
    assert lane.jet.count("start_delivery") == len(begun)
    assert lane.locks.blocked_for(JOB, CommandId("c-11"), Clock().now()) > 0


@pytest.mark.parametrize("at_once", [1, 2], ids=["alone", "beside others"])
async def test_while_starts_are_refused_they_are_tried_more_and_more_rarely(
    lane: Lane, at_once: int
) -> None:
    answered(lane)
    lane.routes[NAME] = replace(lane.routes[NAME], starts_at_once=at_once)
    refused = [True] * 12
    lane.jet.fault = lambda operation, _: (
        web.Response(status=403, text="<html>")
        if operation == "start_delivery" and refused and refused.pop()
        else None
    )
    owners = [lane.put(f"c-{n}") for n in range(3)]
    await until(
        lambda: all(each.delivery.state is State.STARTED for each in owners),
        "all starts",
    )

    rounds = 12 // at_once
    assert lane.backoff.after[:rounds] == list(range(1, rounds + 1))


@pytest.mark.parametrize("at_once", [1, 2], ids=["alone", "beside others"])
async def test_to_wait_for_the_routes_file_or_for_a_place_is_no_failure(
    lane: Lane, at_once: int
) -> None:
    """The first refusal after it is tried again soon."""
    answered(lane)
    route = replace(lane.routes[NAME], starts_at_once=at_once)
    lane.routes[NAME] = replace(route, paused=True)
    refused = [True]
    lane.jet.fault = lambda operation, _: (
        web.Response(status=403, text="<html>")
        if operation == "start_delivery" and refused and refused.pop()
        else None
    )
    owner = lane.put("c-1")
    await until(lambda: bool(owner.told), "what it waits for")

    lane.routes[NAME] = route
    lane.dispatcher.nudge()
    await until(lambda: owner.delivery.state is State.STARTED, "a start")

    assert lane.backoff.after[-1] == 1


async def test_who_waits_for_the_budget_is_not_sent_when_one_beside_it_was_lost(
    lane: Lane,
) -> None:
    lane.files.of.add(JOB)
    lane.jet.fault = lambda operation, _: (
        "lost_after" if operation == "start_delivery" else None
    )
    answered(lane)
    lane.sender.open.clear()
    lane.sender.left = 1
    lost, late = lane.put("c-1"), lane.put("c-2")
    await until(lambda: _is_lost(lost) and lane.sender.waiting, "a lost start")

    lane.sender.open.set()
    await until(lambda: late.delivery.attempt or len(lane.dispatcher), "its turn")

    assert late.delivery.attempt == 0
    assert lane.jet.count("start_delivery") == 1


def _is_lost(owner: Waiting) -> bool:
    return any(isinstance(each, Lost) for each in owner.told)


@dataclass
class Partition(Waiting):
    """Owns some deliveries; an answer of Jet's is durable when a test says so."""

    others: dict[CommandId, Delivery] = field(default_factory=dict)
    answers: list["asyncio.Future[None]"] = field(default_factory=list)
    begun: list[CommandId] = field(default_factory=list)

    @override
    def find(self, command_id: CommandId) -> Delivery | None:
        return self.others[command_id]

    @override
    def apply(self, command_id: CommandId, trigger: Any) -> "asyncio.Future[None]":
        step = transition(self.others[command_id], trigger, NOW, Policy())
        self.others[command_id] = step.delivery
        durable: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if isinstance(trigger, StartConfirmed):
            self.answers.append(durable)
        else:
            self.begun.append(command_id)
            durable.set_result(None)
        return durable


async def test_the_next_intent_is_written_with_an_answer_or_after_it_is_durable(
    lane: Lane,
) -> None:
    """With it in one partition; in another, a crash could keep the intent alone."""
    waiting = a_delivery(accepted_at=Clock().now())
    one, other = Partition(waiting), Partition(waiting)
    names = [CommandId("c-1"), CommandId("c-2"), CommandId("c-3")]
    for name, owner in zip(names, (one, one, other), strict=True):
        owner.others[name] = replace(waiting, command_id=name)
        lane.dispatcher.put(DeliveryHandle(owner, name))
    await until(lambda: len(one.answers) == 2, "both answers of the one partition")
    for _ in range(10):
        await asyncio.sleep(0)
    before = list(other.begun)
    for each in one.answers:
        each.set_result(None)
    await until(lambda: other.answers, "the other partition's start")

    assert one.begun == names[:2]
    assert (before, other.begun) == ([], names[2:])


async def test_who_would_wait_for_an_answer_to_be_durable_is_passed_by_a_few(
    lane: Lane,
) -> None:
    """Their intents are committed with that answer; sixteen, and then it is its turn."""
    waiting = a_delivery(accepted_at=Clock().now())
    one, other = Partition(waiting), Partition(waiting)
    named = [("c-0", one), ("passed", other)] + [(f"c-{n}", one) for n in range(1, 20)]
    for text, owner in named:
        name = CommandId(text)
        owner.others[name] = replace(waiting, command_id=name)
        lane.dispatcher.put(DeliveryHandle(owner, name))
    await until(lambda: len(one.answers) == 17, "one, and sixteen that pass")
    for _ in range(10):
        await asyncio.sleep(0)
    before = list(other.begun)
    for each in one.answers:
        each.set_result(None)
    await until(lambda: other.answers, "who was passed")

    assert (before, other.begun) == ([], [CommandId("passed")])
    assert one.begun == [CommandId(f"c-{n}") for n in range(17)]
