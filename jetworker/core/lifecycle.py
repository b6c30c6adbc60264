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
    starting --> waiting : Blocked
    starting --> failed : Refused
    starting --> started : Applied
    starting --> uncertain : Lost
    starting --> cleared : Lost
    starting --> held : Lost
    uncertain --> started : Found
    uncertain --> cleared : Absent
    uncertain --> held : Absent
    uncertain --> held : Undecided
    held --> held : AdoptOrdered
    held --> held : AdoptRefused
    held --> started : Found
    held --> cleared : ResendOrdered
    held --> failed : AbandonOrdered
    started --> started : StatusObserved
    started --> in_progress : StatusObserved
    started --> completed : StatusObserved
    started --> failed : StatusObserved
    started --> failed : Missing
    started --> failed : DeadlinePassed
    in_progress --> in_progress : StatusObserved
    in_progress --> completed : StatusObserved
    in_progress --> failed : StatusObserved
    in_progress --> failed : Missing
    in_progress --> failed : DeadlinePassed
```

A final state is final: late news about a finished delivery changes nothing.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from jetworker.core.command import Origin, Send
from jetworker.core.delivery import (
    Delivery,
    Event,
    EventType,
    Reason,
    ReasonCode,
    Requested,
    State,
)
from jetworker.core.effect import Effect, effect_of
from jetworker.core.progress import observe
from jetworker.core.route import OnUncertain
from jetworker.core.trigger import (
    AbandonOrdered,
    Absent,
    AdoptOrdered,
    AdoptRefused,
    Applied,
    Begun,
    Blocked,
    CancelOrdered,
    DeadlinePassed,
    Found,
    Lost,
    Missing,
    Refused,
    ResendOrdered,
    StatusObserved,
    Trigger,
    Undecided,
)
from jetworker.errors import IllegalTransition


@dataclass(frozen=True, slots=True)
class Policy:
    """The settings that decide: `starts.max_attempts`, `events.progress_interval`."""

    max_attempts: int = 3
    progress_interval: timedelta = timedelta(seconds=10)


@dataclass(frozen=True, slots=True)
class Transition:
    """
    What a trigger makes of a delivery.

    *effect* is None where the delivery goes on with what it was doing.
    """

    delivery: Delivery
    events: tuple[Event, ...] = ()
    effect: Effect | None = None


def accept(command: Send, origin: Origin, now: datetime) -> Transition:
    """Make a command a delivery."""
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
    )
    return _tell(delivery, EventType.ACCEPTED)


def transition(  # noqa: C901, PLR0911, PLR0912 -- one case per edge: this is the table
    delivery: Delivery, trigger: Trigger, now: datetime, policy: Policy
) -> Transition:
    """
    Return what *trigger* makes of *delivery* at *now*.

    Raises IllegalTransition where the table has no edge: a bug, never bad luck.
    """
    match delivery.state, trigger:
        case state, _ if state.is_final:
            return Transition(delivery)
        case (
            State.ACCEPTED | State.WAITING | State.CLEARED | State.STARTING,
            Blocked(code, message),
        ):
            return _wait(delivery, Reason(code, message))
        case (
            State.ACCEPTED | State.WAITING | State.CLEARED | State.STARTING,
            Refused(code, message),
        ):
            return _fail(delivery, Reason(code, message), now)
        case State.ACCEPTED | State.WAITING | State.CLEARED, Begun():
            return _begin(delivery, trigger)
        case State.ACCEPTED | State.WAITING, CancelOrdered():
            return _finish(delivery, State.CANCELLED, EventType.CANCELLED, None, now)
        case State.STARTING, Applied(delivery_id):
            return _start(replace(delivery, delivery_id=delivery_id), now)
        case State.STARTING, Lost(message):
            return _doubt(delivery, message, now, policy)
        case State.UNCERTAIN | State.HELD, Found(delivery_id, created_on):
            found = replace(delivery, delivery_id=delivery_id, adopted=True)
            return _start(found, created_on or now)
        case State.UNCERTAIN, Absent():
            return _start_again(delivery, policy)
        case State.UNCERTAIN, Undecided(message):
            return _hold(delivery, message)
        case State.HELD, AdoptOrdered(pending):
            asked = replace(delivery, pending=pending)
            return Transition(asked, effect=effect_of(asked))
        case State.HELD, AdoptRefused():
            return Transition(replace(delivery, pending=None))
        case State.HELD, ResendOrdered():
            return _clear(delivery)
        case State.HELD, AbandonOrdered():
            message = "given up by an operator; Jet may still be at work"
            return _fail(delivery, Reason(ReasonCode.ABANDONED, message), now)
        case State.STARTED | State.IN_PROGRESS, StatusObserved():
            return _observe(delivery, trigger, now, policy)
        case State.STARTED | State.IN_PROGRESS, Missing():
            message = "Jet no longer knows the delivery"
            return _fail(delivery, Reason(ReasonCode.DELIVERY_NOT_FOUND, message), now)
        case State.STARTED | State.IN_PROGRESS, DeadlinePassed():
            message = "the route's deadline passed; Jet may still be at work on it"
            return _fail(delivery, Reason(ReasonCode.DEADLINE_EXCEEDED, message), now)
        case _:
            msg = f"{type(trigger).__name__} while {delivery.state}"
            raise IllegalTransition(msg)


def _wait(delivery: Delivery, reason: Reason) -> Transition:
    """Go back to waiting; the same reason in a row is told once."""
    same = delivery.reason is not None and delivery.reason.code is reason.code
    told = delivery.published is State.WAITING and same
    if told and delivery.state is State.WAITING:
        return Transition(delivery)
    refused = delivery.state is State.STARTING
    waiting = replace(
        delivery,
        state=State.WAITING,
        attempt=delivery.attempt - refused,
        intent=None,
        reason=reason,
    )
    if told:
        return Transition(waiting, effect=Effect.QUEUE_START)
    return _tell(waiting, EventType.WAITING)


def _begin(delivery: Delivery, trigger: Begun) -> Transition:
    begun = replace(
        delivery,
        state=State.STARTING,
        attempt=delivery.attempt + 1,
        intent=trigger.intent,
        terms=trigger.terms,
        job_id=trigger.intent.job_id,
    )
    return Transition(begun, effect=effect_of(begun))


def _start(delivery: Delivery, started_at: datetime) -> Transition:
    """Bind Jet's delivery; what was asked for is no longer needed in memory."""
    started = replace(
        delivery,
        state=State.STARTED,
        objects=(),
        intent=None,
        reason=None,
        pending=None,
        started_at=started_at,
    )
    return _tell(started, EventType.STARTED)


def _doubt(
    delivery: Delivery, message: str, now: datetime, policy: Policy
) -> Transition:
    """Say that the outcome is unknown; a route that says resend goes on at once."""
    resend = delivery.terms.on_uncertain is OnUncertain.RESEND
    if resend:
        message = f"{message}; the route says resend: a second delivery is possible"
    reason = Reason(ReasonCode.START_UNKNOWN, message)
    doubted = replace(delivery, state=State.UNCERTAIN, reason=reason, doubted_at=now)
    told = _tell(doubted, EventType.UNCERTAIN)
    if not resend:
        return told
    again = _start_again(told.delivery, policy)
    return replace(again, events=told.events + again.events)


def _start_again(delivery: Delivery, policy: Policy) -> Transition:
    if delivery.attempt >= policy.max_attempts:
        return _hold(delivery, f"all {policy.max_attempts} attempts are used up")
    return _clear(delivery)


def _clear(delivery: Delivery) -> Transition:
    cleared = replace(delivery, state=State.CLEARED, intent=None, pending=None)
    return Transition(cleared, effect=effect_of(cleared))


def _hold(delivery: Delivery, message: str) -> Transition:
    reason = Reason(ReasonCode.HELD, message)
    return _tell(
        replace(delivery, state=State.HELD, reason=reason), EventType.UNCERTAIN
    )


def _observe(
    delivery: Delivery, seen: StatusObserved, now: datetime, policy: Policy
) -> Transition:
    observed = observe(delivery, seen, now, policy.progress_interval)
    if observed.verdict is None:
        return Transition(observed.delivery, observed.events)
    state, kind, reason = observed.verdict
    ended = _finish(observed.delivery, state, kind, reason, now)
    return replace(ended, events=observed.events + ended.events)


def _fail(delivery: Delivery, reason: Reason, now: datetime) -> Transition:
    return _finish(delivery, State.FAILED, EventType.FAILED, reason, now)


def _finish(
    delivery: Delivery,
    state: State,
    kind: EventType,
    reason: Reason | None,
    now: datetime,
) -> Transition:
    refused = delivery.state is State.STARTING
    finished = replace(
        delivery,
        state=state,
        attempt=delivery.attempt - refused,
        reason=reason,
        finished_at=now,
        objects=(),
        intent=None,
        pending=None,
    )
    return _tell(finished, kind)


def _tell(delivery: Delivery, kind: EventType) -> Transition:
    """Tell of the delivery itself, under the next number."""
    state = State.UNCERTAIN if delivery.state is State.HELD else delivery.state
    told = replace(delivery, sequence=delivery.sequence + 1, published=state)
    return Transition(told, (Event(kind, told),), effect_of(told))
