"""
What a command means for what is known: accepted, duplicate, rejected or carried out.

A known id is judged before expiry, route or paths: the same content is a
duplicate, other content a conflict. A rejected record does not use its id up.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias, assert_never

from jetworker.core.command import (
    Cancel,
    Command,
    CommandId,
    DeliveryId,
    Reject,
    Rejection,
    Resolution,
    Resolve,
    Send,
)
from jetworker.core.delivery import Delivery, State
from jetworker.core.finished import Remembered
from jetworker.core.route import Route, path_allowed

_NAMED = 64  # letters of a name that the record chose: an answer is bounded


@dataclass(frozen=True, slots=True)
class Accept:
    """A new command: make it a delivery."""

    command: Send


@dataclass(frozen=True, slots=True)
class Duplicate:
    """The same command again; *state* is that of its latest `delivery.*` event."""

    command_id: CommandId
    state: State
    delivery_id: DeliveryId | None


@dataclass(frozen=True, slots=True)
class Apply:
    """
    A cancel or resolve that is carried out.

    It is answered at once, except an adopt: that waits for Jet's word.
    """

    command: Cancel | Resolve


@dataclass(frozen=True, slots=True)
class Wait:
    """An order that waits behind an adopt which Jet is being asked about (R9)."""

    command: Cancel | Resolve


Admission: TypeAlias = Accept | Duplicate | Reject | Apply | Wait
Known: TypeAlias = Delivery | Remembered | None


def admit(
    command: Command, known: Known, route: Route | None, now: datetime
) -> Admission:
    """Return what is to be done with *command*, given what is known of its id."""
    match command:
        case Send():
            return _judge_send(command, known, route, now)
        case Cancel() | Resolve():
            return judge_order(command, known)
        case _:
            assert_never(command)


def judge_order(command: Cancel | Resolve, known: Known) -> Reject | Apply | Wait:
    """Return what is to be done with an operator's order, as things stand now."""
    if isinstance(known, Delivery) and known.pending is not None:
        return Wait(command)
    if isinstance(command, Cancel):
        return _judge_cancel(command, known)
    return _judge_resolve(command, known)


def _judge_send(
    command: Send, known: Known, route: Route | None, now: datetime
) -> Admission:
    if known is not None:
        return _judge_known(command, known)
    if command.expires_at is not None and command.expires_at <= now:
        message = "expiresAt had passed when the record was read"
        return _reject(command, Rejection.EXPIRED, message, "/expiresAt")
    if route is None:
        message = f"route: {command.route[:_NAMED]!r} is not in the routes file"
        return _reject(command, Rejection.UNKNOWN_ROUTE, message, "/route")
    for number, spec in enumerate(command.objects):
        if not path_allowed(spec.relative_path, route.allowed_paths):
            field = f"objects/{number}/relativePath"
            message = f"{field}: is not below the route's allowed_paths"
            return _reject(command, Rejection.PATH_NOT_ALLOWED, message, f"/{field}")
    return Accept(command)


def _judge_known(command: Send, known: Delivery | Remembered) -> Admission:
    match known:
        case Delivery():
            same = known.fingerprint == command.fingerprint
            state = known.published
        case Remembered():
            same = known.is_same(command.fingerprint)
            state = known.state
        case _:
            assert_never(known)
    if same:
        return Duplicate(command.command_id, state, known.delivery_id)
    message = "commandId was used before, for different content"
    return _reject(command, Rejection.CONFLICT, message, "/commandId")


def _judge_cancel(command: Cancel, known: Known) -> Reject | Apply:
    if known is None:
        return _unknown(command)
    if (
        isinstance(known, Delivery)
        and known.state in {State.ACCEPTED, State.WAITING}
        and known.attempt == 0
    ):
        return Apply(command)
    message = "a start was sent or it has ended; Jet has no way to stop one delivery"
    return Reject(Rejection.NOT_CANCELLABLE, message, command.command_id)


def _judge_resolve(command: Resolve, known: Known) -> Reject | Apply:
    if known is None:
        return _unknown(command)
    held = isinstance(known, Delivery) and known.state is State.HELD
    if not held:
        message = "the command is not held"
        return Reject(Rejection.NOT_HELD, message, command.command_id)
    if isinstance(known, Delivery) and known.intent is None:
        return _judge_defect(command, known)
    return Apply(command)


def _judge_defect(command: Resolve, known: Delivery) -> Reject | Apply:
    """Judge an order on what is held for a defect of ours: nothing of it is unknown."""
    if command.action is Resolution.ADOPT and command.delivery_id != known.delivery_id:
        message = "no start of the command is unknown that could have made it"
        return Reject(Rejection.NOT_ADOPTABLE, message, command.command_id)
    if command.action is Resolution.RESEND and known.delivery_id is not None:
        message = "it was started; adopt its own delivery, or abandon it"
        return Reject(Rejection.NOT_HELD, message, command.command_id)
    return Apply(command)


def _unknown(command: Cancel | Resolve) -> Reject:
    message = (
        "no command of this id is known on this partition: an order is sent with the"
        " key of its command"
    )
    return Reject(Rejection.UNKNOWN_COMMAND, message, command.command_id)


def _reject(command: Send, reason: Rejection, message: str, path: str) -> Reject:
    return Reject(
        reason, message, command.command_id, command.metadata, ((path, message),)
    )
