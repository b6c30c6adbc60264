"""
Jet's clock as its answers tell it, and what is dated by it (R7).

A Date header is cut to the second and was written before it was read (RFC 9110
§6.6.1): what it tells is never later than Jet's clock, and up to a second earlier. The
one that told the latest time is kept, for as long as none contradicts it.

Only Jet's clock decides, never ours: a worker's may be wrong by an hour.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from jetworker.core.post import Window

_NOTHING = timedelta(0)
_CONTRADICTION = timedelta(seconds=2)
_KEPT = 60.0  # seconds for which a Date header tells
_MARGIN = timedelta(milliseconds=100)  # Jet's servers need not agree exactly

AGREED = timedelta(seconds=2)  # A4: `createdOn` and `Date` agree so far
CUT = timedelta(seconds=1)  # a Date header, and some dates, are cut to the second
UNHEARD = timedelta(minutes=10)  # an intent of before Jet was heard: ours may be wrong


@dataclass(frozen=True, slots=True)
class Heard:
    """
    A Date header, and when it was read: seconds of a clock that never goes back.

    It was written at most *took* seconds before: since then the answer was asked for.
    """

    date: datetime
    at: float
    took: float = 0.0

    def then(self, at: float) -> datetime:
        """Return a time that Jet's clock had reached when ours showed *at*."""
        return self.date + timedelta(seconds=at - self.at) - _MARGIN

    def is_recent(self, at: float) -> bool:
        """Whether it was heard so lately that an intent may be dated by it."""
        return at - self.at <= _KEPT


def better(kept: Heard | None, new: Heard) -> Heard:
    """
    Return which of two headers tells more of Jet's clock.

    One that was read late tells less, and is no sign that the clock was set back.
    """
    if kept is None or new.at - kept.at > _KEPT:
        return new
    ahead = kept.then(new.at) - new.then(new.at)
    late = timedelta(seconds=new.took)
    return kept if _NOTHING <= ahead < _CONTRADICTION + late else new


def window(jet_time: datetime, longest_way: timedelta) -> Window:
    """
    Return when a start whose intent is written now can have been applied (R7).

    *longest_way* is lease + request timeout + settle.
    """
    return Window(jet_time - AGREED - CUT, jet_time + longest_way + AGREED)


def narrowed(jet_time: datetime, settle: timedelta) -> datetime:
    """Return until when Jet can have applied what is unknown at *jet_time* (A1)."""
    return jet_time + settle + AGREED + CUT


def answered(lo: datetime, jet_time: datetime | None) -> Window | None:
    """Return the window of a post that Jet answered: its delivery was made by then."""
    return None if jet_time is None else Window(lo, jet_time + AGREED + CUT)


def is_past(jet_time: datetime, hi: datetime) -> bool:
    """Whether a start written down now has a window that begins after *hi* (R5.1)."""
    return jet_time - AGREED - CUT > hi
