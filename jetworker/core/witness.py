"""
What a job's document is proven to list, judged by deliveries that we know (R2).

Nothing about the document is documented: it may list everything, the newest few, what
runs, an old view, or leave out by chance. So each look is calibrated, on this job, now:
an unknown start that is not listed is believed absent only if the list is proven to
show what it would have to show.

A *survey* is what one look shows of what is known: the same for every case of the job,
made in one pass. A *row* is what the looks of one case have proven, one after another.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from heapq import nlargest, nsmallest
from itertools import chain
from operator import itemgetter

from jetworker.core.command import DeliveryId
from jetworker.core.evidence import LEARNED_FROM, Asked, Shown
from jetworker.core.jet_clock import AGREED
from jetworker.core.post import Window

ENOUGH_KNOWN = 10  # known deliveries that are listed (2.2), or missing (2.7)
LOOKS = 3  # that count, before absence is believed
_PURGED_AFTER = timedelta(hours=24)  # no list forgets sooner what it has listed


class Proof(StrEnum):
    """Which proof is missing: a label of `held_starts_total`."""

    NOTHING_LISTED = "nothing_listed"
    FEW_KNOWN = "few_known"
    GAP = "gap"
    NO_ENDED = "no_ended"
    NOT_FRESH = "not_fresh"
    NOT_BEGUN_UNSEEN = "not_begun_unseen"
    MAY_BE_CUT = "may_be_cut"
    CANDIDATES = "candidates"
    NOT_SHOWN = "not_shown"
    RIVAL = "rival"
    REFUTED = "refuted"
    ATTEMPTS = "attempts"
    CLOCKS = "clocks"
    ROUTE_SAYS_HOLD = "route_says_hold"
    NOT_LOOKED_UP = "not_looked_up"


@dataclass(frozen=True, slots=True)
class Missing:
    """What is missing to settle an unknown start, as an operator reads it."""

    proof: Proof
    message: str


@dataclass(frozen=True, slots=True)
class KnownDelivery:
    """
    A delivery that a command is bound to.

    *made_in* is when it can have been made: `createdOn` twice, or, where that was never
    read, the window of its post. *ended_on* is Jet's `lastModifiedOn` at its end.
    """

    delivery_id: DeliveryId
    made_in: Window | None
    asked: Asked
    ended_on: datetime | None = None
    is_whole: bool = False


def last_ended(known: Iterable[KnownDelivery], due: datetime) -> list[KnownDelivery]:
    """Return the last known ones of a job that ended whole before *due*, newest first (R6)."""
    ended = (
        (each.made_in.lo, each)
        for each in known
        if each.is_whole
        and not each.asked.folders
        and each.made_in is not None
        and each.made_in.hi < due
        and (each.ended_on is None or each.ended_on < due)
    )
    return [each for _, each in nlargest(LEARNED_FROM, ended, key=itemgetter(0))]


@dataclass(frozen=True, slots=True)
class Look:
    """
    One look at a job.

    *began* is a time that Jet's clock had reached when the job was asked for, *ended*
    one that it had not passed when the answer was there. *shown* are the deliveries
    asked for *after* it.
    """

    began: datetime
    ended: datetime
    listed: frozenset[DeliveryId]
    shown: Mapping[DeliveryId, Shown]


@dataclass(frozen=True, slots=True)
class Survey:
    """
    What one look shows of what is known.

    *gap* is a known delivery that is not listed and should be, *unstated* one that a
    complete list would have. Of those listed, *known* is how many are known and dated,
    *starts* are the dates, *first_end* is when the first ended, *last_start* when the
    last was made, *tenth_oldest* by when the ten oldest were; *waiting* is one that had
    not begun. *is_newest_part*: many are missing, all older than those listed.
    """

    look: Look
    known: int = 0
    gap: DeliveryId | None = None
    unstated: DeliveryId | None = None
    first_end: datetime | None = None
    last_start: datetime | None = None
    waiting: DeliveryId | None = None
    tenth_oldest: datetime | None = None
    is_newest_part: bool = False
    starts: Mapping[DeliveryId, datetime] | None = None


def survey(
    look: Look, known: Mapping[DeliveryId, KnownDelivery], settle: timedelta
) -> Survey:
    """Hold a look against what is known: sets, one pass, nothing pairwise."""
    listed: list[KnownDelivery] = []
    missing: list[KnownDelivery] = []
    for each in known.values():
        (listed if each.delivery_id in look.listed else missing).append(each)
    shown = [look.shown[x] for x in look.listed & look.shown.keys()]
    dated = [each.made_in for each in listed if each.made_in is not None]
    starts = {x.delivery_id: x.made_in.lo for x in listed if x.made_in is not None}
    starts |= {x.delivery_id: x.created_on for x in shown if x.created_on is not None}
    oldest = min((each.hi for each in dated), default=None)
    oldest_of_all = min(chain(starts.values(), (d.hi for d in dated)), default=None)
    due = look.began - settle - AGREED
    gone = _gone(look, missing, due)
    ends = chain(
        (each.ended_on for each in listed),
        (each.modified_on for each in shown if each.has_ended),
    )
    tenth = nsmallest(ENOUGH_KNOWN, (each.hi for each in dated))
    return Survey(
        look=look,
        known=len(dated),
        gap=_not_older(gone, oldest),
        unstated=_not_older(gone, oldest_of_all)
        if look.listed
        else next((x for x, at in gone if at > look.began - _PURGED_AFTER), None),
        first_end=min((end for end in ends if end is not None), default=None),
        last_start=max(starts.values(), default=None),
        waiting=next((x.delivery_id for x in shown if x.has_not_begun), None),
        tenth_oldest=tenth[-1] if len(tenth) == ENOUGH_KNOWN else None,
        is_newest_part=_is_newest_part(missing, oldest_of_all),
        starts=starts,
    )


def _gone(
    look: Look, missing: Iterable[KnownDelivery], due: datetime
) -> list[tuple[DeliveryId, datetime]]:
    """Return what is known or seen, older than `settle`, and not listed."""
    known = [
        (each.delivery_id, each.made_in.lo)
        for each in missing
        if each.made_in is not None and each.made_in.hi < due
    ]
    known_ids = {each for each, _ in known}
    hinted = [
        (x.delivery_id, x.created_on)
        for x in look.shown.values()
        if x.created_on is not None
        and x.created_on < due
        and x.delivery_id not in look.listed
        and x.delivery_id not in known_ids
    ]
    return known + hinted


def _not_older(
    gone: Iterable[tuple[DeliveryId, datetime]], oldest: datetime | None
) -> DeliveryId | None:
    """Return one that is not older than the oldest that is listed."""
    if oldest is None:
        return None
    return next((each for each, at in gone if at > oldest + AGREED), None)


def _is_newest_part(missing: list[KnownDelivery], oldest: datetime | None) -> bool:
    """
    Whether many are missing, and all of them older than every listed one (2.7).

    What may be of the same moment contradicts nothing, and proves nothing: of a burst
    any part may be missing.
    """
    windows = [each.made_in for each in missing if each.made_in is not None]
    if oldest is None or len(windows) < len(missing):
        return False
    are_older = all(window.lo <= oldest + AGREED for window in windows)
    return are_older and sum(x.hi < oldest for x in windows) >= ENOUGH_KNOWN


@dataclass(frozen=True, slots=True)
class Row:
    """
    What the looks of a case have shown, one after another.

    *looks* in a row passed 2.1-2.5 and 2.8, *stated* in a row 2.1, 2.3 and 2.8; *first*
    and *latest* are the first and the last of the former. *lack* is what the last look
    lacked.
    """

    looks: int = 0
    stated: int = 0
    first: Survey | None = None
    latest: Survey | None = None
    has_waiting: bool = False
    is_uncut: bool = False
    lack: Missing | None = None
    last: Survey | None = None

    @property
    def is_proven(self) -> bool:
        """Whether a post of this case that is not listed is believed absent (R2)."""
        return self.looks >= LOOKS and self.has_waiting and self.is_uncut

    @property
    def is_stated(self) -> bool:
        """Whether it is, on a job whose list is stated to be complete (R2b)."""
        return self.stated >= LOOKS

    @property
    def missing(self) -> Missing | None:
        """The proof that is missing, the first of the list; None if none is."""
        if self.lack is not None:
            return self.lack
        if self.last is None or not self.looks:
            return Missing(Proof.NOT_LOOKED_UP, "the job could not be looked at yet")
        if not self.has_waiting:
            return Missing(
                Proof.NOT_BEGUN_UNSEEN,
                "no delivery is listed that had not begun: the document may list only"
                " what has begun",
            )
        if not self.is_uncut:
            number = len(self.last.look.listed)
            return Missing(
                Proof.MAY_BE_CUT,
                f"the document lists {number} deliveries and has not grown: it may be"
                " full",
            )
        if self.looks < LOOKS:
            return Missing(Proof.NOT_LOOKED_UP, "the job was looked at too few times")
        return None


def extended(
    row: Row,
    seen: Survey,
    window: Window,
    *,
    is_settled: bool,
    gap: DeliveryId | None,
) -> Row:
    """
    Return the row with one more look.

    *is_settled*: `settle` has passed since this process learnt of the doubt (2.1).
    *gap* is one that any look of this case, or on this job in 24 h, has shown (2.8).
    """
    if not is_settled:
        return Row(last=seen)
    if gap is not None:  # 2.3, 2.8
        return Row(lack=_is_hidden(gap), last=seen)
    row = replace(row, stated=row.stated + 1, last=seen)
    lack = _lack(seen, window)
    if lack is None:
        return _good(row, seen, window)
    if lack.proof is Proof.NOT_FRESH:  # it does not count and does not break the row
        return replace(row, lack=lack)
    return Row(stated=row.stated, lack=lack, last=seen)


def _lack(seen: Survey, window: Window) -> Missing | None:
    """Return what one look lacks of 2.2, 2.4 and 2.5, in this order."""
    if not seen.look.listed:
        return Missing(
            Proof.NOTHING_LISTED,
            "the job's document lists no delivery: Jet cannot show that nothing was"
            " started",
        )
    if seen.known < ENOUGH_KNOWN:  # 2.2
        return Missing(
            Proof.FEW_KNOWN,
            f"only {seen.known} of this job's known deliveries are listed,"
            f" {ENOUGH_KNOWN} are needed",
        )
    if seen.first_end is None or seen.first_end >= window.lo:  # 2.4
        return Missing(
            Proof.NO_ENDED,
            "no delivery is listed that had ended before this start was sent",
        )
    if seen.last_start is None or seen.last_start <= window.hi:  # 2.5
        return Missing(
            Proof.NOT_FRESH,
            "nothing started after it is listed: there was no later start, or the view"
            " is old",
        )
    return None


def _good(row: Row, seen: Survey, window: Window) -> Row:
    """Return the row with a look that counts: 2.6 and 2.7 by one of them."""
    grown = any(
        earlier is not None and _has_grown(earlier, seen)
        for earlier in (row.first, row.latest)
    )
    is_newest_part = (
        seen.is_newest_part
        and seen.tenth_oldest is not None
        and seen.tenth_oldest < window.lo
    )
    return replace(
        row,
        looks=row.looks + 1,
        first=row.first or seen,
        latest=seen,
        has_waiting=row.has_waiting or seen.waiting is not None,  # 2.6
        is_uncut=row.is_uncut or grown or is_newest_part,  # 2.7
        lack=None,
    )


def _has_grown(earlier: Survey, seen: Survey) -> bool:
    """Whether a list is the earlier one and more, by one started after that look."""
    if not earlier.look.listed < seen.look.listed:
        return False
    starts = seen.starts or {}
    after = earlier.look.ended + AGREED
    added = seen.look.listed - earlier.look.listed
    return any(each in starts and starts[each] > after for each in added)


def _is_hidden(gap: DeliveryId) -> Missing:
    return Missing(
        Proof.GAP,
        f"the job's document hides {gap} which we know: it is not believed for 24 h",
    )
