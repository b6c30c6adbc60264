"""
A witness: a reason to believe that Jet would show an unknown start, if there were one.

Jet's documents are not documented: a job may show all its deliveries, the latest, or
none. Only a delivery that we know tells which. The worker knows what it started on the job
before; others are compared by Jet's clock where it can be had, for ours may be wrong.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from jetworker.core.command import DeliveryId
from jetworker.core.jet_clock import is_before
from jetworker.core.open_intent import OpenIntent

_OLDEST, _NEWEST = 20, 10


@dataclass(frozen=True, slots=True)
class Bound:
    """
    A delivery that a command is bound to.

    *started_at* is by our clock, *created_on* by Jet's, None if Jet did not tell.
    """

    delivery_id: DeliveryId
    started_at: datetime
    created_on: datetime | None = None


@dataclass(frozen=True, slots=True)
class Settling:
    """The time before a look, by our clock, in which Jet need not show what was started."""

    since: datetime
    until: datetime

    def covers(self, known: Bound) -> bool:
        """Whether it was started in this time; a date to come is a clock's mistake."""
        return self.since < known.started_at <= self.until


def worth_asking(
    listed: frozenset[DeliveryId], known: Sequence[Bound]
) -> tuple[Bound, ...]:
    """
    Return those whose age decides, for Jet to tell: some of the oldest that are listed.

    Where only one is listed, some of the newest that are not, too.
    """
    by_age = sorted(known, key=lambda each: each.started_at)
    shown = [each for each in by_age if each.delivery_id in listed][:_OLDEST]
    hidden = [each for each in by_age if each.delivery_id not in listed]
    return (*shown, *(hidden[-_NEWEST:] if len(listed) <= 1 else ()))


def is_witnessed(
    listed: frozenset[DeliveryId],
    known: Sequence[Bound],
    asked: Sequence[Bound],
    start: OpenIntent,
    settling: Settling,
) -> bool:
    """
    Whether an unknown start would be among *listed*.

    A known delivery is listed that is older than the intent, and the listing is not one
    of only the latest (there, a newer known delivery would hide ours); or two or more
    known ones are listed, the first of all among them, and none is missing. *asked* are
    `worth_asking`, dated. What was started while *settling* is not missing yet: ours
    has had that time, and a busy job always has some that had not. The first must be
    listed all the same: a listing of the latest few hides it, and with it ours.
    """
    older = [each for each in asked if _is_older(each, start)]
    newer = [each for each in asked if each not in older]
    is_latest_only = len(listed) <= 1 and any(
        each.delivery_id not in listed for each in newer
    )
    if any(each.delivery_id in listed for each in older) and not is_latest_only:
        return True
    by_age = sorted(known, key=lambda each: each.started_at)
    shown = [each for each in by_age if each.delivery_id in listed]
    due = [each for each in by_age if each in shown or not settling.covers(each)]
    return len(shown) > 1 and shown == due and shown[0] == by_age[0]


def _is_older(known: Bound, start: OpenIntent) -> bool:
    if known.delivery_id == start.after:
        return True
    if known.created_on is None or start.jet_time is None:
        return known.started_at < start.written_at
    return is_before(known.created_on, start.jet_time)
