"""
The lifecycle of a delivery: every state, every trigger, every edge, in one `match`.

`transition` decides and nothing else: the shell commits the new snapshot and the
events in one transaction and performs the effects only after that.

```mermaid
stateDiagram-v2
    [*] --> accepted : accept
    accepted --> waiting : Blocked
    accepted --> starting : Begun
    accepted --> failed : Refused
    accepted --> cancelled : CancelOrdered
    waiting --> waiting : Blocked
    waiting --> starting : Begun
    waiting --> failed : Refused
    waiting --> cancelled : CancelOrdered
    cleared --> waiting : Blocked
    cleared --> starting : Begun
    cleared --> failed : Refused
    starting --> waiting : Deferred
    starting --> failed : Refused
    starting --> started : StartConfirmed
    starting --> uncertain : Lost
    starting --> cleared : Lost
    starting --> held : Lost
    uncertain --> uncertain : Claimed
    uncertain --> started : Found
    uncertain --> cleared : Absent
    uncertain --> held : Absent
    uncertain --> held : Undecided
    held --> held : Undecided
    held --> held : Claimed
    held --> held : AdoptOrdered
    held --> held : OrderQueued
    held --> held : AdoptRefused
    held --> started : Found
    held --> cleared : ResendOrdered
    held --> failed : AbandonOrdered
    started --> started : StatusObserved
    started --> in_progress : StatusObserved
    started --> completed : StatusObserved
    started --> failed : StatusObserved
    started --> failed : DeliveryNotFound
    started --> failed : DeadlinePassed
    in_progress --> in_progress : StatusObserved
    in_progress --> completed : StatusObserved
    in_progress --> failed : StatusObserved
    in_progress --> failed : DeliveryNotFound
    in_progress --> failed : DeadlinePassed
```

A final state is final: late news about a finished delivery changes nothing. Nor does
what is in a route's way change one that does not wait on it any more.

`set_aside` stands beside the table: it ends or holds a delivery on which our own code
failed, from any state, without asking the code that may be what fails.
"""

from datetime import datetime

from jetworker.core import transitions
from jetworker.core.command import Origin, Send
from jetworker.core.delivery import Delivery, EventType, ReasonCode, Requested, State
from jetworker.core.errors import IllegalTransition
from jetworker.core.frozen import replace
from jetworker.core.transitions import Policy, Transition
from jetworker.core.trigger import (
    AbandonOrdered,
    Absent,
    AdoptOrdered,
    AdoptRefused,
    Begun,
    Blocked,
    CancelOrdered,
    Claimed,
    DeadlinePassed,
    Deferred,
    DeliveryNotFound,
    Found,
    Lost,
    OrderQueued,
    Refused,
    ResendOrdered,
    StartConfirmed,
    StatusObserved,
    Trigger,
    Undecided,
)


def accept(
    command: Send, origin: Origin, now: datetime, told_on: int | None = None
) -> Transition:
    """Make a command a delivery, whose events are *told_on* one partition for good."""
    sizes = [spec.size for spec in command.objects]
    known = [size for size in sizes if size is not None]
    delivery = Delivery(
        command_id=command.command_id,
        fingerprint=command.fingerprint,
        route=command.route,
        requested=Requested(
            len(sizes), sum(known) if len(known) == len(sizes) else None
        ),
        commanded_at=origin.timestamp,
        accepted_at=now,
        objects=command.objects,
        metadata=command.metadata,
        traceparent=origin.traceparent,
        expires_at=command.expires_at,
        read_at=(origin.partition, origin.offset),
        told_on=told_on,
    )
    return transitions.tell(delivery, EventType.ACCEPTED)


def set_aside(delivery: Delivery, now: datetime) -> Transition:
    """
    Take a delivery on which our own code failed out of the way of the others.

    What was certainly not started has failed. Anything else is held: Jet may be at
    work on it, and an operator decides.
    """
    if delivery.state.is_final:
        return Transition(delivery)
    if delivery.state in {State.ACCEPTED, State.WAITING} and not delivery.attempt:
        message = "the worker failed on it, which is a defect to be reported"
        return transitions.fail(delivery, ReasonCode.INTERNAL_ERROR, message, now)
    return transitions.hold_defect(delivery, now)


def plain(delivery: Delivery) -> Delivery:
    """
    Return a delivery without what it merely tells, which may be what our code fails on.

    What identifies it, what it asked for and what binds it to Jet is kept.
    """
    return replace(
        delivery,
        metadata=None,
        traceparent=None,
        unknown=None,
        jet_state=None,
        progress=None,
        counted_at=None,
        failed_objects=None,
        transfers=(),
    )


def transition(
    delivery: Delivery, trigger: Trigger, now: datetime, policy: Policy
) -> Transition:
    """
    Return what *trigger* makes of *delivery* at *now*.

    Raises IllegalTransition where the table has no edge: a bug, never bad luck.
    """
    match delivery.state, trigger:
        case state, _ if state.is_final:
            return Transition(delivery)
        case state, Blocked() if not state.is_startable:
            return Transition(delivery)
        case State.ACCEPTED | State.WAITING | State.CLEARED, Blocked():
            return transitions.wait(delivery, trigger)
        case State.STARTING, Deferred(obstacle):
            return transitions.wait(delivery, obstacle)
        case (
            State.ACCEPTED | State.WAITING | State.CLEARED | State.STARTING,
            Refused(code, message),
        ):
            return transitions.fail(delivery, code, message, now)
        case State.ACCEPTED | State.WAITING | State.CLEARED, Begun():
            return transitions.begin(delivery, trigger)
        case State.ACCEPTED | State.WAITING, CancelOrdered():
            return transitions.cancel(delivery, now)
        case State.STARTING, StartConfirmed():
            return transitions.start(delivery, trigger, now)
        case State.STARTING, Lost():
            return transitions.doubt(delivery, trigger, now, policy)
        case State.UNCERTAIN | State.HELD, Found():
            return transitions.adopt(delivery, trigger, now)
        case State.UNCERTAIN | State.HELD, Claimed(delivery_id):
            return transitions.claim(delivery, delivery_id)
        case State.UNCERTAIN, Absent():
            return transitions.start_again(delivery, policy)
        case State.UNCERTAIN, Undecided(message):
            return transitions.hold(delivery, message)
        case State.HELD, Undecided(message):
            return transitions.lack(delivery, message)
        case State.HELD, AdoptOrdered(pending):
            return transitions.ask(delivery, pending)
        case State.HELD, OrderQueued(order):
            return transitions.queue(delivery, order)
        case State.HELD, AdoptRefused():
            return transitions.refuse_adopt(delivery)
        case State.HELD, ResendOrdered():
            return transitions.clear(transitions.leave_ghost(delivery))
        case State.HELD, AbandonOrdered():
            message = "given up by an operator; Jet may still be at work"
            left = transitions.leave_ghost(delivery)
            return transitions.fail(left, ReasonCode.ABANDONED, message, now)
        case State.STARTED | State.IN_PROGRESS, StatusObserved():
            return transitions.observe(delivery, trigger, now, policy)
        case State.STARTED | State.IN_PROGRESS, DeliveryNotFound():
            message = "Jet no longer knows the delivery"
            return transitions.fail(
                delivery, ReasonCode.DELIVERY_NOT_FOUND, message, now
            )
        case State.STARTED | State.IN_PROGRESS, DeadlinePassed():
            message = "the route's deadline passed; Jet may still be at work on it"
            return transitions.fail(
                delivery, ReasonCode.DEADLINE_EXCEEDED, message, now
            )
        case _:
            msg = f"{type(trigger).__name__} while {delivery.state}"
            raise IllegalTransition(msg)
