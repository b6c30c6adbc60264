"""The watchdog: whether the event loop turns and every loop of ours makes progress."""

import asyncio

from jetworker.clock import Clock
from jetworker.metrics import Metrics

_EVERY = 0.5


class Watchdog:
    """
    Measures how late the event loop wakes up, and how long tasks have been gone.

    What is beaten for must beat again within *patience* seconds.
    """

    def __init__(self, clock: Clock, metrics: Metrics, patience: float = 60.0) -> None:
        self._clock = clock
        self._metrics = metrics
        self._patience = patience
        self._beats: dict[str, float] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self.lag = 0.0

    def beat(self, name: str) -> None:
        """Say that *name* made progress just now."""
        self._beats[name] = self._clock.monotonic()

    def watch(self, name: str, task: "asyncio.Task[None]") -> None:
        """Say that *task* must run for as long as the worker does."""
        self._tasks[name] = task

    def stuck(self) -> dict[str, str | None]:
        """Return what is wrong with every loop, None where nothing is."""
        now = self._clock.monotonic()
        found: dict[str, str | None] = {}
        for name, task in self._tasks.items():
            found[name] = "has ended" if task.done() else None
        for name, at in self._beats.items():
            late = now - at
            is_late = late > self._patience
            found[name] = (
                f"no progress for {late:.0f} s" if is_late else found.get(name)
            )
        return found

    async def run(self) -> None:
        """Measure the loop's lag, for ever."""
        while True:
            expected = self._clock.monotonic() + _EVERY
            await asyncio.sleep(_EVERY)
            self.lag = max(0.0, self._clock.monotonic() - expected)
            self._metrics.event_loop_lag_seconds.set(self.lag)
            self.beat("event loop")
