"""
Jet's clock as its answers tell it, and dates that are compared with it.

A Date header is cut to the second and was written before it was read (RFC 9110
§6.6.1): what it tells is never later than Jet's clock, and up to a second earlier. The
one that told the latest time is kept, for as long as none contradicts it.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

_NOTHING = timedelta(0)
_SECOND = timedelta(seconds=1)
_CONTRADICTION = timedelta(seconds=2)
_KEPT = 60.0
_MARGIN = timedelta(milliseconds=100)  # Jet's servers need not agree exactly


@dataclass(frozen=True, slots=True)
class Heard:
    """A Date header, and when it was read: seconds of a clock that never goes back."""

    date: datetime
    at: float

    def then(self, at: float) -> datetime:
        """Return a time that Jet's clock had reached when ours showed *at*."""
        return self.date + timedelta(seconds=at - self.at) - _MARGIN


def better(kept: Heard | None, new: Heard) -> Heard:
    """Return which of two headers tells more of Jet's clock."""
    if kept is None or new.at - kept.at > _KEPT:
        return new
    ahead = kept.then(new.at) - new.then(new.at)
    return kept if _NOTHING <= ahead < _CONTRADICTION else new


def is_before(created_on: datetime, jet_time: datetime) -> bool:
    """
    Whether Jet created something before this time of its clock.

    A date without a fraction may have been cut to the second.
    """
    if created_on.microsecond == 0:
        return created_on + _SECOND <= jet_time
    return created_on < jet_time
