"""
What an unknown start means, given what Jet shows and what else is open on the job.

Jet has no idempotency key: an unknown start can only be looked up. A delivery is
adopted when it can be no other's; a start is repeated only when a *witness* shows that
the listing would have shown the unknown one; everything else waits, and is then held.

Deliveries and intents are paired by the time in which a start can have been applied,
and by their contents, as far as Jet shows them. Intents of equal contents are paired in
the order of writing.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias

from jetworker.core.command import CommandId, DeliveryId
from jetworker.core.evidence import (
    NOTHING_SHOWN,
    Evidence,
    are_too_many,
    is_proven,
    shows_all_files,
    shows_other_files,
)
from jetworker.core.jet_clock import is_before
from jetworker.core.open_intent import OpenIntent


@dataclass(frozen=True, slots=True)
class Candidate:
    """
    A delivery seen on the job that no command is bound to.

    Not *is_shown*: its id is listed, but Jet did not show the delivery itself.
    """

    delivery_id: DeliveryId
    created_on: datetime | None
    evidence: Evidence = NOTHING_SHOWN
    is_shown: bool = True


@dataclass(frozen=True, slots=True)
class Sight:
    """
    What two equal looks at a job showed.

    *is_witnessed*: whether the job document would show the unknown start, see
    `core.witness`.
    """

    candidates: tuple[Candidate, ...]
    is_witnessed: bool = False


@dataclass(frozen=True, slots=True)
class Adopt:
    """This delivery is ours; *unexplained* are nobody's."""

    candidate: Candidate
    unexplained: tuple[DeliveryId, ...] = ()


@dataclass(frozen=True, slots=True)
class StartAgain:
    """A witness shows that nothing was started."""


@dataclass(frozen=True, slots=True)
class LookAgain:
    """Not decided yet; *message* says why, for when it has to be held."""

    message: str


Decision: TypeAlias = Adopt | StartAgain | LookAgain


def decide(ours: OpenIntent, others: Iterable[OpenIntent], seen: Sight) -> Decision:
    """
    Return what to do about *ours*; *others* are the other open intents of the job.

    Every delivery that no command is bound to stands in the way of absence, also one
    that does not look like ours: what Jet shows may be incomplete, a wrong second
    start cannot be taken back.
    """
    others = tuple(others)
    rivals = tuple(other for other in others if other.contents != ours.contents)
    alike = tuple(other for other in others if other.contents == ours.contents)
    candidates = [
        c for c in seen.candidates if not _belongs_to_a_rival(c, ours, rivals)
    ]
    if not candidates:
        return _decide_absence(seen)
    choice = _in_order(_choices(candidates, ours, rivals, alike), ours, alike)
    if choice is None:
        return LookAgain(
            f"{len(candidates)} deliveries of nobody are on the job, and nothing"
            " tells which of them is this one"
        )
    unexplained = tuple(
        c.delivery_id
        for c in seen.candidates
        if c is not choice and not (rivals or alike)
    )
    return Adopt(choice, unexplained)


def _choices(
    candidates: list[Candidate],
    ours: OpenIntent,
    rivals: tuple[OpenIntent, ...],
    alike: tuple[OpenIntent, ...],
) -> list[Candidate]:
    """
    Return the deliveries that can be ours and nobody else's.

    None while another may be ours as well, unless files tell and nobody asked for the
    same: what is ours would be left, and fit a rival only.
    """
    fitting = [c for c in candidates if _fits(c, ours, rivals)]
    doubtful = [c for c in candidates if c not in fitting and _is_possible(c, ours)]
    if alike and doubtful:
        return []
    if any(c.is_shown for c in doubtful) and not all(c.evidence.paths for c in fitting):
        return []
    return [c for c in fitting if is_proven(c.evidence, ours)] or fitting


def is_since(candidate: Candidate, time: datetime) -> bool:
    """Whether it was created then or later, as far as Jet tells."""
    return candidate.created_on is None or candidate.created_on >= time


def may_be(candidate: Candidate, intent: OpenIntent) -> bool:
    """
    Whether a delivery can be this intent's, by when it was created.

    Not before the intent was written; and once the start can be on its way no longer,
    only its files can still tell that it is.
    """
    created_on = candidate.created_on
    if created_on is None:
        return True
    if intent.jet_time is not None and is_before(created_on, intent.jet_time):
        return False
    if intent.until is None or created_on <= intent.until:
        return True
    return bool(candidate.evidence.paths) and is_proven(candidate.evidence, intent)


def _belongs_to_a_rival(
    candidate: Candidate, ours: OpenIntent, rivals: tuple[OpenIntent, ...]
) -> bool:
    """Whether every file is shown, and they are a rival's and not ours."""
    return shows_other_files(candidate.evidence, ours) and any(
        shows_all_files(candidate.evidence, rival) for rival in rivals
    )


def _fits(
    candidate: Candidate, ours: OpenIntent, rivals: tuple[OpenIntent, ...]
) -> bool:
    """
    Whether a delivery can be ours and nobody else's.

    Without a rival only its files can speak against it (sizes are hints, files grow);
    with rivals, the number of objects does too, and a rival that it fits as well is a
    doubt, unless it is proven to be ours. Bytes never rule anybody out.
    """
    if not candidate.is_shown or not _is_possible(candidate, ours):
        return False
    if not rivals:
        return True
    if are_too_many(candidate.evidence, ours):
        return False
    doubts = [rival for rival in rivals if _is_a_doubt(candidate, rival)]
    if is_proven(candidate.evidence, ours):
        return not any(is_proven(candidate.evidence, rival) for rival in doubts)
    return not doubts


def _is_possible(candidate: Candidate, ours: OpenIntent) -> bool:
    """Whether a delivery may be ours, as far as Jet shows it."""
    return may_be(candidate, ours) and not shows_other_files(candidate.evidence, ours)


def _is_a_doubt(candidate: Candidate, rival: OpenIntent) -> bool:
    """Whether nothing rules the rival out."""
    is_ruled_out = shows_other_files(candidate.evidence, rival) or (
        are_too_many(candidate.evidence, rival)
    )
    return may_be(candidate, rival) and not is_ruled_out


def _in_order(
    choices: list[Candidate], ours: OpenIntent, alike: tuple[OpenIntent, ...]
) -> Candidate | None:
    """
    Return the only choice, or among equal contents the one in the order of writing.

    Exchanging two deliveries of the same objects changes nothing for anybody; they
    must only not be taken twice: an earlier one takes the first that it can be, which
    is no later than the first of ours.
    """
    may_choose = [
        each for each in alike if any(may_be(choice, each) for choice in choices)
    ]
    intents = sorted((ours, *may_choose), key=_by_writing)
    place = intents.index(ours)
    if len(choices) > len(intents) or place >= len(choices):
        return None
    if len(choices) == 1:
        return choices[0]
    dated = [(c.created_on, c.delivery_id, c) for c in choices if c.created_on]
    return sorted(dated)[place][2] if len(dated) == len(choices) else None


def _by_writing(intent: OpenIntent) -> tuple[datetime, CommandId]:
    """By Jet's clock, which is the same for all workers, where it was heard."""
    return intent.jet_time or intent.written_at, intent.command_id


def _decide_absence(seen: Sight) -> Decision:
    """Believe in absence only by a witness: a wrong second start cannot be taken back."""
    if seen.is_witnessed:
        return StartAgain()
    return LookAgain("nothing in the job document shows whether it was started")
