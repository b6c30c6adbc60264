"""One budget served by priority and in turn; one token, renewed by one caller."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry
from pydantic import SecretStr
from typing_extensions import override

from jetworker.config.model import JetConfig
from jetworker.core.command import JobId, RouteName
from jetworker.core.errors import JetRejected, JetUnauthorized, JetUnavailable
from jetworker.jet.budget import Budget, Priority
from jetworker.jet.client import client_on
from jetworker.jet.connection import Connection
from jetworker.jet.oauth import TokenSource
from jetworker.runtime.metrics import Metrics
from tests.support.fakes import HandClock
from tests.support.waiting import PATIENCE


def a_budget(rate: float = 2.0) -> tuple[Budget, HandClock]:
    clock = HandClock()
    return Budget(rate, clock, Metrics(CollectorRegistry())), clock


async def test_who_is_first_goes_by_priority_and_then_in_turn() -> None:
    budget, clock = a_budget()
    order: list[str] = []

    async def call(name: str, priority: Priority, route: str) -> None:
        await budget.wait_turn("op", priority, RouteName(route))
        order.append(name)

    await budget.wait_turn("op", Priority.POLL)
    waiting = [
        asyncio.create_task(call(name, priority, route))
        for name, priority, route in (
            ("poll a1", Priority.POLL, "a"),
            ("poll a2", Priority.POLL, "a"),
            ("poll b1", Priority.POLL, "b"),
            ("start", Priority.START, "b"),
        )
    ]
    while len(order) < len(waiting):
        await asyncio.sleep(0)
        clock.at += 0.5
        budget.hold("nothing", 0)
        await asyncio.wait(waiting, timeout=0.6, return_when=asyncio.FIRST_COMPLETED)

    assert order == ["start", "poll a1", "poll b1", "poll a2"]


async def test_nobody_waits_for_ever_between_two_that_always_want_more() -> None:
    clock = HandClock()
    budget = Budget(10, clock, Metrics(CollectorRegistry()), shared=10)
    order: list[Priority] = []

    async def call(priority: Priority) -> None:
        await budget.wait_turn("op", priority)
        order.append(priority)

    waiting = [
        asyncio.create_task(call(priority))
        for priority, times in (
            (Priority.START, 100),
            (Priority.POLL, 100),
            (Priority.LOOKUP, 3),
            (Priority.ENDING, 3),
        )
        for _ in range(times)
    ]
    while len(order) < 100:
        await asyncio.sleep(0)
        clock.at += 0.1
        budget.share(1.0)
    for each in waiting:
        each.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)

    counts = {each: order.count(each) for each in order}
    assert counts[Priority.LOOKUP] == counts[Priority.ENDING] == 3
    assert counts[Priority.POLL] >= 100 // 15
    assert counts[Priority.START] >= 100 * 3 // 4


async def test_who_waits_is_not_passed_by_one_who_comes_when_there_is_a_token() -> None:
    budget, clock = a_budget(1)
    order: list[str] = []

    async def call(name: str) -> None:
        await budget.wait_turn("op", Priority.POLL)
        order.append(name)

    await call("at once")
    early = asyncio.create_task(call("early"))
    await asyncio.sleep(0)
    clock.at += 1
    late = asyncio.create_task(call("late"))
    await asyncio.wait({early, late}, return_when=asyncio.FIRST_COMPLETED)
    early.cancel()
    late.cancel()

    assert order == ["at once", "early"]


async def test_a_retry_after_holds_back_its_operation_only() -> None:
    budget, clock = a_budget(100)
    budget.hold("polls", 60)
    held = asyncio.create_task(budget.wait_turn("polls", Priority.POLL))
    await budget.wait_turn("starts", Priority.START)

    assert not held.done()
    clock.at += 61
    await budget.wait_turn("starts", Priority.START)
    await asyncio.wait_for(held, PATIENCE)


async def test_a_call_that_gave_up_leaves_nothing_behind() -> None:
    budget, _ = a_budget()
    await budget.wait_turn("op", Priority.POLL)
    gone = asyncio.create_task(budget.wait_turn("op", Priority.POLL))
    await asyncio.sleep(0)
    gone.cancel()
    await asyncio.gather(gone, return_exceptions=True)
    budget.slow()

    assert budget.rate == 1.0


async def test_a_call_that_gave_up_behind_one_that_is_held_disturbs_nobody() -> None:
    budget, clock = a_budget()
    await budget.wait_turn("op", Priority.POLL)
    budget.hold("held", 60)
    held = asyncio.create_task(budget.wait_turn("held", Priority.POLL))
    gone = asyncio.create_task(budget.wait_turn("op", Priority.POLL))
    await asyncio.sleep(0)
    gone.cancel()
    await asyncio.wait([gone])

    clock.at += 1
    await budget.wait_turn("op", Priority.POLL)

    assert gone.cancelled()
    assert not held.done()
    held.cancel()


class Endpoint:
    """Answers the token call as told, and counts."""

    def __init__(self, answers: Callable[[int], Any]) -> None:
        self._answers = answers
        self.asked = 0
        self.gate = asyncio.Event()
        self.gate.set()

    async def __call__(self, _body: bytes) -> Any:
        self.asked += 1
        await asyncio.sleep(0)
        await self.gate.wait()
        found = self._answers(self.asked)
        if isinstance(found, Exception):
            raise found
        return found


def a_source(answers: Callable[[int], Any]) -> tuple[TokenSource, Endpoint, HandClock]:
    endpoint, clock = Endpoint(answers), HandClock()
    metrics = Metrics(CollectorRegistry())
    return TokenSource(endpoint, lambda: ("i", "s"), clock, metrics), endpoint, clock


def token(number: int) -> dict[str, Any]:
    return {"access_token": f"t{number}", "expires_in": 100}


async def test_fifty_callers_fetch_one_token() -> None:
    source, endpoint, _ = a_source(token)

    found = await asyncio.gather(*(source.get() for _ in range(50)))

    assert (set(found), endpoint.asked) == ({"t1"}, 1)
    assert source.has_token


async def test_a_storm_of_401_renews_once() -> None:
    source, endpoint, _ = a_source(token)
    old = await source.get()

    async def renew() -> str:
        assert source.is_worth_renewing(old, "get_job a", 1.0)
        return await source.get(instead_of=old)

    assert set(await asyncio.gather(*(renew() for _ in range(50)))) == {"t2"}
    assert endpoint.asked == 2


async def refuse(source: TokenSource, where: str, clock: HandClock) -> bool:
    """Refuse the current token somewhere; whether it was worth a new one."""
    value = await source.get()
    if not source.is_worth_renewing(value, where, clock.at):
        return False
    await source.get(instead_of=value)
    return True


async def accept(source: TokenSource, where: str, clock: HandClock) -> None:
    source.accept(await source.get(), where)
    clock.at += 0.1


async def test_one_job_that_refuses_every_token_gets_a_new_one_once_and_rarely() -> (
    None
):
    source, endpoint, clock = a_source(lambda n: token(n) | {"expires_in": 3600})
    for _ in range(600):
        await refuse(source, "start_delivery a", clock)
        await accept(source, "get_delivery b", clock)

    assert endpoint.asked <= 2 + 60 / 60


async def test_a_hundred_jobs_that_refuse_are_no_reason_for_a_hundred_tokens() -> None:
    source, endpoint, clock = a_source(lambda n: token(n) | {"expires_in": 3600})
    for number in range(600):
        await refuse(source, f"start_delivery {number % 100}", clock)
        clock.at += 0.1

    assert endpoint.asked <= 12


async def test_a_jet_that_gives_the_same_token_again_is_not_asked_each_time() -> None:
    source, endpoint, clock = a_source(lambda _: token(1) | {"expires_in": 3600})
    for _ in range(600):
        await refuse(source, "start_delivery a", clock)
        await accept(source, "get_delivery b", clock)

    assert endpoint.asked <= 2 + 60 / 60


async def test_a_storm_of_401_asks_once_where_the_token_stays_the_same() -> None:
    source, endpoint, _ = a_source(lambda _: token(1))
    same = await source.get()

    async def renew() -> str:
        assert source.is_worth_renewing(same, "get_job a", 1.0)
        return await source.get(instead_of=same)

    assert set(await asyncio.gather(*(renew() for _ in range(50)))) == {same}
    assert endpoint.asked == 2


async def test_a_token_that_ends_early_is_replaced_at_once_every_time() -> None:
    """It was accepted in the same place before: it is the token's."""
    source, endpoint, clock = a_source(token)
    for number in range(1, 6):
        await accept(source, "get_delivery a", clock)
        assert await refuse(source, "get_delivery a", clock)
        assert endpoint.asked == number + 1


async def test_a_place_that_refuses_now_and_then_gets_no_token_each_time() -> None:
    source, endpoint, clock = a_source(lambda n: token(n) | {"expires_in": 3600})
    for _ in range(300):
        await accept(source, "get_delivery a", clock)
        await refuse(source, "get_delivery a", clock)

    assert endpoint.asked <= 1 + 2 * 10


async def test_a_refusal_while_others_are_accepted_is_not_the_token_s() -> None:
    source, endpoint, clock = a_source(token)
    value, asked_at = await source.get(), clock.at
    clock.at += 1
    await accept(source, "get_delivery b", clock)

    assert not source.is_worth_renewing(value, "get_delivery a", asked_at)
    assert endpoint.asked == 1


async def test_the_old_token_serves_until_the_new_one_is_there() -> None:
    source, endpoint, clock = a_source(token)
    old = await source.get()
    clock.at += 81
    endpoint.gate.clear()
    renewing = asyncio.create_task(source.get())
    await asyncio.sleep(0)

    assert await source.get() == old
    endpoint.gate.set()
    assert await renewing == "t2"
    assert await source.get() == "t2"


async def test_who_was_refused_is_told_so_where_no_other_token_is_to_be_had() -> None:
    source, _, clock = a_source(
        lambda n: token(n) if n == 1 else JetUnavailable("down")
    )
    value = await source.get()

    with pytest.raises(JetUnavailable):
        await refuse(source, "start_delivery a", clock)
    assert await source.get() == value


async def test_a_token_is_renewed_ahead_and_outlives_a_jet_that_does_not_answer() -> (
    None
):
    source, endpoint, clock = a_source(
        lambda n: token(n) if n == 1 else JetUnavailable("down")
    )
    await source.get()

    clock.at += 81
    assert await source.get() == "t1"
    assert await source.get() == "t1"
    assert endpoint.asked == 2
    clock.at += 20
    with pytest.raises(JetUnavailable):
        await source.get()


async def test_refused_credentials_are_not_asked_for_in_a_hurry() -> None:
    source, endpoint, clock = a_source(lambda _: JetRejected(401, "no"))

    for _ in range(10):
        with pytest.raises(JetUnauthorized):
            await source.get()
    clock.at += 60
    with pytest.raises(JetUnauthorized):
        await source.get()

    assert endpoint.asked == 2


@pytest.mark.parametrize(
    "answer",
    [None, {}, {"access_token": 3}, {"access_token": "é"}, {"access_token": "a\nb"}],
)
async def test_garbage_is_no_token(answer: Any) -> None:
    source, _, _ = a_source(lambda _: answer)

    with pytest.raises(JetUnavailable):
        await source.get()


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
        lambda inner: (
            st.lists(inner, max_size=2)
            | st.fixed_dictionaries(
                {}, optional={"access_token": inner, "expires_in": inner}
            )
        ),
        max_leaves=4,
    )
)
def test_any_answer_is_a_token_that_a_header_can_carry_or_none(answer: Any) -> None:
    source, _, _ = a_source(lambda _: answer)

    with suppress(JetUnavailable):  # anything else is a failure
        value = asyncio.run(source.get())
        assert httpx.Headers({"authorization": f"Bearer {value}"})
        assert value.isprintable()


@pytest.mark.parametrize(
    ("life", "renewed_after"),
    [(None, 3540), ("100", 80), (-5, 0.8), (1e12, 2591940), ("²", 3540)],
)
async def test_the_life_of_a_token_is_read_within_bounds(
    life: Any, renewed_after: float
) -> None:
    source, endpoint, clock = a_source(
        lambda n: {"access_token": f"t{n}", "expires_in": life}
    )
    await source.get()

    clock.at += renewed_after - 0.1
    await source.get()
    asked = endpoint.asked
    clock.at += 0.2
    await source.get()

    assert (asked, endpoint.asked) == (1, 2)


class Sharing:
    """A worker that always wants more calls than it may make."""

    def __init__(self, clock: HandClock, most: float, shared: float) -> None:
        metrics = Metrics(CollectorRegistry())
        self.budget = Budget(most, clock, metrics, shared=shared)
        self.budget.share(0)
        self.calls = 0
        self._wanted = [asyncio.create_task(self._call()) for _ in range(1000)]

    async def _call(self) -> None:
        await self.budget.wait_turn("op", Priority.POLL)
        self.calls += 1

    async def stop(self) -> None:
        for task in self._wanted:
            task.cancel()
        await asyncio.gather(*self._wanted, return_exceptions=True)


async def let_pass(
    clock: HandClock, seconds: int, *shares: tuple[Sharing, float]
) -> int:
    """Return how many calls were made while so much time passed."""
    before = sum(worker.calls for worker, _ in shares)
    for _ in range(seconds * 20):
        clock.at += 0.05
        for worker, part in shares:
            worker.budget.share(part)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    return sum(worker.calls for worker, _ in shares) - before


async def test_workers_share_one_rate_by_their_parts_and_follow_when_these_change() -> (
    None
):
    clock = HandClock()
    one, two = Sharing(clock, 50, 20), Sharing(clock, 50, 20)

    alone = await let_pass(clock, 10, (one, 1.0), (two, 0.0))
    given_back = await let_pass(clock, 5, (one, 0.0), (two, 0.0))
    apart = await let_pass(clock, 10, (one, 0.25), (two, 0.75))
    counts = one.calls, two.calls
    await one.stop()
    await two.stop()

    burst = 20  # a second's worth
    assert 200 <= alone <= 200 + burst
    assert given_back == 0
    assert 200 <= apart <= 200 + burst
    assert counts[1] <= 150 + 15


async def test_no_worker_takes_more_of_it_than_its_own_rate() -> None:
    clock = HandClock()
    one = Sharing(clock, 5, 20)

    calls = await let_pass(clock, 10, (one, 1.0))
    await one.stop()

    assert 50 <= calls <= 50 + 5


async def test_a_worker_without_a_part_still_gets_its_token() -> None:
    clock = HandClock()
    budget = Budget(5, clock, Metrics(CollectorRegistry()), shared=20)
    budget.share(0)

    poll = asyncio.create_task(budget.wait_turn("op", Priority.POLL))
    await asyncio.wait_for(budget.wait_turn("token", Priority.TOKEN), PATIENCE)

    assert not poll.done()
    budget.share(1.0)
    await asyncio.wait_for(poll, PATIENCE)


class Throttling(httpx.AsyncBaseTransport):
    """Asks once for a minute's patience, and knows of no token when it has ended."""

    def __init__(self, clock: HandClock) -> None:
        self._clock = clock
        self._ends: dict[str, float] = {}
        self.refused = 0
        self.said: list[httpx.Response] = [
            httpx.Response(429, json={}, headers={"Retry-After": "60"})
        ]

    @override
    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if request.url.path == "/oauth/token":
            value = f"t{len(self._ends)}"
            self._ends[f"Bearer {value}"] = self._clock.at + 30
            return httpx.Response(200, json={"access_token": value, "expires_in": 30})
        if self._ends[request.headers["authorization"]] <= self._clock.at:
            self.refused += 1
            return httpx.Response(401, json={})
        return self.said.pop() if self.said else httpx.Response(200, json=FOUND)


FOUND = {"jobId": "j", "items": []}


async def test_who_waited_longer_for_a_turn_than_a_token_lives_asks_with_the_next() -> (
    None
):
    clock = HandClock()
    way = Throttling(clock)
    config = JetConfig(client_id="i", client_secret=SecretStr("s"))
    connection = Connection(way, way, "https://jet.test", "tests")
    metrics = Metrics(CollectorRegistry())
    jet = client_on(connection, config, lambda: ("i", "s"), clock, metrics)
    with pytest.raises(JetUnavailable):
        await jet.get_job(JobId("j"))

    held = asyncio.create_task(jet.get_job(JobId("j")))
    await asyncio.sleep(0)
    clock.at += 61
    await jet.list_subscriptions()

    assert (await asyncio.wait_for(held, PATIENCE)).job_id == "j"
    assert way.refused == 0
