"""How long to wait: back-off after failures, and the time until the next question."""

from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True, slots=True)
class Backoff:
    """Doubling waits between *floor* and *ceiling*."""

    floor: timedelta = timedelta(seconds=0.5)
    ceiling: timedelta = timedelta(seconds=15)

    def delay(self, failures: int, jitter: float) -> timedelta:
        """Return the wait after *failures* in a row; *jitter* is in [0, 1)."""
        doublings = max(0, min(failures - 1, 20))
        capped = min(self.floor * (1 << doublings), self.ceiling)
        return self.floor + (capped - self.floor) * jitter


@dataclass(frozen=True, slots=True)
class Pace:
    """`polling.min_interval` and `polling.max_interval`."""

    minimum: timedelta
    maximum: timedelta

    def first(self, jitter: float) -> timedelta:
        """Return the wait before the first question about a delivery."""
        return self.minimum * (0.5 + 0.5 * jitter)

    def next(
        self, age: timedelta, remaining: timedelta | None, jitter: float
    ) -> timedelta:
        """
        Return the wait before the next question.

        A tenth of the delivery's *age*, so that questions grow rarer, drawn in by
        half of the *remaining* time where an end can be estimated, and spread by
        *jitter* so that a restart does not synchronise thousands of them.
        """
        wanted = age / 10
        if remaining is not None:
            wanted = min(wanted, max(remaining, timedelta()) / 2)
        bounded = min(max(wanted, self.minimum), self.maximum)
        return bounded * (0.9 + 0.1 * jitter)
