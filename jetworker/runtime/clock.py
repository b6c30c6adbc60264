"""Time and luck, the only source of both: everything else takes them as arguments."""

import asyncio
import contextlib
import math
import random
from datetime import UTC, datetime

_SLICE = 0.01  # seconds


class Clock:
    """
    The wall clock for what is published, the loop's clock for what is decided.

    Leases, back-offs and settle times use `monotonic`: a wall clock that jumps by an
    hour changes none of them.
    """

    def now(self) -> datetime:
        """Return the wall clock, aware UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Return seconds that never go back, the event loop's own."""
        return asyncio.get_running_loop().time()

    def jitter(self) -> float:
        """Return a number in [0, 1)."""
        return random.random()  # noqa: S311 -- spreads polls, guards nothing


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
