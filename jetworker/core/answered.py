"""
Which answers a record may have: what may follow what, where it is read again.

A record is read once, or again where the log was cut or the offset was lost. It is
answered each time, by what is known of its id by then, and an answer of ours that says
nothing (a defect, a limit) makes none before it forgotten: each must be one that may
follow every one before it. The rows of the table:

    record        answered            and when it is read again
    -----------   -----------------   ------------------------------------------
    send          accepted            duplicate
    send          duplicate           duplicate
    send          conflict            conflict
    send          expired             expired, conflict
    send          unknown_route       any answer to a send: routes change
    send          path_not_allowed    any answer to a send: so do they
    send          too_many_objects    any answer to a send: a limit was raised
    cancel        applied             any refusal of a cancel, not applied
    cancel        refused             any answer to a cancel
    resolve       applied, refused    any answer to a resolve: it may be held again
    none of them  its reason          the same reason
    any           internal_error      any answer to it: our defect was repaired
    any           any                 internal_error: our defect; of a send
                                      too_many_objects: a limit was lowered

`delivery.accepted` does not name its record: where it may have been is told by the rest.
"""

from collections.abc import Sequence
from enum import StrEnum
from typing import Final

from jetworker.core.command import Rejection


class RecordKind(StrEnum):
    """What a record of the commands topic is, as far as it says."""

    SEND = "send"
    CANCEL = "cancel"
    RESOLVE = "resolve"
    UNREADABLE = "unreadable"


ACCEPTED: Final = "accepted"
DUPLICATE: Final = "duplicate"
APPLIED: Final = "applied"

_CONFLICT = Rejection.CONFLICT.value
_EXPIRED = Rejection.EXPIRED.value
_INTERNAL = Rejection.INTERNAL_ERROR.value
_TOO_MANY = Rejection.TOO_MANY_OBJECTS.value

ANSWERS: Final = {
    RecordKind.SEND: frozenset(
        {
            ACCEPTED,
            DUPLICATE,
            _CONFLICT,
            _EXPIRED,
            Rejection.UNKNOWN_ROUTE.value,
            Rejection.PATH_NOT_ALLOWED.value,
            _TOO_MANY,
            _INTERNAL,
        }
    ),
    RecordKind.CANCEL: frozenset(
        {
            APPLIED,
            Rejection.UNKNOWN_COMMAND.value,
            Rejection.NOT_CANCELLABLE.value,
            Rejection.NOT_HELD.value,  # too many wait behind an adopt
            _INTERNAL,
        }
    ),
    RecordKind.RESOLVE: frozenset(
        {
            APPLIED,
            Rejection.UNKNOWN_COMMAND.value,
            Rejection.NOT_HELD.value,
            Rejection.NOT_ADOPTABLE.value,
            _INTERNAL,
        }
    ),
    RecordKind.UNREADABLE: frozenset(
        {
            Rejection.INVALID_JSON.value,
            Rejection.INVALID_COMMAND.value,
            Rejection.TOO_LARGE.value,
            _INTERNAL,
        }
    ),
}

# Where not every answer to its kind may follow one.
_FOLLOWS = {
    (RecordKind.SEND, ACCEPTED): frozenset({DUPLICATE}),
    (RecordKind.SEND, DUPLICATE): frozenset({DUPLICATE}),
    (RecordKind.SEND, _CONFLICT): frozenset({_CONFLICT}),
    (RecordKind.SEND, _EXPIRED): frozenset({_EXPIRED, _CONFLICT}),
    (RecordKind.CANCEL, APPLIED): ANSWERS[RecordKind.CANCEL] - {APPLIED},
} | {
    (RecordKind.UNREADABLE, each): frozenset({each})
    for each in ANSWERS[RecordKind.UNREADABLE] - {_INTERNAL}
}
_ALWAYS = {RecordKind.SEND: frozenset({_INTERNAL, _TOO_MANY})}


def following(kind: RecordKind, before: str) -> frozenset[str]:
    """Return what a record of this kind that was answered *before* may be answered."""
    always = _ALWAYS.get(kind, frozenset({_INTERNAL}))
    return _FOLLOWS.get((kind, before), ANSWERS[kind]) | always


def are_possible(kind: RecordKind, answers: Sequence[str]) -> bool:
    """Whether these may be the answers to one record, one a reading, in order."""
    possible = ANSWERS[kind]
    for each in answers:
        if each not in possible:
            return False
        possible &= following(kind, each)
    return True


def may_be_accepted_amid(kind: RecordKind, answers: Sequence[str]) -> bool:
    """Whether one reading more, before, between or after these, may have accepted it."""
    return any(
        are_possible(kind, (*answers[:place], ACCEPTED, *answers[place:]))
        for place in range(len(answers) + 1)
    )
