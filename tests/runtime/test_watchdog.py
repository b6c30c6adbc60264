"""The watchdog: a loop without progress is told, and how late the event loop is."""

import asyncio
from contextlib import suppress

import pytest
from prometheus_client import CollectorRegistry

from jetworker.runtime.metrics import Metrics
from jetworker.runtime.watchdog import Watchdog
from tests.support.fakes import HandClock
from tests.support.waiting import until


@pytest.fixture
def clock() -> HandClock:
    return HandClock(0.0)


@pytest.fixture
def watchdog(clock: HandClock) -> Watchdog:
    return Watchdog(clock, Metrics(CollectorRegistry()), patience=60)


def test_nothing_watched_is_nothing_wrong(watchdog: Watchdog) -> None:
    assert watchdog.stuck() == {}


def test_a_loop_is_stuck_once_its_patience_is_over(
    watchdog: Watchdog, clock: HandClock
) -> None:
    with watchdog.watching("follower") as turn:
        clock.at = 60
        in_time = watchdog.stuck()
        clock.at = 61
        late = watchdog.stuck()
        turn()

        assert in_time == {"follower": None}
        assert late == {"follower": "no progress for 61 s"}
        assert watchdog.stuck() == {"follower": None}


def test_a_loop_that_has_left_is_not_watched(
    watchdog: Watchdog, clock: HandClock
) -> None:
    with watchdog.watching("follower"):
        pass
    clock.at = 3600

    assert watchdog.stuck() == {}


async def test_the_event_loop_s_lag_is_measured(
    watchdog: Watchdog, clock: HandClock
) -> None:
    """The clock jumps while it sleeps: that is what a blocked loop looks like."""
    running = asyncio.create_task(watchdog.run())
    await asyncio.sleep(0)
    clock.at = 7.5
    await until(lambda: watchdog.lag, "a lag that was measured")
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running

    assert watchdog.lag == 7
    assert watchdog.stuck() == {}
