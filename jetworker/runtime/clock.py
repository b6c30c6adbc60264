"""Time and luck, the only source of both: everything else takes them as arguments."""

import asyncio
import contextlib
import math
import random
import sys
import time
from datetime import UTC, datetime

_SLICE = 0.01  # seconds
_NAP = 1.0  # seconds: what is read one after the other differs by less


class Clock:
    """
    The wall clock for what is published, the loop's clock for what is decided.

    Leases, back-offs and settle times use `monotonic`: a wall clock that jumps by an
    hour changes none of them. The loop's own stands still while the machine is suspended,
    and Jet and Kafka do not: what was slept is added, or a start of before would seem to
    have been written down just now.
    """

    _slept = 0.0

    def now(self) -> datetime:
        """Return the wall clock, aware UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Return seconds that never go back and never stand still."""
        slept = self.asleep()
        if slept > self._slept + _NAP:
            self._slept = slept
        return asyncio.get_running_loop().time() + self._slept

    def asleep(self) -> float:
        """Return for how many seconds the machine was suspended, as far as it tells."""
        return _asleep() - _BEFORE

    def jitter(self) -> float:
        """Return a number in [0, 1)."""
        return random.random()  # noqa: S311 -- spreads polls, guards nothing


def _asleep() -> float:
    """Return it since it was booted; who is interrupted in between sees less, not more."""
    if sys.platform != "linux":
        return 0.0
    since_boot = time.clock_gettime(time.CLOCK_BOOTTIME)
    return since_boot - time.monotonic()


_BEFORE = _asleep()


class Slices:
    """
    Lets a long piece of work leave the loop to others, a hundredth of a second at a time.

    Who beats a heart or answers a probe waits no longer than for one slice, however
    much there is to do and however slow the machine is.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._ends = -math.inf

    async def rest(self) -> None:
        """Let the others have their turn, if a slice is over."""
        if self._clock.monotonic() >= self._ends:
            await asyncio.sleep(0)
            self._ends = self._clock.monotonic() + _SLICE


async def wait(event: asyncio.Event, seconds: float) -> None:
    """Wait for an event, but no longer than so many *seconds*."""
    if event.is_set():
        return
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()
