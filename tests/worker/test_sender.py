"""One start, sent once: what its answer means, and why a refused one is asked about."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from datetime import timedelta

import pytest
from aiohttp import web

from jetworker.core.command import JobId, ObjectSpec, RouteName
from jetworker.core.delivery import ReasonCode
from jetworker.core.errors import LeaseLost
from jetworker.core.route import Route, WhenPaused
from jetworker.core.trigger import (
    Blocked,
    Deferred,
    Lost,
    Refused,
    StartConfirmed,
    Trigger,
)
from jetworker.jet.jobs import JobResolver
from jetworker.worker.starts.sender import StartSender
from tests.support.fakes import HandClock
from tests.support.jet import site as sandboxes
from tests.support.jet.fake_server import JetServer

JOB = JobId("job-archive")
ROUTE = Route(RouteName("archive"), job_id=JOB)
OBJECTS = (ObjectSpec("/a.mov", 100),)


@dataclass
class Wire:
    """A Jet with one job, and a sender of starts on it."""

    jet: JetServer
    sender: StartSender
    clock: HandClock

    async def send(
        self, route: Route = ROUTE, guard: Callable[[], None] = lambda: None
    ) -> Trigger:
        return await self.sender.send(route, JOB, OBJECTS, guard)


@pytest.fixture
async def wire() -> AsyncIterator[Wire]:
    async with (
        JetServer() as jet,
        sandboxes.jet_client(jet.base_url, jet.secret) as client,
    ):
        jet.add_job("archive", JOB)
        seconds = timedelta(seconds=2)
        clock = HandClock()
        resolver = JobResolver(client, clock)
        sender = StartSender(client, resolver, clock, seconds, seconds)
        yield Wire(jet, sender, clock)


def refusing(jet: JetServer, *statuses: int) -> None:
    """Answer so many starts with these, and then as ever."""
    left = iter(statuses)

    def fault(operation: str, _: JetServer) -> web.Response | None:
        status = next(left, None) if operation == "start_delivery" else None
        return None if status is None else web.json_response({}, status=status)

    jet.fault = fault


async def test_a_start_that_is_answered_is_confirmed_with_jets_time(wire: Wire) -> None:
    outcome = await wire.send()

    ((delivery_id,),) = wire.jet.creations().values()
    assert isinstance(outcome, StartConfirmed)
    assert outcome.delivery_id == delivery_id
    assert outcome.jet_time is not None


async def test_a_lost_answer_is_lost_and_nothing_is_sent_again(wire: Wire) -> None:
    wire.jet.fault = lambda operation, _: (
        "lost_after" if operation == "start_delivery" else None
    )

    outcome = await wire.send()

    assert isinstance(outcome, Lost)
    assert wire.jet.count("start_delivery") == 1


async def test_a_token_that_is_refused_is_renewed_once(wire: Wire) -> None:
    refusing(wire.jet, 401)

    outcome = await wire.send()

    assert isinstance(outcome, StartConfirmed)
    assert wire.jet.count("token") == 2


async def test_a_token_that_is_refused_twice_is_told(wire: Wire) -> None:
    refusing(wire.jet, 401, 401)

    outcome = await wire.send()

    assert outcome == Deferred(
        Blocked(ReasonCode.UNAUTHORIZED, "Jet refuses the token")
    )
    assert wire.jet.creations() == {}


@pytest.mark.parametrize(
    ("when_paused", "expected"),
    [
        (WhenPaused.FAIL, Refused(ReasonCode.JOB_PAUSED, "the job is paused")),
        (
            WhenPaused.WAIT,
            Deferred(
                Blocked(ReasonCode.JOB_PAUSED, "the job is paused; resume it in Jet")
            ),
        ),
    ],
)
async def test_a_paused_job_fails_or_waits_as_its_route_says(
    wire: Wire, when_paused: WhenPaused, expected: Trigger
) -> None:
    wire.jet.jobs[JOB].paused = True

    assert await wire.send(replace(ROUTE, when_paused=when_paused)) == expected
    assert wire.jet.creations() == {}


async def test_a_paused_job_is_resumed_where_its_route_says_so(wire: Wire) -> None:
    wire.jet.jobs[JOB].paused = True

    outcome = await wire.send(replace(ROUTE, when_paused=WhenPaused.RESUME))

    assert isinstance(outcome, StartConfirmed)
    assert not wire.jet.jobs[JOB].paused


async def test_a_job_that_was_seen_paused_long_ago_is_not_resumed(wire: Wire) -> None:
    """Its worker was frozen: others have resumed it, and somebody has paused it again."""
    wire.jet.jobs[JOB].paused = True

    def freeze(operation: str) -> None:
        wire.clock.at += 60 * (operation == "get_job")

    wire.jet.on_headers = freeze

    outcome = await wire.send(replace(ROUTE, when_paused=WhenPaused.RESUME))

    said = "the job is paused; resume it in Jet"
    assert outcome == Deferred(Blocked(ReasonCode.JOB_PAUSED, said))
    assert wire.jet.jobs[JOB].paused
    assert wire.jet.count("set_paused") == 0


async def test_a_refusal_is_asked_about_and_believed_the_second_time(
    wire: Wire,
) -> None:
    refusing(wire.jet, 400, 400)

    outcome = await wire.send()

    assert isinstance(outcome, Refused)
    assert outcome.code is ReasonCode.REJECTED_BY_JET
    asked = [operation for _, operation, _ in wire.jet.requests]
    assert asked == ["token", *["start_delivery", "get_job"] * 2]


@pytest.mark.parametrize("is_by_id", [True, False])
async def test_a_job_that_vanished_fails_by_its_id_and_is_looked_up_by_its_name(
    wire: Wire, is_by_id: bool
) -> None:
    wire.jet.jobs.clear()
    route = ROUTE if is_by_id else Route(ROUTE.name, job_name="archive")

    outcome = await wire.send(route)

    if is_by_id:
        assert isinstance(outcome, Deferred)
        assert outcome.obstacle.code is ReasonCode.JOB_UNAVAILABLE
        wire.clock.at += 30
        said = "Jet does not know the route's job_id"
        assert await wire.send(route) == Refused(ReasonCode.JOB_NOT_FOUND, said)
    else:
        said = "the route's job has vanished, it is looked up again"
        assert outcome == Deferred(Blocked(ReasonCode.JOB_UNAVAILABLE, said))


async def test_whoever_may_not_send_any_more_has_sent_nothing(wire: Wire) -> None:
    def too_late() -> None:
        raise LeaseLost("too late to send the start")

    outcome = await wire.send(guard=too_late)

    said = "too late to send the start"
    assert outcome == Deferred(Blocked(ReasonCode.JET_UNAVAILABLE, said))
    assert wire.jet.count("start_delivery") == 0


async def test_the_job_is_asked_for_before_a_start_only_after_a_doubt(
    wire: Wire,
) -> None:
    await wire.send()
    assert await wire.sender.probe(ROUTE, JOB) is None
    assert wire.jet.count("get_job") == 0

    wire.sender.suspect(ROUTE.name)
    wire.jet.jobs[JOB].paused = True
    said = "the job is paused; resume it in Jet"
    paused = Blocked(ReasonCode.JOB_PAUSED, said)
    assert await wire.sender.probe(ROUTE, JOB) == paused

    wire.jet.jobs[JOB].paused = False
    assert await wire.sender.probe(ROUTE, JOB) is None
    assert await wire.sender.probe(ROUTE, JOB) is None
    assert wire.jet.count("get_job") == 2
