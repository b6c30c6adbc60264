"""The watchdog: how late the event loop is, and whether the loops that turn still do."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

from jetworker.runtime.clock import Clock
from jetworker.runtime.metrics import Metrics

_EVERY = 0.5  # seconds


class Watchdog:
    """
    Measures how late the event loop wakes up, and how long ago other loops turned.

    Watched are those that turn every second whatever Jet and Kafka do. Who waits for
    something to happen may wait for days; the consumer waits while Kafka is down, and
    aiokafka does not tell that from being stuck (aiokafka#1154). *patience*: seconds.
    """

    def __init__(self, clock: Clock, metrics: Metrics, patience: float = 60.0) -> None:
        self._clock = clock
        self._metrics = metrics
        self._patience = patience
        self._turned: dict[str, float] = {}
        self.lag = 0.0

    @contextmanager
    def watching(self, name: str) -> Iterator[Callable[[], None]]:
        """Watch a loop for as long as this lasts; yields what it calls at every turn."""
        turn = partial(self._turn, name)
        turn()
        try:
            yield turn
        finally:
            del self._turned[name]

    def stuck(self) -> dict[str, str | None]:
        """Return what is wrong with every loop that is watched, None: nothing."""
        now = self._clock.monotonic()
        gone = {name: now - at for name, at in self._turned.items()}
        return {
            name: f"no progress for {seconds:.0f} s"
            if seconds > self._patience
            else None
            for name, seconds in gone.items()
        }

    async def run(self) -> None:
        """Measure the event loop's lag, for ever."""
        with self.watching("event loop") as turn:
            while True:
                expected = self._clock.monotonic() + _EVERY
                await asyncio.sleep(_EVERY)
                self.lag = max(0.0, self._clock.monotonic() - expected)
                self._metrics.event_loop_lag_seconds.set(self.lag)
                turn()

    def _turn(self, name: str) -> None:
        self._turned[name] = self._clock.monotonic()
