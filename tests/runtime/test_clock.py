"""The clock by which is decided: it never goes back, and never stands still."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from typing_extensions import override

from jetworker.core.errors import LeaseLost
from jetworker.core.jet_clock import Heard
from jetworker.runtime.clock import Clock
from tests.support.life import Life

NIGHT = 8 * 3600.0


class Laptop(Clock):
    """Of a machine whose lid is closed: its loop stands still meanwhile."""

    def __init__(self) -> None:
        self.slept = 0.0

    @override
    def asleep(self) -> float:
        return self.slept


async def test_time_goes_by_while_the_machine_is_suspended() -> None:
    laptop = Laptop()
    before = laptop.monotonic()

    laptop.slept += NIGHT
    after = laptop.monotonic()
    laptop.slept -= 0.5  # who was interrupted between two clocks sees less

    assert NIGHT <= after - before < NIGHT + 60
    assert after <= laptop.monotonic() < after + 60


async def test_what_is_read_a_little_apart_is_no_sleep() -> None:
    """What a simulation decides depends on its own time alone."""
    laptop = Laptop()

    laptop.slept = 0.9

    assert laptop.monotonic() - asyncio.get_running_loop().time() < NIGHT / 2
    assert abs(laptop.monotonic() - asyncio.get_running_loop().time()) < 0.5
    assert abs(Clock().asleep()) < 0.5


async def test_a_start_that_was_written_down_before_a_sleep_is_not_sent_after_it() -> (
    None
):
    """The next owner of the partition has looked it up long ago, and sent it again."""
    laptop = Laptop()
    life = Life(clock=laptop)
    written_at = laptop.monotonic()
    life.partition.check_lease(written_at)

    laptop.slept += NIGHT

    with pytest.raises(LeaseLost):
        life.partition.check_lease(written_at)


async def test_after_a_sleep_no_start_is_dated_by_what_jet_said_before_it() -> None:
    laptop = Laptop()
    heard = Heard(datetime(2026, 11, 23, 22, tzinfo=UTC), laptop.monotonic())

    laptop.slept += NIGHT

    assert not heard.is_recent(laptop.monotonic())
    assert heard.then(laptop.monotonic()) > heard.date + timedelta(hours=7)
