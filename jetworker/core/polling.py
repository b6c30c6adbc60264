"""What the follower concludes from what it saw: estimated ends, and listings."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from jetworker.core.delivery import Delivery
from jetworker.core.observation import JetDelivery, JetTransfer, Progress, Tally
from jetworker.core.trigger import StatusObserved

_IN_PROGRESS = "IN_PROGRESS"
_BEFORE = frozenset({None, "CREATED", "QUEUED", "SCHEDULED", _IN_PROGRESS})


@dataclass(frozen=True, slots=True)
class Speed:
    """
    What was last seen of one delivery's speed; times are monotonic seconds.

    *left* are the bytes still to come at *at*, *rate* bytes per second, where known.
    """

    at: float = 0.0
    moved: int = 0
    left: int | None = None
    rate: float | None = None
    listed_at: float = -1.0

    def remaining(self, now: float) -> timedelta | None:
        """Return the estimated time to the end, None where it cannot be told."""
        if self.left is None or not self.rate:
            return None
        return timedelta(seconds=max(0.0, self.left / self.rate - (now - self.at)))

    def age(self, seconds: float, failures: int) -> timedelta:
        """Return the age that paces questions; failures make them rarer."""
        return timedelta(seconds=seconds + 10 * min(failures, 60))


def estimate(
    seen: Speed, delivery: Delivery, transfers: Sequence[JetTransfer], now: float
) -> Speed:
    """Return what the listing's *transfers* say about the delivery's speed."""
    moved = sum(t.progress.transferred.bytes for t in transfers if t.progress)
    return _speed(seen, delivery.requested.bytes, moved, now, now)


def measure(
    seen: Speed, delivery: Delivery, progress: Progress | None, now: float
) -> Speed:
    """Return what the delivery's own counts say about its speed."""
    moved = progress.transferred.bytes if progress else 0
    return _speed(seen, delivery.requested.bytes, moved, now, seen.listed_at)


def from_listing(
    delivery: Delivery, transfers: tuple[JetTransfer, ...]
) -> StatusObserved:
    """
    Return the observation that a listing makes.

    A delivery with a transfer in progress is in progress; its counts are the sum of
    its transfers', as far as they are ahead of what Jet last said itself. A word of
    Jet's that is not known is left for Jet itself to change.
    """
    if delivery.jet_state not in _BEFORE or delivery.delivery_id is None:
        return StatusObserved(None, transfers)
    total = _total(delivery, transfers)
    before = delivery.progress or Progress()
    is_ahead = total.transferred.bytes >= before.transferred.bytes
    progress = total if is_ahead else delivery.progress
    ids = tuple(t.transfer_id for t in delivery.transfers)
    return StatusObserved(
        JetDelivery(
            delivery.delivery_id,
            _IN_PROGRESS,
            progress=progress,
            transfer_ids=ids,
        ),
        transfers,
    )


def _total(delivery: Delivery, transfers: tuple[JetTransfer, ...]) -> Progress:
    """Add up all transfers, those that are listed as they are now."""
    shown = {t.transfer_id: t.progress for t in transfers}
    known = {t.transfer_id: t.progress for t in delivery.transfers}
    parts = [each for each in (known | shown).values() if each is not None]
    return Progress(
        _sum([each.transferred for each in parts]),
        _sum([each.skipped for each in parts]),
        _sum([each.failed for each in parts]),
    )


def _sum(tallies: Sequence[Tally]) -> Tally:
    return Tally(sum(t.count for t in tallies), sum(t.bytes for t in tallies))


def _speed(
    seen: Speed, requested: int | None, moved: int, now: float, listed_at: float
) -> Speed:
    rate = seen.rate
    if seen.at and now > seen.at and moved > seen.moved:
        rate = (moved - seen.moved) / (now - seen.at)
    left = None if requested is None else max(0, requested - moved)
    return Speed(now, moved, left, rate, listed_at)


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
