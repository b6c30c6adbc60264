"""How often: a token bucket that gives way when Jet is short of breath, and back-off."""

from dataclasses import dataclass, replace
from datetime import timedelta

_FLOOR = 16  # a rate is slowed to no less than this part of its limit
_RECOVERY = 0.02  # of the limit, a second


@dataclass(frozen=True, slots=True)
class Bucket:
    """
    *rate* tokens a second now, never above *limit*; *tokens* as of *at* (seconds).

    The rate is halved when Jet says "too many" and raised again by a fiftieth of the
    limit a second: additive increase, multiplicative decrease, as TCP does.
    """

    limit: float
    rate: float
    tokens: float
    at: float
    slowed_at: float = -1e9

    @classmethod
    def full(cls, limit: float, now: float) -> "Bucket":
        """Return a bucket at its limit, with a small burst in it."""
        return cls(limit, limit, max(1.0, limit / 2), now)

    def refilled(self, now: float) -> "Bucket":
        """Return the bucket as it is at *now*."""
        passed = max(0.0, now - self.at)
        rate = min(self.limit, self.rate + self.limit * _RECOVERY * passed)
        tokens = min(max(1.0, rate / 2), self.tokens + passed * rate)
        return Bucket(self.limit, rate, tokens, now, self.slowed_at)

    def limited(self, limit: float, now: float) -> "Bucket":
        """Return the bucket under another limit; what it held in burst is cut to it."""
        if limit == self.limit:
            return self
        rate = limit * min(1.0, self.refilled(now).rate / self.limit)
        return replace(self.refilled(now), limit=limit, rate=rate).refilled(now)

    def taken(self) -> "Bucket":
        """Return the bucket with one token less."""
        left = self.tokens - 1
        return Bucket(self.limit, self.rate, left, self.at, self.slowed_at)

    def slowed(self, now: float) -> "Bucket":
        """Return the bucket at half its rate; at most once a second."""
        if now - self.slowed_at < 1:
            return self
        slower = max(self.rate / 2, self.limit / _FLOOR)
        return replace(self.refilled(now), rate=slower, tokens=0.0, slowed_at=now)

    @property
    def wait(self) -> float:
        """Seconds until there is a token."""
        return max(0.0, (1 - self.tokens) / self.rate)


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
