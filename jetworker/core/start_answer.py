"""What Jet's answer to a start means: applied, not applied, or unknown."""

from dataclasses import dataclass
from typing import TypeAlias, assert_never

from jetworker.core.delivery import ReasonCode
from jetworker.core.observation import (
    StartAccepted,
    StartAnswer,
    StartAnswered,
    StartLost,
    StartNotSent,
)
from jetworker.core.trigger import Blocked, Deferred, Lost, Refused, StartConfirmed


@dataclass(frozen=True, slots=True)
class AskJob:
    """400 or 404: not applied; the job says why."""

    status: int
    message: str


@dataclass(frozen=True, slots=True)
class RenewToken:
    """401: not applied; the token may just have ended."""

    is_jets: bool = True


StartMeaning: TypeAlias = (
    StartConfirmed | Deferred | Refused | Lost | AskJob | RenewToken
)

_REFUSED = frozenset({403, 405, 413, 415, 422})
_UNKNOWN = frozenset({408, 409})


def meaning(answer: StartAnswer) -> StartMeaning:
    """Return what an answer means; whatever is not plainly one thing is unknown."""
    match answer:
        case StartAccepted(delivery_id):
            return StartConfirmed(delivery_id)
        case StartNotSent(message):
            return _unavailable(message)
        case StartLost(message):
            return Lost(message)
        case StartAnswered(status, message, is_jets):
            return _by_status(status, message, is_jets=is_jets)
        case _:
            assert_never(answer)


def _unavailable(message: str) -> Deferred:
    return Deferred(Blocked(ReasonCode.JET_UNAVAILABLE, message))


def _by_status(status: int, message: str, *, is_jets: bool) -> StartMeaning:
    """
    Return what a status means.

    A refusal that is no JSON object comes from something in front of Jet (a proxy, a
    firewall, an ingress without its backend): nothing was applied, and nothing is
    decided. A 401 may be worth a new token all the same.
    """
    if status == 401:  # noqa: PLR2004 -- HTTP's own names for itself
        return RenewToken(is_jets=is_jets)
    if 400 <= status < 500 and not is_jets and status not in _UNKNOWN:  # noqa: PLR2004
        said = f"something in front of Jet answered {status}: {message}"
        return _unavailable(said)
    if status == 429:  # noqa: PLR2004
        return _unavailable("Jet says: too many requests")
    if status in {400, 404}:
        return AskJob(status, message)
    if status in _REFUSED:
        return Refused(ReasonCode.REJECTED_BY_JET, f"Jet said {status}: {message}")
    return Lost(f"Jet answered {status}: {message}")
