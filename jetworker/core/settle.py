"""
What an unknown start means, given what Jet shows and what else is open on the job.

Jet has no idempotency key: an unknown start can only be looked up. A delivery is
adopted when it can be no other's; a start is repeated only when a *witness* shows that
the listing would have shown the unknown one; everything else waits, and is then held.

Deliveries and intents are paired by their contents, as far as Jet shows them.
Intents of equal contents are paired in the order of writing.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias

from jetworker.core.command import DeliveryId
from jetworker.core.evidence import (
    NOTHING_SHOWN,
    Evidence,
    OpenIntent,
    are_too_many,
    is_proven,
    is_too_much,
    shows_other_files,
)
from jetworker.core.jet_clock import is_before


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
class Observation:
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


def decide(
    ours: OpenIntent, others: Iterable[OpenIntent], seen: Observation
) -> Decision:
    """
    Return what to do about *ours*; *others* are the other open intents of the job.

    Every delivery that no command is bound to stands in the way of absence, also one
    that does not look like ours: what Jet shows may be incomplete, a wrong second
    start cannot be taken back.
    """
    others = tuple(others)
    rivals = tuple(other for other in others if other.contents != ours.contents)
    alike = tuple(other for other in others if other.contents == ours.contents)
    candidates = [c for c in seen.candidates if not _is_a_rival_s(c, ours, rivals)]
    if not candidates:
        return _decide_absence(seen)
    fitting = [c for c in candidates if _fits(c, ours, rivals)]
    proven = [c for c in fitting if is_proven(c.evidence, ours)]
    choice = _in_order(proven or fitting, ours, alike)
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


def _is_a_rival_s(
    candidate: Candidate, ours: OpenIntent, rivals: tuple[OpenIntent, ...]
) -> bool:
    """Whether every file is shown, and they are a rival's and not ours."""
    shown = bool(candidate.evidence.paths) and shows_other_files(
        candidate.evidence, ours
    )
    return shown and any(is_proven(candidate.evidence, rival) for rival in rivals)


def _fits(
    candidate: Candidate, ours: OpenIntent, rivals: tuple[OpenIntent, ...]
) -> bool:
    """
    Whether a delivery can be ours and nobody else's.

    Without a rival only its files can speak against it (sizes are hints, files grow);
    with rivals, counts and bytes do too where the files are not all shown, and a rival
    that it fits as well is a doubt. Bytes never rule a rival out: its files may grow.
    """
    if not candidate.is_shown:
        return False
    if _is_older(candidate, ours) or shows_other_files(candidate.evidence, ours):
        return False
    if not rivals:
        return True
    if is_proven(candidate.evidence, ours):
        return not any(is_proven(candidate.evidence, rival) for rival in rivals)
    if is_too_much(candidate.evidence, ours):
        return False
    return all(
        shows_other_files(candidate.evidence, rival)
        or are_too_many(candidate.evidence, rival)
        or _is_older(candidate, rival)
        for rival in rivals
    )


def _in_order(
    choices: list[Candidate], ours: OpenIntent, alike: tuple[OpenIntent, ...]
) -> Candidate | None:
    """
    Return the only choice, or among equal contents the one in the order of writing.

    Exchanging two deliveries of the same objects changes nothing for anybody; they
    must only not be taken twice.
    """
    intents = sorted((ours, *alike), key=lambda i: (i.written_at, i.command_id))
    place = intents.index(ours)
    if len(choices) > len(intents) or place >= len(choices):
        return None
    if len(choices) == 1:
        return choices[0]
    if any(choice.created_on is None for choice in choices):
        return None
    return sorted(choices, key=lambda c: (str(c.created_on), c.delivery_id))[place]


def _decide_absence(seen: Observation) -> Decision:
    """Believe in absence only by a witness: a wrong second start cannot be taken back."""
    if seen.is_witnessed:
        return StartAgain()
    return LookAgain("nothing in the job document shows whether it was started")


def _is_older(candidate: Candidate, intent: OpenIntent) -> bool:
    """Whether the delivery was there before the intent was written down."""
    if candidate.created_on is None or intent.jet_time is None:
        return False
    return is_before(candidate.created_on, intent.jet_time)
