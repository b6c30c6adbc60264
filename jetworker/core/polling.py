"""
What the follower concludes from what it saw: estimated ends, listings, and their order.

Answers overtake each other. They are told in the order in which Jet was *asked*: what
was asked before the last answer told had come is dropped, for the delivery and for each
of its transfers. Two questions that were on their way at once may have been answered in
either order, whatever the order in which they left. So counts run backwards only where
Jet's own do.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from jetworker.core.command import TransferId
from jetworker.core.delivery import Delivery
from jetworker.core.frozen import replace
from jetworker.core.observation import JetDelivery, JetTransfer, Progress, Tally
from jetworker.core.progress import is_throttled
from jetworker.core.trigger import StatusObserved

_IN_PROGRESS = "IN_PROGRESS"
_LONGEST = 365 * 86400.0  # seconds; no estimate is of use beyond, and timedeltas end
_MOST = 2**53 - 1  # the largest number that every reader of JSON holds
_LONGEST_SILENCE = 300.0  # seconds between two 404s of one row
_BEFORE_THE_END = frozenset({None, "CREATED", "QUEUED", "SCHEDULED", _IN_PROGRESS})


@dataclass(frozen=True, slots=True)
class Speed:
    """
    What was last seen of one delivery's speed; times are monotonic seconds.

    *moved* bytes had been moved *at* that time, *left* are those still to come, *rate* is
    bytes per second, where known. *listed_at* is when a listing last showed it.
    """

    at: float = 0.0
    moved: int = 0
    left: int | None = None
    rate: float | None = None
    listed_at: float = -1.0

    def remaining(self, now: float) -> float | None:
        """Return the estimated seconds to the end, None where it cannot be told."""
        if self.left is None or not self.rate:
            return None
        return max(0.0, min(self.left / self.rate, _LONGEST) - (now - self.at))

    def age(self, seconds: float, failures: int) -> float:
        """Return the age in seconds that paces questions; failures make them rarer."""
        return min(seconds, _LONGEST) + 10 * min(failures, 60)


@dataclass(frozen=True, slots=True)
class Told:
    """
    When the last answers told of one delivery had come, in monotonic seconds.

    *own* are the counts that Jet last gave for the delivery itself, no sum of ours.
    *has_run_back*: Jet's counts ran backwards, and it is not told yet.
    """

    delivery_at: float = float("-inf")
    transfers_at: Mapping[TransferId, float] = field(default_factory=dict)
    own: Progress | None = None
    has_run_back: bool = False


@dataclass(frozen=True, slots=True)
class Denied:
    """
    Jet's own 404s about one thing, in a row; times are monotonic seconds.

    Anything else that Jet says about it ends the row, and so does a long silence.
    """

    first_at: float
    last_at: float
    times: int = 1

    @property
    def lasted(self) -> float:
        """Seconds from the first of them to the last."""
        return self.last_at - self.first_at


def denied_again(before: Denied | None, now: float) -> Denied:
    """Return the row with one more 404 in it."""
    if before is None or now - before.last_at > _LONGEST_SILENCE:
        return Denied(now, now)
    return replace(before, last_at=now, times=before.times + 1)


def in_order(
    told: Told, seen: StatusObserved, now: float
) -> tuple[Told, StatusObserved | None]:
    """
    Return what of *seen*, which came just now, is told, and what is told after it.

    None if all of it had been asked before the last answers came.
    """
    shown = seen.delivery
    if shown is not None and shown.asked_at < told.delivery_at:
        shown = None
    transfers = _asked_since(told, seen.transfers)
    if shown is None and not transfers:
        return told, None
    after = _told_at(told, transfers, now, is_of_delivery=shown is not None)
    if shown is seen.delivery and len(transfers) == len(seen.transfers):
        return after, seen
    return after, replace(seen, delivery=shown, transfers=transfers)


def _asked_since(
    told: Told, transfers: tuple[JetTransfer, ...]
) -> tuple[JetTransfer, ...]:
    """Return those that were not asked for before the last answer about them came."""
    known = told.transfers_at
    return tuple(
        each
        for each in transfers
        if each.asked_at >= known.get(each.transfer_id, each.asked_at)
    )


def _told_at(
    told: Told, transfers: tuple[JetTransfer, ...], now: float, *, is_of_delivery: bool
) -> Told:
    """Return what is told after an answer that came at *now*."""
    at = dict(told.transfers_at)
    for each in transfers:
        at[each.transfer_id] = now
    delivery_at = now if is_of_delivery else told.delivery_at
    return Told(delivery_at, at, told.own, told.has_run_back)


def of_answer(
    told: Told, delivery: Delivery, shown: JetDelivery
) -> tuple[Told, StatusObserved]:
    """
    Return the observation that Jet's own answer about a delivery makes.

    Counts that are lower than Jet's own before are told: Jet tries again. Those that are
    only lower than a sum of its transfers lag behind.
    """
    has_run_back = told.has_run_back or ran_back(told.own, shown.progress)
    is_back = has_run_back and ran_back(delivery.progress, shown.progress)
    own = shown.progress or told.own
    after = replace(told, own=own, has_run_back=is_back)
    return after, StatusObserved(shown, is_back=is_back)


def ran_back(before: Progress | None, now: Progress | None) -> bool:
    """Whether Jet's own counts are lower than Jet's own before."""
    if before is None or now is None:
        return False
    return now.transferred.bytes < before.transferred.bytes


def estimate(
    seen: Speed, delivery: Delivery, transfers: Sequence[JetTransfer], now: float
) -> Speed:
    """Return what the listing's *transfers* say about the delivery's speed."""
    moved = sum(t.progress.transferred.bytes for t in transfers if t.progress)
    return _speed(seen, delivery.requested.bytes, moved, now, now)


def is_growing(delivery: Delivery, before: Speed, after: Speed) -> bool:
    """
    Whether a listing shows that a delivery runs, as well as its own answer would.

    Not for one whose date is still to be compared with our clock, which only Jet's
    word on it gives, nor where that word is one that no listing changes.
    """
    is_running = delivery.jet_state == _IN_PROGRESS and delivery.created_on is not None
    return is_running and after.moved > before.moved


def measure(
    seen: Speed, delivery: Delivery, progress: Progress | None, now: float
) -> Speed:
    """Return what the delivery's own counts say about its speed."""
    moved = progress.transferred.bytes if progress else 0
    return _speed(seen, delivery.requested.bytes, moved, now, seen.listed_at)


def of_listing(
    told: Told, delivery: Delivery, transfers: tuple[JetTransfer, ...]
) -> tuple[Told, StatusObserved]:
    """
    Return the observation that a listing makes.

    A delivery with a transfer in progress is in progress; its counts are the sum of
    its transfers', as far as they are ahead of what Jet last said itself, or one of
    them has run backwards. A word of Jet's that is not known is left for Jet itself to
    change.
    """
    if delivery.jet_state not in _BEFORE_THE_END or delivery.delivery_id is None:
        return told, StatusObserved(None, transfers)
    total = _total(delivery, transfers)
    before = delivery.progress or Progress()
    known = {t.transfer_id: t.progress for t in delivery.transfers}
    has_run_back = told.has_run_back or any(
        ran_back(known.get(t.transfer_id), t.progress) for t in transfers
    )
    is_ahead = total.transferred.bytes >= before.transferred.bytes
    is_back = has_run_back and not is_ahead
    progress = total if is_ahead or is_back else delivery.progress
    ids = tuple(t.transfer_id for t in delivery.transfers)
    if told.has_run_back is not is_back:
        told = replace(told, has_run_back=is_back)
    return told, StatusObserved(
        JetDelivery(
            delivery.delivery_id,
            _IN_PROGRESS,
            progress=progress,
            transfer_ids=ids,
            asked_at=max((t.asked_at for t in transfers), default=0.0),
        ),
        transfers,
        is_back=is_back,
    )


def as_listed(told: Told, transfers: tuple[JetTransfer, ...], now: float) -> Told:
    """
    Return what is told after a listing that came at *now* and brought no news.

    It was an answer all the same: what was asked before it came is not told any more.
    """
    is_fresh = max(each.asked_at for each in transfers) >= told.delivery_at
    fresh = _asked_since(told, transfers)
    return _told_at(told, fresh, now, is_of_delivery=is_fresh)


def is_news(
    told: Told,
    delivery: Delivery,
    transfers: tuple[JetTransfer, ...],
    now: datetime,
    interval: timedelta,
) -> bool:
    """
    Whether what a listing shows of a delivery may change anything.

    Where it does not, the observation of `of_listing` tells nothing and leaves the
    delivery as it is: no state is another, and the counts are the same or were told
    less than *interval* before *now*.
    """
    if delivery.jet_state != _IN_PROGRESS or told.has_run_back:
        return True
    known = {each.transfer_id: each for each in delivery.transfers}
    for shown in transfers:
        old = known.get(shown.transfer_id)
        if old is None or old.jet_state != shown.state:
            return True
        if shown.progress is None or shown.progress == old.progress:
            continue
        is_due = not is_throttled(old.counted_at, now, interval)
        if is_due or ran_back(old.progress, shown.progress):
            return True
    if is_throttled(delivery.counted_at, now, interval):
        return False
    before, total = delivery.progress, _total(delivery, transfers)
    return before is None or (total != before and not ran_back(before, total))


def _total(delivery: Delivery, transfers: tuple[JetTransfer, ...]) -> Progress:
    """Add up all transfers, those that are listed as they are now."""
    shown = {t.transfer_id: t.progress for t in transfers}
    known = {t.transfer_id: t.progress for t in delivery.transfers}
    parts = [each for each in (known | shown).values() if each is not None]
    if len(parts) == 1 and parts[0].is_failed_known:
        return parts[0]
    return Progress(
        _sum([each.transferred for each in parts]),
        _sum([each.skipped for each in parts]),
        _sum([each.failed for each in parts]),
    )


def _sum(tallies: Sequence[Tally]) -> Tally:
    """Add up; what is published must be a number that every reader can hold."""
    count, size = sum(t.count for t in tallies), sum(t.bytes for t in tallies)
    return Tally(min(count, _MOST), min(size, _MOST))


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

    def next(self, age: float, remaining: float | None) -> float:
        """
        Return the seconds before the next question, before they are `spread`.

        A tenth of the delivery's *age*, so that questions grow rarer, drawn in by
        half of the *remaining* time where an end can be estimated.
        """
        wanted = age / 10
        if remaining is not None:
            wanted = min(wanted, remaining / 2)
        least, most = self.minimum.total_seconds(), self.maximum.total_seconds()
        return min(max(wanted, least), most)

    def put_off(self, usual: float, age: float, relied_on: float) -> float:
        """
        Return a longer wait than the *usual* one where notifications are relied on.

        *relied_on*: for so many seconds more, so that all is asked when that is over.
        Half of the delivery's *age* at most: an end that none announces is seen late by
        a part of what the delivery took, and short ones lose nothing.
        """
        longest = min(age / 2, relied_on, self.maximum.total_seconds())
        return max(usual, longest)


def spread(seconds: float, jitter: float) -> float:
    """Return a wait so spread that a restart does not synchronise thousands of them."""
    return seconds * (0.9 + 0.1 * jitter)
